/* Inside audio/echo: the search for the bulk delay (echo_delay.c) and the measures of the gate
 * (echo_gate.c). Both are fed once per frame and know nothing of speexdsp. */
#ifndef AUDIO_ECHO_INNER_H
#define AUDIO_ECHO_INNER_H

#include "audio/echo.h"
#include "core/fft.h"

/* ---- The way from loudspeaker to microphone: generalised cross-correlation with phase transform
 * (Knapp and Carter 1976), averaged over the time in which something is played, and a line through
 * the delays found. */

typedef struct delay_finder delay_finder;

typedef struct delay_estimate {
    double delay; /* samples, with fraction */
    double ppm; /* how fast it grows: the microphone's clock against the loudspeaker's; 0 unless it
                   * is certain that they differ */
} delay_estimate;

/* lag_max: largest delay looked for, samples in [1, 16000]. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status delay_finder_create(int lag_max, delay_finder **out);
void delay_finder_destroy(delay_finder **f); /* NULL is fine; sets NULL */
void delay_finder_reset(delay_finder *f);
/* One frame of both, as they came. True when the estimate is new. */
bool delay_finder_push(delay_finder *f, const float *mic, const float *reference,
                       delay_estimate *estimate);
/* The last frames pushed: microphone and reference of `back` frames ago, 0 the newest; at most
 * half a second back. */
const float *delay_finder_mic(const delay_finder *f, int back);

/* ---- The gate: per band, the sound that the canceller leaves of what is played is predicted from
 * the (aligned) reference and from how much was left so far. What exceeds it is somebody else;
 * what does not is suppressed. */

typedef struct echo_gate echo_gate;

RNL_MUST_USE rnl_status echo_gate_create(echo_gate **out); /* RNL_ERR_MEMORY */
void echo_gate_destroy(echo_gate **g);                     /* NULL is fine; sets NULL */
void echo_gate_reset(echo_gate *g);
/* The canceller starts anew (the delay has moved): what it leaves must be learned again. */
void echo_gate_relearn(echo_gate *g);
/* One frame: microphone, cancelled signal, reference at the same time as its echo. out: the frame
 * before with the residual suppressed. Fills active .. margin_db of m, not out_db and delay_ms. */
void echo_gate_push(echo_gate *g, const float *mic, const float *cancelled, const float *reference,
                    bool active, float *out, echo_measure *m);

#endif
