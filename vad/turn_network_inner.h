/* What the files of the network for ends of turns share. */
#ifndef VAD_TURN_NETWORK_INNER_H
#define VAD_TURN_NETWORK_INNER_H

#include "core/fft.h"
#include "core/mel_bank.h"
#include "vad/turn_network.h"
#include "vad/weights.h"

enum {
    TURN_FRAMES = 2 * TURN_POSITIONS,
    TURN_FFT = 400, /* samples of a frame; the window has the same length */
    TURN_HEADS = 6,
    TURN_HEAD_WIDTH = TURN_WIDTH / TURN_HEADS,
    TURN_MATRIX_CAP = 32
};

typedef struct turn_layer {
    const turn_layer_weights *w; /* norms and biases */
    matrix q, k, v, out, fc1, fc2;
} turn_layer;

struct turn_network {
    const turn_network_weights *w; /* norms, biases, positions */
    matrix conv1, conv2;
    turn_layer layers[TURN_LAYERS];
    matrix pool0, pool2, cls0, cls4, cls6;
    packed_rows packed[TURN_MATRIX_CAP]; /* of each matrix; none with exact */
    unsigned char *slabs;

    fft_plan *plan;         /* TURN_FFT points */
    float window[TURN_FFT]; /* periodic Hann */
    mel_band bands[TURN_BANDS];
    float band_pool[MEL_BANK_POOL(TURN_FFT)];
};

/* turn_network_mel.c: s->wide [TURN_WINDOW] samples, oldest first -> s->mel */
size_t turn_mel_scratch(void); /* floats a thread needs in s->spectra */
void turn_mel_prepare(turn_network *n);
void turn_mel_normalise(turn_look *s);
void turn_mel_frames(turn_look *s, const compute *c, int begin, int count);
void turn_mel_finish(turn_look *s);

/* turn_network_layers.c: s->mel -> s->x -> s->probability */
size_t turn_attention_scratch(void); /* floats a thread needs in s->scores */
void turn_run_conv1(turn_look *s, const compute *c);
void turn_run_conv2(turn_look *s, const compute *c);
void turn_run_attention(turn_look *s, const compute *c, const turn_layer *y);
void turn_run_ff(turn_look *s, const compute *c, const turn_layer *y);
void turn_run_head(turn_look *s, const compute *c);

static inline void turn_tap(const turn_look *s, const char *stage, int layer, const float *x,
                            int rows, int cols) {
    if (s->tap != NULL) s->tap(s->tap_context, stage, layer, x, rows, cols);
}

#endif
