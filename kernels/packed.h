/* Packed weights: sixteen rows side by side, so that one load feeds sixteen outputs.
 *
 * A slab holds PACKED_ROWS rows of one matrix. Its codes come first, block of 32 columns after
 * block, then the scales of all blocks. One *line* is 64 bytes: four columns of sixteen rows,
 *
 *     line of columns 4g .. 4g+3    | r0: c0 c1 c2 c3 | r1: c0 c1 c2 c3 | ... | r15: c0 c1 c2 c3 |
 *
 * which is what one step of a dot-product instruction wants: every 32-bit lane is one row, and four
 * columns of the input, broadcast, meet all rows at once. The same line is a row of an AMX tile,
 * one register of AVX-512, two of AVX2, four of NEON; so all families share this layout.
 *
 * A block of 32 columns has eight such groups g. Narrow codes share bytes (byte = row and column
 * of the line, as above):
 *
 *     8 bits: lines 0..7:  group g
 *     4 bits: lines 0..3:  low nibble group j, high nibble group j + 4
 *     2 bits: lines 0..1:  bits 2f, 2f + 1 hold group 2f + line
 *     1 bit:  line 0:      bit g holds group g
 *
 * A type of 5, 6 or 3 bits is two of these planes, low bits first. Behind the codes lie, for each
 * block or super-block:
 *
 *     [sub-blocks, 16] int8 scales, [sub-blocks, 16] uint8 minima, [16] F16 d, [16] F16 minimum
 *
 * of which a type has what backbone.md 6.1 gives it. Six-bit scales become bytes of their own (2.8
 * % of a Q4_K); everything else takes the room that it has in the file. Nothing is rounded: packed
 * weights are the same numbers. */
#ifndef KERNELS_PACKED_H
#define KERNELS_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/quant.h"

enum {
    PACKED_ROWS = 16,
    PACKED_BLOCK = 32, /* columns of a block, the unit of the input's scales too */
    PACKED_LINE = 64,  /* bytes */
    PACKED_GROUPS = 8, /* lines of a block when every code has a byte */
    PACKED_ALIGN = 64  /* of a slab */
};

/* What a type is made of. value = (code - offset) * scale * d - minimum. */
typedef struct packed_info {
    int low_bits;   /* plane of the low bits: 8, 4 or 2; 0: the type is not packed */
    int high_bits;  /* second plane: 0, 1 or 2 */
    int offset;     /* subtracted from the code; 0 with a signed code */
    int sub_len;    /* columns that share an integer scale: 16 or 32 */
    int super_len;  /* columns that share d: 32 or 256 */
    bool has_scale; /* integer scales within a super-block */
    bool has_min;   /* a minimum: dmin * integer, or with super_len 32 an F16 to add */
    bool is_table;  /* codes are looked up (IQ4), then signed bytes */
} packed_info;

/* Never NULL; low_bits 0 for a type that is not packed. */
const packed_info *packed_describe(quant_type type);

/* Bytes of the codes of one block, and of what lies behind the codes for one super-block. */
static inline size_t packed_code_size(const packed_info *p) {
    return (size_t)(p->low_bits + p->high_bits) * PACKED_LINE;
}
static inline size_t packed_meta_size(const packed_info *p) {
    const size_t subs = (size_t)(p->super_len / p->sub_len);
    const size_t bytes = p->has_scale ? subs * (p->has_min ? 2 : 1) : 0;
    return PACKED_ROWS * (bytes + (p->has_min ? 4 : 2));
}

/* Bytes of a slab of col_count columns (a multiple of super_len), a multiple of PACKED_ALIGN. */
size_t packed_slab_size(quant_type type, int64_t col_count);

/* Stored rows, row_size apart, to one slab. row_count in [1, PACKED_ROWS]; missing rows are 0. */
void packed_write(quant_type type, const void *rows, size_t row_size, int64_t row_count,
                  int64_t col_count, unsigned char *slab);

/* One row of a cache of Q8_0 (kernels.h: codes, then scales) as a row of a slab of that type. */
void packed_put_row(unsigned char *slab, int64_t col_count, int row, const unsigned char *stored);

/* out[0 .. col_count) = one row of a slab as float32: the bits of quant_dequantise. */
void packed_dequantise(quant_type type, const unsigned char *slab, int64_t col_count, int row,
                       float *out);

/* One block of one row, as integers: code c counts scales[c / 16] times, mins likewise. Types
 * without integer scales have scale 1; without minima, minimum 0. For the scalar level and tests.
 * */
typedef struct packed_block {
    int codes[PACKED_BLOCK]; /* offset subtracted, table looked up */
    int scales[2], mins[2];  /* of columns 0..15 and 16..31 */
    float d, min;            /* value = d * scale * code + min * minimum */
} packed_block;
void packed_read(quant_type type, const unsigned char *slab, int64_t col_count, int row,
                 int64_t block, packed_block *out);

#endif
