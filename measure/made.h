/* A backbone to measure that no file holds: the shape of a config.json, weights of pseudo-random
 * blocks in memory, as the engine has them. learn.md 6.9. */
#ifndef MEASURE_MADE_H
#define MEASURE_MADE_H

#include "backbone/backbone.h"
#include "core/mapped.h"

typedef struct measure_shape {
    stack_config stack; /* the widths of feed-forward parts are known */
    int vocab_count;
    bool tied; /* the head is the embedding */
} measure_shape;

typedef struct measure_made {
    weights *set; /* owns all below */
    mapped blocks;
    backbone_weights backbone;
    int64_t parameter_count;
    size_t weight_size; /* bytes of the matrices in their type, and of vectors */
} measure_made;

/* name: for sentences. exact: matrices stay as they are stored. Packs by the threads of p.
 * RNL_ERR_ARGUMENT: matrices of this shape have no such type; RNL_ERR_MEMORY. *out is to be freed
 * whatever came of it. */
RNL_MUST_USE rnl_status measure_make(const measure_shape *shape, const char *name, quant_type type,
                                     bool exact, struct pool *p, measure_made *out,
                                     rnl_error *error);
void measure_made_free(measure_made *m);

/* The reference: so many blocks of LFM2-350M, every third with attention but the last; 8 have 212
 * million parameters. */
void measure_reference_shape(measure_shape *shape, int layer_count);

#endif
