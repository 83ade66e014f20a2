/* Files of ONNX, the exchange format of neural networks, written without a library:
 *
 *     onnx_data    one file of weights that several graphs share, each tensor at a multiple of
 *                  4096 bytes, so that a reader can map it
 *     onnx_graph   inputs -> nodes -> outputs, every shape fixed; small constants inside, weights
 *                  by their place in the data
 *
 * A graph is built node by node; a value knows its type and shape. What runs out of memory or
 * cannot be written is remembered and told at the end (onnx_data_complete, onnx_graph_stage);
 * shapes that do not fit are our bug: asserted. One thread at a time. */
#ifndef DEVICES_ONNX_WRITE_H
#define DEVICES_ONNX_WRITE_H

#include <runnel/runnel.h>

#include "core/staged_file.h"

enum { ONNX_RANK_CAP = 4, ONNX_NAME_CAP = 96, ONNX_DATA_ALIGN = 4096 };

typedef enum onnx_type { /* as ONNX numbers them */
                         ONNX_FLOAT = 1,
                         ONNX_UINT8 = 2,
                         ONNX_INT64 = 7,
                         ONNX_FLOAT16 = 10
} onnx_type;

typedef struct onnx_shape {
    int rank;                    /* 0: a single number */
    int64_t dims[ONNX_RANK_CAP]; /* outermost first; each >= 1 */
} onnx_shape;

/* Shapes as they are written: ONNX_SHAPE(2, 3). */
#define ONNX_SHAPE(...)                                                                            \
    ((onnx_shape){.rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),               \
                  .dims = {__VA_ARGS__}})

/* Bytes of a tensor; false: more than a size holds. */
bool onnx_size(onnx_type type, const onnx_shape *shape, size_t *out);
/* Of one that is known to fit: asserted. */
size_t onnx_size_of(onnx_type type, onnx_shape shape);

/* ---- Weights ---- */

typedef struct onnx_data onnx_data;

/* Written beside the target until it is committed. lasts: it stays when the program ends, as do the
 * graphs over it; what does not need not wait for the disk. RNL_ERR_IO, RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status onnx_data_create(const char *path, bool lasts, onnx_data **out,
                                         rnl_error *error);
void onnx_data_abort(onnx_data **d); /* NULL is fine; removes what was not committed */
bool onnx_data_has(const onnx_data *d, const char *name);
/* A whole tensor under a name that is not there yet, cut at ONNX_NAME_CAP. Sticky. */
void onnx_data_add(onnx_data *d, const char *name, onnx_type type, const onnx_shape *shape,
                   const void *bytes);
/* Whoever makes the tensor of that name has no memory for it: RNL_ERR_MEMORY. Sticky. */
void onnx_data_exhausted(onnx_data *d, const char *name);
bool onnx_data_failed(const onnx_data *d);
const char *onnx_data_temporary(const onnx_data *d);
/* All of it is on the disk, or the first failure. */
RNL_MUST_USE rnl_status onnx_data_complete(onnx_data *d, rnl_error *error);
/* Completes, gives the file its name, frees. */
RNL_MUST_USE rnl_status onnx_data_commit(onnx_data **d, rnl_error *error);

/* ---- Graphs ---- */

typedef struct onnx_graph onnx_graph;
typedef int onnx_value; /* of one graph */

typedef struct onnx_attribute {
    const char *name;
    int count; /* of a list; 0: a single number */
    int64_t values[ONNX_RANK_CAP];
} onnx_attribute;

/* data: borrowed until the graph is staged. NULL: memory. */
onnx_graph *onnx_graph_create(const char *name, onnx_data *data);
onnx_data *onnx_graph_data(const onnx_graph *g);
void onnx_graph_destroy(onnx_graph **g); /* NULL is fine; sets NULL */

onnx_value onnx_graph_input(onnx_graph *g, const char *name, onnx_type type,
                            const onnx_shape *shape);
/* A tensor of the data, which must be there unless the data has failed. */
onnx_value onnx_graph_weight(onnx_graph *g, const char *name);
/* A small tensor that lies in the graph's own file. bytes NULL: memory is exhausted. */
onnx_value onnx_graph_constant(onnx_graph *g, onnx_type type, const onnx_shape *shape,
                               const void *bytes);

typedef struct onnx_node {
    const char *op;
    const char *domain; /* NULL: ONNX's own */
    onnx_value inputs[ONNX_RANK_CAP];
    int input_count;
    onnx_attribute attributes[ONNX_RANK_CAP];
    int attribute_count;
    onnx_type type; /* of what it gives */
    onnx_shape shape;
} onnx_node;
onnx_value onnx_graph_node(onnx_graph *g, const onnx_node *node);
/* Gives a value out under a name. */
void onnx_graph_output(onnx_graph *g, onnx_value value, const char *name);

/* Memory is exhausted, or the data has failed: what is built from here on is not looked at. */
bool onnx_graph_failed(const onnx_graph *g);
const onnx_shape *onnx_graph_shape(const onnx_graph *g, onnx_value value);
onnx_type onnx_graph_type(const onnx_graph *g, onnx_value value);

/* The model's file, complete on the disk; the caller commits it, behind the data's.
 * RNL_ERR_IO, RNL_ERR_MEMORY, the data's failure; *out is then NULL. */
RNL_MUST_USE rnl_status onnx_graph_stage(onnx_graph *g, const char *path, staged_file **out,
                                         rnl_error *error);

#endif
