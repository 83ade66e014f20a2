/* Volume that moves in straight lines: duck, fade, restore. No allocation, no lock: usable in a
 * sound card's callback. One thread at a time per gain. */
#ifndef AUDIO_GAIN_H
#define AUDIO_GAIN_H

#include <stddef.h>

/* Duck by 12 dB within 20 ms, fade in 5 ms. Coming back is slower, so that a false alarm does not
 * pump; from silence it is quicker, so that no word is lost. */
#define GAIN_DUCKED 0.25118864f /* 10^(-12/20) */
enum { GAIN_DUCK_MS = 20, GAIN_FADE_MS = 5, GAIN_RESTORE_MS = 60, GAIN_RESUME_MS = 20 };

typedef struct gain {
    float now, target; /* factors, 1 = as it came */
    float step;        /* per sample, towards target; 0 when there */
    int rate;          /* Hz */
} gain;

/* Factor 1, at rest. rate in Hz, > 0. */
void gain_init(gain *g, int rate);
/* From where it is to target (>= 0) in a straight line over ms milliseconds (0: at once). A line
 * under way is left; asking again for the same target changes nothing. */
void gain_to(gain *g, float target, double ms);
/* Multiplies samples [count] in place and moves on. Cuts of the signal do not change the result. */
void gain_apply(gain *g, float *samples, size_t count);

#endif
