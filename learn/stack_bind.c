/* Where a learning stack gets its matrices and its memory. */
#include <math.h>
#include <stdio.h>

#include "core/status.h"
#include "learn/stack.h"
#include "stack/kind.h"

rnl_status learn_stack_check(const stack_weights *w, const char *file, rnl_error *error) {
    const char *what = w->has_post_norms ? "norms behind its parts" : NULL;
    for (int i = 0; i < w->config.layer_count && what == NULL; i++) {
        const stack_part *part = &w->layers[i].parts[STACK_OPERATOR];
        const bool attends = part->kind == &stack_attention;
        if (w->layers[i].parts[STACK_FEED_FORWARD].kind != &stack_dense)
            what = "experts";
        else if (!attends && part->kind != &stack_convolution)
            what = part->kind->name;
        else if (attends && w->config.layers[i].mask != STACK_CAUSAL)
            what = "layers without mask";
        else if (attends && ((const stack_attention_weights *)part->weights)->gate.row_count > 0)
            what = "gates of heads";
    }
    if (what == NULL) return RNL_OK;
    return status_fail(error, RNL_ERR_UNSUPPORTED,
                       "%s: the model has %s, which cannot be trained here; take a model without "
                       "them",
                       file, what);
}

/* Names by stack and part, without ".weight". '*' is the number of the layer. */
typedef struct layer_names {
    const char *norm, *ffn_norm;
    const char *in, *taps, *convolution_out;
    const char *q, *k, *v, *attention_out, *q_norm, *k_norm;
    const char *gate, *up, *down;
} layer_names;

static const layer_names names_of[] = {
    [LEARN_NAMES_BACKBONE] =
        {
            .norm = "blk.%d.attn_norm",
            .ffn_norm = "blk.%d.ffn_norm",
            .in = "blk.%d.shortconv.in_proj",
            .taps = "blk.%d.shortconv.conv",
            .convolution_out = "blk.%d.shortconv.out_proj",
            .q = "blk.%d.attn_q",
            .k = "blk.%d.attn_k",
            .v = "blk.%d.attn_v",
            .attention_out = "blk.%d.attn_output",
            .q_norm = "blk.%d.attn_q_norm",
            .k_norm = "blk.%d.attn_k_norm",
            .gate = "blk.%d.ffn_gate",
            .up = "blk.%d.ffn_up",
            .down = "blk.%d.ffn_down",
        },
    [LEARN_NAMES_DEPTH] =
        {
            .norm = "depthformer.layers.%d.operator_norm",
            .ffn_norm = "depthformer.layers.%d.ffn_norm",
            .q = "depthformer.layers.%d.operator.qkv_proj", /* q, k and v */
            .attention_out = "depthformer.layers.%d.operator.out_proj",
            .q_norm = "depthformer.layers.%d.operator.attention.q_layernorm",
            .k_norm = "depthformer.layers.%d.operator.attention.k_layernorm",
            .gate = "depthformer.layers.%d.feed_forward.w1",
            .up = "depthformer.layers.%d.feed_forward.w3",
            .down = "depthformer.layers.%d.feed_forward.w2",
        },
};

typedef struct layer_binder {
    learn_binder *b;
    const layer_names *names;
    learn_area area;
    int layer;
} layer_binder;

static void bind(const layer_binder *b, learn_linear *l, const matrix *w, const float *bias,
                 learn_module module, const char *name) {
    char full[LEARN_NAME_CAP];
    (void)snprintf(full, sizeof full, name, b->layer);
    learn_bind_linear(b->b, l, w, bias, b->area, module, full);
}

static void bind_vector(const layer_binder *b, learn_vector *l, const float *v, int64_t count,
                        const char *name, const char *ending) {
    char full[LEARN_NAME_CAP];
    int used = snprintf(full, sizeof full, name, b->layer);
    (void)snprintf(full + used, sizeof full - (size_t)used, "%s", ending);
    learn_bind_vector(b->b, l, v, count, full);
}

static void bind_convolution(const layer_binder *b, learn_stack *s, learn_layer *l,
                             const stack_convolution_weights *own) {
    const int width = s->w->config.width;
    l->convolution = (learn_convolution){.width = width, .tap_count = l->config->taps};
    bind(b, &l->in[0], &own->in, own->in_bias, LEARN_IN_PROJ, b->names->in);
    bind_vector(b, &l->convolution.taps, own->stored, (int64_t)width * l->config->taps,
                b->names->taps, ".weight");
    bind_vector(b, &l->convolution.bias, own->bias, width, b->names->taps, ".bias");
    bind(b, &l->out, &own->out, own->out_bias, LEARN_OUT_PROJ, b->names->convolution_out);
    l->in_count = 1;
    l->wide_cols = 3 * width;
    l->mixed_cols = width;
}

static void bind_attention(const layer_binder *b, learn_stack *s, learn_layer *l,
                           const stack_attention_weights *own) {
    const int h = l->config->head_width;
    l->is_attention = true;
    l->attention = (learn_attention){.config = l->config, .eps = s->w->config.eps};
    l->mixed_cols = l->config->head_count * h;
    l->wide_cols = l->mixed_cols + 2 * l->config->kv_head_count * h;
    if (b->names->k == NULL) { /* one matrix: q begins where it does */
        matrix qkv = own->q;
        qkv.row_count = l->wide_cols;
        bind(b, &l->in[0], &qkv, NULL, LEARN_QKV_PROJ, b->names->q);
        l->in_count = 1;
    } else {
        bind(b, &l->in[0], &own->q, own->q_bias, LEARN_Q_PROJ, b->names->q);
        bind(b, &l->in[1], &own->k, own->k_bias, LEARN_K_PROJ, b->names->k);
        bind(b, &l->in[2], &own->v, own->v_bias, LEARN_V_PROJ, b->names->v);
        l->in_count = 3;
    }
    bind_vector(b, &l->attention.q_norm, own->q_norm, h, b->names->q_norm, ".weight");
    bind_vector(b, &l->attention.k_norm, own->k_norm, h, b->names->k_norm, ".weight");
    bind(b, &l->out, &own->out, own->out_bias, LEARN_OUT_PROJ, b->names->attention_out);
}

static void bind_layer(learn_stack *s, layer_binder *b, int i) {
    const stack_part *parts = s->w->layers[i].parts;
    const stack_dense_weights *dense = parts[STACK_FEED_FORWARD].weights;
    const int width = s->w->config.width;
    learn_layer l = {.config = &s->w->config.layers[i]};
    b->layer = i;
    bind_vector(b, &l.norm, parts[STACK_OPERATOR].norm, width, b->names->norm, ".weight");
    if (parts[STACK_OPERATOR].kind == &stack_attention)
        bind_attention(b, s, &l, parts[STACK_OPERATOR].weights);
    else
        bind_convolution(b, s, &l, parts[STACK_OPERATOR].weights);
    bind_vector(b, &l.ffn_norm, parts[STACK_FEED_FORWARD].norm, width, b->names->ffn_norm,
                ".weight");
    bind(b, &l.gate, &dense->gate, NULL, LEARN_W1, b->names->gate);
    bind(b, &l.up, &dense->up, NULL, LEARN_W3, b->names->up);
    bind(b, &l.down, &dense->down, NULL, LEARN_W2, b->names->down);
    l.ff_cols = (int)dense->gate.row_count;
    if (s->rotary != NULL)
        l.attention.rotary = s->rotary + (size_t)s->w->layers[i].rotary * (size_t)s->position_cap *
                                             (size_t)s->rotary_width;
    if (s->layers != NULL) s->layers[i] = l;
}

/* ---- Memory ---- */

/* The largest of all layers. */
typedef struct widths {
    size_t wide, mixed, ff, taps;
    stack_layer_config attention; /* most heads, most KV heads, the widest head */
    int group;                    /* most heads that share a KV head */
} widths;

static void widen(int *most, int value) {
    if (value > *most) *most = value;
}

static widths widths_of(const stack_weights *w) {
    widths m = {.attention = {.head_count = 0}};
    for (int i = 0; i < w->config.layer_count; i++) {
        const stack_layer_config *l = &w->config.layers[i];
        const bool attends = l->kinds[STACK_OPERATOR] == &stack_attention;
        const stack_dense_weights *dense = w->layers[i].parts[STACK_FEED_FORWARD].weights;
        const size_t heads = attends ? (size_t)l->head_count * (size_t)l->head_width : 0;
        const size_t kv = attends ? (size_t)l->kv_head_count * (size_t)l->head_width : 0;
        const size_t mixed = attends ? heads : (size_t)w->config.width;
        const size_t wide = attends ? heads + 2 * kv : 3 * (size_t)w->config.width;
        if (wide > m.wide) m.wide = wide;
        if (mixed > m.mixed) m.mixed = mixed;
        if ((size_t)dense->gate.row_count > m.ff) m.ff = (size_t)dense->gate.row_count;
        if (!attends && (size_t)l->taps > m.taps) m.taps = (size_t)l->taps;
        if (!attends) continue;
        widen(&m.attention.head_count, l->head_count);
        widen(&m.attention.kv_head_count, l->kv_head_count);
        widen(&m.attention.head_width, l->head_width);
        widen(&m.group, l->head_count / l->kv_head_count);
    }
    return m;
}

static void layout_kept(const learn_stack *s, learn_kept *k, const widths *m, arena *a) {
    const size_t rows = (size_t)s->row_cap, width = (size_t)s->w->config.width;
    k->wide = arena_take(a, rows * m->wide, sizeof(float));
    k->mixed = arena_take(a, rows * m->mixed, sizeof(float));
    k->middle = arena_take(a, rows * width, sizeof(float));
    k->gate = arena_take(a, rows * m->ff, sizeof(float));
    k->up = arena_take(a, rows * m->ff, sizeof(float));
    for (int i = 0; i < 7; i++) k->low[i] = arena_take(a, rows * (size_t)s->rank, sizeof(float));
}

static void layout_all_kept(learn_stack *s, const widths *m, arena *a) {
    const int count = s->w->config.layer_count;
    const size_t cells = (size_t)s->row_cap * (size_t)s->w->config.width;
    s->kept = arena_take(a, (size_t)count + 1, sizeof *s->kept);
    learn_kept shared = {0};
    if (!s->keeps_all) layout_kept(s, &shared, m, a);
    for (int i = 0; i <= count; i++) {
        learn_kept own = shared;
        own.x = arena_take(a, cells, sizeof(float));
        if (s->keeps_all && i < count) layout_kept(s, &own, m, a);
        if (s->kept != NULL) s->kept[i] = own;
    }
}

static void layout_scratch(learn_stack *s, const widths *m, int thread_count, arena *a) {
    const size_t rows = (size_t)s->row_cap, width = (size_t)s->w->config.width;
    s->normed = arena_take(a, rows * width, sizeof(float));
    s->mixed = arena_take(a, rows * m->mixed, sizeof(float));
    s->products = arena_take(a, rows * width, sizeof(float));
    s->turned = arena_take(a, m->taps * width, sizeof(float));
    s->hidden = arena_take(a, rows * m->ff, sizeof(float));
    s->dhidden = arena_take(a, rows * m->ff, sizeof(float));
    s->dnormed = arena_take(a, rows * width, sizeof(float));
    s->dmixed = arena_take(a, rows * m->mixed, sizeof(float));
    s->dwide = arena_take(a, rows * m->wide, sizeof(float));
    s->ratios = arena_take(a, rows, sizeof(float));
    s->dlow = arena_take(a, rows * (size_t)s->rank, sizeof(float));
    if (m->attention.head_count > 0)
        learn_attention_layout(&s->attention, &m->attention, m->group, s->row_cap, s->position_cap,
                               thread_count, a);
}

void learn_stack_bind(learn_stack *s, learn_binder *b, const stack_weights *w, learn_names names,
                      int row_cap, int position_cap, bool keeps_all, int thread_count) {
    const widths m = widths_of(w);
    *s = (learn_stack){.w = w,
                       .row_cap = row_cap,
                       .position_cap = position_cap,
                       .keeps_all = keeps_all,
                       .rank = b->t->choice.full ? 0 : b->t->choice.rank,
                       .rotary_width = m.attention.head_width};
    s->rotary = arena_take(b->a, (size_t)w->rotary_count * (size_t)position_cap,
                           (size_t)s->rotary_width * sizeof *s->rotary);
    s->layers = arena_take(b->a, (size_t)w->config.layer_count, sizeof *s->layers);
    layer_binder each = {.b = b,
                         .names = &names_of[names],
                         .area = names == LEARN_NAMES_DEPTH ? LEARN_AUDIO : LEARN_BACKBONE};
    for (int i = 0; i < w->config.layer_count; i++) bind_layer(s, &each, i);
    layout_all_kept(s, &m, b->a);
    layout_scratch(s, &m, thread_count, b->a);
}

/* Angles as stack/stack.c has them; a head narrower than the widest begins at its own stride. */
void learn_stack_begin(learn_stack *s) {
    for (int r = 0; r < s->w->rotary_count; r++) {
        const stack_layer_config *l = &s->w->config.layers[s->w->rotary_layers[r]];
        const int half = l->head_width / 2;
        float *table = s->rotary + (size_t)r * (size_t)s->position_cap * (size_t)s->rotary_width;
        for (int i = 0; i < half; i++) {
            const double turn = pow(l->rotary.base, -2.0 * i / l->head_width);
            for (int t = 0; t < s->position_cap; t++) {
                float *row = table + (size_t)t * (size_t)l->head_width;
                row[i] = (float)cos((double)t * turn);
                row[half + i] = (float)sin((double)t * turn);
            }
        }
    }
}
