/* Microphone and loudspeaker as the live loop wants them, whatever the device is.
 *
 *   device thread(s)                                 engine thread
 *   in  ─► [ring 4 s, device rate] ─► resample ─► 16 kHz blocks of 10 ms: mic ─┐
 *   out ─► [ring 4 s, as played]   ─► resample (steered) ─► reference ─────────┴─► duplex_pull
 *    ▲ gain, fade ◄─ [ring 1 s, device rate] ◄─ resample ◄─ 24 kHz ◄──────────── duplex_push
 *
 * The callback copies, multiplies by a gain and stamps; it fills its whole output whatever happens.
 * Reference sample k is what the loudspeaker was given, after gain and fades, while microphone
 * sample k was taken: in lockstep where the device has one clock; with two clocks it is resampled
 * with a ratio that follows their drift (drift.h), re-aligned when they jump. (Where the reference
 * has to be resampled and the microphone has not, it comes 3 ms later: less than any device's way
 * from its output to its input.)
 *
 * Use, on one thread:
 *
 *     while (running) {
 *         while (duplex_pull(d, &block) == RNL_OK) give block to the loop;
 *         before = duplex_now_us(d); bool worked = one step of the loop;
 *         if (worked) duplex_charge(d, measured microseconds of the step);
 *         take up to duplex_room(d) samples from the loop, duplex_push them; duplex_end at the end
 *         of a reply; duplex_duck, duplex_hold, duplex_cut as the loop says;
 *         if (!worked) duplex_wait(d) -> RNL_ERR_IO: lost; duplex_reopen until RNL_OK
 *     }
 *
 * Times are microseconds of one clock: CLOCK_MONOTONIC, or the file device's own. */
#ifndef AUDIO_DUPLEX_H
#define AUDIO_DUPLEX_H

#include "audio/device.h"

enum {
    DUPLEX_RATE_MIC = 16000,     /* Hz of mic and reference */
    DUPLEX_RATE_SPEAKER = 24000, /* Hz of what is pushed */
    DUPLEX_BLOCK = 160,          /* samples of a block: 10 ms */
    DUPLEX_LEAD_MS_DEFAULT = 100
};

typedef struct duplex_block {
    float mic[DUPLEX_BLOCK];
    float reference[DUPLEX_BLOCK];
    int64_t sample_index; /* of mic[0] since the first start; lost samples are not counted */
    int64_t adc_us;       /* when mic[0] was at the converter; later blocks are never earlier */
    int64_t lost_count;   /* 16 kHz samples missing right before mic[0]: dropped, or device lost */
} duplex_block;

typedef struct duplex_counts {
    int64_t mic_count;    /* 16 kHz samples pulled */
    int64_t pushed_count; /* 24 kHz samples pushed */
    int64_t played_count; /* of these, handed to the converter */
    int64_t cut_count;    /* of these, dropped by duplex_cut; pushed = played + cut + queued */
    int64_t in_xruns, out_xruns; /* overflows and underflows the device reports */
    int64_t dropped_count;       /* device-rate input frames lost because nobody pulled for 4 s */
    int64_t late_count;    /* device-rate output frames silent in mid-reply: nothing was there */
    int64_t realign_count; /* jumps of the reference (two clocks) */
    int64_t reopen_count;  /* times the device came back */
    double drift_ppm;      /* loudspeaker's clock against the microphone's; 0 with one clock */
    int64_t zeros_us;      /* how long the microphone has given nothing but exact zeros: muted? */
} duplex_counts;

typedef struct duplex duplex;

/* Opens the devices, makes the rings, starts. RNL_ERR_* of device_open and of start. */
RNL_MUST_USE rnl_status duplex_open(const device_config *config, duplex **out, rnl_error *error);
/* The same on a device that is already open; takes it over, also when it fails. */
RNL_MUST_USE rnl_status duplex_open_on(device *device, duplex **out, rnl_error *error);
/* Stops at once; a loudspeaker file is completed, or with abort removed. Sets NULL; NULL is fine.
 * RNL_ERR_IO: the file cannot be completed. */
rnl_status duplex_close(duplex **d, bool abort, rnl_error *error);

const device_facts *duplex_facts(const duplex *d); /* change with reopen */
int64_t duplex_now_us(const duplex *d);

/* The next block. RNL_AGAIN: not yet. Never waits. */
RNL_MUST_USE rnl_status duplex_pull(duplex *d, duplex_block *block);

/* 24 kHz samples that may be pushed now so that not more than the lead is queued. */
size_t duplex_room(const duplex *d);
/* How much sound may be queued in front of the device: it must outlast the longest step of the
 * loop. [10, 900] ms, clamped; default 100. */
void duplex_set_lead_ms(duplex *d, double ms);
/* Queues samples of a reply (copied; not finite ones count as 0, beyond [-1, 1] is clipped). Takes
 * what fits in the ring, which is never less than duplex_room. */
void duplex_push(duplex *d, const float *samples, size_t count, size_t *taken);
/* The reply is complete: silence after it is meant. (Until then it is counted as late.) */
void duplex_end(duplex *d);
/* Down by 12 dB within 20 ms, or back (60 ms). Acts from the next callback on. */
void duplex_duck(duplex *d, bool ducked);
/* Perhaps a barge-in: from the next callback on fade within 5 ms, then silence, which is not late;
 * what is queued stays. false: it goes on there, up to full volume within 20 ms; a duck ends. */
void duplex_hold(duplex *d, bool held);
/* Barge-in: from the next callback on fade within 5 ms, then silence; what was queued is dropped.
 * Volume is full again for what is pushed afterwards. A hold ends, and what it kept is dropped. */
void duplex_cut(duplex *d);
/* RNL_OK: the fade of the last cut is over (or there was none), *dropped_count samples pushed
 * before it were never played; RNL_AGAIN: not yet. */
RNL_MUST_USE rnl_status duplex_cut_done(duplex *d, int64_t *dropped_count);
/* Samples queued that will still be played, 24 kHz. 0: the loudspeaker has all of it. */
size_t duplex_queued(const duplex *d);

/* When pushed sample index (counted from the first push ever) is at the converter: RNL_OK with
 * *dac_us, for samples that a callback has taken; RNL_AGAIN: not yet; RNL_DONE: never (it was cut,
 * or is too long ago: the last 8 s are remembered). */
RNL_MUST_USE rnl_status duplex_dac_us(duplex *d, int64_t sample_index, int64_t *dac_us);

/* Waits until a block may be there (at most some 10 ms). RNL_OK; RNL_ERR_IO: no callback for a
 * second (for five in the first seconds after a start), the device is lost (the sentence names it),
 * or the loudspeaker's file cannot be written. */
RNL_MUST_USE rnl_status duplex_wait(duplex *d, rnl_error *error);
/* A step of the loop took us microseconds (device_verbs.charge). RNL_ERR_IO as for wait. */
RNL_MUST_USE rnl_status duplex_charge(duplex *d, int64_t us, rnl_error *error);
/* After a loss: looks for the device again. RNL_OK: it runs again, what was queued is dropped (as
 * cut); RNL_AGAIN: not there yet, ask again in a second. */
RNL_MUST_USE rnl_status duplex_reopen(duplex *d);
/* The microphone's file is at its end; zeros follow for as long as the loop wants to go on. */
bool duplex_input_over(const duplex *d);

void duplex_get_counts(duplex *d, duplex_counts *counts);

#endif
