/* The gated short convolution (backbone.md 1.3):
 *
 *     normed -> B, C, X -> B * X -> taps, oldest first -> * C -> out
 *
 * Kept: the last taps - 1 rows of B * X. */
#include <string.h>

#include "core/status.h"
#include "core/taps.h"
#include "stack/kind.h"

static int64_t three_widths(const stack_weights *w, int layer) {
    (void)layer;
    return 3 * (int64_t)w->config.width;
}
static int64_t tap_count(const stack_weights *w, int layer) {
    return w->config.layers[layer].taps;
}

#define AT(field) offsetof(stack_convolution_weights, field)
static const stack_tensor tensors[] = {
    {"shortconv.in_proj.weight", STACK_MATRIX, STACK_PLAIN, AT(in), three_widths, stack_width},
    {"shortconv.out_proj.weight", STACK_MATRIX, STACK_PLAIN, AT(out), stack_width, stack_width},
    {"shortconv.conv.weight", STACK_VECTOR, STACK_PLAIN, AT(stored), stack_width, tap_count},
    {"shortconv.in_proj.bias", STACK_VECTOR_IF, STACK_PLAIN, AT(in_bias), three_widths, stack_one},
    {"shortconv.conv.bias", STACK_VECTOR_IF, STACK_PLAIN, AT(bias), stack_width, stack_one},
    {"shortconv.out_proj.bias", STACK_VECTOR_IF, STACK_PLAIN, AT(out_bias), stack_width, stack_one},
};
#undef AT

static rnl_status check(const stack_config *c, int layer, const char *file, rnl_error *error) {
    const int taps = c->layers[layer].taps;
    if (taps >= 1 && taps <= 64) return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: the number of convolution taps is %d, outside 1 to 64; the file is "
                       "damaged",
                       file, taps);
}

static void prepare(loader *l, stack_weights *w, int layer) {
    stack_convolution_weights *own = w->layers[layer].parts[STACK_OPERATOR].weights;
    own->taps = taps_turn(l, own->stored, w->config.width, w->config.layers[layer].taps);
}

static size_t fixed_size(const stack_state *s, int layer) {
    const stack_config *c = &s->w->config;
    return (size_t)(c->layers[layer].taps - 1) * (size_t)c->width * sizeof(float);
}

typedef struct scratch {
    float *projected; /* [row_cap, 3 * width] */
    float *mixed;     /* [row_cap, width] */
} scratch;

static scratch take_scratch(const stack_work *k, arena *a) {
    const size_t cells = (size_t)k->row_cap * (size_t)k->w->config.width;
    return (scratch){.projected = arena_take(a, cells, 3 * sizeof(float)),
                     .mixed = arena_take(a, cells, sizeof(float))};
}

static void layout(const stack_work *k, int layer, arena *a) {
    (void)layer;
    (void)take_scratch(k, a);
}

typedef struct convolve_job {
    const stack_pass *p;
    const stack_convolution_weights *own;
    int layer, taps;
    size_t width;
    scratch s;
} convolve_job;

/* The rows of one piece. */
typedef struct run {
    float *tail;      /* [taps - 1, width] */
    float *projected; /* [count, 3 * width] */
    float *out;       /* [count, width] */
    int count;
} run;

/* The gated input of tap j at row t: of this pass, or of an earlier one from the tail. */
static const float *input_of(const convolve_job *job, const run *r, int t, int j) {
    const int at = t + j - (job->taps - 1);
    return at >= 0 ? r->projected + (size_t)at * 3 * job->width
                   : r->tail + (size_t)(t + j) * job->width;
}

/* Columns [first, first + count): gate the input, where it stands; taps, oldest first; gate the
 * sum. */
static void convolve(const convolve_job *job, const run *r, size_t first, size_t count) {
    const size_t width = job->width;
    const stack_convolution_weights *own = job->own;
    for (int t = 0; t < r->count; t++) {
        float *now = r->projected + (size_t)t * 3 * width + first;
        const float *gate = now + width, *x = gate + width;
        float *out = r->out + (size_t)t * width + first;
        memset(out, 0, count * sizeof *out);
        taps_scale(now, x, count);
        for (int j = 0; j < job->taps; j++)
            taps_add(out, own->taps + (size_t)j * width + first, input_of(job, r, t, j) + first,
                     count);
        if (own->bias != NULL)
            for (size_t i = 0; i < count; i++) out[i] += own->bias[first + i];
        taps_scale(out, gate, count);
    }
    for (int j = 0; j < job->taps - 1; j++) /* the next pass's tail: each row from a later one */
        memcpy(r->tail + (size_t)j * width + first, input_of(job, r, r->count, j) + first,
               count * sizeof *r->tail);
}

static void convolve_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const convolve_job *job = context;
    run r = {.projected = job->s.projected, .out = job->s.mixed};
    (void)thread_index;
    for (int i = 0; i < job->p->piece_count; i++) {
        const stack_piece *piece = &job->p->pieces[i];
        r.tail = (float *)(void *)stack_fixed(piece->state, job->layer, STACK_OPERATOR);
        r.count = piece->count;
        convolve(job, &r, (size_t)begin, (size_t)(end - begin));
        r.projected += (size_t)r.count * 3 * job->width;
        r.out += (size_t)r.count * job->width;
    }
}

static void forward(const stack_pass *p, int layer, float *x) {
    const stack_weights *w = p->work->w;
    const stack_part *part = stack_part_at(w, layer, STACK_OPERATOR);
    const stack_convolution_weights *own = part->weights;
    const size_t width = (size_t)w->config.width;
    arena a = stack_scratch(p->work);
    convolve_job job = {.p = p,
                        .own = own,
                        .layer = layer,
                        .taps = w->config.layers[layer].taps,
                        .width = width,
                        .s = take_scratch(p->work, &a)};
    linear(p->c, &own->in, own->in_bias, p->work->normed, width, job.s.projected, 3 * width,
           p->row_count);
    stack_share(p, w->config.width, convolve_part, &job);
    stack_put(p, part, &own->out, own->out_bias, job.s.mixed, width, x);
}

const stack_kind stack_convolution = {.name = "convolution",
                                      .place = STACK_OPERATOR,
                                      .weights_size = sizeof(stack_convolution_weights),
                                      .tensors = tensors,
                                      .tensor_count = sizeof tensors / sizeof *tensors,
                                      .check = check,
                                      .prepare = prepare,
                                      .fixed_size = fixed_size,
                                      .layout = layout,
                                      .forward = forward};
