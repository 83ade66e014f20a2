/* Every entry of the table of kernels with the data of one call: what kernel_bench.h proves and
 * times. Data are in one of three forms, the same on every machine. */
#ifndef TESTS_SUPPORT_KERNEL_CASES_H
#define TESTS_SUPPORT_KERNEL_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

typedef enum kernel_fill {
    KERNEL_FILL_RANDOM, /* numbers in [-1, 1), codes of any value */
    KERNEL_FILL_ZEROS,
    KERNEL_FILL_ENDS, /* inputs 1, which round to the largest code; codes with every bit set */
    KERNEL_FILL_COUNT
} kernel_fill;
extern const char *const kernel_fill_names[KERNEL_FILL_COUNT];

enum {
    KERNEL_COLS_CAP = 2048,
    KERNEL_INPUTS_CAP = 128,
    KERNEL_KEYS = 256,      /* of attention, KERNEL_WIDTH wide */
    KERNEL_WIDTH = 64,      /* of a head: lfm2's */
    KERNEL_HEADS_CAP = 8,   /* that share a key */
    KERNEL_OUT_CAP = 65536, /* bytes */
    KERNEL_CASES_CAP = 176
};

/* The data of a call, from take(). */
typedef struct kernel_room {
    _Alignas(64) unsigned char weights[KERNELS_BF16_ROWS * KERNEL_COLS_CAP * sizeof(float)];
    _Alignas(64) unsigned char scratch[KERNELS_SCRATCH_SIZE];
    _Alignas(64) float x[KERNEL_INPUTS_CAP * KERNEL_COLS_CAP];
    _Alignas(64) float gains[KERNEL_COLS_CAP];
    _Alignas(64) float panel[KERNELS_ROWS * KERNEL_COLS_CAP]; /* dequantised rows: scratch */
    _Alignas(64) int8_t codes[KERNEL_INPUTS_CAP * KERNEL_COLS_CAP];
    _Alignas(64) int16_t wide[KERNEL_INPUTS_CAP * KERNEL_COLS_CAP];
    _Alignas(64) uint16_t bf16[KERNEL_INPUTS_CAP * KERNEL_COLS_CAP];
    _Alignas(64) int16_t sums[KERNEL_INPUTS_CAP * KERNEL_COLS_CAP / 8];
    _Alignas(64) int32_t offsets[KERNEL_INPUTS_CAP * KERNEL_COLS_CAP / PACKED_BLOCK];
    _Alignas(64) float scales[KERNEL_INPUTS_CAP * KERNEL_COLS_CAP / PACKED_BLOCK];
    _Alignas(64) float wide_scales[KERNEL_INPUTS_CAP * KERNEL_COLS_CAP / PACKED_BLOCK];
    kernels_input input; /* the seven arrays above */
} kernel_room;

typedef enum kernel_weights {
    KERNEL_WEIGHTS_NONE,
    KERNEL_WEIGHTS_ROWS,  /* stored rows */
    KERNEL_WEIGHTS_SLABS, /* two packed slabs behind each other */
    KERNEL_WEIGHTS_CACHE  /* rows of a cache */
} kernel_weights;

typedef struct kernel_case kernel_case;
typedef void (*kernel_call)(const kernel_case *c, const kernels *k, kernel_room *r, void *out);

struct kernel_case {
    const char *kernel, *type; /* "multiply", "Q4_0" */
    char shape[20];            /* "16x2048 x 8": rows, columns, inputs */
    kernel_call call;          /* writes out_size bytes */
    /* Offsets in kernels of the function that is called and, unless 0, of the one that is called
     * instead where that is NULL: two levels with the same of both are one. */
    size_t entry, instead;
    kernel_weights weights;
    int type_id; /* quant_type, or kernels_cache */
    int64_t rows, cols, count;
    double work; /* of a call: two for each multiply-add of a product, otherwise elements */
    size_t out_size;
    /* 0: every level gives the same bits. Otherwise floats, off by so much of the largest one. */
    double tolerance;
};

/* All of them, with rows of cols columns: a multiple of 256 up to KERNEL_COLS_CAP. */
int kernel_cases(kernel_case out[KERNEL_CASES_CAP], int64_t cols);

/* Whether the level has the kernel, whether it can be called (perhaps what is called instead), and
 * whether two levels call the same. */
bool kernel_case_has(const kernel_case *c, const kernels *k);
bool kernel_case_runs(const kernel_case *c, const kernels *k);
bool kernel_case_same(const kernel_case *c, const kernels *a, const kernels *b);

/* Fills the room with what the case reads; inputs are rounded by the scalar level. */
void kernel_case_fill(const kernel_case *c, kernel_fill fill, kernel_room *room);

/* Any bytes are a slab, but for minima, which have six bits at most. When not wild, its halves are
 * made small numbers. */
void fill_slab(quant_type type, unsigned char *slab, int64_t cols, bool wild, uint64_t seed);

#endif
