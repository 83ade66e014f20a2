#include "vision/tower.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "vision/resize.h"
#include "vision/tower_inner.h"

void tower_layout(tower_state *s, const tower_weights *w, int patch_cap, int thread_count,
                  arena *a) {
    *s = (tower_state){.w = w, .patch_cap = patch_cap};
    const size_t cap = (size_t)patch_cap, width = (size_t)w->width;
    s->levels = arena_take(a, 3 * 256, sizeof(float));
    s->x = arena_take(a, cap * width, sizeof(float));
    s->q = arena_take(a, cap * width, sizeof(float));
    s->k = arena_take(a, cap * width, sizeof(float));
    s->v = arena_take(a, cap * width, sizeof(float));
    s->turned = arena_take(a, cap * width, sizeof(float));
    const size_t cols = width > TOWER_PATCH_COLS ? width : TOWER_PATCH_COLS;
    s->normed = arena_take(a, TOWER_BLOCK * cols, sizeof(float));
    s->wide = arena_take(a, TOWER_BLOCK * (size_t)w->ff_max, sizeof(float));
    s->scores_size = tower_scores_size(w, patch_cap);
    s->scores = arena_take(a, (size_t)thread_count * s->scores_size, sizeof(float));
    tower_rounded_layout(s, thread_count, a);
}

void tower_begin(tower_state *s, const uint8_t *rgb, int rows, int cols) {
    assert(rows >= 2 && cols >= 2 && rows % 2 == 0 && cols % 2 == 0);
    assert((int64_t)rows * cols <= s->patch_cap);
    s->rgb = rgb;
    s->rows = rows;
    s->cols = cols;
    s->layer = -1;
    for (int channel = 0; channel < 3; channel++)
        for (int value = 0; value < 256; value++)
            s->levels[channel * 256 + value] =
                ((float)value - s->w->mean[channel]) / s->w->deviation[channel];
}

static void tap(const tower_state *s, const char *stage, int layer, const float *x, int count,
                int width) {
    if (s->tap != NULL) s->tap(s->tap_context, stage, layer, x, count, width);
}

/* A block of patches on its way through the wide half of a layer, or into the first. */
typedef struct block {
    tower_state *s;
    const compute *c;
    const tower_norm *norm;
    int begin, count;
    int64_t wide;
} block;

static float *row_of(const block *b, int64_t t) {
    return b->s->x + ((size_t)b->begin + (size_t)t) * (size_t)b->s->w->width;
}

/* ---- The embedding ---- */

/* The weights of the table's rows for one place along one axis (family.md 2.6). */
typedef struct place {
    int begin, end;
    float weights[256];
} place;

static void find_place(int side, int count, int at, place *p) {
    const double scale = (double)side / count, widening = scale > 1.0 ? scale : 1.0;
    const double centre = (at + 0.5) * scale;
    double sum = 0.0;
    if (side == count) {
        *p = (place){.begin = at, .end = at + 1, .weights = {1.0f}};
        return;
    }
    resize_window(VIEWS_BILINEAR, side, count, at, &p->begin, &p->end);
    for (int j = p->begin; j < p->end; j++)
        sum += resize_weight(VIEWS_BILINEAR, (j - centre + 0.5) / widening);
    for (int j = p->begin; j < p->end; j++)
        p->weights[j - p->begin] =
            (float)(resize_weight(VIEWS_BILINEAR, (j - centre + 0.5) / widening) / sum);
}

void tower_position(const tower_weights *w, const kernels *k, int rows, int cols, int row, int col,
                    float *row_scratch, float *out) {
    const size_t width = (size_t)w->width, side = (size_t)w->position_side;
    place down, across;
    find_place(w->position_side, rows, row, &down);
    find_place(w->position_side, cols, col, &across);
    memset(out, 0, width * sizeof *out);
    for (int i = down.begin; i < down.end; i++) {
        memset(row_scratch, 0, width * sizeof *out);
        for (int j = across.begin; j < across.end; j++)
            k->axpy(row_scratch, across.weights[j - across.begin],
                    w->positions + ((size_t)i * side + (size_t)j) * width, w->width);
        k->axpy(out, down.weights[i - down.begin], row_scratch, w->width);
    }
}

/* Patches [begin, end) of the block as rows of s->normed: channel after channel. */
static void patch_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const block *b = context;
    const tower_state *s = b->s;
    const size_t line = 3 * VIEWS_PATCH * (size_t)s->cols;
    for (int64_t t = begin; t < end; t++) {
        const size_t at = (size_t)(b->begin + t), cols = (size_t)s->cols;
        const uint8_t *corner =
            s->rgb + at / cols * VIEWS_PATCH * line + at % cols * 3 * VIEWS_PATCH;
        float *out = s->normed + (size_t)t * TOWER_PATCH_COLS;
        for (size_t channel = 0; channel < 3; channel++)
            for (size_t y = 0; y < VIEWS_PATCH; y++)
                for (size_t x = 0; x < VIEWS_PATCH; x++)
                    *out++ = s->levels[channel * 256 + corner[y * line + 3 * x + channel]];
    }
}

static void position_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const block *b = context;
    const tower_state *s = b->s;
    float *scratch = s->scores + (size_t)thread_index * s->scores_size;
    float *sum = scratch + s->w->width;
    for (int64_t t = begin; t < end; t++) {
        const int at = b->begin + (int)t;
        tower_position(s->w, b->c->k, s->rows, s->cols, at / s->cols, at % s->cols, scratch, sum);
        b->c->k->axpy(row_of(b, t), 1.0f, sum, s->w->width);
    }
}

static void embed(tower_state *s, const compute *c) {
    const tower_weights *w = s->w;
    const size_t width = (size_t)w->width;
    for (int at = 0; at < tower_patches(s); at += TOWER_BLOCK) {
        const int left = tower_patches(s) - at;
        block b = {.s = s, .c = c, .begin = at, .count = left < TOWER_BLOCK ? left : TOWER_BLOCK};
        pool_run(c->pool, b.count, 1, patch_part, &b);
        tap(s, "patches", at, s->normed, b.count, TOWER_PATCH_COLS);
        linear(c, &w->patch, w->patch_bias, s->normed, TOWER_PATCH_COLS, row_of(&b, 0), width,
               b.count);
        pool_run(c->pool, b.count, 1, position_part, &b);
    }
    tap(s, "embedded", 0, s->x, tower_patches(s), w->width);
}

/* ---- A layer ---- */

static void norm_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const block *b = context;
    const size_t width = (size_t)b->s->w->width;
    for (int64_t t = begin; t < end; t++)
        b->c->k->layer_norm(b->s->normed + (size_t)t * width, row_of(b, t), b->norm->gain,
                            b->norm->bias, b->s->w->eps, b->s->w->width);
}

/* gelu in its tanh form, x / 2 * (1 + tanh(z / 2)) = x / (1 + exp(-z)), with z = 2 sqrt(2 / pi)
 * (x + 0.044715 x^3): silu(z) x / z, and x / z has no zero to divide by. */
static void gelu_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const block *b = context;
    enum { PIECE = 256 };
    const float slope = 1.5957691216057308f, cubic = 0.044715f * slope;
    float turned[PIECE];
    for (int64_t at = begin * b->wide; at < end * b->wide; at += PIECE) {
        const int64_t left = end * b->wide - at, count = left < PIECE ? left : PIECE;
        float *x = b->s->wide + at;
        for (int64_t i = 0; i < count; i++) {
            turned[i] = slope + cubic * x[i] * x[i];
            x[i] *= turned[i];
        }
        b->c->k->silu(x, x, count);
        for (int64_t i = 0; i < count; i++) x[i] /= turned[i];
    }
}

static void attention(tower_state *s, const compute *c, const tower_layer *y) {
    const size_t width = (size_t)s->w->width;
    for (int at = 0; at < tower_patches(s); at += TOWER_BLOCK) {
        const int left = tower_patches(s) - at;
        const size_t from = (size_t)at * width;
        block b = {.s = s,
                   .c = c,
                   .norm = &y->attention_norm,
                   .begin = at,
                   .count = left < TOWER_BLOCK ? left : TOWER_BLOCK};
        pool_run(c->pool, b.count, 1, norm_part, &b);
        const linear_task tasks[] = {{&y->q, y->q_bias, s->q + from, width},
                                     {&y->k, y->k_bias, s->k + from, width},
                                     {&y->v, y->v_bias, s->v + from, width}};
        linear_all(c, tasks, 3, s->normed, width, b.count);
    }
    tower_attend(s, c);
    linear_add(c, &y->out, y->out_bias, s->v, width, s->x, width, tower_patches(s));
}

static void feed_forward(tower_state *s, const compute *c, const tower_layer *y) {
    const size_t width = (size_t)s->w->width, wide = (size_t)y->up.row_count;
    for (int at = 0; at < tower_patches(s); at += TOWER_BLOCK) {
        const int left = tower_patches(s) - at;
        block b = {.s = s,
                   .c = c,
                   .norm = &y->ff_norm,
                   .begin = at,
                   .count = left < TOWER_BLOCK ? left : TOWER_BLOCK,
                   .wide = y->up.row_count};
        pool_run(c->pool, b.count, 1, norm_part, &b);
        linear(c, &y->up, y->up_bias, s->normed, width, s->wide, wide, b.count);
        pool_run(c->pool, b.count, 1, gelu_part, &b);
        linear_add(c, &y->down, y->down_bias, s->wide, wide, row_of(&b, 0), width, b.count);
    }
}

static void out_norm_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const block *b = context;
    for (int64_t t = begin; t < end; t++)
        b->c->k->layer_norm(row_of(b, t), row_of(b, t), b->norm->gain, b->norm->bias, b->s->w->eps,
                            b->s->w->width);
}

rnl_status tower_step(tower_state *s, const compute *c) {
    const tower_weights *w = s->w;
    if (s->layer == w->layer_count) return RNL_DONE;
    if (s->layer < 0) {
        embed(s, c);
        s->layer = 0;
        return RNL_OK;
    }
    attention(s, c, &w->layers[s->layer]);
    feed_forward(s, c, &w->layers[s->layer]);
    tap(s, "layer", s->layer, s->x, tower_patches(s), w->width);
    if (++s->layer < w->layer_count) return RNL_OK;
    block b = {.s = s, .c = c, .norm = &w->out_norm};
    pool_run(c->pool, tower_patches(s), 1, out_norm_part, &b);
    tap(s, "post_norm", 0, s->x, tower_patches(s), w->width);
    return RNL_DONE;
}

const float *tower_output(const tower_state *s) {
    return s->x;
}
