/* A model's stages as files of ONNX, for other programs (`runnel convert --onnx`): the graphs that
 * a device is given (devices/onnx_set.h), of the backbone with 1, 32 and 128 rows, of the
 * depthformer with 1, of the encoder for some lengths, and onnx.json, which says what goes into
 * those of the stacks. docs/ONNX.md. */
#ifndef ENGINE_EXPORT_ONNX_H
#define ENGINE_EXPORT_ONNX_H

#include "engine/model.h"

typedef struct export_onnx_config {
    const char *folder; /* made when it is not there */
    int context;        /* positions that the backbone's graphs have room for, >= 1 */
    /* As in convert_config (convert.h). */
    rnl_status (*target)(void *context, const char *path, rnl_error *error);
    void (*opened)(void *context, const char *temporary);
    void *target_context;
} export_onnx_config;

/* RNL_ERR_UNSUPPORTED: layers or matrices that the graphs have not, nothing is written then;
 * RNL_ERR_IO, RNL_ERR_MEMORY, RNL_ERR_ARGUMENT; what target answered. */
RNL_MUST_USE rnl_status export_onnx(const rnl_model *m, const export_onnx_config *c,
                                    rnl_error *error);

#endif
