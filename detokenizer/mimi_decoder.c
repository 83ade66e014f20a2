#include <string.h>

#include "detokenizer/mimi.h"

void mimi_decoder_layout(mimi_decoder *s, const mimi_weights *w, int thread_count, arena *kept,
                         arena *scratch) {
    const size_t width = (size_t)w->width;
    *s = (mimi_decoder){.w = w};
    mimi_transformer_layout(&s->transformer, &w->decoder_transformer, thread_count, kept, scratch);
    seanet_layout(&s->seanet, &w->decoder, MIMI_STEPS, kept, scratch);
    s->up_tail = arena_take(kept, (size_t)(w->up_kernel - MIMI_STEPS) * width, sizeof(float));
    s->latent = arena_take(scratch, width, sizeof(float));
    s->sum = arena_take(scratch, (size_t)w->dim, sizeof(float));
    s->steps = arena_take(scratch, (size_t)w->up_kernel * width, sizeof(float));
}

void mimi_decoder_reset(mimi_decoder *s) {
    const size_t tail = (size_t)(s->w->up_kernel - MIMI_STEPS) * (size_t)s->w->width;
    mimi_transformer_reset(&s->transformer);
    seanet_reset(&s->seanet);
    if (tail > 0) memset(s->up_tail, 0, tail * sizeof *s->up_tail);
}

/* latent = Pf E0[c0] + Pr sum of E_k[c_k] (audio.md 9.1). */
static void dequantise(mimi_decoder *s, const compute *c, const int32_t *codes) {
    const mimi_weights *w = s->w;
    const size_t dim = (size_t)w->dim, width = (size_t)w->width;
    linear(c, &w->first.out, NULL, w->first.books[0] + (size_t)codes[0] * dim, dim, s->latent,
           width, 1);
    if (w->rest.book_count == 0) return;
    memset(s->sum, 0, dim * sizeof *s->sum);
    for (int k = 0; k < w->rest.book_count; k++) {
        const float *centroid = w->rest.books[k] + (size_t)codes[k + 1] * dim;
        for (size_t i = 0; i < dim; i++) s->sum[i] += centroid[i];
    }
    linear_add(c, &w->rest.out, NULL, s->sum, dim, s->latent, width, 1);
}

/* Depthwise transposed convolution with stride 2: steps [MIMI_STEPS, width]. */
static void upsample(mimi_decoder *s) {
    const size_t width = (size_t)s->w->width, kernel = (size_t)s->w->up_kernel;
    const size_t rest = kernel - MIMI_STEPS;
    for (size_t j = 0; j < kernel; j++)
        for (size_t i = 0; i < width; i++) {
            const float tail = j < rest ? s->up_tail[j * width + i] : 0.0f;
            s->steps[j * width + i] = s->latent[i] * s->w->up_taps[i * kernel + j] + tail;
        }
    if (rest > 0)
        memcpy(s->up_tail, s->steps + MIMI_STEPS * width, rest * width * sizeof *s->up_tail);
}

rnl_status mimi_decoder_push(mimi_decoder *s, const compute *c, const int32_t *codes, float *out) {
    const mimi_weights *w = s->w;
    for (int k = 0; k < w->codebook_count; k++)
        if (codes[k] < 0 || codes[k] >= w->code_count) return RNL_ERR_DATA;
    dequantise(s, c, codes);
    if (s->tap != NULL) s->tap(s->tap_context, "latent", s->latent, 1, w->width);
    upsample(s);
    mimi_transformer_run(&s->transformer, c, s->steps);
    const float *samples = seanet_run(&s->seanet, c, s->steps);
    memcpy(out, samples, (size_t)w->frame_size * sizeof *out);
    return RNL_OK;
}
