/* AMX: products with packed weights by tiles of BF16, for long batches. Scales per block of 32
 * would interrupt integer tiles after every step; so a piece of one or two slabs is unpacked to
 * BF16 once, scales and all, and the tiles add up in float32 over whole rows:
 *
 *     A  16 inputs  x 32 columns     | x: c0 c1 | c2 c3 | ... | c30 c31 |       as bf16 lie
 *     B  32 columns x 16 rows        | c0, c1:  r0 r0 | r1 r1 | ... | r15 r15 | \  one block of a
 *        (two columns a tile row)    | c2, c3:  r0 r0 | r1 r1 | ...           |  } slab, a KiB of
 *                                    | ... 16 of these                        | /  scratch
 *     C  16 inputs  x 16 rows        | y: r0 | r1 | ... | r15 |                 float32, as y lies
 *
 * Two slabs and two tiles of inputs go together (x86_amx.h): the inputs, which come from the
 * second-level cache, are read half as often.
 *
 * Each output by itself: over blocks of 32 columns in order, even and odd columns in a running sum
 * each from 0, fused, then (even + odd) added to y; subnormal numbers count as 0. The bound of the
 * error is in kernels.h. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#define VNNI_512
#include "kernels/x86_amx.h"
#include "kernels/x86_vnni.h"

enum {
    PIECE_BLOCKS = 16, /* two slabs of them are 32 KiB: they stay in the first-level cache */
    TILE_SIZE = TILE_ROWS * PACKED_LINE
};

typedef struct piece {
    _Alignas(64) unsigned char tiles[2][PIECE_BLOCKS][TILE_SIZE]; /* of each slab */
} piece;
_Static_assert(sizeof(piece) <= KERNELS_SCRATCH_SIZE, "the scratch is too small");

/* ---- unpacking ---- */

/* Low halves of the lanes from a, high halves from b: pairs of columns of each row. */
INLINE ints pairs(floats a, floats b) {
    static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(load(order), (ints)_mm512_cvtne2ps_pbh(b, a));
}

/* Column c of a line as weights: the float32 of packed_dequantise, rounded in its order. With an
 * offset, code * scale - offset * scale is one fused step; offsets are powers of two, so it equals
 * (code - offset) * scale. */
INLINE floats column(const packed_info p, ints line, int c, floats scale, floats shift) {
    if (p.low_bits == 8) /* signed */
        return times(to_floats(_mm512_srai_epi32(_mm512_slli_epi32(line, 24 - 8u * c), 24)), scale);
    const floats code = to_floats(both(_mm512_srli_epi32(line, 8u * c), dwords(255)));
    if (!p.has_min) return times_plus(code, scale, shift);
    return _mm512_add_ps(times(code, scale), shift);
}

INLINE void unpack_block(const packed_info p, const unsigned char *block, const floats scales[2],
                         const floats shifts[2], unsigned char *tile) {
    UNROLL for (int g = 0; g < PACKED_GROUPS; g++) {
        const ints line = read_line(p, block, g);
        floats v[4];
        UNROLL for (int c = 0; c < 4; c++) v[c] = column(p, line, c, scales[g / 4], shifts[g / 4]);
        _mm512_store_si512(tile + PACKED_LINE * 2 * g, pairs(v[0], v[1]));
        _mm512_store_si512(tile + PACKED_LINE * (2 * g + 1), pairs(v[2], v[3]));
    }
}

/* Blocks [0, count) whose codes and meta begin where they are given. */
INLINE void unpack(const packed_info p, const unsigned char *codes, const unsigned char *meta,
                   int count, unsigned char (*tiles)[TILE_SIZE]) {
    const int of_super = p.super_len / PACKED_BLOCK;
    for (int b = 0; b < count; b++, codes += packed_code_size(&p)) {
        const unsigned char *super = meta + (size_t)(b / of_super) * packed_meta_size(&p);
        const unsigned char *d = halves_of(p, super);
        floats scales[2], shifts[2];
        UNROLL for (int half = 0; half < 2; half++) {
            const int sub = (b % of_super * PACKED_BLOCK + 16 * half) / p.sub_len;
            const unsigned char *scale = super + PACKED_ROWS * sub;
            const unsigned char *min = scale + PACKED_ROWS * (p.super_len / p.sub_len);
            scales[half] = halves(d);
            if (p.has_scale) scales[half] = times(scales[half], to_floats(signed_bytes(scale)));
            shifts[half] = times(scales[half], single((float)-offset_of(p)));
            if (!p.has_min) continue;
            shifts[half] = min_of(p, d);
            if (p.has_scale)
                shifts[half] = times(shifts[half], to_floats(_mm512_cvtepu8_epi32(_mm_loadu_si128(
                                                       (const __m128i *)(const void *)min))));
        }
        unpack_block(p, codes, scales, shifts, tiles[b]);
    }
}

#define UNPACK(name, type)                                                                         \
    static void unpack_##name(const unsigned char *codes, const unsigned char *meta, int count,    \
                              unsigned char(*tiles)[TILE_SIZE]) {                                  \
        unpack(packed_infos[type], codes, meta, count, tiles);                                     \
    }
PACKED_EACH(UNPACK)
#undef UNPACK

/* ---- multiplying ---- */

typedef void unpack_function(const unsigned char *codes, const unsigned char *meta, int count,
                             unsigned char (*tiles)[TILE_SIZE]);

static void multiply_any(const packed_info *info, unpack_function *unpack_piece, float *const *y,
                         const unsigned char *const *slabs, int slab_count, const kernels_input *x,
                         int64_t x_count, unsigned char *scratch) {
    piece *w = (piece *)(void *)scratch;
    const int64_t blocks = x->col_count / PACKED_BLOCK;
    const size_t code_size = packed_code_size(info);
    for (int s = 0; s < slab_count; s++)
        memset(y[s], 0, (size_t)x_count * PACKED_ROWS * sizeof *y[s]);
    for (int64_t b = 0; b < blocks; b += PIECE_BLOCKS) {
        const int count = blocks - b < PIECE_BLOCKS ? (int)(blocks - b) : PIECE_BLOCKS;
        const int64_t first = b * PACKED_BLOCK;
        const size_t meta =
            (size_t)blocks * code_size + (size_t)(first / info->super_len) * packed_meta_size(info);
        for (int s = 0; s < slab_count; s++)
            unpack_piece(slabs[s] + (size_t)b * code_size, slabs[s] + meta, count, w->tiles[s]);
        const tile_product p = {.y = {y[0], y[slab_count - 1]},
                                .y_line = PACKED_ROWS,
                                .w = {w->tiles[0], w->tiles[1]},
                                .w_line = PACKED_LINE,
                                .w_step = TILE_SIZE,
                                .x = x->bf16 + first,
                                .x_line = (size_t)x->col_count,
                                .x_count = x_count,
                                .step_count = count};
        if (slab_count == 1)
            tiles_multiply(1, &p);
        else
            tiles_multiply(2, &p);
    }
}

#define MULTIPLY(name, type)                                                                       \
    static void multiply_##name(float *const *y, const unsigned char *const *slabs,                \
                                int slab_count, const kernels_input *x, int64_t x_count,           \
                                unsigned char *scratch) {                                          \
        multiply_any(&packed_infos[type], unpack_##name, y, slabs, slab_count, x, x_count,         \
                     scratch);                                                                     \
    }
PACKED_EACH(MULTIPLY)
#undef MULTIPLY

void kernels_fill_amx_packed(kernels *k) {
    k->name = "amx";
#define FILL(name, type) k->multiply_tiles[type] = multiply_##name;
    PACKED_EACH(FILL)
#undef FILL
}

#endif
