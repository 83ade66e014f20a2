#include <assert.h>
#include <string.h>

#include "detokenizer/mimi.h"

void mimi_encoder_layout(mimi_encoder *s, const mimi_weights *w, int thread_count, arena *kept,
                         arena *scratch) {
    const size_t width = (size_t)w->width;
    assert(w->has_encoder);
    *s = (mimi_encoder){.w = w};
    mimi_transformer_layout(&s->transformer, &w->encoder_transformer, thread_count, kept, scratch);
    seanet_layout(&s->seanet, &w->encoder, w->frame_size, kept, scratch);
    s->down_tail = arena_take(kept, mimi_conv_tail_size(&w->downsample), sizeof(float));
    s->waiting = arena_take(kept, (size_t)w->frame_size, sizeof(float));
    s->steps = arena_take(scratch, MIMI_STEPS * width, sizeof(float));
    s->latent = arena_take(scratch, width, sizeof(float));
    s->residual = arena_take(scratch, (size_t)w->dim, sizeof(float));
    s->scratch =
        arena_take(scratch, mimi_conv_scratch_size(&w->downsample, MIMI_STEPS), sizeof(float));
}

void mimi_encoder_reset(mimi_encoder *s) {
    mimi_transformer_reset(&s->transformer);
    seanet_reset(&s->seanet);
    s->waiting_count = 0;
    s->started = false;
}

/* The nearest centroid, the lowest index among equals. */
static int32_t nearest(const float *book, int code_count, size_t dim, const float *x) {
    int32_t best = 0;
    double least = 0;
    for (int32_t code = 0; code < code_count; code++) {
        const float *centroid = book + (size_t)code * dim;
        double distance = 0;
        for (size_t i = 0; i < dim; i++) {
            const double d = (double)x[i] - (double)centroid[i];
            distance += d * d;
        }
        if (code == 0 || distance < least) least = distance, best = code;
    }
    return best;
}

/* A residual loop over the books of one quantiser; both start from the same latent. */
static void quantise(mimi_encoder *s, const compute *c, const mimi_quantizer *q, int32_t *codes) {
    const size_t dim = (size_t)s->w->dim;
    linear(c, &q->in, NULL, s->latent, (size_t)s->w->width, s->residual, dim, 1);
    for (int k = 0; k < q->book_count; k++) {
        codes[k] = nearest(q->books[k], s->w->code_count, dim, s->residual);
        const float *centroid = q->books[k] + (size_t)codes[k] * dim;
        for (size_t i = 0; i < dim; i++) s->residual[i] -= centroid[i];
    }
}

/* Stride 2; before the first step stands the first step itself, repeated (audio.md 9.2). */
static void downsample(mimi_encoder *s, const compute *c) {
    const mimi_conv *conv = &s->w->downsample;
    const size_t width = (size_t)s->w->width;
    for (int i = 0; !s->started && i < mimi_conv_tail_rows(conv); i++)
        memcpy(s->down_tail + (size_t)i * width, s->steps, width * sizeof *s->steps);
    s->started = true;
    mimi_conv_run(conv, c, s->down_tail, s->steps, MIMI_STEPS, false, s->scratch, s->latent);
}

static void encode(mimi_encoder *s, const compute *c, int32_t *codes) {
    const size_t width = (size_t)s->w->width;
    memcpy(s->steps, seanet_run(&s->seanet, c, s->waiting), MIMI_STEPS * width * sizeof *s->steps);
    mimi_transformer_run(&s->transformer, c, s->steps);
    downsample(s, c);
    if (s->tap != NULL) s->tap(s->tap_context, "latent", s->latent, 1, s->w->width);
    quantise(s, c, &s->w->first, codes);
    quantise(s, c, &s->w->rest, codes + 1);
    s->waiting_count = 0;
}

void mimi_encoder_push(mimi_encoder *s, const compute *c, const float *samples, size_t count,
                       size_t *taken, int32_t *codes, bool *made) {
    const size_t room = (size_t)(s->w->frame_size - s->waiting_count);
    *taken = count < room ? count : room;
    memcpy(s->waiting + s->waiting_count, samples, *taken * sizeof *samples);
    s->waiting_count += (int)*taken;
    *made = s->waiting_count == s->w->frame_size;
    if (*made) encode(s, c, codes);
}

void mimi_encoder_finish(mimi_encoder *s, const compute *c, int32_t *codes, bool *made) {
    *made = s->waiting_count > 0;
    if (!*made) return;
    const size_t rest = (size_t)(s->w->frame_size - s->waiting_count);
    memset(s->waiting + s->waiting_count, 0, rest * sizeof *s->waiting);
    encode(s, c, codes);
}
