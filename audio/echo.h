/* Echo cancellation and the signal part of the barge-in gate (the only file behind it that knows
 * speexdsp is echo.c). Part of the library: no device, no thread, nothing allocated after create.
 *
 *     mic [160] ─┐                     ┌─► out [160]: mic without what we play, ECHO_DELAY later
 *     reference ─┴► bulk delay ► filter ► residual suppression
 *                                      └─► echo_measure: is what is left explained by what we play?
 *
 * All signals: 16 kHz, mono, [-1, 1]; frames of 10 ms. The reference is exactly what the
 * loudspeaker was given, after volume and fades, silence included; frame k of it was handed to the
 * loudspeaker while frame k of the microphone was taken, so that its echo comes 0 to delay_max_ms
 * later.
 *
 * While nothing has been played for longer than the room can ring, out is the microphone itself,
 * bit for bit, ECHO_DELAY samples late: a user who does not talk into our own speech is heard
 * untouched. The same input gives the same bits, every time. One thread at a time per echo. */
#ifndef AUDIO_ECHO_H
#define AUDIO_ECHO_H

#include <runnel/runnel.h>

enum {
    ECHO_RATE = 16000,
    ECHO_FRAME = 160, /* samples: 10 ms */
    ECHO_DELAY = 160  /* samples by which out is later than mic (the suppressor's overlap) */
};

typedef struct echo_config {
    int tail_ms;      /* room response that is modelled: [64, 512], default 256 */
    int delay_max_ms; /* longest way loudspeaker -> microphone: [50, 1000], default 500 */
    int delay_ms;     /* the way, when it is known: [0, delay_max_ms]; -1 (default): estimated from
                       * the first seconds of sound and tracked */
} echo_config;

echo_config echo_config_default(void);

/* What the last frame says, for the gate and for meters. Levels are dB of full scale over about
 * 50 ms, at least -100. They speak of the same moment as the frame's out. */
typedef struct echo_measure {
    bool active;        /* what was played may still be heard; false: nothing to explain with */
    bool begins;        /* active for less than 0.7 s: what was learned of the room is old */
    bool settled;       /* the canceller has heard 3 s of our sound and removes it */
    bool explained;     /* what is left of the microphone is explained by what we play: speech found
                         * now is our own. Always false when not active */
    float mic_db;       /* microphone */
    float out_db;       /* after cancelling and suppression */
    float reference_db; /* what was played */
    float expected_db;  /* residual of our own sound to expect in the cancelled signal, before
                         * suppression, from how well cancelling went so far; -100: none */
    float coherence;    /* [0, 1] share of the microphone that follows from what is played */
    float excess_db; /* cancelled signal above the residual and noise expected, in speech bands */
    float low_db;    /* the same below 750 Hz, of this frame alone, [-10, 20] */
    float margin_db; /* what excess must exceed to count as somebody else: more in the first 3 s
                         * of our sound, while the canceller learns */
    float delay_ms;  /* bulk delay in use; -1 while unknown */
} echo_measure;

typedef struct echo echo;

/* config may be NULL (defaults). Allocates all that is ever needed. RNL_ERR_ARGUMENT (a field out
 * of its range), RNL_ERR_MEMORY; *out is then NULL. */
RNL_MUST_USE rnl_status echo_create(const echo_config *config, echo **out);
void echo_destroy(echo **e); /* NULL is fine; sets NULL */

/* One frame. mic, reference, out: [ECHO_FRAME]; out may be mic. measure may be NULL. Values must be
 * finite; beyond [-1, 1] the microphone is clipped in the cancelling path. */
void echo_cancel(echo *e, const float *mic, const float *reference, float *out,
                 echo_measure *measure);

/* The gate: a network that hears out finds speech with probability heard, one that hears the
 * microphone with probability raw, [0, 1]; returns the probability that somebody else speaks.
 * measure: of the latest frame in which they were found. Log odds are added up: the networks', for
 * what sticks out of our own sound, for how little of the microphone follows from it; less at the
 * beginning of our sound and while the canceller learns, least before the delay is known. While
 * nothing is played, heard as it came. */
float echo_speech(const echo_measure *measure, float heard, float raw);

#endif
