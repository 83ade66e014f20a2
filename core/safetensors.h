/* safetensors, read (one file, or shards behind model.safetensors.index.json) and written.
 * backbone.md 7.1. */
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

/* Writing: tensors are declared, then their data comes in the same order. The file stands beside
 * the target under a temporary name until finish; abort (or an error) removes it. */
typedef struct safetensors_writer safetensors_writer;
RNL_MUST_USE rnl_status safetensors_writer_create(const char *path, safetensors_writer **out,
                                                  rnl_error *error);
void safetensors_writer_abort(safetensors_writer **w); /* NULL is fine; sets NULL */
/* F32, F16, BF16 or I32; shape outermost first. Errors are sticky and come out of begin_data. */
void safetensors_put_tensor(safetensors_writer *w, const char *name, quant_type type, int rank,
                            const int64_t *shape);
RNL_MUST_USE rnl_status safetensors_writer_begin_data(safetensors_writer *w, rnl_error *error);
/* Appends data of the tensor at hand. RNL_ERR_IO (disk full) names the file. */
RNL_MUST_USE rnl_status safetensors_writer_data(safetensors_writer *w, const void *data,
                                                size_t size, rnl_error *error);
/* The name that the file has until finish. Lives as long as w. */
const char *safetensors_writer_temporary(const safetensors_writer *w);
/* Checks that all data came, and flushes to disk. */
RNL_MUST_USE rnl_status safetensors_writer_complete(safetensors_writer *w, rnl_error *error);
/* Completes, renames, frees *w (also on failure, the file then being removed). */
RNL_MUST_USE rnl_status safetensors_writer_finish(safetensors_writer **w, rnl_error *error);

/* The shard files of DIR/model.safetensors.index.json, each once, plain names only (no '/', no
 * ".."): calls fn for each. RNL_ERR_FORMAT when the index is damaged. */
typedef rnl_status (*safetensors_shard_fn)(void *context, const char *name, rnl_error *error);
RNL_MUST_USE rnl_status safetensors_each_shard(const char *index_path, safetensors_shard_fn fn,
                                               void *context, rnl_error *error);

#endif
