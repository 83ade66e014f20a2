/* AVX-512: what gradients need. The product by the transpose keeps one running sum an output, so
 * columns lie side by side in the lanes and nothing is added across:
 *
 *     w    | row r: c .. c + 15 | c + 16 .. c + 31 |
 *     x    | one number, in every lane             |   of each of twelve inputs
 *     sums | twelve inputs of 32 columns: 24 registers
 *
 * The numbers of a tile are put side by side first, a piece of the rows at a time, so that every
 * step finds them at constant places, unless they lie so. Bits are those of x86_avx2_back.c. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 12")

enum { TILE_INPUTS = KERNELS_TILE, TILE_COLS = 32, PIECE_ROWS = 128 };

/* The first `left` of sixteen values, left >= 0; the others read as 0, untouched. */
INLINE __mmask16 mask_of(int64_t left) {
    return (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1);
}

/* ---- The product by the transpose ---- */

/* The numbers of some inputs, those of a row side by side. */
typedef struct numbers {
    const float *x;
    size_t step; /* from row to row */
} numbers;

INLINE void tile(int inputs, float *y, size_t y_stride, const float *w, size_t w_stride,
                 int64_t row_count, numbers of, __mmask16 low, __mmask16 high) {
    __m512 s[TILE_INPUTS][2];
    UNROLL for (int t = 0; t < inputs; t++) {
        s[t][0] = _mm512_maskz_loadu_ps(low, y + (size_t)t * y_stride);
        s[t][1] = _mm512_maskz_loadu_ps(high, y + (size_t)t * y_stride + 16);
    }
    for (int64_t r = 0; r < row_count; r++, w += w_stride, of.x += of.step) {
        const __m512 first = _mm512_maskz_loadu_ps(low, w);
        const __m512 second = _mm512_maskz_loadu_ps(high, w + 16);
        UNROLL for (int t = 0; t < inputs; t++) {
            const __m512 x = _mm512_set1_ps(of.x[t]);
            s[t][0] = _mm512_fmadd_ps(first, x, s[t][0]);
            s[t][1] = _mm512_fmadd_ps(second, x, s[t][1]);
        }
    }
    UNROLL for (int t = 0; t < inputs; t++) {
        _mm512_mask_storeu_ps(y + (size_t)t * y_stride, low, s[t][0]);
        _mm512_mask_storeu_ps(y + (size_t)t * y_stride + 16, high, s[t][1]);
    }
}

/* All columns of one piece of the rows. */
INLINE void columns(int inputs, float *y, size_t y_stride, const float *w, size_t w_stride,
                    int64_t row_count, numbers of, int64_t col_count) {
    int64_t c = 0;
    for (; c + TILE_COLS <= col_count; c += TILE_COLS)
        tile(inputs, y + c, y_stride, w + c, w_stride, row_count, of, 0xffff, 0xffff);
    if (c == col_count) return;
    const int64_t left = col_count - c;
    tile(inputs, y + c, y_stride, w + c, w_stride, row_count, of, mask_of(left),
         mask_of(left > 16 ? left - 16 : 0));
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
        INPUTS(7);
        INPUTS(8);
        INPUTS(9);
        INPUTS(10);
        INPUTS(11);
        INPUTS(12);
#undef INPUTS
    default:
        break;
    }
}

/* Four numbers of four inputs, turned. */
INLINE void turn_four(const float *x, size_t x_stride, float *piece) {
    __m128 a = _mm_loadu_ps(x), b = _mm_loadu_ps(x + x_stride);
    __m128 c = _mm_loadu_ps(x + 2 * x_stride), d = _mm_loadu_ps(x + 3 * x_stride);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(piece, a);
    _mm_storeu_ps(piece + TILE_INPUTS, b);
    _mm_storeu_ps(piece + 2 * TILE_INPUTS, c);
    _mm_storeu_ps(piece + 3 * TILE_INPUTS, d);
}

/* piece [rows, TILE_INPUTS] = the numbers of some inputs. */
static numbers gather(float *piece, const float *x, size_t x_stride, size_t x_step, size_t rows,
                      size_t inputs) {
    const numbers of = {piece, TILE_INPUTS};
    size_t i = 0;
    if (x_stride == 1) { /* those of a row lie side by side */
        const __mmask16 mask = mask_of((int64_t)inputs);
        for (; i < rows; i++)
            _mm512_mask_storeu_ps(piece + i * TILE_INPUTS, mask,
                                  _mm512_maskz_loadu_ps(mask, x + i * x_step));
        return of;
    }
    if (x_step == 1 && inputs == TILE_INPUTS) /* those of an input do */
        for (; i + 4 <= rows; i += 4)
            for (size_t j = 0; j < TILE_INPUTS; j += 4)
                turn_four(x + j * x_stride + i, x_stride, piece + i * TILE_INPUTS + j);
    for (; i < rows; i++)
        for (size_t j = 0; j < inputs; j++)
            piece[i * TILE_INPUTS + j] = x[j * x_stride + i * x_step];
    return of;
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

void kernels_fill_avx512_back(kernels *k) {
    k->gemm_t = gemm_t;
}

#endif
