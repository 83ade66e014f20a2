/* Graphs of one stage that differ in size alone, and share their weights: of a stack by rows of a
 * pass, of the encoder by frames of a clip. */
#ifndef DEVICES_ONNX_SET_H
#define DEVICES_ONNX_SET_H

#include "core/checksum.h"
#include "devices/onnx_encoder.h"
#include "devices/onnx_stack.h"

enum { ONNX_SIZE_CAP = 4, ONNX_PATH_CAP = 4096 };

typedef struct onnx_set onnx_set;
struct onnx_set {
    const void *weights; /* stack_weights, encoder_weights */
    int past_count;      /* of a stack (onnx_stack_config), as is half */
    bool half;
    int count;
    int sizes[ONNX_SIZE_CAP]; /* rising */
    /* NULL: memory. */
    onnx_graph *(*make)(const onnx_set *set, int size, onnx_data *data);
    /* Adds all that the files depend on but the sizes: every number of every weight. */
    void (*sum)(const onnx_set *set, checksum *sum);
};

/* Rows 1, 32 and 128, up to the first that row_cap fits in. The stack was checked. */
onnx_set onnx_set_of_stack(const stack_weights *w, int row_cap, int past_count, bool half);
/* The graph of so many rows. */
onnx_stack_config onnx_set_config(const onnx_set *set, int row_count);
/* Clips of 1, 2, 4 and 8 s, and of a little more, as their last frame may be. */
onnx_set onnx_set_of_encoder(const encoder_weights *w);

/* FOLDER/NAME-SIZE and an ending, or FOLDER/NAME and an ending with size 0. RNL_ERR_ARGUMENT: it is
 * too long. */
RNL_MUST_USE rnl_status onnx_set_path(const char *folder, const char *name, int size,
                                      const char *ending, char path[ONNX_PATH_CAP],
                                      rnl_error *error);

/* Files that are complete on the disk, under other names yet. */
typedef struct onnx_set_files {
    onnx_data *data;
    staged_file *graphs[ONNX_SIZE_CAP];
} onnx_set_files;

/* Writes FOLDER/NAME-SIZE.onnx of every size, and FOLDER/NAME.weights. lasts: as onnx_data_create;
 * opened: called with the temporary name of each file that is begun, or NULL. RNL_ERR_IO,
 * RNL_ERR_MEMORY, RNL_ERR_ARGUMENT (a path too long); nothing is left then. */
typedef void (*onnx_opened_fn)(void *context, const char *temporary);
RNL_MUST_USE rnl_status onnx_set_stage(const onnx_set *set, const char *folder, const char *name,
                                       bool lasts, onnx_opened_fn opened, void *context,
                                       onnx_set_files *out, rnl_error *error);
/* Gives them their names: the weights first, so that who finds the graphs finds what they name. */
RNL_MUST_USE rnl_status onnx_set_commit(onnx_set_files *f, rnl_error *error);
void onnx_set_abort(onnx_set_files *f); /* twice is fine */

#endif
