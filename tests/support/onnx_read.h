/* A file of ONNX read back: by what onnx.proto says, not by what our writer does. Whatever is not
 * as it must be fails the test: broken messages, names that nothing has made, tensors outside their
 * file. */
#ifndef TESTS_SUPPORT_ONNX_READ_H
#define TESTS_SUPPORT_ONNX_READ_H

#include "core/mapped.h"
#include "devices/onnx_write.h"

typedef struct onnx_read_tensor {
    char name[ONNX_NAME_CAP];
    onnx_type type;
    onnx_shape shape;
    const unsigned char *data; /* NULL: an input or output */
    size_t size;
    bool external;
    uint64_t offset; /* of an external one */
} onnx_read_tensor;

typedef struct onnx_read_attribute {
    char name[32];
    int count; /* of a list; 0: one number */
    int64_t values[ONNX_RANK_CAP];
} onnx_read_attribute;

typedef struct onnx_read_node {
    char op[32], domain[32];
    char inputs[ONNX_RANK_CAP][ONNX_NAME_CAP];
    char output[ONNX_NAME_CAP];
    int input_count, attribute_count;
    onnx_read_attribute attributes[ONNX_RANK_CAP];
} onnx_read_node;

typedef struct onnx_read {
    mapped file, data;
    int64_t ir_version, opset, opset_microsoft;
    onnx_read_node *nodes;
    onnx_read_tensor *initializers, *inputs, *outputs;
    int node_count, initializer_count, input_count, output_count;
} onnx_read;

/* data: the file of external tensors, which must be the one that they name. */
void onnx_read_open(const char *path, const char *data, onnx_read *out);
void onnx_read_close(onnx_read *r);
/* NULL: there is none. */
const onnx_read_tensor *onnx_read_find(const onnx_read_tensor *tensors, int count,
                                       const char *name);
/* The attribute's numbers; fails where there is none. */
const onnx_read_attribute *onnx_read_attribute_of(const onnx_read_node *n, const char *name);

#endif
