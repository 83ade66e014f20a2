/* Matrix products on a GPU. Weights are read where the host has them, as packed slabs
 * (kernels/packed.h) or rows of floats; outputs have the bits of the scalar level
 * (opencl_product.cl). */
#ifndef DEVICES_OPENCL_PRODUCT_H
#define DEVICES_OPENCL_PRODUCT_H

#include "core/tensor.h"
#include "devices/opencl_driver.h"

/* How a matrix lies in memory, as opencl_product.cl numbers it. */
typedef enum gpu_form {
    GPU_F32,
    GPU_F16,
    GPU_BF16,
    GPU_Q4_0, /* packed, as all that follow */
    GPU_Q8_0,
    GPU_NO_FORM
} gpu_form;

typedef struct gpu_matrix {
    gpu_buffer memory;
    gpu_form form;
    int row_count, col_count;
} gpu_matrix;

/* GPU_NO_FORM: no kernel multiplies by it. exact: as stored, though it is packed as well. */
gpu_form gpu_form_of(const matrix *w, bool exact);
/* Bytes of the host that its buffer borrows. */
size_t gpu_matrix_size(const matrix *w, gpu_form form);
/* Sticky in g. The form is not GPU_NO_FORM. */
void gpu_matrix_place(gpu *g, const matrix *w, gpu_form form, gpu_matrix *out);
void gpu_matrix_drop(gpu *g, gpu_matrix *m);

enum { GPU_TASK_CAP = 3 };

/* y[t, r] = bias[r] + sum_c w[r, c] x[t, c], t < count, for the rows of all matrices, one behind
 * the other, each of as many columns. */
typedef struct gpu_product {
    const gpu_matrix *w[GPU_TASK_CAP]; /* NULL behind the last */
    int bias[GPU_TASK_CAP];            /* where in vectors; -1: none */
    gpu_buffer x, y, vectors;
    int count;
    bool adds; /* y += */
} gpu_product;
void gpu_multiply(gpu *g, const gpu_product *p);

/* y = silu(gate x) * (up x), both of one shape. */
void gpu_multiply_gated(gpu *g, const gpu_matrix *gate, const gpu_matrix *up, gpu_buffer x,
                        gpu_buffer y, int count);

/* y [count, row_count] = x [count, col_count] times w, from and to the host; waits. */
rnl_status gpu_multiply_once(gpu *g, const matrix *w, bool exact, const float *x, int count,
                             float *y, rnl_error *error);

#endif
