/* A tensor as it lies in a mapped file, and the block formats it may be stored in. Type numbers are
 * those of GGUF (backbone.md 5.1). */
#ifndef CORE_TENSOR_H
#define CORE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/packed.h"

enum { TENSOR_RANK_CAP = 4 };

typedef struct packed_rows packed_rows;

typedef struct tensor {
    const char *name;               /* terminated; owned by the file or set that lists it */
    const unsigned char *data;      /* rows one after the other, little-endian */
    quant_type type;                /* kernels/quant.h */
    int rank;                       /* 0 .. TENSOR_RANK_CAP; 0 is a single element */
    int64_t shape[TENSOR_RANK_CAP]; /* outermost first, as PyTorch prints it; unused entries 1 */
    size_t size;                    /* bytes */
    const unsigned char *slabs;     /* a packed matrix instead of data; else NULL */
    /* A stack of matrices [count, rows, cols] that do not lie one after the other: where each
     * begins, [shape[0]], data being the first. Else NULL */
    const unsigned char *const *members;
    const char *foreign; /* what it is that no weights are read from ("F8_E4M3"), owned
                                     * as the name is; type and rank then say nothing. Else NULL */
} tensor;

/* Matrix i of a stack [count, rows, cols] that is not packed. */
static inline const unsigned char *tensor_member(const tensor *t, int64_t i) {
    return t->members != NULL ? t->members[i]
                              : t->data + (size_t)i * (t->size / (size_t)t->shape[0]);
}

/* A weight matrix y = W x: what linear() multiplies by. Rows may be any stored type. */
typedef struct matrix {
    const unsigned char *data; /* rows as the file has them; NULL when it has slabs only */
    quant_type type;
    int64_t row_count;         /* outputs */
    int64_t col_count;         /* inputs */
    size_t row_size;           /* bytes from row to row */
    const float *row_scales;   /* QUANT_I8: one for each row, value = code * scale; else NULL */
    const packed_rows *packed; /* the same rows as slabs, or NULL */
    int64_t slab;              /* the slab of row 0 */
    size_t tensor;             /* what adapters know it by: its place in its weights set, counted
                                * from 1; 0: adapters do not know it */
    int64_t row;               /* of that tensor, its row 0 */
} matrix;

/* Slabs of a whole tensor (kernels/packed.h); filled after the stages are loaded. */
struct packed_rows {
    const unsigned char *slabs;
    size_t slab_size;
};

/* Rows [begin, begin + count) of m as a matrix of its own (a fused qkv projection, say). A part
 * that begins within a slab is used as the file has it. */
static inline matrix matrix_rows(const matrix *m, int64_t begin, int64_t count) {
    matrix part = *m;
    if (m->data != NULL) part.data = m->data + (size_t)begin * m->row_size;
    part.row_count = count;
    if (m->row_scales != NULL) part.row_scales = m->row_scales + begin;
    part.slab = m->slab + begin / PACKED_ROWS;
    part.row = m->row + begin;
    if (begin % PACKED_ROWS != 0) part.packed = NULL;
    return part;
}

#endif
