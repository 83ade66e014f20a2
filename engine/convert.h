/* Writing a model: any source -> one bundle, or the official set of four GGUF files, every
 * matrix in the type asked for. Used by `runnel convert`. */
#ifndef ENGINE_CONVERT_H
#define ENGINE_CONVERT_H

#include "engine/model.h"

/* Every matrix in the type it is stored in: nothing is lost. */
#define CONVERT_KEEP ((quant_type)QUANT_TYPE_CAP)

typedef struct convert_config {
    const char *path; /* the bundle, or the main file of the set; the others are named after it */
    bool as_set;      /* false: bundle */
    quant_type type;  /* F32, F16, BF16, Q8_0, Q4_0 (the text head then Q8_0), or CONVERT_KEEP */
    /* Called between tensors; done of total bytes written. False stops: RNL_ERR_STATE, no file. */
    bool (*progress)(void *context, size_t done, size_t total);
    /* Called with the temporary name of each file that is begun; for a program that may be ended
     * before it can tidy up. NULL: not called. */
    void (*opened)(void *context, const char *temporary);
    void *progress_context; /* of both */
} convert_config;

/* Files are written beside their targets and renamed when all of them are complete.
 * RNL_ERR_IO: full disk and the like; RNL_ERR_UNSUPPORTED: a Mimi model as a set, a type that is
 * only read. */
RNL_MUST_USE rnl_status convert_model(const rnl_model *m, const convert_config *config,
                                      rnl_error *error);

/* The type a tensor is written in, and its shape. */
quant_type convert_type(const tensor *t, quant_type type);

#endif
