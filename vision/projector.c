#include "vision/projector.h"

#include <string.h>

static const float norm_eps = 1e-5f; /* family.md 2.7 */

void projector_load(loader *l, int tower_width, int backbone_width, projector_weights *out) {
    const int64_t joined = 4 * (int64_t)tower_width;
    out->gain = load_vector_if(l, joined, "mm.input_norm.weight");
    out->bias = load_vector_if(l, joined, "mm.input_norm.bias");
    if (out->gain == NULL || out->bias == NULL) out->gain = out->bias = NULL;
    out->up = load_matrix(l, 0, joined, "mm.1.weight");
    out->up_bias = load_vector_if(l, out->up.row_count, "mm.1.bias");
    out->out = load_matrix(l, backbone_width, out->up.row_count, "mm.2.weight");
    out->out_bias = load_vector_if(l, backbone_width, "mm.2.bias");
}

void projector_layout(projector_state *s, const projector_weights *w, arena *a) {
    *s = (projector_state){.w = w};
    s->joined = arena_take(a, PROJECTOR_BLOCK * (size_t)w->up.col_count, sizeof(float));
    s->hidden = arena_take(a, PROJECTOR_BLOCK * (size_t)w->up.row_count, sizeof(float));
}

typedef struct block {
    const projector_state *s;
    const compute *c;
    const float *x;
    size_t cols; /* patches in a row */
    int begin;   /* first cell */
} block;

/* Cells [begin, end) of the block: their four patches side by side, and the norm. */
static void join_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const block *b = context;
    const projector_weights *w = b->s->w;
    const size_t joined = (size_t)w->up.col_count, width = joined / 4;
    for (int64_t t = begin; t < end; t++) {
        const size_t cell = (size_t)(b->begin + t), half = b->cols / 2;
        const float *corner = b->x + (cell / half * 2 * b->cols + cell % half * 2) * width;
        float *out = b->s->joined + (size_t)t * joined;
        memcpy(out, corner, 2 * width * sizeof *out);
        memcpy(out + 2 * width, corner + b->cols * width, 2 * width * sizeof *out);
        if (w->gain != NULL)
            b->c->k->layer_norm(out, out, w->gain, w->bias, norm_eps, (int64_t)joined);
    }
}

static void gelu_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const block *b = context;
    const size_t hidden = (size_t)b->s->w->up.row_count;
    float *x = b->s->hidden + (size_t)begin * hidden;
    b->c->k->gelu(x, x, (end - begin) * (int64_t)hidden);
}

void projector_forward(projector_state *s, const compute *c, const float *x, int rows, int cols,
                       float *out) {
    const projector_weights *w = s->w;
    const size_t joined = (size_t)w->up.col_count, hidden = (size_t)w->up.row_count;
    const int total = rows / 2 * (cols / 2);
    for (int at = 0; at < total; at += PROJECTOR_BLOCK) {
        const int count = total - at < PROJECTOR_BLOCK ? total - at : PROJECTOR_BLOCK;
        block b = {.s = s, .c = c, .x = x, .cols = (size_t)cols, .begin = at};
        pool_run(c->pool, count, 1, join_part, &b);
        if (s->tap != NULL) s->tap(s->tap_context, "joined", at, s->joined, count, (int)joined);
        linear(c, &w->up, w->up_bias, s->joined, joined, s->hidden, hidden, count);
        pool_run(c->pool, count, 1, gelu_part, &b);
        linear(c, &w->out, w->out_bias, s->hidden, hidden,
               out + (size_t)at * (size_t)w->out.row_count, (size_t)w->out.row_count, count);
    }
}
