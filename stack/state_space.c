/* The selective state space (learn.md 6.5): a scan whose keys, queries and paces are made of the
 * input, behind a short convolution:
 *
 *     normed -> z | r | delta;   x | B | C = silu(taps over r)
 *     head a: scan of C, B and step x, step = softplus(delta + bias), + D x   -> y [inner]
 *     y silu(z) -> norm -> out
 *
 * B and C are those of all heads. Kept: the last taps - 1 rows of r, then the state of each head
 * [state, head_width] (scan.h). */
#include <string.h>

#include "core/range.h"
#include "core/status.h"
#include "core/taps.h"
#include "stack/kind.h"
#include "stack/scan.h"

static const stack_layer_config *config_of(const stack_weights *w, int layer) {
    return &w->config.layers[layer];
}

static int64_t inner(const stack_weights *w, int layer) {
    const stack_layer_config *l = config_of(w, layer);
    return (int64_t)l->head_count * l->head_width;
}
static int64_t mixed(const stack_weights *w, int layer) {
    return inner(w, layer) + 2 * (int64_t)config_of(w, layer)->state_width;
}
static int64_t projected(const stack_weights *w, int layer) {
    return inner(w, layer) + mixed(w, layer) + config_of(w, layer)->head_count;
}
static int64_t taps(const stack_weights *w, int layer) {
    return config_of(w, layer)->taps;
}
static int64_t heads(const stack_weights *w, int layer) {
    return config_of(w, layer)->head_count;
}

#define AT(field) offsetof(stack_state_space_weights, field)
static const stack_tensor tensors[] = {
    {"ssm_in.weight", STACK_MATRIX, STACK_PLAIN, AT(in), projected, stack_width},
    {"ssm_out.weight", STACK_MATRIX, STACK_PLAIN, AT(out), stack_width, inner},
    {"ssm_conv1d.weight", STACK_VECTOR, STACK_PLAIN, AT(stored), mixed, taps},
    {"ssm_dt.bias", STACK_VECTOR, STACK_PLAIN, AT(dt_bias), heads, stack_one},
    {"ssm_a_log", STACK_VECTOR, STACK_PLAIN, AT(a_log), heads, stack_one},
    {"ssm_d", STACK_VECTOR, STACK_PLAIN, AT(d), heads, stack_one},
    {"ssm_norm.weight", STACK_VECTOR, STACK_PLAIN, AT(norm), inner, stack_one},
};
#undef AT

static rnl_status check(const stack_config *c, int layer, const char *file, rnl_error *error) {
    const stack_layer_config *l = &c->layers[layer];
    const range ranges[] = {
        {"the number of heads of the state space", l->head_count, 1, 4096},
        {"the width of a head of the state space", l->head_width, 1, 1 << 20},
        {"the inner width of the state space", (double)l->head_count * l->head_width, 1, 1 << 20},
        {"the state of the state space", l->state_width, 1, 4096},
        {"the number of taps of the state space", l->taps, 1, 64},
    };
    const range *bad = range_outside(ranges, sizeof ranges / sizeof *ranges);
    if (bad == NULL) return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: layer %d: %s is %g, outside %g to %g; the file is damaged", file, layer,
                       bad->name, bad->value, bad->min, bad->max);
}

static void prepare(loader *l, stack_weights *w, int layer) {
    stack_state_space_weights *own = w->layers[layer].parts[STACK_OPERATOR].weights;
    own->taps = taps_turn(l, own->stored, mixed(w, layer), config_of(w, layer)->taps);
}

/* ---- What is kept ---- */

/* Floats of the rows of r that later ones need. */
static size_t tail_count(const stack_weights *w, int layer) {
    return (size_t)(config_of(w, layer)->taps - 1) * (size_t)mixed(w, layer);
}

static size_t state_count(const stack_layer_config *l) { /* of a head */
    return (size_t)l->state_width * (size_t)l->head_width;
}

static size_t kept_count(const stack_weights *w, int layer) {
    const stack_layer_config *l = config_of(w, layer);
    return tail_count(w, layer) + (size_t)l->head_count * state_count(l);
}

static size_t fixed_size(const stack_state *s, int layer) {
    return kept_count(s->w, layer) * sizeof(float);
}

/* ---- Scratch ---- */

typedef struct scratch {
    float *projected; /* [row_cap, inner + mixed + heads] */
    float *mixed;     /* [row_cap, inner + 2 state]: x, B, C */
    float *y;         /* [row_cap, inner] */
} scratch;

static scratch take_scratch(const stack_work *k, int layer, arena *a) {
    const size_t rows = (size_t)k->row_cap;
    return (scratch){.projected =
                         arena_take(a, rows * (size_t)projected(k->w, layer), sizeof(float)),
                     .mixed = arena_take(a, rows * (size_t)mixed(k->w, layer), sizeof(float)),
                     .y = arena_take(a, rows * (size_t)inner(k->w, layer), sizeof(float))};
}

static void layout(const stack_work *k, int layer, arena *a) {
    (void)take_scratch(k, layer, a);
}

/* ---- A pass ---- */

typedef struct space_job {
    const stack_pass *p;
    const stack_layer_config *l;
    const stack_state_space_weights *own;
    int layer;
    size_t inner, mixed, stride; /* columns; stride: of projected */
    scratch s;
} space_job;

static float *kept_of(const space_job *job, const stack_piece *piece) {
    return (float *)(void *)stack_fixed(piece->state, job->layer, STACK_OPERATOR);
}

/* Columns [first, first + count) of the rows of one piece, which begins at row. */
static void convolve(const space_job *job, const stack_piece *piece, size_t row, size_t first,
                     size_t count) {
    const size_t lags = (size_t)job->l->taps - 1, n = (size_t)piece->count, cols = job->mixed;
    float *tail = kept_of(job, piece);
    const float *in = job->s.projected + row * job->stride + job->inner;
    for (size_t t = 0; t < n; t++) {
        float *out = job->s.mixed + (row + t) * cols + first;
        memset(out, 0, count * sizeof *out);
        for (size_t j = 0; j <= lags; j++) { /* row t + j - lags, which may be of the tail */
            const float *x =
                t + j >= lags ? in + (t + j - lags) * job->stride : tail + (t + j) * cols;
            taps_add(out, job->own->taps + j * cols + first, x + first, count);
        }
        job->p->c->k->silu(out, out, (int64_t)count);
    }
    for (size_t j = 0; j < lags; j++) { /* the next pass's tail: each row from a later one */
        const float *x = n + j >= lags ? in + (n + j - lags) * job->stride : tail + (n + j) * cols;
        memcpy(tail + j * cols + first, x + first, count * sizeof *tail);
    }
}

static void convolve_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const space_job *job = context;
    size_t row = 0;
    (void)thread_index;
    for (int i = 0; i < job->p->piece_count; i++) {
        convolve(job, &job->p->pieces[i], row, (size_t)begin, (size_t)(end - begin));
        row += (size_t)job->p->pieces[i].count;
    }
}

static void heads_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const space_job *job = context;
    const stack_layer_config *l = job->l;
    const size_t width = (size_t)l->head_width, tail = tail_count(job->p->work->w, job->layer);
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        const size_t number = (size_t)(i % l->head_count);
        size_t row = 0;
        for (int64_t n = 0; n < i / l->head_count; n++) row += (size_t)job->p->pieces[n].count;
        const stack_piece *piece = &job->p->pieces[i / l->head_count];
        const scan_space_head head = {.k = job->p->c->k,
                                      .state_width = l->state_width,
                                      .head_width = l->head_width,
                                      .dt_bias = job->own->dt_bias[number],
                                      .a_log = job->own->a_log[number],
                                      .d = job->own->d[number],
                                      .delta_stride = job->stride,
                                      .mixed_stride = job->mixed,
                                      .y_stride = job->inner};
        float *x = job->s.mixed + row * job->mixed, *b = x + job->inner;
        scan_space(&head, kept_of(job, piece) + tail + number * state_count(l),
                   job->s.projected + row * job->stride + job->inner + job->mixed + number,
                   x + number * width, b, b + l->state_width,
                   job->s.y + row * job->inner + number * width, piece->count);
    }
}

static void gate_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const space_job *job = context;
    const kernels *k = job->p->c->k;
    const int64_t cols = (int64_t)job->inner;
    (void)thread_index;
    for (int64_t t = begin; t < end; t++) {
        float *y = job->s.y + t * cols;
        k->silu_mul(y, job->s.projected + t * (int64_t)job->stride, y, cols);
        k->rms_norm(y, y, job->own->norm, job->p->work->w->config.eps, cols);
    }
}

static void forward(const stack_pass *p, int layer, float *x) {
    const stack_weights *w = p->work->w;
    const stack_part *part = stack_part_at(w, layer, STACK_OPERATOR);
    const stack_state_space_weights *own = part->weights;
    arena a = stack_scratch(p->work);
    space_job job = {.p = p,
                     .l = config_of(w, layer),
                     .own = own,
                     .layer = layer,
                     .inner = (size_t)inner(w, layer),
                     .mixed = (size_t)mixed(w, layer),
                     .stride = (size_t)projected(w, layer),
                     .s = take_scratch(p->work, layer, &a)};
    linear(p->c, &own->in, NULL, p->work->normed, (size_t)w->config.width, job.s.projected,
           job.stride, p->row_count);
    stack_share(p, (int64_t)job.mixed, convolve_part, &job);
    stack_share_heads(p, job.l->head_count, heads_part, &job);
    stack_share_rows(p, gate_part, &job);
    stack_put(p, part, &own->out, NULL, job.s.y, job.inner, x);
}

static void cost(const stack_weights *w, int layer, kernels_cache cache, int64_t depth,
                 int row_count, stack_cost *sum) {
    (void)cache;
    (void)depth;
    (void)row_count;
    stack_cost_matrices(w, layer, STACK_OPERATOR, sum);
    sum->kept_size += (double)kept_count(w, layer) * sizeof(float);
}

const stack_kind stack_state_space = {.name = "state space",
                                      .place = STACK_OPERATOR,
                                      .weights_size = sizeof(stack_state_space_weights),
                                      .tensors = tensors,
                                      .tensor_count = sizeof tensors / sizeof *tensors,
                                      .check = check,
                                      .prepare = prepare,
                                      .fixed_size = fixed_size,
                                      .layout = layout,
                                      .forward = forward,
                                      .cost = cost};
