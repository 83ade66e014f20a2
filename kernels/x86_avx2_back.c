/* AVX2: the product by the transpose. One running sum an output, so columns lie side by side in the
 * lanes and nothing is added across:
 *
 *     w    | row r: c .. c + 7 | c + 8 .. c + 15 |
 *     x    | one number, in every lane           |   of each of six inputs
 *     sums | six inputs of 16 columns: 12 registers
 *
 * The numbers of a tile are put side by side first, a piece of the rows at a time, so that every
 * step finds them at constant places, unless they lie so. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 6")

enum { TILE_INPUTS = 6, TILE_COLS = 16, PIECE_ROWS = 128 };

/* The first count lanes, 0 <= count <= 8. */
INLINE __m256i mask_of(int64_t count) {
    static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    const int64_t left = count < 0 ? 0 : count < 8 ? count : 8;
    return _mm256_loadu_si256((const __m256i *)(const void *)(window + 8 - left));
}

/* The numbers of some inputs, those of a row side by side. */
typedef struct numbers {
    const float *x;
    size_t step; /* from row to row */
} numbers;

INLINE void tile(int inputs, float *y, size_t y_stride, const float *w, size_t w_stride,
                 int64_t row_count, numbers of) {
    __m256 s[TILE_INPUTS][2];
    UNROLL for (int t = 0; t < inputs; t++) {
        s[t][0] = _mm256_loadu_ps(y + (size_t)t * y_stride);
        s[t][1] = _mm256_loadu_ps(y + (size_t)t * y_stride + 8);
    }
    for (int64_t r = 0; r < row_count; r++, w += w_stride, of.x += of.step) {
        const __m256 first = _mm256_loadu_ps(w), second = _mm256_loadu_ps(w + 8);
        UNROLL for (int t = 0; t < inputs; t++) {
            const __m256 x = _mm256_broadcast_ss(of.x + t);
            s[t][0] = _mm256_fmadd_ps(first, x, s[t][0]);
            s[t][1] = _mm256_fmadd_ps(second, x, s[t][1]);
        }
    }
    UNROLL for (int t = 0; t < inputs; t++) {
        _mm256_storeu_ps(y + (size_t)t * y_stride, s[t][0]);
        _mm256_storeu_ps(y + (size_t)t * y_stride + 8, s[t][1]);
    }
}

/* The last columns of one input, fewer than TILE_COLS. */
static void rest(float *y, const float *w, size_t w_stride, int64_t row_count, numbers of,
                 int64_t col_count) {
    for (int64_t c = 0; c < col_count; c += 8) {
        const __m256i mask = mask_of(col_count - c);
        __m256 s = _mm256_maskload_ps(y + c, mask);
        for (int64_t r = 0; r < row_count; r++)
            s = _mm256_fmadd_ps(_mm256_maskload_ps(w + (size_t)r * w_stride + c, mask),
                                _mm256_broadcast_ss(of.x + (size_t)r * of.step), s);
        _mm256_maskstore_ps(y + c, mask, s);
    }
}

INLINE void columns(int inputs, float *y, size_t y_stride, const float *w, size_t w_stride,
                    int64_t row_count, numbers of, int64_t col_count) {
    int64_t c = 0;
    for (; c + TILE_COLS <= col_count; c += TILE_COLS)
        tile(inputs, y + c, y_stride, w + c, w_stride, row_count, of);
    for (int t = 0; t < inputs && c < col_count; t++)
        rest(y + (size_t)t * y_stride + c, w + c, w_stride, row_count, (numbers){of.x + t, of.step},
             col_count - c);
}

static void piece_of_rows(int64_t inputs, float *y, size_t y_stride, const float *w,
                          size_t w_stride, int64_t row_count, numbers of, int64_t col_count) {
    switch (inputs) {
#define INPUTS(count)                                                                              \
    case count:                                                                                    \
        columns(count, y, y_stride, w, w_stride, row_count, of, col_count);                        \
        break
        INPUTS(1);
        INPUTS(2);
        INPUTS(3);
        INPUTS(4);
        INPUTS(5);
        INPUTS(6);
#undef INPUTS
    default:
        break;
    }
}

/* piece [rows, TILE_INPUTS] = the numbers of some inputs. */
static numbers gather(float *piece, const float *x, size_t x_stride, size_t x_step, size_t rows,
                      size_t inputs) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < inputs; j++)
            piece[i * TILE_INPUTS + j] = x[j * x_stride + i * x_step];
    return (numbers){piece, TILE_INPUTS};
}

static void gemm_t(float *y, size_t y_stride, const float *w, size_t w_stride, int64_t row_count,
                   const float *x, size_t x_stride, size_t x_step, int64_t x_count,
                   int64_t col_count) {
    float piece[PIECE_ROWS * TILE_INPUTS];
    const bool lie_so = x_stride == 1 && x_step <= 16; /* a line of the cache is not met twice */
    for (int64_t t = 0; t < x_count; t += TILE_INPUTS) {
        const int64_t inputs = x_count - t < TILE_INPUTS ? x_count - t : TILE_INPUTS;
        for (int64_t r = 0; r < row_count; r += PIECE_ROWS) {
            const int64_t rows = row_count - r < PIECE_ROWS ? row_count - r : PIECE_ROWS;
            numbers of = {x + (size_t)t * x_stride + (size_t)r * x_step, x_step};
            if (!lie_so) of = gather(piece, of.x, x_stride, x_step, (size_t)rows, (size_t)inputs);
            piece_of_rows(inputs, y + (size_t)t * y_stride, y_stride, w + (size_t)r * w_stride,
                          w_stride, rows, of, col_count);
        }
    }
}

void kernels_fill_avx2_back(kernels *k) {
    k->gemm_t = gemm_t;
}

#endif
