/* Matrices in the forms of ONNX, with the numbers that they have:
 *
 *     float types   [col_count, row_count] float32, turned                       MatMul
 *     Q4_0, Q8_0    codes [row_count, blocks, bytes of 32] + scales [row_count * blocks]
 *                                                                             MatMulNBits
 *
 * A Q4_0 file keeps column c and c + 16 of a block in one byte, MatMulNBits 2c and 2c + 1; both
 * have 8 for zero. Q8_0 has signed codes, MatMulNBits unsigned ones with 128 for zero. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/status.h"
#include "devices/onnx_ops.h"

enum { BLOCK = 32, HALF_SIZE = 2 };

rnl_status onnx_check_matrix(const matrix *w, const char *what, const char *file,
                             rnl_error *error) {
    if (w->data == NULL)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: '%s' is packed for this processor; name the model that was packed",
                           file, what);
    switch (w->type) {
    case QUANT_F32:
    case QUANT_F16:
    case QUANT_BF16:
    case QUANT_Q4_0:
    case QUANT_Q8_0:
        return RNL_OK;
    default:
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: '%s' is %s, which ONNX has no form for; write the model as q4_0, "
                           "q8_0 or f16 first (runnel convert --type)",
                           file, what, quant_describe((uint32_t)w->type)->name);
    }
}

/* Room for rows * cols things of so many bytes; NULL: none. */
static void *room(int64_t rows, int64_t cols, size_t size) {
    size_t all;
    if (!checked_mul((size_t)rows, (size_t)cols, &all) || !checked_mul(all, size, &all))
        return NULL;
    return malloc(all);
}

static void add_floats(onnx_data *d, const matrix *w, const char *name) {
    float *row = room(1, w->col_count, sizeof *row);
    float *turned = room(w->row_count, w->col_count, sizeof *turned);
    if (row == NULL || turned == NULL) onnx_data_exhausted(d, name);
    for (int64_t r = 0; r < w->row_count && !onnx_data_failed(d); r++) {
        quant_dequantise(w->type, w->data + (size_t)r * w->row_size, row, w->col_count);
        for (int64_t c = 0; c < w->col_count; c++) turned[c * w->row_count + r] = row[c];
    }
    if (!onnx_data_failed(d))
        onnx_data_add(d, name, ONNX_FLOAT, &ONNX_SHAPE(w->col_count, w->row_count), turned);
    free(row);
    free(turned);
}

/* The codes of one block, of 18 or 34 bytes of the file: the scale is before them. */
static void turn_block(quant_type type, const unsigned char *stored, unsigned char *codes) {
    const unsigned char *from = stored + HALF_SIZE;
    if (type == QUANT_Q8_0) {
        for (int i = 0; i < BLOCK; i++) codes[i] = (unsigned char)(from[i] ^ 0x80);
        return;
    }
    for (int i = 0; i < BLOCK; i += 2) { /* columns i and i + 1 */
        const int at = i % (BLOCK / 2), shift = i < BLOCK / 2 ? 0 : 4;
        const unsigned low = from[at] >> shift & 15u, high = from[at + 1] >> shift & 15u;
        codes[i / 2] = (unsigned char)(low | high << 4);
    }
}

static void add_blocks(onnx_data *d, const matrix *w, const char *codes_name,
                       const char *scales_name) {
    const int64_t blocks = w->col_count / BLOCK;
    const size_t stored = quant_describe((uint32_t)w->type)->block_size;
    const size_t size = stored - HALF_SIZE;
    unsigned char *codes = room(w->row_count, blocks, size);
    float *scales = room(w->row_count, blocks, sizeof *scales);
    if (codes == NULL || scales == NULL) onnx_data_exhausted(d, codes_name);
    for (int64_t r = 0; r < w->row_count && !onnx_data_failed(d); r++)
        for (int64_t b = 0; b < blocks; b++) {
            const unsigned char *from = w->data + (size_t)r * w->row_size + (size_t)b * stored;
            const int64_t at = r * blocks + b;
            uint16_t half;
            memcpy(&half, from, sizeof half);
            scales[at] = quant_f16_to_f32(half);
            turn_block(w->type, from, codes + (size_t)at * size);
        }
    if (!onnx_data_failed(d)) {
        onnx_data_add(d, codes_name, ONNX_UINT8, &ONNX_SHAPE(w->row_count, blocks, (int64_t)size),
                      codes);
        onnx_data_add(d, scales_name, ONNX_FLOAT, &ONNX_SHAPE(w->row_count * blocks), scales);
    }
    free(codes);
    free(scales);
}

static onnx_value multiply_blocks(onnx_graph *g, onnx_value x, const matrix *w, const char *name) {
    onnx_data *d = onnx_graph_data(g);
    char codes[ONNX_NAME_CAP], scales[ONNX_NAME_CAP];
    (void)snprintf(codes, sizeof codes, "%s.codes", name);
    (void)snprintf(scales, sizeof scales, "%s.scales", name);
    if (!onnx_data_has(d, codes)) add_blocks(d, w, codes, scales);
    onnx_node node = {.op = "MatMulNBits",
                      .domain = "com.microsoft",
                      .inputs = {x, onnx_graph_weight(g, codes), onnx_graph_weight(g, scales)},
                      .input_count = 3,
                      .attributes = {{.name = "K", .values = {w->col_count}},
                                     {.name = "N", .values = {w->row_count}},
                                     {.name = "bits", .values = {w->type == QUANT_Q4_0 ? 4 : 8}},
                                     {.name = "block_size", .values = {BLOCK}}},
                      .attribute_count = 4,
                      .type = ONNX_FLOAT,
                      .shape = *onnx_graph_shape(g, x)};
    node.shape.dims[2] = w->row_count;
    return onnx_graph_node(g, &node);
}

onnx_value onnx_product(onnx_graph *g, onnx_value x, const matrix *w, const float *bias,
                        const char *name) {
    onnx_value y;
    if (w->type == QUANT_Q4_0 || w->type == QUANT_Q8_0) {
        y = multiply_blocks(g, x, w, name);
    } else {
        if (!onnx_data_has(onnx_graph_data(g), name)) add_floats(onnx_graph_data(g), w, name);
        y = onnx_matmul(g, x, onnx_graph_weight(g, name));
    }
    if (bias == NULL) return y;
    char bias_name[ONNX_NAME_CAP];
    (void)snprintf(bias_name, sizeof bias_name, "%s.bias", name);
    return onnx_binary(g, "Add", y, onnx_vector(g, bias_name, bias, w->row_count));
}
