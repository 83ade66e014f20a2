/* A graph of ONNX computed as the operators' documents say, node by node in float32 with sums in
 * double: what tests hold our graphs to where there is no ONNX Runtime. Shapes are worked out from
 * the inputs alone and must come out as the file says for its outputs. */
#ifndef TESTS_SUPPORT_ONNX_RUN_H
#define TESTS_SUPPORT_ONNX_RUN_H

#include "tests/support/onnx_read.h"

typedef struct onnx_run onnx_run;

onnx_run *onnx_run_open(const onnx_read *file);
void onnx_run_close(onnx_run **r);
/* Floats, whatever the type of the input; copied. */
void onnx_run_set(onnx_run *r, const char *name, const float *numbers, size_t count);
/* All nodes. */
void onnx_run_all(onnx_run *r);
/* Of an output; valid until the next run. */
const float *onnx_run_get(const onnx_run *r, const char *name, size_t count);
/* The largest magnitude that any value had in the last run. */
double onnx_run_largest(const onnx_run *r);

#endif
