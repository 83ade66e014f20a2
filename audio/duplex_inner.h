/* Inside audio/duplex: what the callback (duplex_callback.c, the device's threads) and the loop's
 * side (duplex.c, the engine thread) share, and who writes what. */
#ifndef AUDIO_DUPLEX_INNER_H
#define AUDIO_DUPLEX_INNER_H

#include <stdatomic.h>

#include "audio/duplex.h"
#include "audio/gain.h"
#include "core/ring.h"

/* One callback's input: ring index of its first sample, and when that was at the converter. */
typedef struct in_stamp {
    int64_t index, adc_us;
    int64_t lost_count; /* frames that found no room right before */
} in_stamp;

/* One callback's output. Sound, if any, is one stretch of it. */
typedef struct out_stamp {
    int64_t index, dac_us; /* of the first sample, in the ring of what was played */
    int64_t sound_index;   /* in the loudspeaker's ring: first sample of the stretch */
    int64_t sound_count;   /* samples of the stretch */
    int64_t sound_dac_us;  /* when its first sample is at the converter */
} out_stamp;

enum { STAMP_CAP = 2048 /* callbacks nobody has read yet: 4 s of 2 ms */ };

typedef struct callback_side {
    /* Made before the first callback, never changed while callbacks run. */
    int rate_in, rate_out;
    bool one_clock;
    ring *mic;       /* floats; the callback produces */
    ring *played;    /* floats; the callback produces */
    ring *speaker;   /* floats; the callback consumes */
    ring *in_stamps; /* in_stamp; the callback produces */
    ring *out_stamps;

    /* The callback's own. */
    gain volume; /* duck and restore */
    gain fade;   /* to silence at a cut, from silence after a gap */
    int64_t cut_seen;
    size_t fade_left;   /* samples of the line to silence at a cut or a hold */
    bool holding;       /* a hold has begun: that line, or silence */
    float last;         /* output sample */
    float decay;        /* per sample while running out, 0 when at rest */
    bool starved;       /* in mid-reply without sound */
    int64_t lost_count; /* input frames without room since the last stamp */

    /* Written by the loop's side, read by the callback. */
    atomic_bool ducked;
    atomic_bool held;
    atomic_bool reply_open;      /* between the first push and end: silence is a lateness */
    atomic_int_least64_t cut_at; /* ring index up to which sound is not wanted any more */

    /* Written by the callback, read by the loop's side. */
    atomic_int_least64_t in_calls, out_calls;
    atomic_int_least64_t in_xruns, out_xruns, dropped_count, late_count;
} callback_side;

/* device_fn; context is a callback_side. Copies between rings, multiplies, stamps; calls nothing
 * else. */
void duplex_callback(void *context, const device_block *block);

/* At rest, rings empty. No callback may run. */
void callback_side_reset(callback_side *c);

#endif
