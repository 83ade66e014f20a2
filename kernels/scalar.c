/* The specification of every kernel, in portable C. Matrix products follow the law of kernels.h:
 * KERNELS_LANES running sums per output, column c to lane c % KERNELS_LANES, one fixed tree. */
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

#include "kernels/attention_inner.h"
#include "kernels/quant_inner.h"

enum {
    TILE_COLS = 256 /* columns dequantised at a time: one super-block, a multiple of every block */
};

/* Neighbours first: vector levels get this order from horizontal additions. */
static float lane_total(const float *s) {
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

/* Adds count columns to the lanes; the first of them is in lane 0. */
static void lanes_add(float *lanes, const float *a, const float *b, int64_t count) {
    for (int64_t c = 0; c < count; c++) lanes[c % KERNELS_LANES] += a[c] * b[c];
}

static float dot(const float *a, const float *b, int64_t count) {
    float lanes[KERNELS_LANES] = {0};
    lanes_add(lanes, a, b, count);
    return lane_total(lanes);
}

static void gemm(float *y, size_t y_stride, const float *w, size_t w_stride, int64_t row_count,
                 const float *x, size_t x_stride, int64_t x_count, int64_t col_count) {
    for (size_t t = 0; t < (size_t)x_count; t++)
        for (size_t r = 0; r < (size_t)row_count; r++)
            y[t * y_stride + r] = dot(w + r * w_stride, x + t * x_stride, col_count);
}

static void gemm_t(float *y, size_t y_stride, const float *w, size_t w_stride, int64_t row_count,
                   const float *x, size_t x_stride, size_t x_step, int64_t x_count,
                   int64_t col_count) {
    for (size_t t = 0; t < (size_t)x_count; t++)
        for (size_t r = 0; r < (size_t)row_count; r++) {
            const float factor = x[t * x_stride + r * x_step];
            for (int64_t c = 0; c < col_count; c++)
                y[t * y_stride + (size_t)c] += factor * w[r * w_stride + (size_t)c];
        }
}

static void gemv_any(quant_type type, float *y, const unsigned char *w, size_t row_size,
                     int64_t row_count, const float *x, int64_t col_count) {
    const quant_info *info = quant_describe((uint32_t)type);
    const size_t tile_size = (size_t)TILE_COLS / info->block_len * info->block_size;
    for (int64_t r = 0; r < row_count; r++, w += row_size) {
        float lanes[KERNELS_LANES] = {0}, tile[TILE_COLS];
        const unsigned char *p = w;
        for (int64_t c = 0; c < col_count; c += TILE_COLS, p += tile_size) {
            const int64_t left = col_count - c, count = left < TILE_COLS ? left : TILE_COLS;
            quant_dequantise(type, p, tile, count);
            lanes_add(lanes, tile, x + c, count);
        }
        y[r] = lane_total(lanes);
    }
}

#define GEMV(name, type)                                                                           \
    static void name(float *y, const void *w, size_t row_size, int64_t row_count, const float *x,  \
                     int64_t col_count, kernels_fetch fetch) {                                     \
        (void)fetch;                                                                               \
        gemv_any(type, y, w, row_size, row_count, x, col_count);                                   \
    }
GEMV(gemv_f32, QUANT_F32)
GEMV(gemv_f16, QUANT_F16)
GEMV(gemv_bf16, QUANT_BF16)
GEMV(gemv_q8_0, QUANT_Q8_0)
GEMV(gemv_q4_0, QUANT_Q4_0)
GEMV(gemv_q6_k, QUANT_Q6_K)
#undef GEMV

static float cached(kernels_cache type, const void *row, int64_t width, int64_t i) {
    if (type == KERNELS_CACHE_F32) return ((const float *)row)[i];
    if (type == KERNELS_CACHE_F16) return quant_f16_to_f32(((const uint16_t *)row)[i]);
    return (float)((const int8_t *)row)[i] * quant_f16_to_f32(attention_scale(row, width, i));
}

static void scores_any(kernels_cache type, float *scores, size_t stride, const float *q,
                       int64_t q_count, const unsigned char *keys, int64_t key_count,
                       int64_t width) {
    const size_t row_size = kernels_cache_row_size(type, width);
    for (int64_t j = 0; j < key_count; j++, keys += row_size)
        for (int64_t g = 0; g < q_count; g++) {
            float lanes[KERNELS_LANES] = {0};
            for (int64_t i = 0; i < width; i++)
                lanes[i % KERNELS_LANES] += q[g * width + i] * cached(type, keys, width, i);
            scores[(size_t)g * stride + (size_t)j] = lane_total(lanes);
        }
}

static void mix_any(kernels_cache type, float *out, const float *weights, size_t stride,
                    int64_t q_count, const unsigned char *values, int64_t value_count,
                    int64_t width) {
    const size_t row_size = kernels_cache_row_size(type, width);
    for (int64_t j = 0; j < value_count; j++, values += row_size)
        for (int64_t g = 0; g < q_count; g++)
            for (int64_t i = 0; i < width; i++)
                out[g * width + i] +=
                    weights[(size_t)g * stride + (size_t)j] * cached(type, values, width, i);
}

#define CACHE(name, type)                                                                          \
    static void scores_##name(float *scores, size_t stride, const float *q, int64_t q_count,       \
                              const void *keys, int64_t key_count, int64_t width) {                \
        scores_any(type, scores, stride, q, q_count, keys, key_count, width);                      \
    }                                                                                              \
    static void mix_##name(float *out, const float *weights, size_t stride, int64_t q_count,       \
                           const void *values, int64_t value_count, int64_t width) {               \
        mix_any(type, out, weights, stride, q_count, values, value_count, width);                  \
    }
CACHE(f32, KERNELS_CACHE_F32)
CACHE(f16, KERNELS_CACHE_F16)
CACHE(q8_0, KERNELS_CACHE_Q8_0)
#undef CACHE

static void store_f32(void *out, const float *x, int64_t count) {
    memcpy(out, x, (size_t)count * sizeof *x);
}
static void store_f16(void *out, const float *x, int64_t count) {
    uint16_t *halves = out;
    for (int64_t i = 0; i < count; i++) halves[i] = quant_f32_to_f16(x[i]);
}

static void axpy(float *y, float s, const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] += s * x[i];
}

static void scan(float *state, float decay, const float *q, const float *k, const float *v,
                 float *y, int64_t n, int64_t width) {
    for (int64_t i = 0; i < n; i++, state += width)
        for (int64_t j = 0; j < width; j++) {
            state[j] = decay * state[j] + k[i] * v[j];
            y[j] += q[i] * state[j];
        }
}

static void rms_norm(float *y, const float *x, const float *g, float eps, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)x[i] * x[i];
    const float scale = (float)(1.0 / sqrt(sum / (double)count + eps));
    for (int64_t i = 0; i < count; i++) y[i] = x[i] * scale * g[i];
}

static void layer_norm(float *y, const float *x, const float *g, const float *b, float eps,
                       int64_t count) {
    double sum = 0, square_sum = 0;
    for (int64_t i = 0; i < count; i++) sum += x[i];
    const double mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) square_sum += (x[i] - mean) * (x[i] - mean);
    const double scale = 1.0 / sqrt(square_sum / (double)count + eps);
    for (int64_t i = 0; i < count; i++) y[i] = (float)((x[i] - mean) * scale) * g[i] + b[i];
}

static void silu(float *y, const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] = x[i] / (1.0f + expf(-x[i]));
}

static void silu_mul(float *y, const float *a, const float *b, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] = a[i] / (1.0f + expf(-a[i])) * b[i];
}

static void silu_mul_back(float *a, float *b, const float *d, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        const float s = 1.0f / (1.0f + expf(-a[i])), up = d[i] * s;
        const float da = up * b[i] * (1.0f + a[i] * (1.0f - s));
        b[i] = up * a[i];
        a[i] = da;
    }
}

static void gelu(float *y, const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        y[i] = x[i] * 0.5f * (1.0f + erff(x[i] * 0.70710678118654752440f));
}

static void softmax(float *x, int64_t count, double *log_sum) {
    float max = x[0];
    for (int64_t i = 1; i < count; i++) max = x[i] > max ? x[i] : max;
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += x[i] = expf(x[i] - max);
    if (log_sum != NULL) *log_sum = (double)max + log(sum);
    const float scale = (float)(1.0 / sum);
    for (int64_t i = 0; i < count; i++) x[i] *= scale;
}

const kernels kernels_scalar = {
    .name = "scalar",
    .dequantise = quant_dequantise,
    .gemv =
        {
            [QUANT_F32] = gemv_f32,
            [QUANT_F16] = gemv_f16,
            [QUANT_BF16] = gemv_bf16,
            [QUANT_Q8_0] = gemv_q8_0,
            [QUANT_Q4_0] = gemv_q4_0,
            [QUANT_Q6_K] = gemv_q6_k,
        },
    .gemm = gemm,
    .gemm_t = gemm_t,
    .scores = {scores_f32, scores_f16, scores_q8_0},
    .mix = {mix_f32, mix_f16, mix_q8_0},
    .store = {store_f32, store_f16},
    .dot = dot,
    .axpy = axpy,
    .scan = scan,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .silu = silu,
    .silu_mul = silu_mul,
    .silu_mul_back = silu_mul_back,
    .gelu = gelu,
    .softmax = softmax,
};
