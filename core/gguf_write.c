/* Writing GGUF version 3. Keys and tensor records are gathered in memory, because their counts
 * stand at the head of the file; data then streams to a temporary file beside the target. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/gguf.h"
#include "core/gguf_inner.h"
#include "core/staged_file.h"
#include "core/status.h"

enum { ALIGN = 32, VERSION = 3 };

typedef struct buffer {
    unsigned char *data;
    size_t size, cap;
} buffer;

struct gguf_writer {
    staged_file *file;
    FILE *stream; /* of the file */
    buffer keys, tensors;
    uint64_t key_count, tensor_count;
    uint64_t *ends; /* end of each tensor in the data, before padding */
    size_t ends_cap;
    uint64_t offset;   /* of the next tensor declared */
    uint64_t written;  /* data bytes so far, padding included */
    size_t current;    /* tensor being written */
    rnl_status status; /* sticky while declaring */
};

static void put(gguf_writer *w, buffer *b, const void *data, size_t size) {
    if (w->status != RNL_OK) return;
    size_t needed;
    if (!checked_add(b->size, size, &needed)) {
        w->status = RNL_ERR_MEMORY;
        return;
    }
    if (needed > b->cap) {
        const size_t cap = needed > 2 * b->cap ? needed + 4096 : 2 * b->cap;
        unsigned char *grown = realloc(b->data, cap);
        if (grown == NULL) {
            w->status = RNL_ERR_MEMORY;
            return;
        }
        b->data = grown;
        b->cap = cap;
    }
    if (size > 0) memcpy(b->data + b->size, data, size);
    b->size = needed;
}

static void put_u32(gguf_writer *w, buffer *b, uint32_t v) {
    put(w, b, &v, sizeof v);
}

static void put_u64(gguf_writer *w, buffer *b, uint64_t v) {
    put(w, b, &v, sizeof v);
}

static void put_text(gguf_writer *w, buffer *b, const char *text, size_t size) {
    put_u64(w, b, size);
    put(w, b, text, size);
}

static void put_key(gguf_writer *w, const char *key, uint32_t kind) {
    put_text(w, &w->keys, key, strlen(key));
    put_u32(w, &w->keys, kind);
    w->key_count++;
}

rnl_status gguf_writer_create(const char *path, gguf_writer **out, rnl_error *error) {
    gguf_writer *w = calloc(1, sizeof *w);
    *out = w;
    if (w == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    rnl_status status = staged_open(path, &w->file, error);
    if (status == RNL_OK && (w->stream = staged_stream(w->file)) == NULL)
        status = status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    if (status != RNL_OK) gguf_writer_abort(out);
    return status;
}

void gguf_writer_abort(gguf_writer **out) {
    gguf_writer *w = *out;
    if (w == NULL) return;
    *out = NULL;
    staged_abort(&w->file);
    free(w->keys.data);
    free(w->tensors.data);
    free(w->ends);
    free(w);
}

void gguf_put_u32(gguf_writer *w, const char *key, uint32_t value) {
    put_key(w, key, GGUF_U32);
    put_u32(w, &w->keys, value);
}

void gguf_put_f32(gguf_writer *w, const char *key, float value) {
    put_key(w, key, GGUF_F32);
    put(w, &w->keys, &value, sizeof value);
}

void gguf_put_bool(gguf_writer *w, const char *key, bool value) {
    const unsigned char byte = value;
    put_key(w, key, GGUF_BOOL);
    put(w, &w->keys, &byte, 1);
}

void gguf_put_string(gguf_writer *w, const char *key, const char *text, size_t size) {
    put_key(w, key, GGUF_STRING);
    put_text(w, &w->keys, text, size);
}

static void put_array(gguf_writer *w, const char *key, uint32_t kind, size_t count) {
    put_key(w, key, GGUF_ARRAY);
    put_u32(w, &w->keys, kind);
    put_u64(w, &w->keys, count);
}

void gguf_put_i32_array(gguf_writer *w, const char *key, const int32_t *values, size_t count) {
    put_array(w, key, GGUF_I32, count);
    put(w, &w->keys, values, count * sizeof *values);
}

void gguf_put_f32_array(gguf_writer *w, const char *key, const float *values, size_t count) {
    put_array(w, key, GGUF_F32, count);
    put(w, &w->keys, values, count * sizeof *values);
}

void gguf_put_string_array(gguf_writer *w, const char *key, const char *const *texts,
                           const size_t *sizes, size_t count) {
    put_array(w, key, GGUF_STRING, count);
    for (size_t i = 0; i < count; i++) put_text(w, &w->keys, texts[i], sizes[i]);
}

static bool keep_end(gguf_writer *w, uint64_t end) {
    if (w->tensor_count == w->ends_cap) {
        const size_t cap = w->ends_cap == 0 ? 256 : 2 * w->ends_cap;
        uint64_t *grown = realloc(w->ends, cap * sizeof *grown);
        if (grown == NULL) return false;
        w->ends = grown;
        w->ends_cap = cap;
    }
    w->ends[w->tensor_count++] = end;
    return true;
}

void gguf_put_tensor(gguf_writer *w, const char *name, quant_type type, int rank,
                     const int64_t *shape) {
    const quant_info *info = quant_describe((uint32_t)type);
    uint64_t size = info->block_size;
    put_text(w, &w->tensors, name, strlen(name));
    put_u32(w, &w->tensors, (uint32_t)rank);
    for (int i = rank; i > 0; i--) { /* innermost first */
        put_u64(w, &w->tensors, (uint64_t)shape[i - 1]);
        size *= (uint64_t)(i == rank ? shape[i - 1] / info->block_len : shape[i - 1]);
    }
    put_u32(w, &w->tensors, (uint32_t)type);
    put_u64(w, &w->tensors, w->offset);
    if (!keep_end(w, w->offset + size)) w->status = RNL_ERR_MEMORY;
    w->offset = (w->offset + size + ALIGN - 1) / ALIGN * ALIGN;
}

static rnl_status write_bytes(gguf_writer *w, const void *data, size_t size, rnl_error *error) {
    if (size == 0 || fwrite(data, 1, size, w->stream) == size) return RNL_OK;
    return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s; free some space",
                       staged_path(w->file), strerror(errno));
}

static rnl_status write_padding(gguf_writer *w, uint64_t size, rnl_error *error) {
    static const unsigned char zeros[ALIGN];
    const size_t padding = (size_t)((ALIGN - size % ALIGN) % ALIGN);
    return write_bytes(w, zeros, padding, error);
}

rnl_status gguf_writer_begin_data(gguf_writer *w, rnl_error *error) {
    if (w->status != RNL_OK)
        return status_fail(error, w->status, "%s: memory for the header is exhausted",
                           staged_path(w->file));
    buffer head = {0};
    put(w, &head, "GGUF", 4);
    put_u32(w, &head, VERSION);
    put_u64(w, &head, w->tensor_count);
    put_u64(w, &head, w->key_count);
    rnl_status status = w->status;
    if (status == RNL_OK) status = write_bytes(w, head.data, head.size, error);
    if (status == RNL_OK) status = write_bytes(w, w->keys.data, w->keys.size, error);
    if (status == RNL_OK) status = write_bytes(w, w->tensors.data, w->tensors.size, error);
    if (status == RNL_OK)
        status = write_padding(w, head.size + w->keys.size + w->tensors.size, error);
    free(head.data);
    return status;
}

rnl_status gguf_writer_data(gguf_writer *w, const void *data, size_t size, rnl_error *error) {
    if (w->current >= w->tensor_count || size > w->ends[w->current] - w->written)
        return status_fail(error, RNL_ERR_STATE, "%s: more data than was declared",
                           staged_path(w->file));
    rnl_status status = write_bytes(w, data, size, error);
    w->written += size;
    if (status != RNL_OK || w->written < w->ends[w->current]) return status;
    status = write_padding(w, w->written, error);
    w->written = (w->written + ALIGN - 1) / ALIGN * ALIGN;
    w->current++;
    return status;
}

const char *gguf_writer_temporary(const gguf_writer *w) {
    return staged_temporary(w->file);
}

static rnl_status check_complete(const gguf_writer *w, rnl_error *error) {
    if (w->current == w->tensor_count) return RNL_OK;
    return status_fail(error, RNL_ERR_STATE, "%s: tensor data is missing", staged_path(w->file));
}

rnl_status gguf_writer_complete(gguf_writer *w, rnl_error *error) {
    const rnl_status status = check_complete(w, error);
    return status == RNL_OK ? staged_sync(w->file, error) : status;
}

rnl_status gguf_writer_finish(gguf_writer **out, rnl_error *error) {
    rnl_status status = check_complete(*out, error);
    if (status == RNL_OK) status = staged_commit(&(*out)->file, error);
    gguf_writer_abort(out);
    return status;
}
