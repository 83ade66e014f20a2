/* Operators of ONNX that our graphs are made of: each takes values, works out the shape of what it
 * gives, and adds one node with the constants that it wants. Shapes that do not fit are asserted.
 * All of them are there in opset 18 and on Hexagon; products with quantised matrices are
 * com.microsoft's MatMulNBits, whose inputs must have three dimensions there. */
#ifndef DEVICES_ONNX_OPS_H
#define DEVICES_ONNX_OPS_H

#include "core/tensor.h"
#include "devices/onnx_write.h"

/* Add, Sub, Mul, Div, Max: by the rules of numpy's broadcasting. */
onnx_value onnx_binary(onnx_graph *g, const char *op, onnx_value a, onnx_value b);
/* Abs, Sqrt, Sigmoid, ... */
onnx_value onnx_unary(onnx_graph *g, const char *op, onnx_value x);
/* ReduceMean, ReduceMax over the last axis, which stays as 1. */
onnx_value onnx_reduce(onnx_graph *g, const char *op, onnx_value x);
onnx_value onnx_softmax(onnx_graph *g, onnx_value x); /* over the last axis */
onnx_value onnx_cast(onnx_graph *g, onnx_value x, onnx_type type);
/* [.., m, k] [.., k, n]; the dimensions before are broadcast. */
onnx_value onnx_matmul(onnx_graph *g, onnx_value a, onnx_value b);
onnx_value onnx_concat(onnx_graph *g, onnx_value a, onnx_value b, int axis);
onnx_value onnx_slice(onnx_graph *g, onnx_value x, int axis, int64_t begin, int64_t count);
onnx_value onnx_reshape(onnx_graph *g, onnx_value x, onnx_shape shape);
/* order: as many axes as x has. */
onnx_value onnx_transpose(onnx_graph *g, onnx_value x, const int *order);
onnx_value onnx_number(onnx_graph *g, float number); /* [1] */
onnx_value onnx_zeros(onnx_graph *g, onnx_shape shape);
/* x [1, in, rows, bands], w [out, in / group, 3, 3], bias [out] -> [1, out, rows / 2, bands / 2]
 * rounded up: every second place of a convolution with zeros around. */
onnx_value onnx_halving(onnx_graph *g, onnx_value x, onnx_value w, onnx_value bias, int64_t group);

/* A vector of weights [count] under a name. */
onnx_value onnx_vector(onnx_graph *g, const char *name, const float *numbers, int64_t count);

/* RNL_ERR_UNSUPPORTED with a sentence when a matrix has no form in ONNX that keeps its numbers:
 * float types, Q4_0 and Q8_0 have. what: the tensor's name; file: the model's. */
RNL_MUST_USE rnl_status onnx_check_matrix(const matrix *w, const char *what, const char *file,
                                          rnl_error *error);
/* x [1, rows, col_count] -> [1, rows, row_count]: W x, and bias where there is one (NULL: none).
 * Weights lie in the data under name. */
onnx_value onnx_product(onnx_graph *g, onnx_value x, const matrix *w, const float *bias,
                        const char *name);

/* x / sqrt(mean(x^2) + eps) * gain over the last axis, gain [its size] under a name. Rows with
 * large numbers are divided by the largest first, so that no square leaves the range of FP16. */
onnx_value onnx_rms_norm(onnx_graph *g, onnx_value x, const float *gain, float eps,
                         const char *name);

#endif
