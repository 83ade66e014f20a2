/* The encoder of clips on a device: the one stage besides stacks that is worth it. It has no state:
 * a clip goes in whole, its rows come out.
 *
 *     mel [frames, bands] ─► encode ─► take ─► rows [positions, width], as encoder_output has them
 *
 * As for stacks (stack/device.h): calls come from the device's own thread; until `take` nothing of
 * the caller's is written, so that the CPU can repeat the clip. */
#ifndef DEVICES_ENCODER_DEVICE_H
#define DEVICES_ENCODER_DEVICE_H

#include "stack/device.h"
#include "tokenizer/encoder.h"

typedef struct encoder_device_ops {
    /* RNL_ERR_UNSUPPORTED, RNL_ERR_MEMORY: with a sentence; the encoder stays on the CPU. */
    rnl_status (*load)(void *device, const encoder_weights *w, bool exact, void **encoder,
                       rnl_error *error);
    void (*unload)(void *encoder);
    size_t (*memory)(const void *encoder); /* bytes beyond the host's own */
    int (*frame_cap)(const void *encoder); /* mel frames of a clip at most; longer: the CPU */
    rnl_status (*encode)(void *encoder, const float *mel, int frame_count, rnl_error *error);
    /* out [encoder_position_count(frame_count), width]. Cannot fail; by the caller's thread. */
    void (*take)(void *encoder, float *out);
} encoder_device_ops;

/* An encoder on a device, shared by all passes. */
typedef struct encoder_placed encoder_placed;
RNL_MUST_USE rnl_status encoder_device_load(stack_device *d, const encoder_device_ops *ops,
                                            const encoder_weights *w, bool exact,
                                            encoder_placed **out, rnl_error *error);
void encoder_device_unload(encoder_placed **e); /* NULL is fine; sets NULL */
size_t encoder_placed_size(const encoder_placed *e);

/* The rows of a clip into out [encoder_position_count(frame_count), width], within the time of a
 * pass. False: the CPU is to do it, because the clip is too long or the device was or is given up
 * (told); out is as it was. e NULL: false. */
bool encoder_device_run(encoder_placed *e, const float *mel, int frame_count, float *out);

#endif
