/* AVX-512: the product of rows of floats. The law of kernels.h wants eight running sums for each
 * output, so a register of sixteen lanes holds two rows:
 *
 *     weights | row r,     columns c .. c + 7 | row r + 1, columns c .. c + 7 |
 *     input   | x,         columns c .. c + 7 | the same again                |   broadcast
 *     sums    | eight sums of row r           | eight sums of row r + 1       |
 *
 * and every output has the bits that it has at the level avx2: column c meets lane c % 8 by a fused
 * step, and the lanes are added in the same tree. A panel of eight rows is four such registers, and
 * six inputs are 24 registers of sums. A core broadcasts once a cycle and multiplies twice, so what
 * counts is few broadcasts: six for 24 steps. The pairs of rows are put side by side first, a piece
 * of the panel at a time, so that one load gives a register:
 *
 *     piece   | rows 0, 1: c .. c + 7 | rows 2, 3 | rows 4, 5 | rows 6, 7 | rows 0, 1: c + 8 ...
 *
 * Rows as they are stored become floats on that way, and 32 of them meet a piece of the inputs
 * before the next, whose columns are further on: wide inputs come from the third-level cache once
 * for four panels.
 *
 * gemv, bound by memory, and everything else is avx2's. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 12")

enum {
    PAIRS = KERNELS_ROWS / 2,
    TILE_INPUTS = 6,
    FEW_INPUTS = 3,
    /* The piece of 8 x 512 columns is 16 KiB and stays in the first-level cache while 128 inputs
     * pass; their sums wait in memory (32 KiB for each eight rows) between pieces. */
    PIECE_COLS = 512,
    PIECE_INPUTS = 128,
    SHORT_COLS = 128, /* so few are one piece, and their sums need not wait */
    PANELS = KERNELS_STORED_ROWS / KERNELS_ROWS,
    LINE = 64
};

/* Which of eight columns there are, `left` of them or more; the others read as 0, untouched. */
INLINE __mmask8 mask_of(int64_t left) {
    return (__mmask8)(left >= 8 ? 0xffu : (1u << left) - 1);
}
INLINE size_t size_of(quant_type type) {
    return type == QUANT_F32 ? sizeof(float) : sizeof(uint16_t);
}

INLINE __m512 from_words(quant_type type, __m128i row, __m128i next) {
    const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(row), next, 1);
    if (type == QUANT_F16) return _mm512_cvtph_ps(both);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(both), 16));
}

/* Eight columns of two rows of F32, F16 or BF16. */
INLINE __m512 load_pair(quant_type type, const unsigned char *row, const unsigned char *next) {
    if (type == QUANT_F32)
        return _mm512_insertf32x8(
            _mm512_castps256_ps512(_mm256_loadu_ps((const float *)(const void *)row)),
            _mm256_loadu_ps((const float *)(const void *)next), 1);
    return from_words(type, _mm_loadu_si128((const __m128i *)(const void *)row),
                      _mm_loadu_si128((const __m128i *)(const void *)next));
}
/* Those of the mask. */
INLINE __m512 load_some(quant_type type, const unsigned char *row, const unsigned char *next,
                        __mmask8 mask) {
    if (type == QUANT_F32)
        return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_maskz_loadu_ps(mask, row)),
                                  _mm256_maskz_loadu_ps(mask, next), 1);
    return from_words(type, _mm_maskz_loadu_epi16(mask, row), _mm_maskz_loadu_epi16(mask, next));
}
INLINE __m512 load_twice(const float *x, __mmask8 mask) {
    return _mm512_broadcast_f32x8(_mm256_maskz_loadu_ps(mask, x));
}

/* The first col_count columns from w on, pairs of rows side by side. */
INLINE void pack_piece(quant_type type, const unsigned char *const w[KERNELS_ROWS],
                       int64_t col_count, __m512 *piece) {
    const size_t size = size_of(type);
    int64_t c = 0;
    for (; c + 8 <= col_count; c += 8, piece += PAIRS)
        UNROLL for (int p = 0; p < PAIRS; p++) piece[p] =
            load_pair(type, w[2 * p] + size * (size_t)c, w[2 * p + 1] + size * (size_t)c);
    if (c == col_count) return;
    UNROLL for (int p = 0; p < PAIRS; p++) piece[p] = load_some(
        type, w[2 * p] + size * (size_t)c, w[2 * p + 1] + size * (size_t)c, mask_of(col_count - c));
}

/* The piece that comes next, asked for in equal shares ahead of the tiles: more at once than a core
 * waits for at a time would stop it. */
typedef struct ahead {
    const unsigned char *w; /* first of KERNELS_ROWS rows */
    size_t row_size;
    int64_t line_count, asked_count;
    kernels_fetch to;
} ahead;

INLINE void fetch_share(ahead *a, int64_t index, int64_t count) {
    if (a->line_count == 0) return;
    const int64_t until = a->line_count * (index + 1) / count;
    for (; a->asked_count < until; a->asked_count++) {
        const size_t row = (size_t)(a->asked_count % KERNELS_ROWS);
        const size_t line = (size_t)(a->asked_count / KERNELS_ROWS);
        kernels_fetch_line(a->w + row * a->row_size + LINE * line, a->to);
    }
}

/* Sums of neighbours in each 128 bits, a's in the low half and b's in the high. */
INLINE __m512 add_neighbours(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
}

/* The totals of eight rows, each in the tree of lane_total (scalar.c). */
INLINE void store(float *y, const __m512 sums[PAIRS], int64_t row_count) {
    /* Four lanes of each row: rows 0, 2, 4, 6 | their other four | rows 1, 3, 5, 7 | likewise */
    const __m512 quads =
        add_neighbours(add_neighbours(sums[0], sums[1]), add_neighbours(sums[2], sums[3]));
    const __m512i low = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i high = _mm512_setr_epi32(4, 12, 5, 13, 6, 14, 7, 15, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m256 all = _mm256_add_ps(_mm512_castps512_ps256(_mm512_permutexvar_ps(low, quads)),
                                     _mm512_castps512_ps256(_mm512_permutexvar_ps(high, quads)));
    if (row_count == KERNELS_ROWS)
        _mm256_storeu_ps(y, all);
    else
        memcpy(y, &all, (size_t)row_count * sizeof *y);
}

/* Adds `steps` times eight columns of a piece to s; of the inputs only those in the mask. */
INLINE void add_steps(int inputs, __m512 s[TILE_INPUTS][PAIRS], const __m512 *piece, const float *x,
                      size_t x_stride, int64_t steps, __mmask8 mask) {
    for (int64_t i = 0; i < steps; i++, x += 8, piece += PAIRS) {
        __m512 w[PAIRS];
        UNROLL for (int p = 0; p < PAIRS; p++) w[p] = piece[p];
        UNROLL for (int t = 0; t < inputs; t++) {
            const __m512 xc = load_twice(x + (size_t)t * x_stride, mask);
            UNROLL for (int p = 0; p < PAIRS; p++) s[t][p] = _mm512_fmadd_ps(w[p], xc, s[t][p]);
        }
    }
}

/* To sums that wait in memory. */
INLINE void tile(int inputs, __m512 (*sums)[PAIRS], const __m512 *piece, const float *x,
                 size_t x_stride, int64_t steps, __mmask8 mask) {
    __m512 s[TILE_INPUTS][PAIRS];
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int p = 0; p < PAIRS; p++) s[t][p] =
        sums[t][p];
    add_steps(inputs, s, piece, x, x_stride, steps, mask);
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int p = 0; p < PAIRS; p++) sums[t][p] =
        s[t][p];
}

/* All columns at once, of eight rows. */
INLINE void tile_whole(int inputs, float *y, size_t y_stride, const __m512 *piece, const float *x,
                       size_t x_stride, int64_t steps) {
    __m512 s[TILE_INPUTS][PAIRS];
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int p = 0; p < PAIRS; p++) s[t][p] =
        _mm512_setzero_ps();
    add_steps(inputs, s, piece, x, x_stride, steps, 0xff);
    UNROLL for (int t = 0; t < inputs; t++) store(y + (size_t)t * y_stride, s[t], KERNELS_ROWS);
}

/* TILE(inputs) for one to TILE_INPUTS of them, each with a loop of its own. */
#define BY_INPUTS(count, TILE)                                                                     \
    switch (count) {                                                                               \
        TILE(1);                                                                                   \
        TILE(2);                                                                                   \
        TILE(3);                                                                                   \
        TILE(4);                                                                                   \
        TILE(5);                                                                                   \
        TILE(6);                                                                                   \
    }

/* All inputs, in as few tiles as will do, of as equal sizes as there are: a small one costs nearly
 * what a large one does. */
INLINE void tiles(__m512 (*sums)[PAIRS], const __m512 *piece, const float *x, size_t x_stride,
                  int64_t x_count, int64_t steps, __mmask8 mask, ahead *a) {
    const int64_t count = (x_count + TILE_INPUTS - 1) / TILE_INPUTS;
    for (int64_t i = 0, t = 0, end; i < count; i++, t = end) {
        const float *from = x + (size_t)t * x_stride;
        end = x_count * (i + 1) / count;
        fetch_share(a, i, count);
#define TILE(inputs)                                                                               \
    case inputs:                                                                                   \
        tile(inputs, sums + t, piece, from, x_stride, steps, mask);                                \
        break
        BY_INPUTS(end - t, TILE)
#undef TILE
    }
}

/* Columns [0, cols) of x by a piece, the last of which may be fewer than eight. */
static void multiply_piece(__m512 (*sums)[PAIRS], const __m512 *piece, const float *x,
                           size_t x_stride, int64_t x_count, int64_t cols, ahead *a) {
    const int64_t steps = cols / 8;
    tiles(sums, piece, x, x_stride, x_count, steps, 0xff, a);
    if (cols % 8 != 0)
        tiles(sums, piece + steps * PAIRS, x + 8 * steps, x_stride, x_count, 1, mask_of(cols % 8),
              a);
}

/* Where the piece lies that is multiplied behind the one of these columns and rows. */
INLINE ahead piece_behind(quant_type type, const unsigned char *w, size_t row_size, int64_t row,
                          int64_t row_count, int64_t c, int64_t col_count, kernels_fetch to) {
    if (row + KERNELS_ROWS < row_count)
        row += KERNELS_ROWS;
    else if (c + PIECE_COLS < col_count)
        row = 0, c += PIECE_COLS;
    else
        row = row_count, c = 0;
    const int64_t cols = col_count - c < PIECE_COLS ? col_count - c : PIECE_COLS;
    const int64_t lines = ((int64_t)size_of(type) * cols + LINE - 1) / LINE;
    return (ahead){.w = w + (size_t)row * row_size + size_of(type) * (size_t)c,
                   .row_size = row_size,
                   .line_count = to != KERNELS_FETCH_NONE ? lines * KERNELS_ROWS : 0,
                   .to = to};
}

/* Eight rows of a few whole steps, as attention has them. */
static void multiply_short(float *y, size_t y_stride, const float *const rows[KERNELS_ROWS],
                           const float *x, size_t x_stride, int64_t x_count, int64_t col_count) {
    __m512 piece[SHORT_COLS / 8 * PAIRS];
    const unsigned char *w[KERNELS_ROWS];
    const int64_t steps = col_count / 8, count = (x_count + TILE_INPUTS - 1) / TILE_INPUTS;
    for (int r = 0; r < KERNELS_ROWS; r++) w[r] = (const unsigned char *)(const void *)rows[r];
    pack_piece(QUANT_F32, w, col_count, piece);
    for (int64_t i = 0, t = 0, end; i < count; i++, t = end) {
        end = x_count * (i + 1) / count;
        float *to = y + (size_t)t * y_stride;
        const float *from = x + (size_t)t * x_stride;
#define TILE(inputs)                                                                               \
    case inputs:                                                                                   \
        tile_whole(inputs, to, y_stride, piece, from, x_stride, steps);                            \
        break
        BY_INPUTS(end - t, TILE)
#undef TILE
    }
}

/* All columns of up to PIECE_INPUTS inputs. */
INLINE void multiply_inputs(quant_type type, float *y, size_t y_stride, const unsigned char *w,
                            size_t row_size, int64_t row_count, const float *x, size_t x_stride,
                            int64_t x_count, int64_t col_count, kernels_fetch fetch) {
    __m512 sums[PANELS][PIECE_INPUTS][PAIRS], piece[PIECE_COLS / 8 * PAIRS];
    for (int64_t r = 0; r < row_count; r += KERNELS_ROWS)
        for (int64_t t = 0; t < x_count; t++)
            for (int p = 0; p < PAIRS; p++) sums[r / KERNELS_ROWS][t][p] = _mm512_setzero_ps();
    for (int64_t c = 0; c < col_count; c += PIECE_COLS) {
        const int64_t cols = col_count - c < PIECE_COLS ? col_count - c : PIECE_COLS;
        for (int64_t r = 0; r < row_count; r += KERNELS_ROWS) {
            const unsigned char *rows[KERNELS_ROWS]; /* missing ones are the first one again */
            for (int64_t i = 0; i < KERNELS_ROWS; i++)
                rows[i] = w + (size_t)(r + i < row_count ? r + i : r) * row_size +
                          size_of(type) * (size_t)c;
            ahead a = piece_behind(type, w, row_size, r, row_count, c, col_count, fetch);
            pack_piece(type, rows, cols, piece);
            multiply_piece(sums[r / KERNELS_ROWS], piece, x + c, x_stride, x_count, cols, &a);
        }
    }
    for (int64_t r = 0; r < row_count; r += KERNELS_ROWS)
        for (int64_t t = 0; t < x_count; t++)
            store(y + (size_t)t * y_stride + r, sums[r / KERNELS_ROWS][t],
                  row_count - r < KERNELS_ROWS ? row_count - r : KERNELS_ROWS);
}

/* Inputs in as few parts as will do, of as equal sizes as there are. */
INLINE void multiply_rows(quant_type type, float *y, size_t y_stride, const void *w,
                          size_t row_size, int64_t row_count, const float *x, size_t x_stride,
                          int64_t x_count, int64_t col_count, kernels_fetch fetch) {
    const int64_t count = (x_count + PIECE_INPUTS - 1) / PIECE_INPUTS;
    for (int64_t i = 0; i < count; i++) {
        const int64_t t = x_count * i / count, inputs = x_count * (i + 1) / count - t;
        multiply_inputs(type, y + (size_t)t * y_stride, y_stride, w, row_size, row_count,
                        x + (size_t)t * x_stride, x_stride, inputs, col_count,
                        i == 0 ? fetch : KERNELS_FETCH_NONE);
    }
}

#define STORED(name, type)                                                                         \
    static void gemm_##name(float *y, size_t y_stride, const void *w, size_t row_size,             \
                            int64_t row_count, const float *x, size_t x_stride, int64_t x_count,   \
                            int64_t col_count, kernels_fetch fetch) {                              \
        multiply_rows(type, y, y_stride, w, row_size, row_count, x, x_stride, x_count, col_count,  \
                      fetch);                                                                      \
    }
STORED(f32, QUANT_F32)
STORED(f16, QUANT_F16)
STORED(bf16, QUANT_BF16)
#undef STORED

/* Eight columns, or those of the mask, of one row, and of up to FEW_INPUTS inputs. */
INLINE void few_step(int inputs, __m256 s[FEW_INPUTS][KERNELS_ROWS],
                     const float *const rows[KERNELS_ROWS], const float *x, size_t x_stride,
                     int64_t c, __mmask8 mask) {
    __m256 xc[FEW_INPUTS];
    UNROLL for (int t = 0; t < inputs; t++) xc[t] =
        _mm256_maskz_loadu_ps(mask, x + (size_t)t * x_stride + c);
    UNROLL for (int r = 0; r < KERNELS_ROWS; r++) {
        const __m256 w = _mm256_maskz_loadu_ps(mask, rows[r] + c);
        UNROLL for (int t = 0; t < inputs; t++) s[t][r] = _mm256_fmadd_ps(w, xc[t], s[t][r]);
    }
}

/* All columns of so few inputs that putting rows side by side costs more than it gains. */
INLINE void gemm_few(int inputs, float *y, size_t y_stride, const float *const rows[KERNELS_ROWS],
                     int64_t row_count, const float *x, size_t x_stride, int64_t col_count) {
    __m256 s[FEW_INPUTS][KERNELS_ROWS];
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int r = 0; r < KERNELS_ROWS; r++) s[t][r] =
        _mm256_setzero_ps();
    int64_t c = 0;
    for (; c + 8 <= col_count; c += 8) few_step(inputs, s, rows, x, x_stride, c, 0xff);
    if (c < col_count) few_step(inputs, s, rows, x, x_stride, c, mask_of(col_count - c));
    UNROLL for (int t = 0; t < inputs; t++) {
        __m512 pairs[PAIRS];
        UNROLL for (int p = 0; p < PAIRS; p++) pairs[p] =
            _mm512_insertf32x8(_mm512_castps256_ps512(s[t][2 * p]), s[t][2 * p + 1], 1);
        store(y + (size_t)t * y_stride, pairs, row_count);
    }
}

static void gemm(float *y, size_t y_stride, const float *w, size_t w_stride, int64_t row_count,
                 const float *x, size_t x_stride, int64_t x_count, int64_t col_count) {
    const float *rows[KERNELS_ROWS]; /* missing rows are the first one again, results dropped */
    for (int64_t r = 0; r < KERNELS_ROWS; r++)
        rows[r] = w + (r < row_count ? (size_t)r * w_stride : 0);
    switch (x_count) {
    case 1:
        gemm_few(1, y, y_stride, rows, row_count, x, x_stride, col_count);
        return;
    case 2:
        gemm_few(2, y, y_stride, rows, row_count, x, x_stride, col_count);
        return;
    case 3:
        gemm_few(3, y, y_stride, rows, row_count, x, x_stride, col_count);
        return;
    default:
        break;
    }
    if (row_count == KERNELS_ROWS && col_count <= SHORT_COLS && col_count % 8 == 0) {
        multiply_short(y, y_stride, rows, x, x_stride, x_count, col_count);
        return;
    }
    gemm_f32(y, y_stride, w, w_stride * sizeof *w, row_count, x, x_stride, x_count, col_count,
             KERNELS_FETCH_NONE);
}

void kernels_fill_avx512(kernels *k) {
    k->name = "avx512";
    k->gemm = gemm;
    k->gemm_stored[QUANT_F32] = gemm_f32;
    k->gemm_stored[QUANT_F16] = gemm_f16;
    k->gemm_stored[QUANT_BF16] = gemm_bf16;
}

#endif
