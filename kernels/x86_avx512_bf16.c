/* AVX-512 with BF16: float weights as they are stored, for long batches; all else is avx512's. A
 * core multiplies pairs of BF16 at twice the rate of float32, where it is made for it (Zen 4 and 5;
 * some others have half). A piece of the weights is laid out as x86_bf16.h draws it, and meets
 * twelve inputs at once:
 *
 *     w0, w1    two columns of rows 0 .. 15, of rows 16 .. 31
 *     input     | x0 x1 | x0 x1 | ...      the same two columns, spread
 *     sums      | r0 | r1 | ... | r15 |    of twelve inputs, 24 registers
 *
 * Each output by itself: pairs of columns in order, added to one running sum from 0; subnormal
 * numbers count as 0. The bound of the error is in kernels.h. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include "kernels/x86_bf16.h"

enum { TILE_INPUTS = 12 };

/* What comes next, asked for while the first inputs meet the piece at hand: a line of each row in
 * turn, `step` of them with each pair of columns, so that all have been when it ends. */
typedef struct ahead {
    const unsigned char *next; /* where the next piece begins, or NULL */
    size_t row_size;
    int64_t step;
    kernels_fetch to;
} ahead;

INLINE void fetch_ahead(const ahead *a, int64_t pair) {
    enum { LINE = 64 };
    for (int64_t n = pair * a->step; n < (pair + 1) * a->step; n++)
        kernels_fetch_line(a->next + (size_t)(n % KERNELS_BF16_ROWS) * a->row_size +
                               LINE * (size_t)(n / KERNELS_BF16_ROWS),
                           a->to);
}

/* Adds `pairs` pairs of columns to the outputs of `count` inputs. */
INLINE void tile(int count, float *y, const piece *w, const uint16_t *x, size_t x_stride,
                 int64_t pairs, const ahead *a) {
    __m512 sums[TILE_INPUTS][HALVES];
    UNROLL for (int t = 0; t < count; t++) UNROLL for (int h = 0; h < HALVES; h++) sums[t][h] =
        _mm512_loadu_ps(y + t * KERNELS_BF16_ROWS + h * LANES);
    for (int64_t c = 0; c < pairs; c++) {
        __m512bh line[HALVES];
        if (a != NULL) fetch_ahead(a, c);
        UNROLL for (int h = 0; h < HALVES; h++) line[h] = (__m512bh)w->lines[c][h];
        UNROLL for (int t = 0; t < count; t++) {
            int32_t pair;
            memcpy(&pair, x + (size_t)t * x_stride + 2 * c, sizeof pair);
            const __m512bh spread = (__m512bh)_mm512_set1_epi32(pair);
            UNROLL for (int h = 0; h < HALVES; h++) sums[t][h] =
                _mm512_dpbf16_ps(sums[t][h], line[h], spread);
        }
    }
    UNROLL for (int t = 0; t < count; t++) UNROLL for (int h = 0; h < HALVES; h++)
        _mm512_storeu_ps(y + t * KERNELS_BF16_ROWS + h * LANES, sums[t][h]);
}

static void tiles(float *y, const piece *w, const uint16_t *x, size_t x_stride, int64_t x_count,
                  int64_t pairs, const ahead *a) {
    const int64_t row = KERNELS_BF16_ROWS;
    int64_t t = 0;
    if (x_count >= TILE_INPUTS && a->next != NULL) {
        tile(TILE_INPUTS, y, w, x, x_stride, pairs, a);
        t = TILE_INPUTS;
    }
    for (; t + TILE_INPUTS <= x_count; t += TILE_INPUTS)
        tile(TILE_INPUTS, y + t * row, w, x + (size_t)t * x_stride, x_stride, pairs, NULL);
    if (t + 8 <= x_count) {
        tile(8, y + t * row, w, x + (size_t)t * x_stride, x_stride, pairs, NULL);
        t += 8;
    }
    for (; t + 2 <= x_count; t += 2)
        tile(2, y + t * row, w, x + (size_t)t * x_stride, x_stride, pairs, NULL);
    if (t < x_count) tile(1, y + t * row, w, x + (size_t)t * x_stride, x_stride, pairs, NULL);
}

INLINE void multiply(quant_type type, float *y, const unsigned char *w, size_t row_size,
                     int64_t row_count, const uint16_t *x, size_t x_stride, int64_t x_count,
                     int64_t col_count, kernels_fetch fetch, unsigned char *scratch) {
    const size_t size = size_of(type);
    piece *own = (piece *)(void *)scratch;
    ahead a = {.row_size = row_size, .step = (int64_t)size, .to = fetch};
    memset(y, 0, (size_t)x_count * KERNELS_BF16_ROWS * sizeof *y);
    for (int64_t c = 0; c < col_count; c += PIECE_COLS) {
        const int64_t cols = col_count - c < PIECE_COLS ? col_count - c : PIECE_COLS;
        unpack(type, w + (size_t)c * size, row_size, row_count, cols, own);
        if (fetch != KERNELS_FETCH_NONE)
            a.next = c + PIECE_COLS < col_count ? w + (size_t)(c + PIECE_COLS) * size
                                                : w + KERNELS_BF16_ROWS * row_size;
        tiles(y, own, x + c, x_stride, x_count, cols / 2, &a);
    }
}

BF16_EACH(BF16_MULTIPLY)

void kernels_fill_avx512_bf16(kernels *k) {
    k->name = "avx512_bf16";
    k->quantise_bf16 = quantise_bf16;
    BF16_EACH(BF16_FILL)
}

#endif
