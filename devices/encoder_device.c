#include "devices/encoder_device.h"

#include <stdlib.h>

#include "core/status.h"

struct encoder_placed {
    stack_device *device;
    const encoder_device_ops *ops;
    const encoder_weights *w;
    bool exact;
    void *own;

    /* The clip under way. */
    const float *mel;
    int frame_count;
};

static rnl_status load_own(void *device, void *context, rnl_error *error) {
    encoder_placed *e = context;
    return e->ops->load(device, e->w, e->exact, &e->own, error);
}

static rnl_status unload_own(void *device, void *context, rnl_error *error) {
    const encoder_placed *e = context;
    (void)device, (void)error;
    e->ops->unload(e->own);
    return RNL_OK;
}

rnl_status encoder_device_load(stack_device *d, const encoder_device_ops *ops,
                               const encoder_weights *w, bool exact, encoder_placed **out,
                               rnl_error *error) {
    encoder_placed *e = *out = calloc(1, sizeof *e);
    if (e == NULL) return stack_device_no_memory(error);
    *e = (encoder_placed){.device = d, .ops = ops, .w = w, .exact = exact};
    stack_device_turn(d);
    const rnl_status status = stack_device_call(d, load_own, e, STACK_DEVICE_PATIENCE, error);
    stack_device_turn_over(d);
    if (status != RNL_OK) encoder_device_unload(out);
    return status;
}

void encoder_device_unload(encoder_placed **placed) {
    encoder_placed *e = *placed;
    if (e == NULL) return;
    *placed = NULL;
    if (!stack_device_hangs(e->device) && e->own != NULL)
        stack_device_last_call(e->device, unload_own, e);
    if (!stack_device_hangs(e->device)) free(e); /* else its thread may be using it */
}

size_t encoder_placed_size(const encoder_placed *e) {
    return e->ops->memory(e->own);
}

static rnl_status encode_own(void *device, void *context, rnl_error *error) {
    const encoder_placed *e = context;
    (void)device;
    return e->ops->encode(e->own, e->mel, e->frame_count, error);
}

bool encoder_device_run(encoder_placed *e, const float *mel, int frame_count, float *out) {
    rnl_error why;
    if (e == NULL || !stack_device_usable(e->device) || frame_count > e->ops->frame_cap(e->own))
        return false;
    stack_device_turn(e->device);
    const bool waits = !stack_device_hangs(e->device); /* else it may be reading this */
    if (waits) {
        e->mel = mel;
        e->frame_count = frame_count;
    }
    const rnl_status status = stack_device_call(e->device, encode_own, e, 1, &why);
    if (status == RNL_OK) e->ops->take(e->own, out);
    stack_device_turn_over(e->device);
    if (status != RNL_OK) stack_device_give_up(e->device, &why);
    return status == RNL_OK;
}
