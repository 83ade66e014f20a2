/* A room with a talker, a loudspeaker and a microphone, for loops that hear themselves:
 *
 *     near ──────────────────────────────► room response ──┐
 *     speaker ─► delay, drift ─► soft clip ─► room response ─┴─► + noise ─► clipped ─► mic
 *
 * 16 kHz, blocks of 10 ms, deterministic by its seed. A response is the direct sound (1/r, at the
 * speed of sound) and behind it Gaussian noise that decays by 60 dB in T60 (Polack's model), above
 * 2 kHz in 0.7 T60, as strong as the diffuse field of a room of that volume is (Sabine: critical
 * distance 0.057 sqrt(directivity volume / T60); a talker faces the microphone, directivity 2, the
 * loudspeaker does not, 1). The microphone block k holds what arrives while block k is handed to
 * the loudspeaker, so its echo comes delay_ms and the way through the air later.
 *
 * Every function fails the running test when memory is short. */
#ifndef TESTS_SUPPORT_ROOM_H
#define TESTS_SUPPORT_ROOM_H

#include <stdint.h>

enum { ROOM_RATE = 16000, ROOM_BLOCK = 160 };

typedef struct room_config {
    uint64_t seed;     /* of responses and noise */
    double t60_s;      /* reverberation, [0.1, 2]; 0: none, direct sound only */
    double volume_m3;  /* of the room */
    double talker_m;   /* talker -> microphone, [0.1, 10] */
    double speaker_m;  /* loudspeaker -> microphone, [0.1, 10] */
    double speaker_db; /* loudspeaker, heard at 1 m, against its signal */
    double clip;       /* amplitude at which the loudspeaker saturates; 0: never */
    double delay_ms;   /* converters and buffers on the way out and in, [5, 500] */
    double drift_ppm;  /* the loudspeaker's clock is faster by this; delay_ms must not be used up */
    double noise_db;   /* of full scale, rms; pink (3 dB less an octave); -200: none */
} room_config;

/* A room drawn from the ranges of issue 6: T60 0.2 to 0.8 s, 30 to 90 m3, talker 0.5 to 1.5 m,
 * loudspeaker 0.3 to 1 m, saturation in half of them, delay 20 to 300 ms, drift +-200 ppm. The
 * noise is left at none: it is set against the talker's level. */
room_config room_draw(uint64_t seed);

typedef struct room room;
/* What the microphone is the sum of (before it clips). */
typedef struct room_parts {
    float near[ROOM_BLOCK], echo[ROOM_BLOCK], noise[ROOM_BLOCK];
} room_parts;

room *room_create(const room_config *c);
void room_destroy(room *r);
/* speaker: handed to the loudspeaker now; near: the talker, as heard at 1 m without a room;
 * mic: [-1, 1]. All [ROOM_BLOCK]. parts may be NULL. */
void room_step(room *r, const float *speaker, const float *near, float *mic, room_parts *parts);

/* The loop under test, driven by room_run: takes the microphone's block, gives the loudspeaker's
 * next one. */
typedef struct room_loop {
    void *context;
    void (*push)(void *context, const float *mic);
    void (*pull)(void *context, float *speaker);
} room_loop;
/* One block through room and loop: pull, room_step, push. */
void room_turn(room *r, const room_loop *loop, const float *near, room_parts *parts);

#endif
