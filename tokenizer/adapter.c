#include "tokenizer/adapter.h"

#include <math.h>

void adapter_load(loader *l, int encoder_width, int backbone_width, adapter_weights *out) {
    out->gain = load_vector(l, encoder_width, "mm.a.mlp.0.weight");
    out->bias = load_vector(l, encoder_width, "mm.a.mlp.0.bias");
    out->up = load_matrix(l, 0, encoder_width, "mm.a.mlp.1.weight");
    out->up_bias = load_vector(l, out->up.row_count, "mm.a.mlp.1.bias");
    out->out = load_matrix(l, backbone_width, out->up.row_count, "mm.a.mlp.3.weight");
    out->out_bias = load_vector(l, backbone_width, "mm.a.mlp.3.bias");
}

void adapter_layout(adapter_state *s, const adapter_weights *w, arena *a) {
    *s = (adapter_state){.w = w};
    s->normed = arena_take(a, ADAPTER_BLOCK * (size_t)w->up.col_count, sizeof(float));
    s->hidden = arena_take(a, ADAPTER_BLOCK * (size_t)w->up.row_count, sizeof(float));
}

/* The exact form: the tanh approximation differs by up to 5e-4 (audio.md 5). */
static void gelu(float *x, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] * 0.5f * (1.0f + erff(x[i] * 0.70710678118654752440f));
}

static void forward_block(adapter_state *s, const compute *c, const float *x, int count,
                          float *out) {
    const adapter_weights *w = s->w;
    const size_t width = (size_t)w->up.col_count, hidden = (size_t)w->up.row_count;
    for (size_t t = 0; t < (size_t)count; t++)
        c->k->layer_norm(s->normed + t * width, x + t * width, w->gain, w->bias, 1e-5f,
                         (int64_t)width);
    linear(c, &w->up, w->up_bias, s->normed, width, s->hidden, hidden, count);
    gelu(s->hidden, (size_t)count * hidden);
    linear(c, &w->out, w->out_bias, s->hidden, hidden, out, (size_t)w->out.row_count, count);
}

void adapter_forward(adapter_state *s, const compute *c, const float *x, int count, float *out) {
    for (int at = 0; at < count; at += ADAPTER_BLOCK)
        forward_block(s, c, x + (size_t)at * (size_t)s->w->up.col_count,
                      count - at < ADAPTER_BLOCK ? count - at : ADAPTER_BLOCK,
                      out + (size_t)at * (size_t)s->w->out.row_count);
}
