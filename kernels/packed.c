/* Packing, unpacking, and the table of what each type is made of. Layout: packed.h. Here nothing is
 * fast but the order of loops; the levels read slabs in their own ways. */
#include "kernels/packed.h"

#include <assert.h>
#include <string.h>

#include "kernels/packed_inner.h"
#include "kernels/quant_inner.h"

static const packed_info none = {0, 0, 0, 32, 32, false, false, false};

const packed_info *packed_describe(quant_type type) {
    if ((unsigned)type >= QUANT_TYPE_CAP || packed_infos[type].low_bits == 0) return &none;
    return &packed_infos[type];
}

size_t packed_slab_size(quant_type type, int64_t col_count) {
    const packed_info *p = packed_describe(type);
    const size_t size = (size_t)(col_count / PACKED_BLOCK) * packed_code_size(p) +
                        (size_t)(col_count / p->super_len) * packed_meta_size(p);
    return (size + PACKED_ALIGN - 1) / PACKED_ALIGN * PACKED_ALIGN;
}

/* ---- where things lie in a slab ---- */

/* Bits of a plane: which line of it holds group g, and how far up in the byte. */
static size_t line_of(int bits, int g) {
    return (size_t)(bits == 8 ? g : bits == 4 ? g % 4 : bits == 2 ? g % 2 : 0);
}
static int shift_of(int bits, int g) {
    return bits == 8 ? 0 : bits == 4 ? g / 4 * 4 : bits == 2 ? g / 2 * 2 : g;
}

/* The byte of a row and column c of a block in a plane that begins at `plane`. */
static size_t byte_of(int bits, size_t plane, int row, int c) {
    return plane + line_of(bits, c / 4) * PACKED_LINE + (size_t)(4 * row + c % 4);
}

static int get_code(const packed_info *p, const unsigned char *block, int row, int c) {
    const int g = c / 4;
    const size_t high = (size_t)p->low_bits * PACKED_LINE;
    const int low = block[byte_of(p->low_bits, 0, row, c)] >> shift_of(p->low_bits, g) &
                    ((1 << p->low_bits) - 1);
    if (p->high_bits == 0) return low;
    const int top = block[byte_of(p->high_bits, high, row, c)] >> shift_of(p->high_bits, g) &
                    ((1 << p->high_bits) - 1);
    return low | top << p->low_bits;
}

/* Behind the codes, for super-block s. */
static size_t meta_of(const packed_info *p, int64_t col_count, int64_t s) {
    return (size_t)(col_count / PACKED_BLOCK) * packed_code_size(p) +
           (size_t)s * packed_meta_size(p);
}
/* Within that: the scale and the minimum of a sub-block, and d. */
static size_t scale_of(int sub, int row) {
    return (size_t)(sub * PACKED_ROWS + row);
}
static size_t min_of(const packed_info *p, int sub, int row) {
    return scale_of(p->super_len / p->sub_len + sub, row);
}
static size_t d_of(const packed_info *p, int row) {
    const int subs = p->has_scale ? p->super_len / p->sub_len * (p->has_min ? 2 : 1) : 0;
    return (size_t)(subs * PACKED_ROWS + 2 * row);
}

/* ---- stored blocks as integers ---- */

/* One stored block or super-block: raw codes, and scales and minima where the type has them. */
typedef struct stored_block {
    uint8_t codes[256];
    int scales[16], mins[16];
    uint16_t d, min; /* F16 */
} stored_block;

static void nibbles(const unsigned char *q, uint8_t *codes) { /* elements 0..15, 16..31 */
    for (int j = 0; j < 16; j++) codes[j] = q[j] & 15;
    for (int j = 0; j < 16; j++) codes[j + 16] = q[j] >> 4;
}
static void fifth_bits(uint32_t high, uint8_t *codes) {
    for (int j = 0; j < 32; j++) codes[j] |= (uint8_t)((high >> j & 1) << 4);
}

/* Scales, minima and halves of a super-block; the layouts are drawn in quant_k.c. */
static void read_k_meta(quant_type type, const unsigned char *p, stored_block *b) {
    if (type == QUANT_Q2_K) {
        b->d = quant_load_u16(p + 80), b->min = quant_load_u16(p + 82);
        for (int i = 0; i < 16; i++) b->scales[i] = p[i] & 15, b->mins[i] = p[i] >> 4;
    } else if (type == QUANT_Q3_K) {
        b->d = quant_load_u16(p + 108);
        quant_scales_q3_k(p + 96, b->scales);
    } else if (type == QUANT_Q6_K) {
        b->d = quant_load_u16(p + 208);
        for (int i = 0; i < 16; i++) b->scales[i] = (int8_t)p[192 + i];
    } else if (type == QUANT_IQ4_XS) {
        b->d = quant_load_u16(p);
        for (int i = 0; i < 8; i++) {
            const int low = p[4 + i / 2] >> 4 * (i % 2) & 15;
            b->scales[i] = (low | (quant_load_u16(p + 2) >> 2 * i & 3) << 4) - 32;
        }
    } else { /* Q4_K, Q5_K */
        b->d = quant_load_u16(p), b->min = quant_load_u16(p + 2);
        for (int i = 0; i < 8; i++) quant_scale_and_min(p + 4, i, &b->scales[i], &b->mins[i]);
    }
}

/* codes[0 .. 32) |= some bits of q[0 .. 32), moved down, then up. */
static void take_bits(const unsigned char *q, int down, int bits, int up, uint8_t *codes) {
    const int mask = (1 << bits) - 1;
    for (int l = 0; l < 32; l++) codes[l] |= (uint8_t)((q[l] >> down & mask) << up);
}

/* Eight runs of 32 elements. */
static void read_k(quant_type type, const unsigned char *p, stored_block *b) {
    read_k_meta(type, p, b);
    memset(b->codes, 0, sizeof b->codes);
    for (int run = 0; run < 8; run++) {
        uint8_t *codes = b->codes + 32 * run;
        const int half = run / 4, t = run % 4;
        switch (type) {
        case QUANT_IQ4_XS:
            nibbles(p + 8 + 16 * run, codes);
            break;
        case QUANT_Q2_K:
            take_bits(p + 16 + 32 * half, 2 * t, 2, 0, codes);
            break;
        case QUANT_Q3_K:
            take_bits(p + 32 + 32 * half, 2 * t, 2, 0, codes);
            take_bits(p, run, 1, 2, codes);
            break;
        case QUANT_Q6_K:
            take_bits(p + 64 * half + 32 * (t % 2), t / 2 * 4, 4, 0, codes);
            take_bits(p + 128 + 32 * half, 2 * t, 2, 4, codes);
            break;
        case QUANT_Q5_K:
            take_bits(p + 48 + 32 * (run / 2), run % 2 * 4, 4, 0, codes);
            take_bits(p + 16, run, 1, 4, codes);
            break;
        default: /* Q4_K */
            take_bits(p + 16 + 32 * (run / 2), run % 2 * 4, 4, 0, codes);
            break;
        }
    }
}

static void read_stored(quant_type type, const unsigned char *p, stored_block *b) {
    if (packed_describe(type)->super_len == 256) {
        read_k(type, p, b);
        return;
    }
    b->d = quant_load_u16(p);
    switch (type) {
    case QUANT_Q8_0:
        memcpy(b->codes, p + 2, 32);
        break;
    case QUANT_Q4_1:
        b->min = quant_load_u16(p + 2);
        nibbles(p + 4, b->codes);
        break;
    case QUANT_Q5_0:
        nibbles(p + 6, b->codes);
        fifth_bits(quant_load_u32(p + 2), b->codes);
        break;
    case QUANT_Q5_1:
        b->min = quant_load_u16(p + 2);
        nibbles(p + 8, b->codes);
        fifth_bits(quant_load_u32(p + 4), b->codes);
        break;
    default: /* Q4_0, IQ4_NL */
        nibbles(p + 2, b->codes);
        break;
    }
}

/* ---- packing: the four codes of a row and group are one 32-bit word, in any plane ---- */

/* The codes of one row and block into a plane of so many bits, which are so many lines. Inline,
 * with bits that the compiler knows: packing is what opening a model waits for. */
static inline __attribute__((always_inline)) void
put_plane(int bits, const uint8_t *codes, int down, int row, unsigned char *plane) {
    const uint32_t mask = 0x01010101u * ((1u << bits) - 1);
    uint32_t lines[PACKED_GROUPS] = {0};
    for (int g = 0; g < PACKED_GROUPS; g++) {
        uint32_t word;
        memcpy(&word, codes + 4 * g, sizeof word);
        lines[line_of(bits, g)] |= (word >> down & mask) << shift_of(bits, g);
    }
    for (int i = 0; i < bits; i++)
        memcpy(plane + i * PACKED_LINE + 4 * row, &lines[i], sizeof lines[i]);
}

static void put_codes(const packed_info *p, const uint8_t *codes, int row, unsigned char *block) {
    switch (p->low_bits) {
    case 8:
        put_plane(8, codes, 0, row, block);
        break;
    case 4:
        put_plane(4, codes, 0, row, block);
        break;
    default:
        put_plane(2, codes, 0, row, block);
        break;
    }
    unsigned char *high = block + p->low_bits * PACKED_LINE;
    if (p->high_bits == 2) put_plane(2, codes, p->low_bits, row, high);
    if (p->high_bits == 1) put_plane(1, codes, p->low_bits, row, high);
}

static void write_meta(const packed_info *p, const stored_block *b, int row, unsigned char *meta) {
    const int subs = p->super_len / p->sub_len;
    for (int i = 0; p->has_scale && i < subs; i++) {
        meta[scale_of(i, row)] = (unsigned char)b->scales[i];
        if (p->has_min) meta[min_of(p, i, row)] = (unsigned char)b->mins[i];
    }
    memcpy(meta + d_of(p, row), &b->d, sizeof b->d);
    if (p->has_min) memcpy(meta + d_of(p, row) + 2 * PACKED_ROWS, &b->min, sizeof b->min);
}

void packed_write(quant_type type, const void *rows, size_t row_size, int64_t row_count,
                  int64_t col_count, unsigned char *slab) {
    const packed_info *p = packed_describe(type);
    const size_t stored_size = quant_describe((uint32_t)type)->block_size;
    assert(p->low_bits > 0 && col_count % p->super_len == 0);
    assert(row_count >= 1 && row_count <= PACKED_ROWS);
    memset(slab, 0, packed_slab_size(type, col_count));
    const size_t code_size = packed_code_size(p);
    const int64_t supers = col_count / p->super_len, blocks = p->super_len / PACKED_BLOCK;
    for (int row = 0; row < (int)row_count; row++) {
        const unsigned char *stored = (const unsigned char *)rows + (size_t)row * row_size;
        for (int64_t s = 0; s < supers; s++, stored += stored_size) {
            stored_block b;
            read_stored(type, stored, &b);
            for (int64_t i = 0; i < blocks; i++)
                put_codes(p, b.codes + PACKED_BLOCK * i, row,
                          slab + (size_t)(s * blocks + i) * code_size);
            write_meta(p, &b, row, slab + meta_of(p, col_count, s));
        }
    }
}

void packed_put_row(unsigned char *slab, int64_t col_count, int row, const unsigned char *stored) {
    enum { STEP = PACKED_LINE / PACKED_ROWS };
    const int64_t blocks = col_count / PACKED_BLOCK;
    unsigned char *codes = slab + row * STEP, *scales = slab + col_count * PACKED_ROWS + 2 * row;
    for (int64_t g = 0; g < col_count / STEP; g++)
        memcpy(codes + g * PACKED_LINE, stored + g * STEP, STEP);
    for (int64_t b = 0; b < blocks; b++)
        memcpy(scales + b * 2 * PACKED_ROWS, stored + col_count + 2 * b, 2);
}

/* ---- reading back ---- */

static int signed_code(const packed_info *p, int code) {
    if (p->is_table) return quant_iq4_values[code];
    return p->low_bits == 8 ? (int8_t)code : code - p->offset;
}

void packed_read(quant_type type, const unsigned char *slab, int64_t col_count, int row,
                 int64_t block, packed_block *out) {
    const packed_info *p = packed_describe(type);
    const int64_t blocks = p->super_len / PACKED_BLOCK; /* of a super-block */
    const unsigned char *codes = slab + (size_t)block * packed_code_size(p);
    const unsigned char *meta = slab + meta_of(p, col_count, block / blocks);
    for (int c = 0; c < PACKED_BLOCK; c++)
        out->codes[c] = signed_code(p, get_code(p, codes, row, c));
    for (int half = 0; half < 2; half++) {
        const int sub = ((int)(block % blocks) * PACKED_BLOCK + 16 * half) / p->sub_len;
        out->scales[half] = p->has_scale ? (int8_t)meta[scale_of(sub, row)] : 1;
        out->mins[half] = p->has_min ? 1 : 0;
        if (p->has_scale && p->has_min) out->mins[half] = meta[min_of(p, sub, row)];
    }
    out->d = quant_load_f16(meta + d_of(p, row));
    out->min = p->has_min ? quant_load_f16(meta + d_of(p, row) + 2 * PACKED_ROWS) : 0.0f;
    if (p->has_scale) out->min = -out->min; /* K types subtract theirs */
}

void packed_dequantise(quant_type type, const unsigned char *slab, int64_t col_count, int row,
                       float *out) {
    const packed_info *p = packed_describe(type);
    packed_block b;
    for (int64_t block = 0; block < col_count / PACKED_BLOCK; block++, out += PACKED_BLOCK) {
        packed_read(type, slab, col_count, row, block, &b);
        for (int c = 0; c < PACKED_BLOCK; c++) {
            /* The order of roundings of quant.c: scale first, then code, then minimum. */
            const float scale = p->has_scale ? b.d * (float)b.scales[c / 16] : b.d;
            const float min = p->has_scale ? b.min * (float)b.mins[c / 16] : b.min;
            const float v = scale * (float)b.codes[c];
            out[c] = p->has_min ? v + min : v;
        }
    }
}
