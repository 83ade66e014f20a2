/* One safetensors file: u64 header size, JSON header, data. Everything in the header is checked
 * against the file before a pointer is made of it (backbone.md 7.1). */
#include "core/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/json.h"
#include "core/mapped.h"
#include "core/status.h"

enum { HEADER_CAP = 100 << 20, TENSOR_CAP = 1 << 16, INDEX_CAP = 64 << 20 };

typedef struct extent {
    size_t begin, end;
} extent;

struct safetensors {
    char *path;
    mapped file;
    json *header; /* owns the names */
    tensor *tensors;
    size_t count;
};

/* Of those that are foreign only the size counts. */
static const struct {
    const char *name;
    size_t size;
    quant_type type;
    bool foreign;
} dtypes[] = {
    {"F32", 4, QUANT_F32, false},   {"F16", 2, QUANT_F16, false},   {"BF16", 2, QUANT_BF16, false},
    {"F64", 8, QUANT_F64, false},   {"I64", 8, QUANT_I64, false},   {"I32", 4, QUANT_I32, false},
    {"I16", 2, QUANT_I16, false},   {"I8", 1, QUANT_I8, false},     {"U8", 1, QUANT_I8, true},
    {"BOOL", 1, QUANT_I8, true},    {"U16", 2, QUANT_I8, true},     {"U32", 4, QUANT_I8, true},
    {"U64", 8, QUANT_I8, true},     {"C64", 8, QUANT_I8, true},     {"F8_E4M3", 1, QUANT_I8, true},
    {"F8_E5M2", 1, QUANT_I8, true}, {"F8_E8M0", 1, QUANT_I8, true},
};

typedef struct builder {
    safetensors *s;
    extent *extents;
    const unsigned char *data;
    size_t data_size;
    rnl_status status;
    rnl_error *error;
} builder;

static bool refuse(builder *b, const char *name, const char *what) {
    b->status = status_fail(b->error, RNL_ERR_FORMAT,
                            "%s: tensor '%s' %s; the file is damaged, download it again",
                            b->s->path, name, what);
    return false;
}

/* Shape and size; element_size 0: unknown, as the size then stays. */
static bool read_shape(builder *b, const char *name, const json *shape, size_t element_size,
                       tensor *t) {
    const size_t rank = json_count(shape);
    if (!json_is_array(shape)) return refuse(b, name, "has a shape that is no list of numbers");
    for (size_t i = 0; i < TENSOR_RANK_CAP; i++) t->shape[i] = 1;
    t->rank = rank <= TENSOR_RANK_CAP ? (int)rank : 0;
    if (rank > TENSOR_RANK_CAP) t->foreign = "an array of more than four dimensions";
    t->size = element_size;
    for (size_t i = 0; i < rank; i++) {
        int64_t n;
        if (!json_int(json_at(shape, i), 0, (int64_t)1 << 40, &n))
            return refuse(b, name, "has a dimension that is no whole number");
        if (n == 0) t->foreign = "an empty array";
        if (i < TENSOR_RANK_CAP && n > 0) t->shape[i] = n;
        if (!checked_mul(t->size, (size_t)n, &t->size))
            return refuse(b, name, "is larger than memory");
    }
    return true;
}

static bool read_extent(builder *b, const char *name, const json *offsets, extent *out) {
    int64_t begin, end;
    const int64_t limit = (int64_t)b->data_size;
    if (json_count(offsets) != 2 || !json_int(json_at(offsets, 0), 0, limit, &begin) ||
        !json_int(json_at(offsets, 1), 0, limit, &end))
        return refuse(b, name, "lies outside the file (it may be cut off)");
    *out = (extent){(size_t)begin, (size_t)end};
    return end >= begin || refuse(b, name, "has offsets that do not fit its shape");
}

static bool add_member(void *context, const char *key, size_t key_size, const json *value) {
    builder *b = context;
    if (strcmp(key, "__metadata__") == 0) return true;
    if (strlen(key) != key_size) return refuse(b, key, "has a zero byte in its name");
    const char *dtype = json_chars(json_get(value, "dtype"), NULL);
    if (dtype == NULL) return refuse(b, key, "has no dtype");
    tensor *t = &b->s->tensors[b->s->count];
    *t = (tensor){.name = key, .type = QUANT_I8};
    size_t at = 0, element_size = 0;
    while (at < sizeof dtypes / sizeof *dtypes && strcmp(dtypes[at].name, dtype) != 0) at++;
    if (at < sizeof dtypes / sizeof *dtypes) {
        t->type = dtypes[at].type;
        element_size = dtypes[at].size;
    }
    if (element_size == 0 || dtypes[at].foreign) t->foreign = dtype;
    extent *e = &b->extents[b->s->count];
    if (!read_shape(b, key, json_get(value, "shape"), element_size, t) ||
        !read_extent(b, key, json_get(value, "data_offsets"), e))
        return false;
    if (element_size == 0) t->size = e->end - e->begin;
    if (e->end - e->begin != t->size)
        return refuse(b, key, "has offsets that do not fit its shape");
    t->data = b->data + e->begin;
    b->s->count++;
    return true;
}

static int by_begin(const void *a, const void *b) {
    const extent *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end; /* what is empty goes first */
}

/* The extents must tile the data: no hole, no overlap, nothing behind the last. */
static bool is_tiled(builder *b) {
    qsort(b->extents, b->s->count, sizeof *b->extents, by_begin);
    size_t at = 0;
    for (size_t i = 0; i < b->s->count; i++) {
        if (b->extents[i].begin != at) return false;
        at = b->extents[i].end;
    }
    return at == b->data_size;
}

static rnl_status read_header(safetensors *s, rnl_error *error) {
    uint64_t size = 0;
    if (s->file.size >= sizeof size) memcpy(&size, s->file.data, sizeof size);
    if (s->file.size < 8 + 2 || size < 2 || size > HEADER_CAP || size > s->file.size - 8 ||
        s->file.data[8] != '{')
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: this is no safetensors file, or it is cut off; download it again",
                           s->path);
    return json_parse((const char *)s->file.data + 8, (size_t)size, s->path, &s->header, error);
}

static rnl_status read_tensors(safetensors *s, rnl_error *error) {
    uint64_t header_size;
    memcpy(&header_size, s->file.data, sizeof header_size);
    const size_t count = json_count(s->header);
    if (!json_is_object(s->header) || count > TENSOR_CAP)
        return status_fail(error, RNL_ERR_FORMAT, "%s: the header lists no tensors, or too many",
                           s->path);
    builder b = {.s = s, .error = error};
    b.data = s->file.data + 8 + header_size;
    b.data_size = s->file.size - 8 - (size_t)header_size;
    s->tensors = calloc(count + 1, sizeof *s->tensors);
    b.extents = calloc(count + 1, sizeof *b.extents);
    if (s->tensors == NULL || b.extents == NULL)
        b.status = status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", s->path);
    else if (json_each(s->header, add_member, &b) && !is_tiled(&b))
        b.status = status_fail(error, RNL_ERR_FORMAT,
                               "%s: the tensors do not cover the file exactly; it is cut off or "
                               "damaged, download it again",
                               s->path);
    free(b.extents);
    return b.status;
}

rnl_status safetensors_open(const char *path, safetensors **out, rnl_error *error) {
    safetensors *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s == NULL || (s->path = strdup(path)) == NULL) {
        free(s);
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    }
    rnl_status status = mapped_open(path, &s->file, error);
    if (status == RNL_OK) status = read_header(s, error);
    if (status == RNL_OK) status = read_tensors(s, error);
    if (status != RNL_OK) safetensors_close(&s);
    *out = s;
    return status;
}

void safetensors_close(safetensors **s) {
    if (*s == NULL) return;
    free((*s)->tensors);
    json_destroy(&(*s)->header);
    mapped_close(&(*s)->file);
    free((*s)->path);
    free(*s);
    *s = NULL;
}

const char *safetensors_path(const safetensors *s) {
    return s->path;
}

size_t safetensors_tensor_count(const safetensors *s) {
    return s->count;
}

const tensor *safetensors_tensor(const safetensors *s, size_t index) {
    return &s->tensors[index];
}

/* ---- Shards ---- */

enum { SHARD_CAP = 1024 };

typedef struct shard_list {
    const char *names[SHARD_CAP];
    size_t count;
    const char *path;
    rnl_status status;
    rnl_error *error;
} shard_list;

static bool add_shard(void *context, const char *key, size_t key_size, const json *value) {
    shard_list *l = context;
    (void)key_size;
    size_t size = 0;
    const char *name = json_chars(value, &size);
    if (name == NULL || size == 0 || strlen(name) != size || strchr(name, '/') != NULL ||
        strstr(name, "..") != NULL) {
        l->status = status_fail(l->error, RNL_ERR_FORMAT,
                                "%s: the file of tensor '%s' is no plain file name; the index is "
                                "damaged",
                                l->path, key);
        return false;
    }
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->names[i], name) == 0) return true;
    if (l->count == SHARD_CAP) {
        l->status =
            status_fail(l->error, RNL_ERR_FORMAT, "%s: more than 1024 shards are named", l->path);
        return false;
    }
    l->names[l->count++] = name;
    return true;
}

rnl_status safetensors_each_shard(const char *index_path, safetensors_shard_fn fn, void *context,
                                  rnl_error *error) {
    json *root = NULL;
    rnl_status status = json_read(index_path, INDEX_CAP, &root, error);
    if (status != RNL_OK) return status;
    shard_list *list = calloc(1, sizeof *list);
    const json *map = json_get(root, "weight_map");
    if (list == NULL) {
        status = status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", index_path);
    } else if (!json_is_object(map) || json_count(map) == 0) {
        status = status_fail(error, RNL_ERR_FORMAT,
                             "%s: weight_map is missing; the index is damaged", index_path);
    } else {
        *list = (shard_list){.path = index_path, .error = error};
        (void)json_each(map, add_shard, list);
        status = list->status;
        for (size_t i = 0; i < list->count && status == RNL_OK; i++)
            status = fn(context, list->names[i], error);
    }
    free(list);
    json_destroy(&root);
    return status;
}
