/* Stored float rows as BF16, for the levels that multiply them: a piece of up to 32 rows by 512
 * columns, turned so that a register holds two columns of sixteen rows, which is also what a tile
 * of AMX wants its rows to be:
 *
 *     stored   | row r: c0 c1 | c2 c3 | ... | c30 c31 |     sixteen such registers, rounded
 *     piece    | c0, c1:  r0 r0 | r1 r1 | ... | r15 r15 | c0, c1:  r16 r16 | ... | r31 r31 |
 *              | c2, c3:  r0 r0 | r1 r1 | ...                       32 KiB, first-level cache
 *
 * Needs AVX-512 with BF16. */
#ifndef KERNELS_X86_BF16_H
#define KERNELS_X86_BF16_H

#include <immintrin.h>
#include <string.h>

#include "kernels/levels.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum {
    LANES = 16,
    HALVES = KERNELS_BF16_ROWS / LANES, /* registers side by side */
    BLOCK = KERNELS_BF16_COLS,          /* columns that one register of a stored row holds */
    PIECE_COLS = 512
};

typedef struct piece {
    __m512i lines[PIECE_COLS / 2][HALVES];
} piece;
_Static_assert(sizeof(piece) <= KERNELS_SCRATCH_SIZE, "the scratch is too small");

INLINE size_t size_of(quant_type type) {
    return type == QUANT_F32 ? sizeof(float) : sizeof(uint16_t);
}

/* 32 stored values as BF16, nearest even. */
INLINE __m512i load_block(quant_type type, const unsigned char *p) {
    if (type == QUANT_BF16) return _mm512_loadu_si512(p);
    __m512 low, high;
    if (type == QUANT_F32) {
        low = _mm512_loadu_ps(p), high = _mm512_loadu_ps(p + 64);
    } else {
        low = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
        high = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p + 32)));
    }
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Sixteen rows of sixteen pairs become sixteen pairs of sixteen rows: dwords, quadwords, and twice
 * lanes of 128 bits change places. */
INLINE void turn(__m512i v[LANES]) {
    __m512i a[LANES], b[LANES];
    UNROLL for (int i = 0; i < LANES; i += 2) {
        a[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL for (int i = 0; i < LANES; i += 4) UNROLL for (int k = 0; k < 2; k++) {
        b[i + 2 * k] = _mm512_unpacklo_epi64(a[i + k], a[i + 2 + k]);
        b[i + 2 * k + 1] = _mm512_unpackhi_epi64(a[i + k], a[i + 2 + k]);
    }
    UNROLL for (int k = 0; k < 4; k++) {
        const __m512i even = _mm512_shuffle_i32x4(b[k], b[4 + k], 0x88);
        const __m512i odd = _mm512_shuffle_i32x4(b[k], b[4 + k], 0xdd);
        const __m512i next_even = _mm512_shuffle_i32x4(b[8 + k], b[12 + k], 0x88);
        const __m512i next_odd = _mm512_shuffle_i32x4(b[8 + k], b[12 + k], 0xdd);
        v[k] = _mm512_shuffle_i32x4(even, next_even, 0x88);
        v[4 + k] = _mm512_shuffle_i32x4(odd, next_odd, 0x88);
        v[8 + k] = _mm512_shuffle_i32x4(even, next_even, 0xdd);
        v[12 + k] = _mm512_shuffle_i32x4(odd, next_odd, 0xdd);
    }
}

/* `cols` columns from w on; rows that are missing are the first one again. */
INLINE void unpack(quant_type type, const unsigned char *w, size_t row_size, int64_t row_count,
                   int64_t cols, piece *out) {
    const size_t size = size_of(type);
    for (int64_t c = 0; c < cols; c += BLOCK)
        for (int h = 0; h < HALVES; h++) {
            __m512i v[LANES];
            UNROLL for (int r = 0; r < LANES; r++) {
                const int64_t row = h * LANES + r < row_count ? h * LANES + r : 0;
                v[r] = load_block(type, w + (size_t)row * row_size + size * (size_t)c);
            }
            turn(v);
            UNROLL for (int r = 0; r < LANES; r++) out->lines[c / 2 + r][h] = v[r];
        }
}

static void quantise_bf16(const float *x, int64_t col_count, uint16_t *bf16) {
    for (int64_t c = 0; c < col_count; c += BLOCK)
        _mm512_storeu_si512(bf16 + c,
                            load_block(QUANT_F32, (const unsigned char *)(const void *)(x + c)));
}

/* multiply_X and a line for each float type: `multiply(type, ...)` is the level's own. */
#define BF16_EACH(use) use(f32, QUANT_F32) use(f16, QUANT_F16) use(bf16, QUANT_BF16)
#define BF16_MULTIPLY(name, type)                                                                  \
    static void bf16_##name(float *y, const void *w, size_t row_size, int64_t row_count,           \
                            const uint16_t *x, size_t x_stride, int64_t x_count,                   \
                            int64_t col_count, kernels_fetch fetch, unsigned char *scratch) {      \
        multiply(type, y, w, row_size, row_count, x, x_stride, x_count, col_count, fetch,          \
                 scratch);                                                                         \
    }
#define BF16_FILL(name, type) k->multiply_bf16[type] = bf16_##name;

#endif
