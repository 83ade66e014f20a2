/* Writing safetensors: the header is gathered as JSON, because it stands at the head of the file;
 * data then streams to a temporary file beside the target. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "core/staged_file.h"
#include "core/status.h"

enum { HEADER_ALIGN = 8 /* as the other writers pad it */ };

struct safetensors_writer {
    staged_file *file;
    FILE *stream; /* of the file */
    json_draft *header;
    size_t declared, written; /* bytes of data */
    rnl_status status;        /* sticky while declaring */
};

rnl_status safetensors_writer_create(const char *path, safetensors_writer **out, rnl_error *error) {
    safetensors_writer *w = calloc(1, sizeof *w);
    *out = w;
    if (w == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    rnl_status status = staged_open(path, &w->file, error);
    if (status == RNL_OK && (w->stream = staged_stream(w->file)) == NULL)
        status = status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    if (status == RNL_OK) {
        json_draft *metadata = json_new_object();
        json_set(metadata, "format", json_new_string("pt", 2));
        w->header = json_new_object();
        json_set(w->header, "__metadata__", metadata);
    } else {
        safetensors_writer_abort(out);
    }
    return status;
}

void safetensors_writer_abort(safetensors_writer **out) {
    safetensors_writer *w = *out;
    if (w == NULL) return;
    *out = NULL;
    staged_abort(&w->file);
    json_drop(&w->header);
    free(w);
}

/* NULL: none that is written. */
static const char *dtype_of(quant_type type) {
    switch (type) {
    case QUANT_F32:
        return "F32";
    case QUANT_F16:
        return "F16";
    case QUANT_BF16:
        return "BF16";
    case QUANT_I32:
        return "I32";
    default:
        return NULL;
    }
}

void safetensors_put_tensor(safetensors_writer *w, const char *name, quant_type type, int rank,
                            const int64_t *shape) {
    const char *dtype = dtype_of(type);
    size_t size = quant_describe((uint32_t)type)->block_size;
    json_draft *dims = json_new_array(), *offsets = json_new_array(), *row = json_new_object();
    for (int i = 0; i < rank; i++) {
        json_append(dims, json_new_int(shape[i]));
        if (!checked_mul(size, (size_t)shape[i], &size)) w->status = RNL_ERR_MEMORY;
    }
    json_append(offsets, json_new_int((int64_t)w->declared));
    if (dtype == NULL) w->status = RNL_ERR_UNSUPPORTED;
    if (!checked_add(w->declared, size, &w->declared)) w->status = RNL_ERR_MEMORY;
    json_append(offsets, json_new_int((int64_t)w->declared));
    if (dtype != NULL) json_set(row, "dtype", json_new_string(dtype, strlen(dtype)));
    json_set(row, "shape", dims);
    json_set(row, "data_offsets", offsets);
    json_set(w->header, name, row);
}

static rnl_status write_bytes(safetensors_writer *w, const void *data, size_t size,
                              rnl_error *error) {
    if (size == 0 || fwrite(data, 1, size, w->stream) == size) return RNL_OK;
    return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s; free some space",
                       staged_path(w->file), strerror(errno));
}

rnl_status safetensors_writer_begin_data(safetensors_writer *w, rnl_error *error) {
    if (w->status == RNL_ERR_UNSUPPORTED)
        return status_fail(error, w->status, "%s: a tensor is of a type that safetensors has not",
                           staged_path(w->file));
    char *text = w->status == RNL_OK ? json_text(w->header) : NULL;
    if (text == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory for the header is exhausted",
                           staged_path(w->file));
    const size_t size = strlen(text);
    const size_t padding = (HEADER_ALIGN - size % HEADER_ALIGN) % HEADER_ALIGN;
    const uint64_t header_size = size + padding;
    rnl_status status = write_bytes(w, &header_size, sizeof header_size, error);
    if (status == RNL_OK) status = write_bytes(w, text, size, error);
    if (status == RNL_OK) status = write_bytes(w, "        ", padding, error);
    free(text);
    return status;
}

rnl_status safetensors_writer_data(safetensors_writer *w, const void *data, size_t size,
                                   rnl_error *error) {
    if (size > w->declared - w->written)
        return status_fail(error, RNL_ERR_STATE, "%s: more data than was declared",
                           staged_path(w->file));
    w->written += size;
    return write_bytes(w, data, size, error);
}

const char *safetensors_writer_temporary(const safetensors_writer *w) {
    return staged_temporary(w->file);
}

static rnl_status check_complete(const safetensors_writer *w, rnl_error *error) {
    if (w->written == w->declared) return RNL_OK;
    return status_fail(error, RNL_ERR_STATE, "%s: tensor data is missing", staged_path(w->file));
}

rnl_status safetensors_writer_complete(safetensors_writer *w, rnl_error *error) {
    const rnl_status status = check_complete(w, error);
    return status == RNL_OK ? staged_sync(w->file, error) : status;
}

rnl_status safetensors_writer_finish(safetensors_writer **out, rnl_error *error) {
    rnl_status status = check_complete(*out, error);
    if (status == RNL_OK) status = staged_commit(&(*out)->file, error);
    safetensors_writer_abort(out);
    return status;
}
