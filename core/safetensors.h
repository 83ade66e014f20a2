/* safetensors: one file, or shards behind model.safetensors.index.json. backbone.md 7.1. */
#ifndef CORE_SAFETENSORS_H
#define CORE_SAFETENSORS_H

#include <runnel/runnel.h>

#include "core/tensor.h"

typedef struct safetensors safetensors;

/* Maps and checks one file: header size, JSON, names unique, extents tile the data exactly.
 * dtypes F32 F16 BF16 F64 I64 I32 I16 I8 are given as tensors; others, empty tensors and those of
 * more dimensions than TENSOR_RANK_CAP are listed as foreign. */
RNL_MUST_USE rnl_status safetensors_open(const char *path, safetensors **out, rnl_error *error);
void safetensors_close(safetensors **s);
const char *safetensors_path(const safetensors *s);
size_t safetensors_tensor_count(const safetensors *s);
const tensor *safetensors_tensor(const safetensors *s, size_t index);

/* The shard files of DIR/model.safetensors.index.json, each once, plain names only (no '/', no
 * ".."): calls fn for each. RNL_ERR_FORMAT when the index is damaged. */
typedef rnl_status (*safetensors_shard_fn)(void *context, const char *name, rnl_error *error);
RNL_MUST_USE rnl_status safetensors_each_shard(const char *index_path, safetensors_shard_fn fn,
                                               void *context, rnl_error *error);

#endif
