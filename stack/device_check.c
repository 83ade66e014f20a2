/* Whether a device multiplies as the CPU does: three matrices of the model itself, of its
 * beginning, middle and end, on inputs that are the same everywhere. Drivers that compute wrong
 * numbers and report no error exist (device.md 1), and a model that runs on one talks nonsense. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "core/status.h"
#include "stack/device.h"

enum { CHECKED_COUNT = 3, INPUT_COUNT = 8 };

/* Of the outputs of one row for all inputs the rms of the difference may be so many times what all
 * rows together may have: chance spreads a row's by less, and a row that is wrong is off by about
 * the outputs themselves. */
static const double row_slack = 8;

typedef struct checked {
    const matrix *w;
    const char *tensor; /* behind "blk.N." */
    int layer;
} checked;

typedef struct product {
    const stack_device_ops *ops;
    const matrix *w;
    bool exact;
    float *x;        /* [INPUT_COUNT, col_count] */
    float *y, *cpus; /* [INPUT_COUNT, row_count] */
    float bound;     /* out */
} product;

/* The matrix of the stack with that index, in the order of the layers; returns how many there are.
 */
static int find(const stack_weights *w, int index, checked *out) {
    int count = 0;
    for (int i = 0; i < w->config.layer_count * STACK_PLACE_COUNT; i++) {
        const int layer = i / STACK_PLACE_COUNT;
        const stack_place place = i % STACK_PLACE_COUNT;
        const stack_part *part = stack_part_at(w, layer, place);
        for (int k = 0; k < part->kind->tensor_count; k++) {
            const stack_tensor *t = &part->kind->tensors[k];
            if (t->form != STACK_MATRIX || !stack_has_tensor(&w->config.layers[layer], place, t))
                continue;
            if (count++ != index) continue;
            *out = (checked){.w = (const matrix *)(const void *)((char *)part->weights + t->at),
                             .tensor = t->name,
                             .layer = layer};
        }
    }
    return count;
}

static rnl_status multiply(void *device, void *context, rnl_error *error) {
    product *p = context;
    p->bound = p->ops->bound(device, p->w);
    if (p->bound < 0) return RNL_OK;
    return p->ops->product(device, p->w, p->exact, p->x, INPUT_COUNT, p->y, error);
}

/* Mean squares of one row for all inputs: of the difference, and of what it should be. */
static void row_squares(const product *p, int64_t row, double *off, double *own) {
    *off = *own = 0;
    for (int t = 0; t < INPUT_COUNT; t++) {
        const size_t at = (size_t)t * (size_t)p->w->row_count + (size_t)row;
        const double d = (double)p->y[at] - p->cpus[at];
        *off += d * d / INPUT_COUNT;
        *own += (double)p->cpus[at] * p->cpus[at] / INPUT_COUNT;
    }
}

static bool same_bits(const product *p, int64_t row) {
    for (int t = 0; t < INPUT_COUNT; t++) {
        const size_t at = (size_t)t * (size_t)p->w->row_count + (size_t)row;
        if (memcmp(&p->y[at], &p->cpus[at], sizeof p->y[at]) != 0) return false;
    }
    return true;
}

/* The first row that is wrong; -1: none; row_count: each is near enough, all together are not. What
 * is not a number is wrong. *off: the rms of the difference / that of the outputs. */
static int64_t judge(const product *p, double *off) {
    const int64_t rows = p->w->row_count;
    double all_off = 0, all_own = 0, row_off, row_own;
    for (int64_t r = 0; r < rows; r++) {
        row_squares(p, r, &row_off, &row_own);
        all_off += row_off / (double)rows;
        all_own += row_own / (double)rows;
    }
    const double own = sqrt(all_own);
    *off = sqrt(all_off) / (own > 0 ? own : 1);
    for (int64_t r = 0; r < rows; r++) {
        row_squares(p, r, &row_off, &row_own);
        const bool right =
            p->bound == 0 ? same_bits(p, r) : sqrt(row_off) <= row_slack * p->bound * own;
        if (!right) return r;
    }
    return p->bound == 0 || *off <= p->bound ? -1 : rows;
}

static rnl_status refuse(const checked *m, int64_t row, double off, rnl_error *error) {
    if (row == m->w->row_count)
        return status_fail(error, RNL_ERR_DATA,
                           "its products with blk.%d.%s are off by %.2g of their size", m->layer,
                           m->tensor, off);
    return status_fail(error, RNL_ERR_DATA,
                       "it multiplies wrongly: row %lld of blk.%d.%s differs from the CPU's",
                       (long long)row, m->layer, m->tensor);
}

static rnl_status check_one(stack_device *d, const compute *c, const checked *m, rnl_error *error) {
    const size_t cols = (size_t)m->w->col_count, rows = (size_t)m->w->row_count;
    product *p = malloc(sizeof *p);
    float *memory = malloc(INPUT_COUNT * (cols + 2 * rows) * sizeof *memory);
    rnl_status status = p != NULL && memory != NULL ? RNL_OK : RNL_ERR_MEMORY;
    if (status == RNL_OK) {
        random_state random;
        *p = (product){.ops = stack_device_row(d), .w = m->w, .exact = c->exact, .x = memory};
        p->y = p->x + INPUT_COUNT * cols;
        p->cpus = p->y + INPUT_COUNT * rows;
        random_seed(&random, 1);
        for (size_t i = 0; i < INPUT_COUNT * cols; i++)
            p->x[i] = (float)(2 * random_unit(&random) - 1);
        linear(c, m->w, NULL, p->x, cols, p->cpus, rows, INPUT_COUNT);
        stack_device_turn(d);
        status = stack_device_call(d, multiply, p, STACK_DEVICE_PATIENCE, error);
        stack_device_turn_over(d);
        double off = 0;
        int64_t wrong = -1;
        if (status == RNL_OK && p->bound < 0)
            status = status_fail(error, RNL_ERR_UNSUPPORTED,
                                 "it does not multiply by matrices like blk.%d.%s (%s, %zu x %zu)",
                                 m->layer, m->tensor, quant_describe(m->w->type)->name, rows, cols);
        else if (status == RNL_OK)
            wrong = judge(p, &off);
        if (wrong >= 0) status = refuse(m, wrong, off, error);
    } else {
        (void)status_fail(error, status, "memory for the check of a device is exhausted");
    }
    if (stack_device_hangs(d)) return status; /* its thread may be using them */
    free(memory);
    free(p);
    return status;
}

rnl_status stack_device_check(stack_device *d, const compute *c, const stack_weights *w,
                              rnl_error *error) {
    checked m = {0};
    const int count = find(w, -1, &m);
    const int places[CHECKED_COUNT] = {0, count / 2, count - 1};
    rnl_status status = RNL_OK;
    if (count == 0) return status_fail(error, RNL_ERR_UNSUPPORTED, "it has nothing to multiply by");
    for (int i = 0; i < CHECKED_COUNT && status == RNL_OK; i++) {
        (void)find(w, places[i], &m);
        status = check_one(d, c, &m, error);
    }
    return status;
}
