/* ONNX Runtime, opened while the program runs: its table of functions, the execution providers that
 * it has, and sessions, which are graphs made ready by a provider. Nothing is printed: what it logs
 * is dropped, and what fails comes back as its own sentence.
 *
 * A session never leaves a node to ONNX Runtime's CPU provider, unless that provider was asked for:
 * a graph that the device cannot take whole is refused. One thread at a time for each session. */
#ifndef DEVICES_ONNX_RUNTIME_H
#define DEVICES_ONNX_RUNTIME_H

#include <runnel/runnel.h>

#include "devices/onnx_write.h"

typedef struct onnx_runtime onnx_runtime;

/* Opens the library, and the provider's where it has one of its own (config->onnx_path,
 * provider_path). Negative with a sentence: RNL_ERR_IO: no such library; RNL_ERR_UNSUPPORTED: too
 * old; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status onnx_runtime_open(const rnl_device_config *config, onnx_runtime **out,
                                          rnl_error *error);
void onnx_runtime_close(onnx_runtime **r); /* NULL is fine; sets NULL */
const char *onnx_runtime_version(const onnx_runtime *r);

/* Devices of all providers, in ONNX Runtime's order. */
int onnx_runtime_count(const onnx_runtime *r);
typedef struct onnx_provider {
    const char *name;     /* "QNNExecutionProvider"; valid as long as the runtime */
    const char *vendor;   /* of the provider */
    const char *hardware; /* "CPU", "GPU", "NPU" */
    bool is_cpu;          /* ONNX Runtime's own provider for CPUs */
} onnx_provider;
onnx_provider onnx_runtime_provider(const onnx_runtime *r, int index);

typedef struct onnx_session onnx_session;

typedef struct onnx_session_config {
    int provider;           /* index; all devices of its name take part */
    const char *graph_path; /* the model's file */
    const char *kept_path; /* what the provider compiles of this graph is kept there, and taken from
                             * there (onnx_kept.h); NULL: nowhere */
    const char *options;   /* "key=value,key=value" for the provider, or NULL */
} onnx_session_config;

RNL_MUST_USE rnl_status onnx_session_create(onnx_runtime *r, const onnx_session_config *config,
                                            onnx_session **out, rnl_error *error);
void onnx_session_destroy(onnx_session **s); /* NULL is fine; sets NULL */

/* A tensor over memory of the caller's, which must stay. */
typedef struct onnx_tensor onnx_tensor;
RNL_MUST_USE rnl_status onnx_tensor_create(onnx_runtime *r, onnx_type type, const onnx_shape *shape,
                                           void *memory, onnx_tensor **out, rnl_error *error);
void onnx_tensor_destroy(onnx_runtime *r, onnx_tensor **t); /* NULL is fine; sets NULL */

/* One pass. Outputs are written where their tensors lie. */
RNL_MUST_USE rnl_status onnx_session_run(onnx_session *s, const char *const *input_names,
                                         const onnx_tensor *const *inputs, size_t input_count,
                                         const char *const *output_names,
                                         onnx_tensor *const *outputs, size_t output_count,
                                         rnl_error *error);

#endif
