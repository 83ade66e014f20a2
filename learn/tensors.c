#include "learn/tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/random.h"

const char *const learn_module_names[LEARN_MODULE_COUNT] = {
    "q_proj", "k_proj",   "v_proj",       "out_proj", "in_proj", "w1",     "w2",
    "w3",     "qkv_proj", "depth_linear", "model.1",  "model.3", "lm_head"};

void learn_bind_begin(learn_binder *b) {
    b->t->count = 0;
}

static learn_tensor *append(learn_tensors *t) {
    if (t->count == t->cap) {
        const int cap = t->cap > 0 ? 2 * t->cap : 64;
        learn_tensor *all = realloc(t->all, (size_t)cap * sizeof *all);
        if (all == NULL) {
            t->failed = true;
            return NULL;
        }
        t->all = all;
        t->cap = cap;
    }
    return &t->all[t->count++];
}

static float *take_floats(learn_binder *b, size_t count) {
    return arena_take(b->a, count, sizeof(float));
}

/* A tensor of rows x cols under "<name><ending>", of the shape that the file has, where it has it.
 * Zeroes when memory is exhausted. */
static learn_tensor add(learn_binder *b, const char *name, const char *ending, int64_t rows,
                        int64_t cols, learn_start start) {
    learn_tensor *l = append(b->t);
    if (l == NULL) return (learn_tensor){0};
    *l = (learn_tensor){.rank = 2, .shape = {rows, cols, 1, 1}, .start = start};
    (void)snprintf(l->name, sizeof l->name, "%s%s", name, ending);
    const tensor *stored = weights_find(b->w, l->name);
    if (stored != NULL) {
        l->rank = stored->rank;
        for (int i = 0; i < TENSOR_RANK_CAP; i++) l->shape[i] = stored->shape[i];
    } else if (cols == 1) {
        l->rank = 1;
    }
    if (!checked_mul((size_t)rows, (size_t)cols, &l->count)) b->a->overflowed = true;
    l->value = take_floats(b, l->count);
    l->grad = take_floats(b, l->count);
    if (!b->t->choice.moments) return *l;
    l->mean = take_floats(b, l->count);
    l->square = take_floats(b, l->count);
    return *l;
}

/* The value as a matrix to multiply by. */
static matrix float_rows(const float *value, int64_t rows, int64_t cols) {
    return (matrix){.data = (const unsigned char *)value,
                    .type = QUANT_F32,
                    .row_count = rows,
                    .col_count = cols,
                    .row_size = (size_t)cols * sizeof *value};
}

void learn_bind_vector(learn_binder *b, learn_vector *l, const float *v, int64_t count,
                       const char *name) {
    *l = (learn_vector){.v = v};
    if (v == NULL || !b->t->choice.full) return;
    const learn_tensor t = add(b, name, "", count, 1, LEARN_START_STORED);
    if (b->t->failed) return;
    b->t->all[b->t->count - 1].from_vector = v;
    *l = (learn_vector){.v = t.value, .dv = t.grad};
}

void learn_bind_table(learn_binder *b, learn_linear *l, const matrix *w, const char *name) {
    *l = (learn_linear){.w = *w};
    if (!b->t->choice.full) return;
    const learn_tensor t = add(b, name, "", w->row_count, w->col_count, LEARN_START_STORED);
    if (b->t->failed) return;
    b->t->all[b->t->count - 1].from = *w;
    l->w = float_rows(t.value, w->row_count, w->col_count);
    l->dw = t.grad;
}

void learn_bind_linear(learn_binder *b, learn_linear *l, const matrix *w, const float *bias,
                       learn_area area, learn_module module, const char *name) {
    char full[LEARN_NAME_CAP];
    (void)snprintf(full, sizeof full, "%s.weight", name);
    learn_bind_table(b, l, w, full);
    (void)snprintf(full, sizeof full, "%s.bias", name);
    learn_vector bound;
    learn_bind_vector(b, &bound, bias, w->row_count, full);
    l->bias = bound.v;
    l->dbias = bound.dv;
    learn_bind_adapter(b, l, area, module, name);
}

void learn_bind_adapter(learn_binder *b, learn_linear *l, learn_area area, learn_module module,
                        const char *name) {
    const learn_choice *choice = &b->t->choice;
    const int64_t rows = l->w.row_count, cols = l->w.col_count;
    if (choice->full || (choice->modules[area] & 1u << module) == 0) return;
    const int64_t rank = choice->rank;
    const learn_tensor down = add(b, name, ".weight.lora_a", rank, cols, LEARN_START_UNIFORM);
    const learn_tensor up = add(b, name, ".weight.lora_b", rows, rank, LEARN_START_ZERO);
    if (b->t->failed) return;
    l->down = float_rows(down.value, rank, cols);
    l->up = float_rows(up.value, rows, rank);
    l->ddown = down.grad;
    l->dup = up.grad;
    l->scale = choice->scale;
    l->dropout = b->dropout;
    l->number = (uint64_t)b->t->count;
}

/* ---- Values ---- */

static void begin(learn_tensor *t, const compute *c, random_state *random) {
    switch (t->start) {
    case LEARN_START_STORED:
        if (t->from_vector != NULL) memcpy(t->value, t->from_vector, t->count * sizeof *t->value);
        for (int64_t r = 0; r < t->from.row_count; r++)
            matrix_row(c, &t->from, r, t->value + r * t->from.col_count);
        break;
    case LEARN_START_ZERO:
        memset(t->value, 0, t->count * sizeof *t->value);
        break;
    case LEARN_START_UNIFORM: { /* Kaiming uniform with a = sqrt 5, as PEFT begins */
        const double bound = 1 / sqrt((double)t->shape[1]);
        for (size_t i = 0; i < t->count; i++)
            t->value[i] = (float)((2 * random_unit(random) - 1) * bound);
        break;
    }
    }
    memset(t->grad, 0, t->count * sizeof *t->grad);
    if (t->mean == NULL) return;
    memset(t->mean, 0, t->count * sizeof *t->mean);
    memset(t->square, 0, t->count * sizeof *t->square);
}

void learn_tensors_begin(learn_tensors *t, const compute *c, uint64_t seed) {
    random_state random;
    random_seed(&random, seed);
    for (int i = 0; i < t->count; i++) begin(&t->all[i], c, &random);
}

void learn_tensors_clear(learn_tensors *t) {
    for (int i = 0; i < t->count; i++)
        memset(t->all[i].grad, 0, t->all[i].count * sizeof *t->all[i].grad);
}

void learn_tensors_free(learn_tensors *t) {
    free(t->all);
    t->all = NULL;
    t->count = t->cap = 0;
}

learn_tensor *learn_tensors_find(const learn_tensors *t, const char *name) {
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->all[i].name, name) == 0) return &t->all[i];
    return NULL;
}
