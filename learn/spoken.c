#include "learn/spoken.h"

#include <stdlib.h>

#include "core/resample.h"
#include "detokenizer/mimi.h"

enum { RATE = 24000, BLOCK = 4096 };

struct learn_spoken {
    const mimi_weights *w;
    const compute *c;
    mimi_encoder encoder;
    resampler *resampler;
    void *memory;
};

/* Frames as they come. */
typedef struct frames {
    int32_t *codes;
    int count, cap;
    size_t books;
    bool failed;
} frames;

bool learn_spoken_can(const rnl_model *m) {
    return m->codec.kind == CODEC_MIMI && m->codec.mimi.has_encoder;
}

static void layout(learn_spoken *s, arena *a) {
    mimi_encoder_layout(&s->encoder, s->w, pool_thread_count(s->c->pool), a, a);
}

rnl_status learn_spoken_create(const rnl_model *m, const compute *c, learn_spoken **out) {
    learn_spoken *s = calloc(1, sizeof *s);
    arena measured = {0};
    *out = s;
    if (s == NULL) return RNL_ERR_MEMORY;
    s->w = &m->codec.mimi;
    s->c = c;
    layout(s, &measured);
    s->memory = aligned_alloc(ARENA_ALIGN,
                              (measured.size_used + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN);
    if (measured.overflowed || s->memory == NULL || resampler_create(&s->resampler) != RNL_OK) {
        learn_spoken_destroy(out);
        return RNL_ERR_MEMORY;
    }
    arena placed = {.base = s->memory, .size_cap = measured.size_used};
    layout(s, &placed);
    return RNL_OK;
}

void learn_spoken_destroy(learn_spoken **s) {
    if (*s == NULL) return;
    resampler_destroy(&(*s)->resampler);
    free((*s)->memory);
    free(*s);
    *s = NULL;
}

/* Where the next frame goes; NULL: memory is exhausted. */
static int32_t *next(frames *f) {
    if (f->count == f->cap) {
        const int cap = 2 * f->cap + 64;
        int32_t *codes = realloc(f->codes, (size_t)cap * f->books * sizeof *codes);
        if (codes == NULL) {
            f->failed = true;
            return NULL;
        }
        f->codes = codes;
        f->cap = cap;
    }
    return f->codes + (size_t)f->count * f->books;
}

static void encode(learn_spoken *s, frames *f, const float *samples, size_t count) {
    while (count > 0) {
        size_t taken;
        bool made;
        int32_t *codes = next(f);
        if (codes == NULL) return;
        mimi_encoder_push(&s->encoder, s->c, samples, count, &taken, codes, &made);
        f->count += made;
        samples += taken;
        count -= taken;
    }
}

rnl_status learn_spoken_codes(learn_spoken *s, const float *samples, size_t count, int rate,
                              int32_t **codes, int *frame_count) {
    frames f = {.books = (size_t)s->w->codebook_count};
    float block[BLOCK];
    size_t made = 1, taken;
    bool last = false;
    mimi_encoder_reset(&s->encoder);
    resampler_begin(s->resampler, rate, RATE);
    for (; count > 0 && !f.failed; samples += taken, count -= taken) {
        resampler_push(s->resampler, samples, count, &taken, block, BLOCK, &made);
        encode(s, &f, block, made);
    }
    for (made = 1; made > 0 && !f.failed;) {
        resampler_finish(s->resampler, block, BLOCK, &made);
        encode(s, &f, block, made);
    }
    int32_t *rest = next(&f);
    if (rest != NULL) mimi_encoder_finish(&s->encoder, s->c, rest, &last);
    f.count += last;
    if (f.failed) {
        free(f.codes);
        f.codes = NULL;
    }
    *codes = f.codes;
    *frame_count = f.count;
    return f.failed ? RNL_ERR_MEMORY : RNL_OK;
}
