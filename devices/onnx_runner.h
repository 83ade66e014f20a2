/* A graph that is ready to run on the device: its session, and tensors over the memory of what goes
 * in and comes out. */
#ifndef DEVICES_ONNX_RUNNER_H
#define DEVICES_ONNX_RUNNER_H

#include "devices/onnx_place.h"
#include "devices/onnx_runtime.h"

/* An open device. */
typedef struct onnx_device {
    onnx_runtime *r;
    int provider;
    const char *cache_path, *options; /* of its config; NULL: none */
} onnx_device;

typedef struct onnx_terminal {
    const char *name; /* borrowed */
    onnx_type type;
    onnx_shape shape;
    void *memory; /* borrowed; NULL: bound before each run */
} onnx_terminal;

typedef struct onnx_runner {
    const onnx_device *d;
    onnx_session *session;
    size_t input_count, output_count;
    onnx_tensor **inputs, **outputs;
    const onnx_tensor **bound; /* [input_count] what a run takes: inputs, unless set otherwise */
    const char **input_names, **output_names;
} onnx_runner;

/* The graph of a size in a place. Zero the runner first; close it also after a failure. */
RNL_MUST_USE rnl_status onnx_runner_open(onnx_runner *u, const onnx_device *d,
                                         const onnx_place *place, int size,
                                         const onnx_terminal *inputs, size_t input_count,
                                         const onnx_terminal *outputs, size_t output_count,
                                         rnl_error *error);
void onnx_runner_close(onnx_runner *u);
RNL_MUST_USE rnl_status onnx_runner_run(const onnx_runner *u, rnl_error *error);

/* Bytes that each graph of the place needs for weights of its own. */
size_t onnx_runner_weights_size(const onnx_place *place);

#endif
