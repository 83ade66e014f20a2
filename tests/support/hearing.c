#include "tests/support/hearing.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void hearing_open(hearing *h, const endpoint_config *config) {
    *h = (hearing){.vad = vad_rig_open(), .raw_vad = vad_rig_open()};
    assert_int_equal(echo_create(NULL, &h->canceller), RNL_OK);
    kernels_select(&h->k, kernels_cpu_features());
    energy_reset(&h->gate);
    endpoint_reset(&h->turns, config);
}

void hearing_close(hearing *h) {
    echo_destroy(&h->canceller);
    vad_rig_close(&h->vad);
    vad_rig_close(&h->raw_vad);
}

static void hear_block(hearing *h, bool playing, turn_events *events) {
    if (playing && !h->was_playing && h->turns.phase == TURN_LISTENING) vad_reset(&h->vad.s);
    h->was_playing = playing;
    const bool loud = energy_push(&h->gate, h->block);
    const float heard = vad_block(&h->vad.s, &h->k, h->block);
    const float raw = vad_block(&h->raw_vad.s, &h->k, h->raw);
    h->probability = loud || h->measure.active ? echo_speech(&h->measure, heard, raw) : 0;
    endpoint_push(&h->turns, h->probability, playing, false, events);
}

void hearing_push(hearing *h, const float *mic, const float *reference, bool playing,
                  turn_events *events) {
    events->count = 0;
    echo_cancel(h->canceller, mic, reference, h->out, &h->measure);
    for (int done = 0; done < ECHO_FRAME;) {
        const int room = VAD_BLOCK - h->block_fill, left = ECHO_FRAME - done;
        const int count = left < room ? left : room;
        memcpy(h->block + h->block_fill, h->out + done, (size_t)count * sizeof *h->block);
        memcpy(h->raw + h->block_fill, mic + done, (size_t)count * sizeof *h->raw);
        h->block_fill += count;
        done += count;
        if (h->block_fill < VAD_BLOCK) continue;
        hear_block(h, playing, events);
        h->block_fill = 0;
    }
}

double frame_power(const float *x) {
    double sum = 0;
    for (int i = 0; i < ECHO_FRAME; i++) sum += (double)x[i] * (double)x[i] / ECHO_FRAME;
    return sum;
}

double speech_power(const float *x, int count) {
    const int frames = count / ECHO_FRAME;
    double loudest = 0, sum = 0;
    int active = 0;
    for (int f = 0; f < frames; f++) loudest = fmax(loudest, frame_power(x + f * ECHO_FRAME));
    for (int f = 0; f < frames; f++) {
        const double power = frame_power(x + f * ECHO_FRAME);
        if (power < loudest * 1e-3) continue;
        sum += power;
        active++;
    }
    return active > 0 ? sum / active : 0;
}
