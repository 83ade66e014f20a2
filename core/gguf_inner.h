/* What the reader (gguf.c) finds and the key lookups (gguf_keys.c) use. */
#ifndef CORE_GGUF_INNER_H
#define CORE_GGUF_INNER_H

#include "core/gguf.h"
#include "core/mapped.h"

/* Value types, backbone.md 5.1. */
enum {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_KIND_COUNT
};

typedef struct gguf_key {
    const char *name; /* in the mapping, not terminated */
    size_t name_size;
    uint32_t kind;
    uint32_t element_kind;      /* of an array */
    size_t count;               /* of an array */
    const unsigned char *value; /* scalars and arrays: first element; strings: the bytes */
    size_t value_size;          /* scalars and strings */
} gguf_key;

enum { GGUF_TENSOR_CAP = 1 << 16 };

struct gguf {
    char *path;
    mapped file;
    gguf_key *keys;    /* in the order of the file */
    gguf_key **sorted; /* by name */
    size_t key_count;
    tensor *tensors; /* of a split file: of all parts */
    char *names;
    uint64_t *offsets;
    size_t tensor_count;
    gguf **parts; /* [part_count] of a split file; the first is this one. NULL of a whole one */
    size_t part_count;
};

/* One file, without looking for other parts. */
RNL_MUST_USE rnl_status gguf_open_one(const char *path, gguf **out, rnl_error *error);
/* gguf_split.c: a file that is a part becomes the whole, with the first part in its place. On
 * failure *g is still to be closed. */
RNL_MUST_USE rnl_status gguf_join(gguf **g, rnl_error *error);

#endif
