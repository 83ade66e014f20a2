#include "learn/stack.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "learn/gate.h"
#include "learn/norms.h"

static int width_of(const learn_stack *s) {
    return s->w->config.width;
}

static float *low_of(const learn_kept *k, const learn_layer *l, const learn_linear *m) {
    if (m == &l->out) return k->low[3];
    if (m == &l->gate) return k->low[4];
    if (m == &l->up) return k->low[5];
    if (m == &l->down) return k->low[6];
    return k->low[m - l->in];
}

/* ---- Forward ---- */

typedef struct layer_pass {
    learn_stack *s;
    const compute *c;
    const learn_rows *rows;
    const learn_layer *l;
    const learn_kept *k;
} layer_pass;

static void forward(const layer_pass *p, const learn_linear *m, const float *x, size_t x_stride,
                    float *y, size_t y_stride, bool adds) {
    float *low = low_of(p->k, p->l, m);
    if (adds)
        learn_forward_add(p->c, m, (learn_x){x, x_stride}, y, y_stride, low, p->rows->count);
    else
        learn_forward(p->c, m, (learn_x){x, x_stride}, y, y_stride, low, p->rows->count);
}

static void norm(const layer_pass *p, const float *x, const learn_vector *gain) {
    const int width = width_of(p->s);
    learn_rms(p->c, (learn_x){x, (size_t)width}, gain, p->s->w->config.eps, width, p->s->normed,
              (size_t)width, p->rows->count);
}

/* Where wide has the output of in[i]. */
static size_t in_at(const learn_layer *l, int i) {
    size_t at = 0;
    for (int n = 0; n < i; n++) at += (size_t)l->in[n].w.row_count;
    return at;
}

/* For the layers below that share them. */
static void lend_keys(const layer_pass *p) {
    const learn_layer *l = p->l;
    const size_t kv = 2 * (size_t)l->config->kv_head_count * (size_t)l->config->head_width;
    for (size_t t = 0; t < (size_t)p->rows->count; t++)
        memcpy(p->k->lent + t * kv, p->k->wide + t * (size_t)l->wide_cols + (size_t)l->mixed_cols,
               kv * sizeof(float));
}

/* From wide to what goes into `out`, which is what is kept or stands in the scratch. */
static const float *operate(const layer_pass *p) {
    learn_stack *s = p->s;
    const learn_layer *l = p->l;
    switch (l->operator) {
    case LEARN_ATTENTION:
        if (l->lends_keys) lend_keys(p);
        learn_attend(p->c, &l->attention, &s->attention, p->rows, p->k->wide, p->k->mixed);
        return p->k->mixed;
    case LEARN_CONVOLUTION:
        learn_convolve(p->c, &l->convolution, p->rows, p->k->wide, p->k->mixed, s->mixed,
                       s->products, s->turned);
        break;
    case LEARN_LINEAR_ATTENTION:
        learn_linear_attend(p->c, &l->linear, &s->linear, p->rows, p->k->wide, p->k->mixed,
                            s->mixed);
        break;
    case LEARN_STATE_SPACE:
        learn_space_run(p->c, &l->space, &s->space, p->rows, p->k->wide, p->k->mixed, s->mixed);
        break;
    }
    return s->mixed;
}

static void operator_forward(const layer_pass *p) {
    const learn_layer *l = p->l;
    const size_t width = (size_t)width_of(p->s), wide = (size_t)l->wide_cols;
    norm(p, p->k->x, &l->norm);
    for (int i = 0; i < l->in_count; i++)
        forward(p, &l->in[i], p->s->normed, width, p->k->wide + in_at(l, i), wide, false);
    const float *mixed = operate(p);
    memcpy(p->k->middle, p->k->x, (size_t)p->rows->count * width * sizeof(float));
    forward(p, &l->out, mixed, (size_t)l->mixed_cols, p->k->middle, width, true);
}

static void hide(const layer_pass *p) {
    learn_gate(p->c, p->s->hidden, p->k->gate, p->k->up,
               (size_t)p->rows->count * (size_t)p->l->ff_cols);
}

/* y NULL: what comes out is not wanted again. */
static void ffn_forward(const layer_pass *p, float *y) {
    const size_t width = (size_t)width_of(p->s), ff = (size_t)p->l->ff_cols;
    norm(p, p->k->middle, &p->l->ffn_norm);
    forward(p, &p->l->gate, p->s->normed, width, p->k->gate, ff, false);
    forward(p, &p->l->up, p->s->normed, width, p->k->up, ff, false);
    if (y == NULL) return;
    hide(p);
    memcpy(y, p->k->middle, (size_t)p->rows->count * width * sizeof(float));
    forward(p, &p->l->down, p->s->hidden, ff, y, width, true);
}

void learn_stack_forward(learn_stack *s, const compute *c, const learn_rows *rows) {
    assert(rows->count >= 1 && rows->count <= s->row_cap);
    for (int i = 0; i < s->w->config.layer_count; i++) {
        const layer_pass p = {.s = s, .c = c, .rows = rows, .l = &s->layers[i], .k = &s->kept[i]};
        operator_forward(&p);
        ffn_forward(&p, s->kept[i + 1].x);
    }
}

/* ---- Backward ---- */

/* dx NULL: nothing before it learns. */
static void back(const layer_pass *p, const learn_linear *m, const float *x, size_t x_stride,
                 const float *dy, size_t dy_stride, float *dx, size_t dx_stride) {
    learn_back(p->c, m, (learn_x){x, x_stride}, low_of(p->k, p->l, m), (learn_x){dy, dy_stride}, dx,
               dx_stride, p->s->dlow, p->rows->count);
}

static void clear(const layer_pass *p, float *x, size_t cols) {
    memset(x, 0, (size_t)p->rows->count * cols * sizeof *x);
}

static void norm_back(const layer_pass *p, const float *x, const learn_vector *gain, float *dx) {
    const int width = width_of(p->s);
    const size_t stride = (size_t)width;
    learn_rms_back(p->c, (learn_x){x, stride}, gain, p->s->w->config.eps, width,
                   (learn_x){p->s->dnormed, stride}, dx, stride, p->s->ratios, p->rows->count);
}

/* Uses up gate and up. */
static void ffn_back(const layer_pass *p, float *dx) {
    learn_stack *s = p->s;
    const size_t width = (size_t)width_of(s), ff = (size_t)p->l->ff_cols;
    norm(p, p->k->middle, &p->l->ffn_norm);
    hide(p);
    if (!s->keeps_all)
        learn_forward_low(p->c, &p->l->down, (learn_x){s->hidden, ff},
                          low_of(p->k, p->l, &p->l->down), p->rows->count);
    clear(p, s->dhidden, ff);
    back(p, &p->l->down, s->hidden, ff, dx, width, s->dhidden, ff);
    learn_gate_back(p->c, p->k->gate, p->k->up, s->dhidden, (size_t)p->rows->count * ff);
    clear(p, s->dnormed, width);
    back(p, &p->l->gate, s->normed, width, p->k->gate, ff, s->dnormed, width);
    back(p, &p->l->up, s->normed, width, p->k->up, ff, s->dnormed, width);
    norm_back(p, p->k->middle, &p->l->ffn_norm, dx);
}

/* What operate() gave, of what is kept. */
static const float *operate_again(const layer_pass *p) {
    learn_stack *s = p->s;
    const learn_layer *l = p->l;
    switch (l->operator) {
    case LEARN_ATTENTION:
        return p->k->mixed;
    case LEARN_CONVOLUTION:
        learn_convolve_gate(p->c, &l->convolution, p->rows, p->k->wide, p->k->mixed, s->mixed);
        break;
    case LEARN_LINEAR_ATTENTION:
        learn_linear_norm(p->c, &l->linear, p->rows, p->k->mixed, s->mixed);
        break;
    case LEARN_STATE_SPACE:
        learn_space_gate(p->c, &l->space, &s->space, p->rows, p->k->wide, p->k->mixed, s->mixed);
        break;
    }
    return s->mixed;
}

/* dwide from dmixed. */
static void operate_back(const layer_pass *p) {
    learn_stack *s = p->s;
    const learn_layer *l = p->l;
    const float *wide = p->k->wide, *kept = p->k->mixed;
    switch (l->operator) {
    case LEARN_ATTENTION:
        learn_attend_back(p->c, &l->attention, &s->attention, p->rows, wide, s->dmixed, s->dwide);
        break;
    case LEARN_CONVOLUTION:
        learn_convolve_back(p->c, &l->convolution, p->rows, wide, kept, s->dmixed, s->dwide,
                            s->products, s->turned);
        break;
    case LEARN_LINEAR_ATTENTION:
        learn_linear_attend_back(p->c, &l->linear, &s->linear, p->rows, wide, kept, s->dmixed,
                                 s->dwide);
        break;
    case LEARN_STATE_SPACE:
        learn_space_back(p->c, &l->space, &s->space, p->rows, wide, kept, s->dmixed, s->dwide);
        break;
    }
}

static void operator_back(const layer_pass *p, float *dx) {
    learn_stack *s = p->s;
    const learn_layer *l = p->l;
    const size_t width = (size_t)width_of(s), wide = (size_t)l->wide_cols;
    const size_t cols = (size_t)l->mixed_cols;
    const float *mixed = operate_again(p);
    clear(p, s->dmixed, cols);
    back(p, &l->out, mixed, cols, dx, width, s->dmixed, cols);
    operate_back(p);
    norm(p, p->k->x, &l->norm);
    clear(p, s->dnormed, width);
    for (int i = 0; i < l->in_count; i++)
        back(p, &l->in[i], s->normed, width, s->dwide + in_at(l, i), wide, s->dnormed, width);
    norm_back(p, p->k->x, &l->norm, dx);
}

/* Nothing has been given to keys that are lent. */
static void clear_lent(const learn_stack *s) {
    for (int i = 0; i < s->w->config.layer_count; i++) {
        const stack_layer_config *l = s->layers[i].config;
        if (s->layers[i].lends_keys)
            memset(s->kept[i].dlent, 0,
                   2 * (size_t)s->row_cap * (size_t)(l->kv_head_count * l->head_width) *
                       sizeof(float));
    }
}

void learn_stack_back(learn_stack *s, const compute *c, const learn_rows *rows, float *dx) {
    const int count = s->w->config.layer_count;
    if (s->tap != NULL) s->tap(s->tap_context, count, dx, rows->count);
    clear_lent(s);
    for (int i = count - 1; i >= 0; i--) {
        const layer_pass p = {.s = s, .c = c, .rows = rows, .l = &s->layers[i], .k = &s->kept[i]};
        if (!s->keeps_all) {
            operator_forward(&p);
            ffn_forward(&p, NULL);
        }
        ffn_back(&p, dx);
        operator_back(&p, dx);
        if (s->tap != NULL) s->tap(s->tap_context, i, dx, rows->count);
    }
}
