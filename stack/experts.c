/* The feed-forward part of experts: a router scores them all, each position takes a few, and what
 * these make of it is added, each times its gain (family.md 1.3):
 *
 *     normed [rows, width] -> logits [rows, experts] -> experts and gains [rows, used]
 *       -> lists of rows by expert -> block by block: gate, up, down -> sum [rows, width] -> x
 *
 * Positions are grouped by expert, so that a pass reads each expert once, and only those that some
 * position has chosen. A position's experts are added in rising order, wherever it stands; router
 * and experts never round to BF16: neither choice nor bits depend on the rows beside it. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/range.h"
#include "core/status.h"
#include "stack/kind.h"

enum {
    EXPERT_CAP = 4096, /* family.md 6 */
    USED_CAP = 64,
    ALONE = 16 /* rows of an expert from which on it is worth a product of its own */
};

static int64_t ff_width(const stack_weights *w, int layer) {
    return w->config.layers[layer].ff_width;
}

static int64_t expert_count(const stack_weights *w, int layer) {
    return w->config.layers[layer].expert_count;
}

#define AT(field) offsetof(stack_expert_weights, field)
static const stack_tensor tensors[] = {
    {"ffn_gate_exps.weight", STACK_MATRICES, STACK_PLAIN, AT(gate), ff_width, stack_width},
    {"ffn_up_exps.weight", STACK_MATRICES, STACK_PLAIN, AT(up), ff_width, stack_width},
    {"ffn_down_exps.weight", STACK_MATRICES, STACK_DOWN, AT(down), stack_width, ff_width},
    {"ffn_gate_inp.weight", STACK_VECTOR, STACK_PLAIN, AT(router), expert_count, stack_width},
    {"exp_probs_b.bias", STACK_VECTOR_IF, STACK_PLAIN, AT(bias), expert_count, stack_one},
};
#undef AT

static rnl_status check(const stack_config *c, int layer, const char *file, rnl_error *error) {
    const stack_layer_config *l = &c->layers[layer];
    const int used_cap = l->expert_count < USED_CAP ? l->expert_count : USED_CAP;
    const range ranges[] = {
        {"the number of experts", l->expert_count, 1, EXPERT_CAP},
        {"the number of experts used", l->expert_used, 1, used_cap},
        {"the feed-forward width of an expert", (double)l->ff_width, 1, 1 << 20},
        {"the scale of the experts", (double)l->expert_scale, -1e6, 1e6},
    };
    const range *bad = range_outside(ranges, sizeof ranges / sizeof *ranges);
    if (bad == NULL) return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT, "%s: %s is %g, outside %g to %g; the file is damaged",
                       file, bad->name, bad->value, bad->min, bad->max);
}

static void prepare(loader *l, stack_weights *w, int layer) {
    (void)l;
    stack_expert_weights *own = w->layers[layer].parts[STACK_FEED_FORWARD].weights;
    own->scores = (matrix){.data = (const unsigned char *)own->router,
                           .type = QUANT_F32,
                           .row_count = expert_count(w, layer),
                           .col_count = w->config.width,
                           .row_size = (size_t)w->config.width * sizeof(float)};
}

/* ---- The choice ---- */

/* Not a number is never chosen before a number. */
static float score_of(float gain, const float *bias, int expert) {
    const float score = bias != NULL ? gain + bias[expert] : gain;
    return isnan(score) ? -INFINITY : score;
}

void stack_choose_experts(const stack_layer_config *c, const float *logits, const float *bias,
                          int32_t *experts, float *gains) {
    float scores[USED_CAP];
    int count = 0;
    for (int e = 0; e < c->expert_count; e++) {
        const float gain = 1 / (1 + expf(-logits[e])), score = score_of(gain, bias, e);
        int at = count;
        while (at > 0 && score > scores[at - 1]) at--;
        if (at == c->expert_used) continue;
        if (count < c->expert_used) count++;
        for (int i = count - 1; i > at; i--) {
            scores[i] = scores[i - 1];
            experts[i] = experts[i - 1];
            gains[i] = gains[i - 1];
        }
        scores[at] = score;
        experts[at] = e;
        gains[at] = gain;
    }
    float sum = 0;
    for (int i = 0; i < count; i++) sum += gains[i];
    for (int i = 0; i < count; i++) {
        if (c->expert_norm) gains[i] /= sum + 1e-6f;
        gains[i] *= c->expert_scale;
    }
}

/* ---- A pass ---- */

typedef struct scratch {
    float *logits;        /* [row_cap, experts] */
    int32_t *experts;     /* [row_cap, used] best first */
    float *gains;         /* [row_cap, used] */
    int32_t *ends;        /* [experts] of their lists */
    int32_t *rows;        /* [row_cap * used] the lists one after the other, rows rising */
    float *row_gains;     /* [row_cap * used] beside them */
    linear_group *groups; /* [LINEAR_GROUP_ROWS] of the block at hand */
    float *gathered;      /* [LINEAR_GROUP_ROWS, width] its inputs, */
    float *gated;         /* [LINEAR_GROUP_ROWS, ff] wide halves, */
    float *raised;        /* [LINEAR_GROUP_ROWS, ff] */
    float *made;          /* [LINEAR_GROUP_ROWS, width] and outputs */
    float *sum;           /* [row_cap, width] */
} scratch;

static scratch take_scratch(const stack_work *k, int layer, arena *a) {
    const stack_layer_config *l = &k->w->config.layers[layer];
    const size_t cells = (size_t)k->row_cap, used = (size_t)l->expert_used;
    const size_t experts = (size_t)l->expert_count, block = LINEAR_GROUP_ROWS;
    const size_t width = (size_t)k->w->config.width * sizeof(float);
    const size_t ff = (size_t)l->ff_width * sizeof(float);
    return (scratch){.logits = arena_take(a, cells, experts * sizeof(float)),
                     .experts = arena_take(a, cells, used * sizeof(int32_t)),
                     .gains = arena_take(a, cells, used * sizeof(float)),
                     .ends = arena_take(a, experts, sizeof(int32_t)),
                     .rows = arena_take(a, cells, used * sizeof(int32_t)),
                     .row_gains = arena_take(a, cells, used * sizeof(float)),
                     .groups = arena_take(a, block, sizeof(linear_group)),
                     .gathered = arena_take(a, block, width),
                     .gated = arena_take(a, block, ff),
                     .raised = arena_take(a, block, ff),
                     .made = arena_take(a, block, width),
                     .sum = arena_take(a, cells, width)};
}

static void layout(const stack_work *k, int layer, arena *a) {
    (void)take_scratch(k, layer, a);
}

typedef struct choose_job {
    const stack_layer_config *config;
    const float *bias;
    const scratch *s;
} choose_job;

static void choose_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const choose_job *j = context;
    const size_t used = (size_t)j->config->expert_used, count = (size_t)j->config->expert_count;
    (void)thread_index;
    for (size_t t = (size_t)begin; t < (size_t)end; t++)
        stack_choose_experts(j->config, j->s->logits + t * count, j->bias, j->s->experts + t * used,
                             j->s->gains + t * used);
}

/* Rows by expert; ends[e] is where the list of e ends. */
static void list_rows(const stack_layer_config *l, const scratch *s, int row_count) {
    const int used = l->expert_used, total = row_count * used;
    memset(s->ends, 0, (size_t)l->expert_count * sizeof *s->ends);
    for (int i = 0; i < total; i++) s->ends[s->experts[i]]++;
    int32_t begin = 0;
    for (int e = 0; e < l->expert_count; e++) { /* counts become beginnings, and then ends */
        const int32_t count = s->ends[e];
        s->ends[e] = begin;
        begin += count;
    }
    for (int i = 0; i < total; i++) {
        const int32_t at = s->ends[s->experts[i]]++;
        s->rows[at] = i / used;
        s->row_gains[at] = s->gains[i];
    }
}

typedef struct add_job {
    const stack_pass *p;
    const scratch *s;
    int32_t first, count; /* of the lists */
} add_job;

/* Columns are shared out, not rows: a row may be in several lists of the block. */
static void add_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const add_job *j = context;
    const int64_t width = j->p->work->w->config.width;
    (void)thread_index;
    for (int32_t i = 0; i < j->count; i++)
        j->p->c->k->axpy(j->s->sum + j->s->rows[j->first + i] * width + begin,
                         j->s->row_gains[j->first + i], j->s->made + i * width + begin,
                         end - begin);
}

/* The lists [first, first + count), of the groups, through their experts and into the sum. */
static void run_block(const stack_pass *p, const compute *c, const stack_expert_weights *own,
                      const scratch *s, int group_count, int32_t first, int32_t count) {
    const size_t width = (size_t)p->work->w->config.width;
    const linear_rows in = {
        .x = p->work->normed, .x_stride = width, .index = s->rows + first, .gathered = s->gathered};
    linear_gated_groups(c, s->groups, group_count, &in, s->gated, s->raised);
    const size_t ff = (size_t)s->groups[0].w->row_count;
    for (int g = 0; g < group_count; g++) {
        s->groups[g].w = own->down + (s->groups[g].w - own->gate);
        s->groups[g].up = NULL;
    }
    const linear_rows wide = {.x = s->gated, .x_stride = ff};
    linear_groups(c, s->groups, group_count, &wide, s->made);
    add_job job = {.p = p, .s = s, .first = first, .count = count};
    stack_share(p, (int64_t)width, add_part, &job);
}

/* All lists, cut into blocks: an expert of many rows alone, several of few rows together. */
static void run_experts(const stack_pass *p, const compute *c, const stack_expert_weights *own,
                        const scratch *s, int layer) {
    const stack_layer_config *l = &p->work->w->config.layers[layer];
    const int64_t a = linear_group_rows(c, p->work->w->config.width);
    const int64_t b = linear_group_rows(c, l->ff_width);
    const int32_t most = (int32_t)(a < b ? a : b);
    int32_t first = 0, count = 0; /* of the block that is being filled */
    int group_count = 0;
    for (int e = 0; e < l->expert_count; e++) {
        int32_t at = e > 0 ? s->ends[e - 1] : 0;
        while (at < s->ends[e]) {
            const int32_t left = s->ends[e] - at, rows = left < most ? left : most;
            if (group_count > 0 && (rows >= ALONE || count + rows > most)) {
                run_block(p, c, own, s, group_count, first, count);
                group_count = 0;
            }
            if (group_count == 0) first = at, count = 0;
            s->groups[group_count++] =
                (linear_group){.w = &own->gate[e], .up = &own->up[e], .count = rows};
            count += rows;
            at += rows;
            if (rows < ALONE) continue;
            run_block(p, c, own, s, group_count, first, count);
            group_count = 0;
        }
    }
    if (group_count > 0) run_block(p, c, own, s, group_count, first, count);
}

static void forward(const stack_pass *p, int layer, float *x) {
    const stack_work *k = p->work;
    const stack_layer_config *l = &k->w->config.layers[layer];
    const stack_part *part = stack_part_at(k->w, layer, STACK_FEED_FORWARD);
    const stack_expert_weights *own = part->weights;
    const size_t width = (size_t)k->w->config.width;
    arena a = stack_scratch(k);
    const scratch s = take_scratch(k, layer, &a);
    compute c = *p->c;
    c.bf16 = false;
    linear(&c, &own->scores, NULL, k->normed, width, s.logits, (size_t)l->expert_count,
           p->row_count);
    choose_job job = {.config = l, .bias = own->bias, .s = &s};
    stack_share_rows(p, choose_part, &job);
    if (k->tap_experts != NULL)
        k->tap_experts(k->tap_context, layer, s.experts, s.gains, p->row_count, l->expert_used);
    list_rows(l, &s, p->row_count);
    memset(s.sum, 0, (size_t)p->row_count * width * sizeof *s.sum);
    run_experts(p, &c, own, &s, layer);
    stack_add(p, part, s.sum, x);
}

/* Each row reads its experts; in a pass of several some are the same. */
static void cost(const stack_weights *w, int layer, kernels_cache cache, int64_t depth,
                 int row_count, stack_cost *sum) {
    const stack_layer_config *l = &w->config.layers[layer];
    const stack_expert_weights *own = stack_part_at(w, layer, STACK_FEED_FORWARD)->weights;
    const matrix *const parts[] = {own->gate, own->up, own->down};
    const double share = (double)l->expert_used / l->expert_count;
    const double read = l->expert_count * (1 - pow(1 - share, row_count));
    (void)cache;
    (void)depth;
    for (int i = 0; i < 3; i++) {
        sum->byte_count += read * (double)parts[i]->row_size * (double)parts[i]->row_count;
        sum->op_count +=
            2.0 * l->expert_used * (double)parts[i]->col_count * (double)parts[i]->row_count;
    }
    sum->byte_count += (double)own->scores.row_size * (double)own->scores.row_count;
    sum->op_count += 2.0 * (double)own->scores.col_count * (double)own->scores.row_count;
}

const stack_kind stack_experts = {.name = "experts",
                                  .place = STACK_FEED_FORWARD,
                                  .weights_size = sizeof(stack_expert_weights),
                                  .tensors = tensors,
                                  .tensor_count = sizeof tensors / sizeof *tensors,
                                  .check = check,
                                  .prepare = prepare,
                                  .layout = layout,
                                  .forward = forward,
                                  .cost = cost};
