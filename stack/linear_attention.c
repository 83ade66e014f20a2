/* Linear attention (learn.md 6.4): a head keeps a matrix in place of all keys and values:
 *
 *     normed -> q, k, v -> features of q and k -> scan over the positions -> norm of each head
 *            -> out
 *
 * Kept: the state of each head (scan.h). There is no rotation: what is older has faded, or counts
 * the same. */
#include "core/range.h"
#include "core/status.h"
#include "stack/kind.h"
#include "stack/scan.h"

static const stack_layer_config *config_of(const stack_weights *w, int layer) {
    return &w->config.layers[layer];
}

static int64_t head_width(const stack_weights *w, int layer) {
    return config_of(w, layer)->head_width;
}

#define AT(field) offsetof(stack_linear_attention_weights, field)
static const stack_tensor tensors[] = {
    {"attn_q.weight", STACK_MATRIX, STACK_PLAIN, AT(q), stack_width, stack_width},
    {"attn_k.weight", STACK_MATRIX, STACK_PLAIN, AT(k), stack_width, stack_width},
    {"attn_v.weight", STACK_MATRIX, STACK_PLAIN, AT(v), stack_width, stack_width},
    {"attn_output.weight", STACK_MATRIX, STACK_PLAIN, AT(out), stack_width, stack_width},
    {"attn_sub_norm.weight", STACK_VECTOR, STACK_PLAIN, AT(norm), head_width, stack_one},
};
#undef AT

static rnl_status check(const stack_config *c, int layer, const char *file, rnl_error *error) {
    const stack_layer_config *l = &c->layers[layer];
    const range ranges[] = {
        {"the number of heads of linear attention", l->head_count, 1, 4096},
        {"the width of a head of linear attention", l->head_width, 1, 4096},
        {"the kind of linear attention", l->linear, STACK_LINEAR_SUM, STACK_LINEAR_DECAY},
    };
    const range *bad = range_outside(ranges, sizeof ranges / sizeof *ranges);
    if (bad != NULL)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: layer %d: %s is %g, outside %g to %g; the file is damaged", file,
                           layer, bad->name, bad->value, bad->min, bad->max);
    if ((int64_t)l->head_count * l->head_width == c->width) return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: layer %d has %d heads of linear attention (linear_heads), which do not "
                       "divide the width %d; take a number that does",
                       file, layer, l->head_count, c->width);
}

/* ---- What is kept ---- */

static size_t fixed_size(const stack_state *s, int layer) {
    const stack_layer_config *l = config_of(s->w, layer);
    return (size_t)l->head_count * scan_linear_size(l->linear, l->head_width) * sizeof(float);
}

/* ---- A pass ---- */

typedef struct scratch {
    float *q, *k, *v; /* [row_cap, width] */
    float *mixed;     /* [row_cap, width] before the last projection */
} scratch;

static scratch take_scratch(const stack_work *k, arena *a) {
    const size_t cells = (size_t)k->row_cap * (size_t)k->w->config.width;
    return (scratch){.q = arena_take(a, cells, sizeof(float)),
                     .k = arena_take(a, cells, sizeof(float)),
                     .v = arena_take(a, cells, sizeof(float)),
                     .mixed = arena_take(a, cells, sizeof(float))};
}

static void layout(const stack_work *k, int layer, arena *a) {
    (void)layer;
    (void)take_scratch(k, a);
}

typedef struct scan_job {
    const stack_pass *p;
    const stack_layer_config *l;
    const float *norm;
    int layer;
    scratch s;
} scan_job;

static void features_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const scan_job *job = context;
    const int64_t width = job->p->work->w->config.width;
    (void)thread_index;
    scan_linear_features(job->l->linear, job->l->head_width, job->s.q + begin * width,
                         job->s.k + begin * width, (end - begin) * width);
}

/* Where the rows of a piece begin. */
static size_t first_row(const stack_pass *p, int64_t piece) {
    size_t row = 0;
    for (int64_t i = 0; i < piece; i++) row += (size_t)p->pieces[i].count;
    return row;
}

static void heads_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const scan_job *job = context;
    const stack_layer_config *l = job->l;
    const size_t width = (size_t)job->p->work->w->config.width, h = (size_t)l->head_width;
    const float eps = job->p->work->w->config.eps;
    const kernels *k = job->p->c->k;
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        const stack_piece *piece = &job->p->pieces[i / l->head_count];
        const int number = (int)(i % l->head_count);
        const size_t at = first_row(job->p, i / l->head_count) * width + (size_t)number * h;
        const scan_linear_head head = {.k = k,
                                       .kind = l->linear,
                                       .head_width = l->head_width,
                                       .decay = scan_linear_decay(l->linear, number, l->head_count),
                                       .stride = width};
        float *states = (float *)(void *)stack_fixed(piece->state, job->layer, STACK_OPERATOR);
        float *y = job->s.mixed + at;
        scan_linear(&head, states + (size_t)number * scan_linear_size(l->linear, l->head_width),
                    job->s.q + at, job->s.k + at, job->s.v + at, y, width, piece->count);
        for (int t = 0; t < piece->count; t++, y += width)
            k->rms_norm(y, y, job->norm, eps, (int64_t)h);
    }
}

static void forward(const stack_pass *p, int layer, float *x) {
    const stack_weights *w = p->work->w;
    const stack_part *part = stack_part_at(w, layer, STACK_OPERATOR);
    const stack_linear_attention_weights *own = part->weights;
    const size_t width = (size_t)w->config.width;
    arena a = stack_scratch(p->work);
    scan_job job = {.p = p,
                    .l = config_of(w, layer),
                    .norm = own->norm,
                    .layer = layer,
                    .s = take_scratch(p->work, &a)};
    const linear_task tasks[] = {{&own->q, NULL, job.s.q, width},
                                 {&own->k, NULL, job.s.k, width},
                                 {&own->v, NULL, job.s.v, width}};
    linear_all(p->c, tasks, 3, p->work->normed, width, p->row_count);
    stack_share_rows(p, features_part, &job);
    stack_share_heads(p, job.l->head_count, heads_part, &job);
    stack_put(p, part, &own->out, NULL, job.s.mixed, width, x);
}

static void cost(const stack_weights *w, int layer, kernels_cache cache, int64_t depth,
                 int row_count, stack_cost *sum) {
    const stack_layer_config *l = config_of(w, layer);
    (void)cache;
    (void)depth;
    (void)row_count;
    stack_cost_matrices(w, layer, STACK_OPERATOR, sum);
    sum->kept_size +=
        (double)l->head_count * (double)scan_linear_size(l->linear, l->head_width) * sizeof(float);
}

const stack_kind stack_linear_attention = {.name = "linear attention",
                                           .place = STACK_OPERATOR,
                                           .weights_size = sizeof(stack_linear_attention_weights),
                                           .tensors = tensors,
                                           .tensor_count = sizeof tensors / sizeof *tensors,
                                           .check = check,
                                           .fixed_size = fixed_size,
                                           .layout = layout,
                                           .forward = forward,
                                           .cost = cost};
