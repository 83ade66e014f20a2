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

#include "kernels/fetch.h"
#include "kernels/packed.h"
#include "kernels/quant.h"

enum {
    KERNELS_LANES = 8,
    KERNELS_ROWS = 8,         /* rows of a panel that gemm takes at once */
    KERNELS_STORED_ROWS = 32, /* rows that gemm_stored takes at once */
    KERNELS_MANY_ROWS = 32,   /* rows that multiply_turned takes at once */
    KERNELS_TILE = 12,        /* inputs that lie side by side for it */
    KERNELS_BF16_ROWS = 32,   /* rows that multiply_bf16 takes at once */
    KERNELS_BF16_COLS = 32,   /* its rows are whole blocks of so many columns */
    /* Room that multiply wants: a piece of a slab unpacked for the inner loop. */
    KERNELS_SCRATCH_SIZE = 64 * 1024
};

/* Inputs of a product, rounded in blocks of 32 columns with one scale each. Codes of up to six bits
 * meet eight bits, x[c] ~ codes[c] * scales[c / 32]; Q8_0, which is chosen for its precision, meets
 * sixteen: x[c] ~ wide[c] * wide_scales[c / 32]. Rows of all arrays follow each other without gaps;
 * what the type at hand does not read may be NULL. */
typedef struct kernels_input {
    int64_t col_count;   /* a multiple of 32 */
    const int8_t *codes; /* [count, col_count] in [-127, 127] */
    /* [count, col_count / 32, 4] sums of codes: of columns 0 .. 15 of the block with c % 4 < 2 and
     * of the others, then the same of all 32 columns */
    const int16_t *sums;
    const int32_t *offsets; /* [count, col_count / 32] see kernels_offsets */
    const float *scales;    /* [count, col_count / 32] */
    const int16_t
        *wide; /* [count, col_count] in [-32767, 32767]; of four columns in order 0 2 1 3 */
    const float *wide_scales; /* [count, col_count / 32] */
    const uint16_t *bf16;     /* [count, col_count] the inputs in BF16, for multiply_tiles */
    /* While a slab is multiplied, levels may fetch the one whose turn is next, `ahead` bytes behind
     * it. No bit depends on either, and what lies there need not exist. */
    size_t ahead;
    kernels_fetch fetch;
} kernels_input;
/* What the sums of a block's codes come to with weights of -8, for types whose codes are moved by
 * that much or by 2 or 16 times it, and for minima: offsets[b] from sums[4 * b ...], b <
 * block_count. */
static inline void kernels_offsets(const int16_t *sums, int64_t block_count, int32_t *offsets) {
    for (int64_t b = 0; b < block_count; b++) offsets[b] = -8 * (sums[4 * b + 2] + sums[4 * b + 3]);
}
/* Whether products with this packed type read wide. */
static inline bool kernels_is_wide(quant_type type) {
    return type == QUANT_Q8_0;
}

/* How keys and values are kept. A row of Q8_0 is the codes of all its values and then, as halves,
 * the scales of its blocks of 32: value i = codes[i] * scales[i / 32], which float32 holds exactly.
 * Rows of Q8_0 have a multiple of 32 values. */
typedef enum kernels_cache {
    KERNELS_CACHE_F32,
    KERNELS_CACHE_F16,
    KERNELS_CACHE_Q8_0,
    KERNELS_CACHE_COUNT
} kernels_cache;
enum { KERNELS_CACHE_BLOCK = PACKED_BLOCK }; /* rounded as inputs of products are */
static inline size_t kernels_cache_row_size(kernels_cache type, int64_t width) { /* bytes */
    const size_t n = (size_t)width;
    if (type == KERNELS_CACHE_Q8_0) return n + n / KERNELS_CACHE_BLOCK * sizeof(uint16_t);
    return n * (type == KERNELS_CACHE_F32 ? sizeof(float) : sizeof(uint16_t));
}

typedef struct kernels {
    const char *name; /* one of kernels_level_names */

    /* out[c] = row c of a stored row as float32. Same bits in every level. */
    void (*dequantise)(quant_type type, const void *row, float *out, int64_t count);

    /* y[r] = sum_c w[r, c] * x[c] for r < row_count rows of the stored type, row_size bytes apart.
     * fetch: where the rows that come next are asked for meanwhile, also behind the last (no bit
     * depends on it). NULL for types without a direct kernel: the caller then dequantises and uses
     * gemm. */
    void (*gemv[QUANT_TYPE_CAP])(float *y, const void *w, size_t row_size, int64_t row_count,
                                 const float *x, int64_t col_count, kernels_fetch fetch);

    /* y[t * y_stride + r] = sum_c w[r * w_stride + c] * x[t * x_stride + c]
     * r < row_count <= KERNELS_ROWS, t < x_count; w are float32 rows (a dequantised panel).
     * No alignment or padding is asked of any pointer; nothing beyond col_count is read. */
    void (*gemm)(float *y, size_t y_stride, const float *w, size_t w_stride, int64_t row_count,
                 const float *x, size_t x_stride, int64_t x_count, int64_t col_count);

    /* The same of rows of a float type as they are stored, row_size bytes apart, r < row_count <=
     * KERNELS_STORED_ROWS, with gemm's bits; w needs no alignment, and fetch is gemv's. NULL for
     * other types and where a level gains nothing: the caller then makes panels. */
    void (*gemm_stored[QUANT_TYPE_CAP])(float *y, size_t y_stride, const void *w, size_t row_size,
                                        int64_t row_count, const float *x, size_t x_stride,
                                        int64_t x_count, int64_t col_count, kernels_fetch fetch);

    /* The same with many inputs, with gemm's bits, in two steps; NULL where a level gains nothing.
     * First rows of a panel are turned, up to KERNELS_ROWS at a time, from `row`, a multiple of
     * them, on. turned: KERNELS_MANY_ROWS times col_count floats, rounded up to whole
     * KERNELS_LANES columns, aligned to 64. */
    void (*turn)(float *turned, int64_t row, const float *w, size_t w_stride, int64_t row_count,
                 int64_t col_count);
    /* y[t * KERNELS_MANY_ROWS + r] of all rows, when all have been turned: what stands for others
     * means nothing. tiled [tiles, KERNELS_LANES, steps, KERNELS_TILE]: the inputs, KERNELS_TILE of
     * them to a tile, column c at lane c % KERNELS_LANES and step c / KERNELS_LANES; missing
     * columns are 0, missing inputs are not read. */
    void (*multiply_turned)(float *y, const float *turned, const float *tiled, int64_t x_count,
                            int64_t col_count);

    /* The product by the transpose, which gradients need:
     * y[t * y_stride + c] += sum_r x[t * x_stride + r * x_step] * w[r * w_stride + c]
     * r < row_count, t < x_count, c < col_count; w are float32 rows. Another law than gemm's: each
     * output is one running sum, from what y holds, r ascending, each a multiply-add. So its bits
     * depend neither on what stands beside it nor on where the rows of w are cut into calls. */
    void (*gemm_t)(float *y, size_t y_stride, const float *w, size_t w_stride, int64_t row_count,
                   const float *x, size_t x_stride, size_t x_step, int64_t x_count,
                   int64_t col_count);

    /* One row of a kernels_input: code = x * (127 / largest) rounded to nearest even, scale =
     * largest / 127, of each block's largest magnitude. A block below 1e-30 everywhere becomes 0;
     * one with a NaN or infinity gets codes 0 and scale NaN, which shows in every output. */
    void (*quantise)(const float *x, int64_t col_count, int8_t *codes, int16_t *sums,
                     float *scales);
    /* The same with 32767 for 127. */
    void (*quantise_wide)(const float *x, int64_t col_count, int16_t *wide, float *scales);

    /* y[t * PACKED_ROWS + r] = row r of a packed slab times input t, t in [0, x_count); NULL for
     * types that are not packed. x is the first of the inputs. The law of these products: sums of
     * code products are exact integers, and then, in float32 with fused steps, block by block
     *
     *     p = fma(sum, x scale, p)     over the blocks of a super-block, from 0
     *     y = fma(d, p, y)             and for types with minima likewise, p from sums of x
     *
     * so every level gives the same bits, alone or in a batch. scratch:
     * KERNELS_SCRATCH_SIZE bytes aligned to 64, dead between calls. */
    void (*multiply[QUANT_TYPE_CAP])(float *y, const unsigned char *slab, const kernels_input *x,
                                     int64_t x_count, unsigned char *scratch);

    /* The same of two slabs of one type and width at once, with the same bits, for batches:
     * y[s][t * PACKED_ROWS + r], s < 2. NULL where a level gains nothing by it. x.ahead holds for
     * each of the two. */
    void (*multiply_pair[QUANT_TYPE_CAP])(float *const *y, const unsigned char *const *slabs,
                                          const kernels_input *x, int64_t x_count);

    /* One row of bf16: x rounded to nearest even, subnormal numbers to 0. col_count is a multiple
     * of KERNELS_BF16_COLS. NULL where multiply_tiles and multiply_bf16 are. */
    void (*quantise_bf16)(const float *x, int64_t col_count, uint16_t *bf16);

    /* The same products by matrix tiles, for batches long enough to pay for unpacking; NULL where
     * there are none (all levels but amx). Reads x.bf16 alone. y[s][t * PACKED_ROWS + r] for
     * slabs s < slab_count, 1 or 2, of one type and width. Another arithmetic than multiply:
     * weights and inputs are rounded to BF16 and their products summed in float32, so that
     *
     *     |y - sum_c w[c] x[c]| <= (2^-7 + 2^-16 + (cols / 2 + 2) 2^-23) sum_c |w[c] x[c]| + tiny
     *
     * where tiny is 2^-126 (sum |w| + sum |x| + cols), as subnormal numbers count as 0. What is not
     * finite in multiply is not finite here either. An output's bits depend neither on x_count and
     * its place in it, nor on the slab beside it. */
    void (*multiply_tiles[QUANT_TYPE_CAP])(float *const *y, const unsigned char *const *slabs,
                                           int slab_count, const kernels_input *x, int64_t x_count,
                                           unsigned char *scratch);

    /* y[t * KERNELS_BF16_ROWS + r] = rows r < row_count <= KERNELS_BF16_ROWS of a float type as
     * they are stored, row_size bytes apart, times x_count inputs in BF16, x_stride apart (what
     * stands in y for missing rows means nothing). col_count is a multiple of KERNELS_BF16_COLS;
     * fetch as in gemv, a hint. Weights are rounded to BF16 as well: the bound of multiply_tiles,
     * the same independence, its scratch. NULL for other types, and in levels without BF16. */
    void (*multiply_bf16[QUANT_TYPE_CAP])(float *y, const void *w, size_t row_size,
                                          int64_t row_count, const uint16_t *x, size_t x_stride,
                                          int64_t x_count, int64_t col_count, kernels_fetch fetch,
                                          unsigned char *scratch);

    /* gemm_t with w rounded to BF16 (subnormal numbers to 0), x in BF16 and their products summed
     * in float32; with tiny as for multiply_tiles
     *
     *     |y - sum| <= (2^-7 + 2^-16 + (rows / 2 + 2) 2^-23) (|y before| + sum_r |x w|) + tiny
     *
     * Inputs are x_stride apart, and 0 from row_count to the next multiple of KERNELS_BF16_COLS.
     * An output's bits depend neither on what stands beside it nor on where the rows of w are cut
     * into calls, at multiples of KERNELS_BF16_COLS. NULL in levels without BF16. */
    void (*gemm_t_bf16)(float *y, size_t y_stride, const float *w, size_t w_stride,
                        int64_t row_count, const uint16_t *x, size_t x_stride, int64_t x_count,
                        int64_t col_count);

    /* Attention of q_count query heads that share a key/value head, over rows of a cache:
     *     scores[g * stride + j] = sum_i q[g * width + i] * keys[j * width + i], as dot() sums
     *     out[g * width + i] += sum_j weights[g * stride + j] * values[j * width + i], j ascending
     * A head's bits do not depend on its neighbours. */
    void (*scores[KERNELS_CACHE_COUNT])(float *scores, size_t stride, const float *q,
                                        int64_t q_count, const void *keys, int64_t key_count,
                                        int64_t width);
    void (*mix[KERNELS_CACHE_COUNT])(float *out, const float *weights, size_t stride,
                                     int64_t q_count, const void *values, int64_t value_count,
                                     int64_t width);
    /* A row of the cache from x. Q8_0: codes and scales as quantise gives them, the scales then
     * rounded to halves. Same bits in every level. */
    void (*store[KERNELS_CACHE_COUNT])(void *out, const float *x, int64_t count);

    /* sum_c a[c] * b[c], in the lanes and tree of the law above. */
    float (*dot)(const float *a, const float *b, int64_t count);
    /* y[i] += s * x[i] */
    void (*axpy)(float *y, float s, const float *x, int64_t count);
    /* A step of a scan (learn.md 6.3) over a state [n, width]:
     *     state[i, j] = decay * state[i, j] + k[i] * v[j]
     *     y[j] += q[i] * state[i, j], i ascending
     * The product by decay is rounded first; the others are multiply-adds. The bits of a column do
     * not depend on its neighbours. */
    void (*scan)(float *state, float decay, const float *q, const float *k, const float *v,
                 float *y, int64_t n, int64_t width);
    /* y[i] = x[i] * g[i] / sqrt(mean(x^2) + eps); squares summed in double. y may be x. */
    void (*rms_norm)(float *y, const float *x, const float *g, float eps, int64_t count);
    /* y[i] = (x[i] - mean) / sqrt(var + eps) * g[i] + b[i]; sums in double. y may be x. */
    void (*layer_norm)(float *y, const float *x, const float *g, const float *b, float eps,
                       int64_t count);
    /* y[i] = x[i] / (1 + exp(-x[i])). y may be x. exp is good to 2 ulp in every level. */
    void (*silu)(float *y, const float *x, int64_t count);
    /* y[i] = silu(a[i]) * b[i]. y may be a or b. */
    void (*silu_mul)(float *y, const float *a, const float *b, int64_t count);
    /* Backward of silu_mul, in place: a[i] <- d[i] b[i] s (1 + a[i] (1 - s)), b[i] <- d[i] a[i] s,
     * s = 1 / (1 + exp(-a[i])): from gradients d of its outputs to those of a and b. */
    void (*silu_mul_back)(float *a, float *b, const float *d, int64_t count);
    /* y[i] = x[i] / 2 * (1 + erf(x[i] / sqrt 2)), the exact form, to 2^-22 |x[i]|; 0 where x[i] is
     * -6 or less (of -infinity 0 or NaN). y may be x. */
    void (*gelu)(float *y, const float *x, int64_t count);
    /* x <- softmax(x), in place, maximum subtracted. count >= 1. log_sum, or NULL: the logarithm of
     * the sum of exp(x). */
    void (*softmax)(float *x, int64_t count, double *log_sum);
} kernels;

extern const kernels kernels_scalar;

/* What this CPU and its system can run: bits of KERNELS_CPU_*. */
enum {
    KERNELS_CPU_AVX2 = 1u << 0,    /* AVX2 + FMA + F16C */
    KERNELS_CPU_AVXVNNI = 1u << 1, /* AVX-VNNI: dot products of bytes, 256 bits */
    KERNELS_CPU_AVX512 = 1u << 2,  /* AVX-512 F, BW, DQ, VL and VNNI */
    KERNELS_CPU_AMX = 1u << 3,     /* AMX tiles of BF16, AVX-512 BF16 */
    KERNELS_CPU_BF16 = 1u << 4,    /* AVX-512 BF16 */
    KERNELS_CPU_NEON = 1u << 8,    /* 64-bit ARM */
    KERNELS_CPU_DOTPROD = 1u << 9, /* sdot, udot */
    KERNELS_CPU_I8MM = 1u << 10,   /* smmla, usdot */
    /* Round floats in long batches, so that nobody gets their levels without naming one. */
    KERNELS_CPU_ROUNDS = KERNELS_CPU_AMX | KERNELS_CPU_BF16
};
unsigned kernels_cpu_features(void);

/* Sizes in bytes of the data caches that belong to one core; 0: the processor does not say. */
typedef struct kernels_caches {
    size_t l1, l2;
} kernels_caches;
/* As CPUID tells them; on ARM, where programs may not ask the processor, as Linux does: short files
 * of /sys/devices/system/cpu/cpu0/cache are read. */
kernels_caches kernels_cpu_caches(void);
/* Where weights are best fetched to, by these sizes. */
kernels_fetch kernels_fetch_for(kernels_caches caches);

/* The features given, without those that the system refuses: it is asked for what it grants only on
 * demand, the tiles of KERNELS_CPU_AMX, for the whole process and for good. Their kernels must not
 * run before. */
unsigned kernels_allowed(unsigned features);

/* The features of a level by name ("scalar", "avx2", ...) among those given: what remains when all
 * higher levels are taken away. False when there is no such level or a feature of it is missing. */
bool kernels_level(const char *name, unsigned available, unsigned *features);
/* Every level's name, NULL-terminated, lowest first. */
extern const char *const kernels_level_names[];

/* Fills the table with the best entries for the features given, lowest level first. */
void kernels_select(kernels *k, unsigned features);

#endif
