/* What the live loop hears with: canceller, energy gate, network, barge-in gate, turn logic, frame
 * by frame. For the room campaign. */
#ifndef TESTS_SUPPORT_HEARING_H
#define TESTS_SUPPORT_HEARING_H

#include "audio/echo.h"
#include "tests/support/vad_rig.h"
#include "vad/energy.h"
#include "vad/endpoint.h"

typedef struct hearing {
    echo *canceller;
    echo_measure measure; /* of the latest frame */
    float out[ECHO_FRAME];
    vad_rig vad, raw_vad; /* of out, of the microphone */
    kernels k;
    energy_gate gate;
    endpoint turns;
    float block[VAD_BLOCK], raw[VAD_BLOCK];
    int block_fill;
    bool was_playing;
    float probability; /* of the latest block, behind the gates */
} hearing;

void hearing_open(hearing *h, const endpoint_config *config);
void hearing_close(hearing *h);
/* mic, reference: [ECHO_FRAME]; playing: our own speech is being played. */
void hearing_push(hearing *h, const float *mic, const float *reference, bool playing,
                  turn_events *events);

/* Mean power of a frame, x [ECHO_FRAME]. */
double frame_power(const float *x);
/* The level of the speech in x: the mean power of its frames within 30 dB of the loudest. 0: there
 * is no whole frame, or all is silent. */
double speech_power(const float *x, int count);

#endif
