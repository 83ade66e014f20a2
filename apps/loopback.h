/* How much of what the loudspeaker plays comes back through the microphone, and when: noise is
 * played for a second, and looked for in what was heard. Pure: no device. */
#ifndef APPS_LOOPBACK_H
#define APPS_LOOPBACK_H

#include <stdbool.h>
#include <stddef.h>

enum {
    LOOPBACK_RATE_OUT = 24000,          /* Hz of the noise */
    LOOPBACK_NOISE = LOOPBACK_RATE_OUT, /* samples of it: 1 s */
    LOOPBACK_RATE = 16000,              /* Hz of what is judged */
    LOOPBACK_BEFORE = 8000,             /* samples to hear before the noise, */
    LOOPBACK_HEARD = 40000,             /* and in all: 2.5 s */
    LOOPBACK_DELAY_CAP = 8000           /* longest way that is looked for: 500 ms */
};

typedef struct loopback {
    bool silent;           /* the microphone gave nothing but zeros */
    bool clipped;          /* it was driven to its end */
    bool heard;            /* what was played is in what was heard; the next two are valid */
    double delay_ms;       /* of the microphone behind what the loudspeaker was given */
    double return_loss_db; /* how much weaker it came back; below 0: louder */
    double noise_db;       /* of the microphone before, dB of full scale, at least -100 */
} loopback;

/* The noise to play, mono, -20 dB of full scale, the same every time. */
void loopback_noise(float samples[LOOPBACK_NOISE]);

/* mic, reference [count] at LOOPBACK_RATE, in lockstep: what was heard while reference was played,
 * which begins and ends in silence. */
void loopback_judge(const float *mic, const float *reference, size_t count, loopback *out);

#endif
