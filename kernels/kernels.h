/* The table of arithmetic: functions on raw pointers without state, threads or allocation.
 * scalar.c is the specification of every entry; a faster level only replaces entries.
 *
 * One law for matrix products: each output is made of KERNELS_LANES running sums, sum l taking the
 * columns c with c % KERNELS_LANES == l in ascending order, each a multiply-add of the weight as
 * float32 (dequantised, rounded once) and the input; the sums are then added in one fixed tree.
 * So an output has the same bits whether it is computed alone (gemv) or in a batch (gemm), whatever
 * rows or inputs stand beside it, and in any number of threads. Levels differ from each other in
 * rounding (a fused multiply-add or two roundings), never within themselves. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/quant.h"

enum {
    KERNELS_LANES = 8,
    KERNELS_ROWS = 4 /* rows of a panel that gemm takes at once */
};

typedef struct kernels {
    const char *name; /* "scalar", "avx2" */

    /* out[c] = row c of a stored row as float32. Same bits in every level. */
    void (*dequantise)(quant_type type, const void *row, float *out, int64_t count);

    /* y[r] = sum_c w[r, c] * x[c] for r < row_count rows of the stored type, row_size bytes apart.
     * NULL for types without a direct kernel: the caller then dequantises and uses gemm. */
    void (*gemv[QUANT_TYPE_CAP])(float *y, const void *w, size_t row_size, int64_t row_count,
                                 const float *x, int64_t col_count);

    /* y[t * y_stride + r] = sum_c w[r * w_stride + c] * x[t * x_stride + c]
     * r < row_count <= KERNELS_ROWS, t < x_count; w are float32 rows (a dequantised panel).
     * No alignment or padding is asked of any pointer; nothing beyond col_count is read. */
    void (*gemm)(float *y, size_t y_stride, const float *w, size_t w_stride, int64_t row_count,
                 const float *x, size_t x_stride, int64_t x_count, int64_t col_count);

    /* sum_c a[c] * b[c], in the lanes and tree of the law above. */
    float (*dot)(const float *a, const float *b, int64_t count);
    /* y[i] += s * x[i] */
    void (*axpy)(float *y, float s, const float *x, int64_t count);
    /* y[i] = x[i] * g[i] / sqrt(mean(x^2) + eps); squares summed in double. y may be x. */
    void (*rms_norm)(float *y, const float *x, const float *g, float eps, int64_t count);
    /* y[i] = (x[i] - mean) / sqrt(var + eps) * g[i] + b[i]; sums in double. y may be x. */
    void (*layer_norm)(float *y, const float *x, const float *g, const float *b, float eps,
                       int64_t count);
    /* y[i] = x[i] / (1 + exp(-x[i])). y may be x. exp is good to 2 ulp in every level. */
    void (*silu)(float *y, const float *x, int64_t count);
    /* y[i] = silu(a[i]) * b[i]. y may be a or b. */
    void (*silu_mul)(float *y, const float *a, const float *b, int64_t count);
    /* x <- softmax(x), in place, maximum subtracted. count >= 1. */
    void (*softmax)(float *x, int64_t count);
} kernels;

extern const kernels kernels_scalar;

/* What this CPU and its system can run: bits of KERNELS_CPU_*. */
enum { KERNELS_CPU_AVX2 = 1u << 0 /* AVX2 + FMA + F16C */ };
unsigned kernels_cpu_features(void);

/* Fills the table with the best entries for the features given, lowest level first. */
void kernels_select(kernels *k, unsigned features);

#endif
