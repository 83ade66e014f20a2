#include "detokenizer/lfm.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "stack/kind.h"

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

/* A stream without an end keeps the keys of a window, and no others. */
static void check_windows(loader *l, const stack_config *c) {
    for (int i = 0; i < c->layer_count; i++)
        if (c->layers[i].kinds[STACK_OPERATOR] == &stack_attention && c->layers[i].window == 0) {
            l->status = status_fail(l->error, RNL_ERR_FORMAT,
                                    "%s: attention of the detokenizer has no window "
                                    "(attention.sliding_window); the file is damaged",
                                    l->file);
            return;
        }
}

void lfm_load(loader *l, const stack_config *config, int codebook_count, lfm_weights *out) {
    *out = (lfm_weights){.codebook_count = codebook_count};
    if (l->status == RNL_OK) check_windows(l, config);
    if (l->status != RNL_OK) return;
    const char *outer = l->prefix;
    l->prefix = "detok.";
    stack_load(l, config, &out->stack);
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

void lfm_layout(lfm_state *s, const lfm_weights *w, arena *kept) {
    *s = (lfm_state){.w = w};
    stack_state_layout(&s->stack, &w->stack, w->stack.cache, 0, LFM_POSITIONS, kept, kept);
    istft_layout(&s->istft, &w->istft, kept);
}

void lfm_reset(lfm_state *s) {
    stack_reset(&s->stack);
    istft_reset(&s->istft);
    s->frame_count = 0;
    s->finished = false;
}

void lfm_work_layout(lfm_work *k, const lfm_weights *w, int frame_cap, int thread_count,
                     arena *scratch) {
    const size_t width = (size_t)w->stack.config.width;
    const size_t rows = (size_t)frame_cap * LFM_POSITIONS;
    *k = (lfm_work){.w = w, .frame_cap = frame_cap};
    stack_work_layout(&k->stack, &w->stack, (int)rows, 0, thread_count, scratch);
    k->istft = arena_take(scratch, (size_t)thread_count, sizeof *k->istft);
    for (int i = 0; i < thread_count; i++) {
        istft_work measured;
        istft_work_layout(k->istft != NULL ? &k->istft[i] : &measured, &w->istft, scratch);
    }
    k->pieces = arena_take(scratch, (size_t)frame_cap, sizeof *k->pieces);
    k->x = arena_take(scratch, rows * width, sizeof(float));
    k->row = arena_take(scratch, width, sizeof(float));
    k->spectrum = arena_take(scratch, rows * 2 * (size_t)w->bins, sizeof(float));
}

/* u = mean of the codebooks' rows, at every one of the frame's positions (audio.md 8.1). */
static void embed(lfm_work *k, const compute *c, const int32_t *codes, float *x) {
    const lfm_weights *w = k->w;
    const size_t width = (size_t)w->stack.config.width;
    memset(x, 0, width * sizeof *x);
    for (int b = 0; b < w->codebook_count; b++) {
        matrix_row(c, &w->embedding, (int64_t)b * w->code_count + codes[b], k->row);
        for (size_t i = 0; i < width; i++) x[i] += k->row[i];
    }
    for (size_t i = 0; i < width; i++) x[i] /= (float)w->codebook_count;
    for (size_t r = 1; r < LFM_POSITIONS; r++) memcpy(x + r * width, x, width * sizeof *x);
}

bool lfm_has_sound(const lfm_weights *w, const int32_t *codes) {
    for (int b = 0; b < w->codebook_count; b++)
        if (codes[b] < 0 || codes[b] >= w->code_count) return false;
    return true;
}

typedef struct sound_job {
    lfm_work *k;
    lfm_frame *frames;
} sound_job;

/* Spectra of frames [begin, end) to samples. */
static void sound_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const sound_job *job = context;
    const lfm_weights *w = job->k->w;
    const size_t size = 2 * (size_t)w->bins;
    for (int64_t i = begin; i < end; i++) {
        lfm_frame *f = &job->frames[i];
        const float *spectrum = job->k->spectrum + (size_t)i * LFM_POSITIONS * size;
        f->count = 0;
        for (int r = 0; r < LFM_POSITIONS; r++, spectrum += size)
            f->count += istft_push(&f->state->istft, &job->k->istft[thread_index], spectrum,
                                   spectrum + w->bins, f->out + f->count);
        f->state->frame_count++;
    }
}

void lfm_push(lfm_work *k, const compute *c, lfm_frame *frames, int count) {
    const lfm_weights *w = k->w;
    const size_t width = (size_t)w->stack.config.width, size = 2 * (size_t)w->bins;
    assert(count > 0 && count <= k->frame_cap);
    for (int i = 0; i < count; i++) {
        assert(lfm_has_sound(w, frames[i].codes));
        k->pieces[i] = (stack_piece){.state = &frames[i].state->stack, .count = LFM_POSITIONS};
        embed(k, c, frames[i].codes, k->x + (size_t)i * LFM_POSITIONS * width);
    }
    stack_forward(&k->stack, c, k->pieces, count, k->x);
    linear(c, &w->out, w->out_bias, k->x, width, k->spectrum, size, (int64_t)count * LFM_POSITIONS);
    sound_job job = {.k = k, .frames = frames};
    pool_run(c->pool, count, 1, sound_part, &job);
}

void lfm_finish(lfm_state *s, float *out, int *count) {
    *count = s->finished ? 0 : istft_finish(&s->istft, out);
    s->finished = true;
}
