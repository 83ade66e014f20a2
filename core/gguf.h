/* GGUF, read (versions 2 and 3) and written (version 3). Layout: backbone.md 5.1; the checks of
 * 5.5 and hostile.md hold before anything is allocated or believed. */
#ifndef CORE_GGUF_H
#define CORE_GGUF_H

#include <runnel/runnel.h>

#include "core/tensor.h"

typedef struct gguf gguf;

/* Maps and checks the whole header: keys unique, tensors named uniquely, in range, aligned, not
 * overlapping. A part of a split file (NAME-00001-of-00003.gguf) stands for all of them: the keys
 * are those of the first, the tensors those of every part.
 * RNL_ERR_IO: missing, also of another part; RNL_ERR_FORMAT; RNL_ERR_MEMORY.
 * Never NULL out on RNL_OK. */
RNL_MUST_USE rnl_status gguf_open(const char *path, gguf **out, rnl_error *error);
void gguf_close(gguf **g);
const char *gguf_path(const gguf *g); /* of a split file that of its first part */
/* How much of a file's name stands before "-00001-of-00003.gguf", and the two numbers; 0 when it
 * does not end so. */
size_t gguf_split_stem(const char *path, int *number, int *count);

/* Keys. Each returns false when the key is missing or of another kind or out of range.
 * Integers of any width and sign are read as int64; bool only from bool. Strings are not
 * terminated. */
bool gguf_has(const gguf *g, const char *key);
bool gguf_int(const gguf *g, const char *key, int64_t min, int64_t max, int64_t *out);
bool gguf_float(const gguf *g, const char *key, double *out); /* f32 or f64, finite */
bool gguf_bool(const gguf *g, const char *key, bool *out);
bool gguf_string(const gguf *g, const char *key, const char **text, size_t *size);
/* Arrays: number of elements, then elements one by one, in order. */
bool gguf_array_count(const gguf *g, const char *key, size_t *count);
bool gguf_array_int(const gguf *g, const char *key, size_t index, int64_t *out);
bool gguf_array_float(const gguf *g, const char *key, size_t index, double *out); /* f32, finite */
/* Walks an array of strings; constant memory. index counts from 0; false stops the walk. */
typedef bool (*gguf_string_fn)(void *context, size_t index, const char *text, size_t size);
bool gguf_each_string(const gguf *g, const char *key, gguf_string_fn fn, void *context);

size_t gguf_tensor_count(const gguf *g);
const tensor *gguf_tensor(const gguf *g, size_t index); /* names live as long as g */
/* Keys, for `runnel info` and for copying: name, and the value printed shortly into text. */
size_t gguf_key_count(const gguf *g);
const char *gguf_key_name(const gguf *g, size_t index, size_t *size);
void gguf_key_text(const gguf *g, size_t index, char *text, size_t text_cap);

/* Writing: keys and tensor headers first, then data in the same order. The file is written beside
 * the target under a temporary name and renamed by finish; abort (or an error) removes it. */
typedef struct gguf_writer gguf_writer;
RNL_MUST_USE rnl_status gguf_writer_create(const char *path, gguf_writer **out, rnl_error *error);
void gguf_writer_abort(gguf_writer **w); /* NULL is fine */
/* Errors are sticky and come out of gguf_writer_begin_data / finish. */
void gguf_put_u32(gguf_writer *w, const char *key, uint32_t value);
void gguf_put_f32(gguf_writer *w, const char *key, float value);
void gguf_put_bool(gguf_writer *w, const char *key, bool value);
void gguf_put_string(gguf_writer *w, const char *key, const char *text, size_t size);
void gguf_put_i32_array(gguf_writer *w, const char *key, const int32_t *values, size_t count);
void gguf_put_f32_array(gguf_writer *w, const char *key, const float *values, size_t count);
void gguf_put_string_array(gguf_writer *w, const char *key, const char *const *texts,
                           const size_t *sizes, size_t count);
/* Declares a tensor; shape outermost first. */
void gguf_put_tensor(gguf_writer *w, const char *name, quant_type type, int rank,
                     const int64_t *shape);
RNL_MUST_USE rnl_status gguf_writer_begin_data(gguf_writer *w, rnl_error *error);
/* Appends data of the current tensor; the tensors follow each other as declared, padding is added
 * by the writer. RNL_ERR_IO (disk full) names the file. */
RNL_MUST_USE rnl_status gguf_writer_data(gguf_writer *w, const void *data, size_t size,
                                         rnl_error *error);
/* The name that the file has until finish. Lives as long as w. */
const char *gguf_writer_temporary(const gguf_writer *w);
/* Checks that all data came, flushes to disk. Of several files that belong together all are
 * completed before the first gets its name. */
RNL_MUST_USE rnl_status gguf_writer_complete(gguf_writer *w, rnl_error *error);
/* Completes, renames, frees *w (also on failure, file removed). */
RNL_MUST_USE rnl_status gguf_writer_finish(gguf_writer **w, rnl_error *error);

#endif
