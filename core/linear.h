/* Matrix products over the pool: kernels + weights + threads. Two ways of computing:
 *
 *   packed   weights in slabs, inputs rounded to integers, integer products (kernels/packed.h)
 *   exact    weights as stored, inputs in float32
 *
 * The first is taken for every matrix that was packed, unless compute.exact; float types are exact.
 * Levels that round floats may do either in BF16, where compute.bf16 lets them. In all, the bits
 * of an output depend neither on count, nor on its place in the batch, nor on the number of
 * threads. */
#ifndef CORE_LINEAR_H
#define CORE_LINEAR_H

#include "core/arena.h"
#include "core/pool.h"
#include "core/tensor.h"
#include "kernels/kernels.h"

/* What an adapter (LoRA, learn.md 5.3) adds to a product: y += scale * up (down x). It is computed
 * in float32 whatever way the product went, so that a row has the same bits beside any others. */
typedef struct linear_pair {
    matrix down; /* [rank, col_count] of the tensor, as is */
    matrix up;   /* [row_count, rank] */
    float scale;
    struct linear_pair *next; /* what is added to the same tensor behind it; NULL: nothing */
} linear_pair;

enum { LINEAR_RANK_MAX = 1024 };

typedef struct linear_adapter {
    linear_pair **pairs; /* by matrix.tensor - 1; NULL: nothing is added */
} linear_adapter;

/* Rows of a product, one span behind the other, and what is added to them. */
typedef struct linear_span {
    const linear_adapter *adapter; /* NULL: nothing */
    float scale;                   /* of all it adds */
    int64_t count;                 /* rows; the last span has all that are left */
} linear_span;

/* What a stage needs to compute: lent to every call, owned by the session. */
typedef struct compute {
    pool *pool;
    const kernels *k; /* set before compute_layout for the scratch of bf16 */
    bool exact;       /* float32 inputs for every matrix; set before compute_layout */
    bool bf16;        /* products by multiply_tiles and multiply_bf16 where the level has them.
                       * Their bits are others: whoever sets it says for which calls of a stage */
    bool many;        /* room for products with many inputs: faster, with the same bits. Set before
                       * compute_layout */
    bool bf16_any;    /* with bf16: stored types that have no such kernel as well, by panels of
                       * floats. Set before compute_layout */
    kernels_fetch fetch; /* where what is multiplied next is asked for ahead */
    size_t block_size;   /* bytes of rounded inputs multiplied at a time: with what else a thread
                        * touches they should stay in its second-level cache. Set before
                        * compute_layout; 0: LINEAR_BLOCK_SIZE */
    /* Whose rows a product has, in the calls of a stage that adapters change: whoever sets it says
     * for which. NULL: nothing is added. linear_groups and linear_gated_groups look away. */
    const linear_span *spans;
    int span_count;
    int rank_cap;      /* most rows of a `down`; set before compute_layout; 0: no adapters */
    float *lowered;    /* [LINEAR_TASK_CAP, rows of a block, rank_cap] down x, scratch */
    float *panel;      /* [thread_count, KERNELS_ROWS, panel_cols] dequantised weights, scratch */
    size_t panel_cols; /* widest matrix of the model, rounded up to 16 */
    float *turned;     /* [thread_count, KERNELS_MANY_ROWS, panel_cols]; NULL without many, and
                        * where the level gains nothing by it */
    float *tiled;      /* [LINEAR_MANY, panel_cols] inputs side by side; NULL without many */

    /* Scratch of packed products; none with exact. */
    unsigned char *pieces; /* [thread_count, KERNELS_SCRATCH_SIZE] */
    int8_t *codes;         /* a block of rounded inputs, as all below: see kernels_input */
    int16_t *sums, *wide;  /* wide is bf16 with multiply_tiles */
    int32_t *offsets;
    float *scales, *wide_scales;
    uint16_t *rounded; /* inputs of multiply_bf16; NULL where there is none */
    float *bf16_panel; /* [thread_count, KERNELS_BF16_ROWS, panel_cols]; NULL without bf16_any */
} compute;

enum { LINEAR_BLOCK_SIZE = 256 * 1024 };

/* Places the scratch. col_cap: the largest col_count that linear() will meet. */
void compute_layout(compute *c, int thread_count, int64_t col_cap, arena *a);

/* Whether bf16 would change a bit of some product. */
bool compute_rounds(const compute *c);

/* y[t * y_stride + r] = bias[r] + sum_c w[r, c] x[t * x_stride + c], t < count.
 * bias [row_count] or NULL. x and y do not overlap. */
void linear(const compute *c, const matrix *w, const float *bias, const float *x, size_t x_stride,
            float *y, size_t y_stride, int64_t count);

/* The same, added to y (a residual): y += bias + W x. */
void linear_add(const compute *c, const matrix *w, const float *bias, const float *x,
                size_t x_stride, float *y, size_t y_stride, int64_t count);

/* Several matrices on one input: rounded once, shared out once. */
typedef struct linear_task {
    const matrix *w;
    const float *bias; /* or NULL */
    float *y;
    size_t y_stride;
} linear_task;
enum { LINEAR_TASK_CAP = 4 };
void linear_all(const compute *c, const linear_task *tasks, int task_count, const float *x,
                size_t x_stride, int64_t count);

/* y = silu(gate x) * (up x): the wide half of a gated feed-forward part. y [count, gate rows];
 * raised: scratch of the same shape. */
void linear_gated(const compute *c, const matrix *gate, const matrix *up, const float *x,
                  size_t x_stride, float *y, float *raised, int64_t count);

/* Several matrices of one shape and type, each for rows of its own: those of the first, then those
 * of the second ... (experts, which different positions have chosen). Never by bf16: whoever
 * lends c has switched it off. */
typedef struct linear_group {
    const matrix *w;  /* of linear_groups */
    const matrix *up; /* beside it in linear_gated_groups; else NULL */
    int64_t count;    /* rows, >= 1 */
} linear_group;
enum { LINEAR_GROUP_ROWS = 128 /* of all groups together, never more */ };
/* Most rows of all groups together that matrices of so many columns take: [1,
 * LINEAR_GROUP_ROWS]. */
int64_t linear_group_rows(const compute *c, int64_t col_count);

/* Row i of all groups is x + index[i] * x_stride; NULL: x + i * x_stride. gathered [rows,
 * col_count] is scratch for an index, and may be NULL without. */
typedef struct linear_rows {
    const float *x;
    size_t x_stride;
    const int32_t *index;
    float *gathered;
} linear_rows;

/* y[i] = W x[i], y [rows, row_count]. Each row has the bits that linear() gives it. */
void linear_groups(const compute *c, const linear_group *groups, int group_count,
                   const linear_rows *rows, float *y);
/* y[i] = silu(W x[i]) * (U x[i]); raised: scratch of y's shape. As linear_gated(). */
void linear_gated_groups(const compute *c, const linear_group *groups, int group_count,
                         const linear_rows *rows, float *y, float *raised);

/* Inputs side by side in c->tiled, KERNELS_TILE of them: [tiles, lanes, steps, KERNELS_TILE] has
 * the number of column c at lane c % lanes and step c / lanes; there are as many steps as the
 * columns need, and missing columns are 0. count <= LINEAR_MANY. */
enum { LINEAR_MANY = 516 };
void linear_tile(const compute *c, const float *x, size_t x_stride, int64_t count,
                 int64_t col_count, int64_t lanes);
/* Inputs in BF16 in c->rounded, which with many has room for LINEAR_MANY of panel_cols columns.
 * Returns how many numbers apart they are; whole KERNELS_BF16_COLS, and beyond the columns 0. */
size_t linear_round_bf16(const compute *c, const float *x, size_t x_stride, int64_t count,
                         int64_t col_count);

/* out[0 .. col_count) = row r of the matrix as float32 (an embedding). */
void matrix_row(const compute *c, const matrix *w, int64_t row, float *out);

#endif
