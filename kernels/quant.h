/* Block formats of weights: sizes, reading and writing. Formulas: backbone.md 6.1 to 6.4. Bit-exact
 * by contract: float arithmetic in the order written there, no contraction. */
#ifndef KERNELS_QUANT_H
#define KERNELS_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum quant_type {
    QUANT_F32 = 0,
    QUANT_F16 = 1,
    QUANT_Q4_0 = 2,
    QUANT_Q4_1 = 3,
    QUANT_Q5_0 = 6,
    QUANT_Q5_1 = 7,
    QUANT_Q8_0 = 8,
    QUANT_Q2_K = 10,
    QUANT_Q3_K = 11,
    QUANT_Q4_K = 12,
    QUANT_Q5_K = 13,
    QUANT_Q6_K = 14,
    QUANT_IQ4_NL = 20,
    QUANT_IQ4_XS = 23,
    QUANT_I8 = 24,
    QUANT_I16 = 25,
    QUANT_I32 = 26,
    QUANT_I64 = 27,
    QUANT_F64 = 28,
    QUANT_BF16 = 30,
    QUANT_MXFP4 = 39,
    QUANT_TYPE_CAP = 40
} quant_type;

/* One entry per type number; block_size 0 marks a number that is no known type. */
typedef struct quant_info {
    const char *name;    /* "Q8_0" */
    uint32_t block_len;  /* elements per block */
    uint32_t block_size; /* bytes per block */
    bool is_weight;      /* quant_dequantise reads it */
} quant_info;

/* Never NULL for any number; unknown numbers give an entry with block_size 0 and name "?". */
const quant_info *quant_describe(uint32_t type);

/* Finds a type by its name, any case ("q8_0"). False when there is none. */
bool quant_parse(const char *name, quant_type *out);

/* out[0 .. count) from one stored row. count is a multiple of block_len. type must be is_weight. */
void quant_dequantise(quant_type type, const void *row, float *out, int64_t count);

/* Every weight type but IQ4_XS and MXFP4, which are only read. */
bool quant_is_written(quant_type type);

/* The inverse, bit-equal to ggml's file quantisers without an importance matrix. False when the
 * type is not written. count is a multiple of block_len; row has count / block_len * block_size
 * bytes. Types that search for their scales (IQ4_NL, the K types) take tens of ns an element. */
bool quant_quantise(quant_type type, const float *in, void *row, int64_t count);

float quant_f16_to_f32(uint16_t half);
uint16_t quant_f32_to_f16(float value);
float quant_bf16_to_f32(uint16_t bf16);
uint16_t quant_f32_to_bf16(float value);

#endif
