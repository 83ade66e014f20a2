/* Writing a model: any source -> one bundle, or the official set of four GGUF files, every
 * matrix in the type that the recipe says. Used by `runnel convert`. */
#ifndef ENGINE_CONVERT_H
#define ENGINE_CONVERT_H

#include "engine/model.h"
#include "engine/recipe.h"

typedef struct convert_config {
    const char *path; /* the bundle, or the main file of the set; the others are named after it */
    bool as_set;      /* false: bundle */
    const recipe *recipe;         /* NULL: every matrix as it is stored, nothing is lost */
    const recipe *encoder_recipe; /* of encoder and adapter; NULL: as recipe says */
    bool packs;                   /* a bundle only: matrices as slabs, so that loading is mapping */
    const adapter_set *adapter;   /* that is merged into its matrices; NULL: none */
    double *taken;    /* with an adapter, on RNL_OK: the norm of what rounding to the types that are
                    * written changed again, by that of the adapter's change. NULL: not asked */
    int thread_count; /* to quantise with, [1, POOL_THREAD_CAP]; changes no bit */
    /* Called every few milliseconds of work; done of total bytes read. False stops:
     * RNL_ERR_STATE, no file. */
    bool (*progress)(void *context, size_t done, size_t total);
    /* Asked before each file that is begun; another answer than RNL_OK ends it. NULL: not asked. */
    rnl_status (*target)(void *context, const char *path, rnl_error *error);
    /* Called with the temporary name of each file that is begun; for a program that may be ended
     * before it can tidy up. NULL: not called. */
    void (*opened)(void *context, const char *temporary);
    void *progress_context; /* of all three */
} convert_config;

/* Files are written beside their targets and renamed when all of them are complete.
 * RNL_ERR_IO: full disk and the like; RNL_ERR_UNSUPPORTED: a Mimi model as a set, a packed set, a
 * model that is packed already, a matrix with an adapter kept in a type that is only read;
 * RNL_ERR_MEMORY; what target answered. */
RNL_MUST_USE rnl_status convert_model(const rnl_model *m, const convert_config *config,
                                      rnl_error *error);

#endif
