#include "detokenizer/lfm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"

static void close_plan(void *plan) {
    fft_plan *p = plan;
    fft_plan_destroy(&p);
}

/* The periodic Hann window, for files without one (audio.md 8.4). */
static const float *make_window(loader *l, int size) {
    float *window = malloc((size_t)size * sizeof *window);
    if (window == NULL || weights_own(l->w, window, free) != RNL_OK) {
        l->status = status_fail(l->error, RNL_ERR_MEMORY, "memory for a window is exhausted");
        return NULL;
    }
    const double turn = 2.0 * 3.14159265358979323846 / size;
    for (int i = 0; i < size; i++) window[i] = (float)(0.5 - 0.5 * cos(turn * i));
    return window;
}

static void load_istft(loader *l, istft_weights *w, int bins) {
    *w = (istft_weights){.size = 2 * (bins - 1)};
    w->hop = w->size / 4;
    if (w->size % 8 != 0 || w->size < 8) {
        l->status =
            status_fail(l->error, RNL_ERR_FORMAT,
                        "%s: the detokenizer gives %d frequency bins, which fit no transform; "
                        "the file is damaged",
                        l->file, bins);
        return;
    }
    w->window = load_vector_if(l, w->size, "istft.window");
    if (w->window == NULL && l->status == RNL_OK) w->window = make_window(l, w->size);
    if (l->status != RNL_OK) return;
    l->status = fft_plan_create(w->size, &w->plan);
    if (l->status == RNL_OK) l->status = weights_own(l->w, w->plan, close_plan);
    if (l->status != RNL_OK)
        (void)status_fail(l->error, l->status, "memory for a Fourier transform is exhausted");
}

void lfm_load(loader *l, const lfm2_config *config, int codebook_count, lfm_weights *out) {
    *out = (lfm_weights){.codebook_count = codebook_count};
    const char *outer = l->prefix;
    l->prefix = "detok.";
    lfm2_load(l, config, &out->stack);
    out->out = load_matrix(l, 0, config->width, "dense_2.weight");
    out->out_bias = load_vector(l, out->out.row_count, "dense_2.bias");
    l->prefix = outer;
    out->embedding = load_table(l, 0, config->width, "emb.emb.weight");
    if (l->status != RNL_OK) return;
    const int64_t rows = out->embedding.row_count, spectra = out->out.row_count;
    if (codebook_count < 1 || rows % codebook_count != 0 || spectra % 2 != 0) {
        l->status = status_fail(l->error, RNL_ERR_FORMAT,
                                "%s: a code table of %lld rows and %lld outputs do not fit %d "
                                "codebooks; the file is damaged",
                                l->file, (long long)rows, (long long)spectra, codebook_count);
        return;
    }
    out->code_count = (int)(rows / codebook_count);
    out->bins = (int)(spectra / 2);
    load_istft(l, &out->istft, out->bins);
}

int lfm_frame_size(const lfm_weights *w) {
    return LFM_POSITIONS * w->istft.hop;
}

void lfm_layout(lfm_state *s, const lfm_weights *w, int thread_count, arena *kept, arena *scratch) {
    const size_t width = (size_t)w->stack.config.width;
    *s = (lfm_state){.w = w};
    lfm2_layout(&s->stack, &w->stack, w->stack.cache, 0, LFM_POSITIONS, thread_count, kept, kept,
                scratch);
    istft_layout(&s->istft, &w->istft, kept, scratch);
    s->x = arena_take(scratch, LFM_POSITIONS * width, sizeof(float));
    s->row = arena_take(scratch, width, sizeof(float));
    s->spectrum = arena_take(scratch, LFM_POSITIONS * 2 * (size_t)w->bins, sizeof(float));
}

void lfm_reset(lfm_state *s) {
    lfm2_reset(&s->stack);
    istft_reset(&s->istft);
    s->frame_count = 0;
    s->finished = false;
}

/* u = mean of the codebooks' rows, at every one of the frame's positions (audio.md 8.1). */
static void embed(lfm_state *s, const compute *c, const int32_t *codes) {
    const lfm_weights *w = s->w;
    const size_t width = (size_t)w->stack.config.width;
    memset(s->x, 0, width * sizeof *s->x);
    for (int k = 0; k < w->codebook_count; k++) {
        matrix_row(c, &w->embedding, (int64_t)k * w->code_count + codes[k], s->row);
        for (size_t i = 0; i < width; i++) s->x[i] += s->row[i];
    }
    for (size_t i = 0; i < width; i++) s->x[i] /= (float)w->codebook_count;
    for (size_t r = 1; r < LFM_POSITIONS; r++) memcpy(s->x + r * width, s->x, width * sizeof *s->x);
}

rnl_status lfm_push(lfm_state *s, const compute *c, const int32_t *codes, float *out, int *count) {
    const lfm_weights *w = s->w;
    const size_t spectrum_size = 2 * (size_t)w->bins;
    *count = 0;
    for (int k = 0; k < w->codebook_count; k++)
        if (codes[k] < 0 || codes[k] >= w->code_count) return RNL_ERR_DATA;
    embed(s, c, codes);
    lfm2_forward(&s->stack, c, s->x, LFM_POSITIONS);
    linear(c, &w->out, w->out_bias, s->x, (size_t)w->stack.config.width, s->spectrum, spectrum_size,
           LFM_POSITIONS);
    for (size_t r = 0; r < LFM_POSITIONS; r++) {
        const float *spectrum = s->spectrum + r * spectrum_size;
        *count += istft_push(&s->istft, spectrum, spectrum + w->bins, out + *count);
    }
    s->frame_count++;
    return RNL_OK;
}

void lfm_finish(lfm_state *s, float *out, int *count) {
    *count = s->finished ? 0 : istft_finish(&s->istft, out);
    s->finished = true;
}
