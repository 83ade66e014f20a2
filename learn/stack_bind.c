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
        const bool scans =
            part->kind == &stack_linear_attention || part->kind == &stack_state_space;
        if (w->layers[i].parts[STACK_FEED_FORWARD].kind != &stack_dense)
            what = "experts";
        else if (!attends && !scans && part->kind != &stack_convolution)
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
    const char *head_norm; /* of linear attention */
    const char *space_in, *space_out, *space_taps, *space_norm, *steps, *paces, *passes;
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
            .head_norm = "blk.%d.attn_sub_norm",
            .space_in = "blk.%d.ssm_in",
            .space_out = "blk.%d.ssm_out",
            .space_taps = "blk.%d.ssm_conv1d",
            .space_norm = "blk.%d.ssm_norm",
            .steps = "blk.%d.ssm_dt",
            .paces = "blk.%d.ssm_a_log",
            .passes = "blk.%d.ssm_d",
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
    l->operator= LEARN_ATTENTION;
    l->attention = (learn_attention){.config = l->config, .eps = s->w->config.eps};
    l->mixed_cols = l->config->head_count * h;
    l->wide_cols = l->mixed_cols;
    if (l->config->kv_above == 0) l->wide_cols += 2 * l->config->kv_head_count * h;
    if (l->config->kv_above > 0) {
        bind(b, &l->in[0], &own->q, own->q_bias, LEARN_Q_PROJ, b->names->q);
        l->in_count = 1;
    } else if (b->names->k == NULL) { /* one matrix: q begins where it does */
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
    if (l->config->kv_above == 0)
        bind_vector(b, &l->attention.k_norm, own->k_norm, h, b->names->k_norm, ".weight");
    else if (s->layers != NULL)
        l->attention.k_norm = s->layers[b->layer - l->config->kv_above].attention.k_norm;
    bind(b, &l->out, &own->out, own->out_bias, LEARN_OUT_PROJ, b->names->attention_out);
}

static void bind_linear_attention(const layer_binder *b, learn_stack *s, learn_layer *l,
                                  const stack_linear_attention_weights *own) {
    l->operator= LEARN_LINEAR_ATTENTION;
    l->linear = (learn_linear_attention){.config = l->config, .eps = s->w->config.eps};
    bind(b, &l->in[0], &own->q, NULL, LEARN_Q_PROJ, b->names->q);
    bind(b, &l->in[1], &own->k, NULL, LEARN_K_PROJ, b->names->k);
    bind(b, &l->in[2], &own->v, NULL, LEARN_V_PROJ, b->names->v);
    l->in_count = 3;
    bind_vector(b, &l->linear.norm, own->norm, l->config->head_width, b->names->head_norm,
                ".weight");
    bind(b, &l->out, &own->out, NULL, LEARN_OUT_PROJ, b->names->attention_out);
    l->mixed_cols = s->w->config.width;
    l->wide_cols = 3 * l->mixed_cols;
}

static void bind_state_space(const layer_binder *b, learn_stack *s, learn_layer *l,
                             const stack_state_space_weights *own) {
    const int64_t heads = l->config->head_count, mixed = learn_space_mixed(l->config);
    learn_state_space *v = &l->space;
    l->operator= LEARN_STATE_SPACE;
    *v = (learn_state_space){.config = l->config, .eps = s->w->config.eps};
    bind(b, &l->in[0], &own->in, NULL, LEARN_IN_PROJ, b->names->space_in);
    l->in_count = 1;
    bind_vector(b, &v->taps, own->stored, mixed * l->config->taps, b->names->space_taps, ".weight");
    bind_vector(b, &v->dt_bias, own->dt_bias, heads, b->names->steps, ".bias");
    bind_vector(b, &v->a_log, own->a_log, heads, b->names->paces, "");
    bind_vector(b, &v->d, own->d, heads, b->names->passes, "");
    bind_vector(b, &v->norm, own->norm, learn_space_inner(l->config), b->names->space_norm,
                ".weight");
    bind(b, &l->out, &own->out, NULL, LEARN_OUT_PROJ, b->names->space_out);
    l->mixed_cols = learn_space_inner(l->config);
    l->wide_cols = learn_space_wide(l->config);
}

/* Its own, or those of the layer above that it shares, which are there when all is placed. */
static void bind_dense(const layer_binder *b, learn_stack *s, learn_layer *l,
                       const stack_dense_weights *own) {
    l->ff_cols = (int)own->gate.row_count;
    if (l->config->ff_above == 0) {
        bind(b, &l->gate, &own->gate, NULL, LEARN_W1, b->names->gate);
        bind(b, &l->up, &own->up, NULL, LEARN_W3, b->names->up);
        bind(b, &l->down, &own->down, NULL, LEARN_W2, b->names->down);
    } else if (s->layers != NULL) {
        const learn_layer *from = &s->layers[b->layer - l->config->ff_above];
        l->gate = from->gate;
        l->up = from->up;
        l->down = from->down;
    }
}

static void bind_operator(const layer_binder *b, learn_stack *s, learn_layer *l,
                          const stack_part *part) {
    if (part->kind == &stack_attention)
        bind_attention(b, s, l, part->weights);
    else if (part->kind == &stack_linear_attention)
        bind_linear_attention(b, s, l, part->weights);
    else if (part->kind == &stack_state_space)
        bind_state_space(b, s, l, part->weights);
    else
        bind_convolution(b, s, l, part->weights);
}

static bool lends_keys(const stack_weights *w, int layer) {
    for (int i = layer + 1; i < w->config.layer_count; i++) {
        const int above = w->config.layers[i].kv_above;
        if (above > 0 && i - above == layer) return true;
    }
    return false;
}

static void bind_layer(learn_stack *s, layer_binder *b, int i) {
    const stack_part *parts = s->w->layers[i].parts;
    const int width = s->w->config.width;
    learn_layer l = {.config = &s->w->config.layers[i], .lends_keys = lends_keys(s->w, i)};
    b->layer = i;
    bind_vector(b, &l.norm, parts[STACK_OPERATOR].norm, width, b->names->norm, ".weight");
    bind_operator(b, s, &l, &parts[STACK_OPERATOR]);
    bind_vector(b, &l.ffn_norm, parts[STACK_FEED_FORWARD].norm, width, b->names->ffn_norm,
                ".weight");
    bind_dense(b, s, &l, parts[STACK_FEED_FORWARD].weights);
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
    stack_layer_config linear;    /* most heads, the widest head; none: 0 */
    learn_space_most space;       /* likewise */
} widths;

static void widen(int *most, int value) {
    if (value > *most) *most = value;
}
static void widen_size(size_t *most, size_t value) {
    if (value > *most) *most = value;
}

static void widen_by_attention(widths *m, const stack_layer_config *l) {
    const size_t h = (size_t)l->head_width;
    const size_t heads = (size_t)l->head_count * h, kv = (size_t)l->kv_head_count * h;
    widen_size(&m->mixed, heads);
    widen_size(&m->wide, heads + 2 * kv);
    widen(&m->attention.head_count, l->head_count);
    widen(&m->attention.kv_head_count, l->kv_head_count);
    widen(&m->attention.head_width, l->head_width);
    widen(&m->group, l->head_count / l->kv_head_count);
}

static void widen_by_operator(widths *m, const stack_layer_config *l, size_t width) {
    const stack_kind *kind = l->kinds[STACK_OPERATOR];
    if (kind == &stack_attention) {
        widen_by_attention(m, l);
    } else if (kind == &stack_state_space) {
        learn_space_widen(&m->space, l);
        widen_size(&m->mixed, (size_t)learn_space_inner(l));
        widen_size(&m->wide, (size_t)learn_space_wide(l));
    } else {
        widen_size(&m->mixed, width);
        widen_size(&m->wide, 3 * width);
        if (kind == &stack_convolution) widen_size(&m->taps, (size_t)l->taps);
        if (kind != &stack_linear_attention) return;
        widen(&m->linear.head_count, l->head_count);
        widen(&m->linear.head_width, l->head_width);
    }
}

static widths widths_of(const stack_weights *w) {
    widths m = {.attention = {.head_count = 0}};
    for (int i = 0; i < w->config.layer_count; i++) {
        const stack_dense_weights *dense = w->layers[i].parts[STACK_FEED_FORWARD].weights;
        widen_by_operator(&m, &w->config.layers[i], (size_t)w->config.width);
        widen_size(&m.ff, (size_t)dense->gate.row_count);
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

static void layout_lent(const learn_stack *s, learn_kept *k, const stack_layer_config *l,
                        arena *a) {
    const size_t kv = 2 * (size_t)l->kv_head_count * (size_t)l->head_width;
    k->lent = arena_take(a, (size_t)s->row_cap * kv, sizeof(float));
    k->dlent = arena_take(a, (size_t)s->row_cap * kv, sizeof(float));
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
        if (i < count && lends_keys(s->w, i)) layout_lent(s, &own, &s->w->config.layers[i], a);
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
    if (m->linear.head_count > 0)
        learn_linear_layout(&s->linear, &m->linear, s->w->config.width, s->row_cap, s->position_cap,
                            thread_count, a);
    if (m->space.head_count > 0)
        learn_space_layout(&s->space, &m->space, s->row_cap, s->position_cap, thread_count, a);
}

/* Who shares keys knows where they are lent. */
static void bind_lent(learn_stack *s) {
    for (int i = 0; i < s->w->config.layer_count; i++) {
        learn_layer *l = &s->layers[i];
        const int from = i - l->config->kv_above;
        if (l->config->kv_above == 0 && !l->lends_keys) continue;
        l->attention.dlent = s->kept[from].dlent;
        if (from < i) l->attention.keys = s->kept[from].lent;
    }
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
    if (s->layers != NULL && s->kept != NULL) bind_lent(s);
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
