#include "tokenizer/encoder.h"

#include <assert.h>
#include <math.h>

#include "tokenizer/encoder_inner.h"

int encoder_width(const encoder_weights *w) {
    return w->width;
}

int encoder_position_count(int frame_count) {
    return subsampling_position_count(frame_count);
}

void encoder_layout(encoder_state *s, const encoder_weights *w, int frame_cap, int thread_count,
                    arena *a) {
    *s = (encoder_state){.w = w, .position_cap = encoder_position_count(frame_cap)};
    subsampling_layout(&s->subsampling, &w->subsampling, a);
    const size_t cap = (size_t)s->position_cap, width = (size_t)w->width;
    const size_t wide = (size_t)w->ff_max > 2 * width ? (size_t)w->ff_max : 2 * width;
    s->x = arena_take(a, cap * width, sizeof(float));
    s->normed = arena_take(a, cap * width, sizeof(float));
    s->q = arena_take(a, cap * width, sizeof(float));
    s->k = arena_take(a, cap * width, sizeof(float));
    s->v = arena_take(a, cap * width, sizeof(float));
    s->mixed = arena_take(a, cap * width, sizeof(float));
    s->wide = arena_take(a, cap * wide, sizeof(float));
    s->table = arena_take(a, 2 * cap * width, sizeof(float));
    s->positions = arena_take(a, 2 * cap * width, sizeof(float));
    s->scores_size = encoder_scores_size(s->position_cap, w->head_width);
    s->scores = arena_take(a, (size_t)thread_count * s->scores_size, sizeof(float));
}

/* Row position_cap - 1 - d of the table stands for the distance d, query index minus key index
 * (audio.md 4.2). Made as far as clips have needed it, and kept. */
static void extend_table(encoder_state *s) {
    const int width = s->w->width, zero = s->position_cap - 1;
    for (int q = 0; q < width / 2; q++) {
        const double turn = exp(-log(10000.0) * 2.0 * q / width);
        for (int d = s->distance_count; d < s->position_count; d++) {
            float *past = s->table + (size_t)(zero - d) * (size_t)width + 2 * q;
            float *future = s->table + (size_t)(zero + d) * (size_t)width + 2 * q;
            past[0] = (float)sin(d * turn);
            past[1] = (float)cos(d * turn);
            future[0] = -past[0];
            future[1] = past[1];
        }
    }
    if (s->position_count > s->distance_count) s->distance_count = s->position_count;
}

void encoder_begin(encoder_state *s, const float *mel, int frame_count) {
    s->mel = mel;
    s->frame_count = frame_count;
    s->position_count = encoder_position_count(frame_count);
    assert(s->position_count <= s->position_cap);
    s->done_count = 0;
    s->layer = 0;
    extend_table(s);
}

float *encoder_give(encoder_state *s, int frame_count) {
    s->position_count = s->done_count = encoder_position_count(frame_count);
    assert(s->position_count <= s->position_cap);
    s->layer = s->w->layer_count;
    return s->x;
}

static void tap(const encoder_state *s, const char *stage, int layer) {
    if (s->tap != NULL) s->tap(s->tap_context, stage, layer, s->x, s->position_count, s->w->width);
}

rnl_status encoder_step(encoder_state *s, const compute *c) {
    if (s->done_count < s->position_count) {
        const int left = s->position_count - s->done_count;
        const int count = left < SUBSAMPLING_BLOCK ? left : SUBSAMPLING_BLOCK;
        subsampling_block(&s->subsampling, c, s->mel, s->frame_count, s->done_count, count,
                          s->x + (size_t)s->done_count * (size_t)s->w->width);
        s->done_count += count;
        if (s->done_count == s->position_count) tap(s, "subsampling", 0);
        return RNL_OK;
    }
    if (s->layer == s->w->layer_count) return RNL_DONE;
    encoder_run_layer(s, c, &s->w->layers[s->layer]);
    tap(s, "encoder", s->layer);
    s->layer++;
    return s->layer == s->w->layer_count ? RNL_DONE : RNL_OK;
}

const float *encoder_output(const encoder_state *s) {
    return s->x;
}
