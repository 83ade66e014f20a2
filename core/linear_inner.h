/* What the parts of linear.h share: linear.c (dispatch, exact), linear_packed.c, linear_bf16.c and
 * linear_lora.c. */
#ifndef CORE_LINEAR_INNER_H
#define CORE_LINEAR_INNER_H

#include <string.h>

#include "core/linear.h"

/* One call of linear(), linear_add(), linear_all() or linear_gated(). */
typedef struct product {
    const compute *c;
    linear_task tasks[LINEAR_TASK_CAP];
    int task_count;
    const float *x;
    size_t x_stride;
    int64_t count;
    bool adds;  /* y += instead of y = */
    bool gates; /* two tasks of one shape; the first's y = silu(first) * second */
} product;

static inline void product_store_some(float *restrict y, const float *restrict sums,
                                      const float *restrict bias, int64_t count, bool adds) {
    if (bias != NULL && adds)
        for (int64_t i = 0; i < count; i++) y[i] += bias[i] + sums[i];
    else if (bias != NULL)
        for (int64_t i = 0; i < count; i++) y[i] = bias[i] + sums[i];
    else if (adds)
        for (int64_t i = 0; i < count; i++) y[i] += sums[i];
    else
        memcpy(y, sums, (size_t)count * sizeof *y);
}

/* y[0 .. count) from sums and bias (or NULL), in the order y + (bias + sum); none overlap. Usual
 * counts are spelled out: of a count that the compiler knows it makes vectors, of others loops and
 * calls. */
static inline void product_store(float *y, const float *sums, const float *bias, int64_t count,
                                 bool adds) {
    if (count == PACKED_ROWS)
        product_store_some(y, sums, bias, PACKED_ROWS, adds);
    else if (count == KERNELS_ROWS)
        product_store_some(y, sums, bias, KERNELS_ROWS, adds);
    else
        product_store_some(y, sums, bias, count, adds);
}

/* Whether this matrix is multiplied as slabs. */
static inline bool linear_is_packed(const compute *c, const matrix *w) {
    return w->packed != NULL && !c->exact && c->k->multiply[w->type] != NULL;
}

static inline int64_t linear_slab_count(const matrix *w) {
    return (w->row_count + PACKED_ROWS - 1) / PACKED_ROWS;
}

static inline const unsigned char *linear_slab_at(const matrix *w, int64_t slab) {
    return w->packed->slabs + (size_t)(w->slab + slab) * w->packed->slab_size;
}

/* A block of rounded inputs that slabs meet. */
typedef struct slab_inputs {
    const compute *c;
    kernels_input input;
    int64_t count;            /* rows */
    bool rounds, rounds_wide; /* which of the two inputs the types at hand read */
    bool tiles;               /* or bf16 */
    bool pairs;               /* two slabs at once: every packed type of the level can */
} slab_inputs;

/* The scratch of compute as a block of rows of so many columns; nothing is rounded yet. */
kernels_input linear_input(const compute *c, int64_t col_count);
/* Says which input a type reads. */
static inline void linear_note_type(slab_inputs *in, quant_type type) {
    if (kernels_is_wide(type))
        in->rounds_wide = true;
    else
        in->rounds = true;
}
/* Rounds x to row t of the block. */
void linear_round(const slab_inputs *in, const float *x, int64_t t);
/* Rows of a block that rounds to all that types read, of so many columns, at the most. */
int64_t linear_block_rows(const compute *c, int64_t col_count);
/* sums[s] [count, PACKED_ROWS] of one slab or two of one type; returns how many were taken. */
int linear_slabs(const slab_inputs *in, quant_type type, const unsigned char *const *slabs,
                 int count, int thread_index, float *const *sums);
/* Two slabs beside each other, of gate and up: first = silu(first) * second. */
void linear_gated_slab(const slab_inputs *in, const matrix *gate, const matrix *up, int64_t slab,
                       int thread_index, float *first, float *second);

enum { LINEAR_PAIR_ROWS_MIN = 3 /* fewer gain nothing by pairs of slabs */ };

/* Scratch of the packed half. */
void linear_packed_layout(compute *c, int thread_count, int64_t col_cap, arena *a);
/* Every task's matrix is packed and has the same col_count. */
void linear_packed(const product *p);

/* Scratch for what adapters add. */
void linear_lora_layout(compute *c, arena *a);
/* Whether some row of the product has something added. */
bool linear_is_adapted(const product *p);
/* Adds it, to outputs that are there; gates are left raw. */
void linear_lora(const product *p);

/* Scratch for float weights in BF16. */
void linear_bf16_layout(compute *c, int thread_count, int64_t col_cap, arena *a);
/* Whether this matrix is multiplied by linear_bf16. */
bool linear_takes_bf16(const compute *c, const matrix *w);
/* Every task's matrix is one of those, and has the same col_count. Gates are left raw. */
void linear_bf16(const product *p);

#endif
