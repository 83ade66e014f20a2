/* Where graphs lie on the disk while a device is given them, and afterwards: a folder of the cache,
 * named by all that its files depend on, or one for the time being. */
#ifndef DEVICES_ONNX_PLACE_H
#define DEVICES_ONNX_PLACE_H

#include "devices/onnx_set.h"

typedef struct onnx_place {
    char folder[ONNX_PATH_CAP];
    bool kept; /* in the cache */
} onnx_place;

/* A folder that has the set's files in it, called "graph": made, unless the cache has it.
 * cache_path NULL: one that onnx_place_leave removes. Errors as onnx_set_stage. */
RNL_MUST_USE rnl_status onnx_place_enter(onnx_place *p, const char *cache_path, const onnx_set *set,
                                         rnl_error *error);
void onnx_place_leave(onnx_place *p); /* twice is fine */

#endif
