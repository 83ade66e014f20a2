/* The Silero network, step by step. Rows of padding are zeroed in vad_reset and never written. */
#include "vad/vad.h"

#include <math.h>
#include <string.h>

#include "vad/weights.h"

enum {
    CONTEXT = 64,
    INPUT = CONTEXT + VAD_BLOCK + CONTEXT,
    HOP = 128,     /* between two spectra */
    POSITIONS = 4, /* spectra of a block */
    ROWS = 2 * VAD_BINS
};

void vad_layout(vad_state *s, arena *a) {
    s->context = arena_take(a, CONTEXT, sizeof *s->context);
    s->cell_in = arena_take(a, 2 * VAD_WIDTH, sizeof *s->cell_in);
    s->cell = arena_take(a, VAD_WIDTH, sizeof *s->cell);
    s->input = arena_take(a, INPUT, sizeof *s->input);
    s->spectrum = arena_take(a, POSITIONS * ROWS, sizeof *s->spectrum);
    s->bins = arena_take(a, (POSITIONS + 2) * VAD_BINS, sizeof *s->bins);
    s->wide = arena_take(a, (POSITIONS + 1) * VAD_WIDTH, sizeof *s->wide);
    s->half = arena_take(a, 2 * VAD_HALF_WIDTH, sizeof *s->half);
    s->single = arena_take(a, VAD_HALF_WIDTH, sizeof *s->single);
    s->gates = arena_take(a, VAD_GATE_COUNT, sizeof *s->gates);
}

void vad_reset(vad_state *s) {
    memset(s->context, 0, CONTEXT * sizeof *s->context);
    memset(s->cell_in, 0, 2 * VAD_WIDTH * sizeof *s->cell_in);
    memset(s->cell, 0, VAD_WIDTH * sizeof *s->cell);
    memset(s->bins, 0, (POSITIONS + 2) * VAD_BINS * sizeof *s->bins);
    memset(s->wide, 0, (POSITIONS + 1) * VAD_WIDTH * sizeof *s->wide);
}

/* y[t, r] = w[r] . x[t * x_stride ..], t < count, y row-major [count, row_count]. */
static void product(const kernels *k, float *y, const float *w, size_t row_count, size_t col_count,
                    const float *x, size_t x_stride, size_t count) {
    if (count == 1) { /* the same bits, without a panel */
        k->gemv[QUANT_F32](y, w, col_count * sizeof *w, (int64_t)row_count, x, (int64_t)col_count,
                           false);
        return;
    }
    for (size_t r = 0; r < row_count; r += KERNELS_ROWS) {
        const size_t left = row_count - r, rows = left < KERNELS_ROWS ? left : KERNELS_ROWS;
        k->gemm(y + r, row_count, w + r * col_count, col_count, (int64_t)rows, x, x_stride,
                (int64_t)count, (int64_t)col_count);
    }
}

static void bias_relu(float *y, const float *bias, size_t width, size_t count) {
    for (size_t t = 0; t < count; t++)
        for (size_t c = 0; c < width; c++) {
            const float sum = y[t * width + c] + bias[c];
            y[t * width + c] = sum > 0 ? sum : 0;
        }
}

/* Samples -> magnitudes of the four spectra. */
static void spectra(vad_state *s, const kernels *k, const float *samples) {
    memcpy(s->input, s->context, CONTEXT * sizeof *s->input);
    memcpy(s->input + CONTEXT, samples, VAD_BLOCK * sizeof *s->input);
    float *end = s->input + CONTEXT + VAD_BLOCK; /* mirrored, the edge sample not repeated */
    for (int i = 0; i < CONTEXT; i++) end[i] = end[-2 - i];
    memcpy(s->context, samples + VAD_BLOCK - CONTEXT, CONTEXT * sizeof *s->context);

    product(k, s->spectrum, vad_silero.stft[0], ROWS, VAD_WINDOW, s->input, HOP, POSITIONS);
    for (int t = 0; t < POSITIONS; t++) {
        const float *re = s->spectrum + t * ROWS, *im = re + VAD_BINS;
        float *out = s->bins + (1 + t) * VAD_BINS;
        for (int i = 0; i < VAD_BINS; i++) out[i] = sqrtf(re[i] * re[i] + im[i] * im[i]);
    }
}

/* Magnitudes -> the first half of cell_in. */
static void convolutions(vad_state *s, const kernels *k) {
    const vad_weights *w = &vad_silero;
    float *wide = s->wide + VAD_WIDTH; /* behind the padding */
    product(k, wide, w->conv1[0], VAD_WIDTH, 3 * VAD_BINS, s->bins, VAD_BINS, POSITIONS);
    bias_relu(wide, w->conv1_bias, VAD_WIDTH, POSITIONS);
    product(k, s->half, w->conv2[0], VAD_HALF_WIDTH, 3 * VAD_WIDTH, s->wide, 2 * VAD_WIDTH, 2);
    bias_relu(s->half, w->conv2_bias, VAD_HALF_WIDTH, 2);
    product(k, s->single, w->conv3[0], VAD_HALF_WIDTH, 2 * VAD_HALF_WIDTH, s->half, 0, 1);
    bias_relu(s->single, w->conv3_bias, VAD_HALF_WIDTH, 1);
    product(k, s->cell_in, w->conv4[0], VAD_WIDTH, VAD_HALF_WIDTH, s->single, 0, 1);
    bias_relu(s->cell_in, w->conv4_bias, VAD_WIDTH, 1);
}

static float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

/* One step of the cell: gate order input, forget, cell, output; h and c are replaced. */
static void cell_step(vad_state *s, const kernels *k) {
    const vad_weights *w = &vad_silero;
    product(k, s->gates, w->lstm[0], VAD_GATE_COUNT, 2 * VAD_WIDTH, s->cell_in, 0, 1);
    for (int i = 0; i < VAD_GATE_COUNT; i++)
        s->gates[i] += w->lstm_bias_input[i] + w->lstm_bias_hidden[i];
    const float *in = s->gates, *forget = in + VAD_WIDTH, *cell = forget + VAD_WIDTH,
                *out = cell + VAD_WIDTH;
    float *hidden = s->cell_in + VAD_WIDTH;
    for (int i = 0; i < VAD_WIDTH; i++) {
        s->cell[i] = sigmoid(forget[i]) * s->cell[i] + sigmoid(in[i]) * tanhf(cell[i]);
        hidden[i] = sigmoid(out[i]) * tanhf(s->cell[i]);
    }
}

float vad_block(vad_state *s, const kernels *k, const float *samples) {
    const vad_weights *w = &vad_silero;
    spectra(s, k, samples);
    convolutions(s, k);
    cell_step(s, k);
    float relu[VAD_WIDTH];
    for (int i = 0; i < VAD_WIDTH; i++) {
        const float h = s->cell_in[VAD_WIDTH + i];
        relu[i] = h > 0 ? h : 0;
    }
    return sigmoid(k->dot(w->final, relu, VAD_WIDTH) + w->final_bias);
}
