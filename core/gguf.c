/* Reading GGUF: one pass with a cursor that never looks past the end, then a sort each for
 * duplicate keys, duplicate tensor names and overlapping data. backbone.md 5.1, 5.5. */
#include "core/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/gguf_inner.h"
#include "core/mapped.h"
#include "core/status.h"

enum {
    KEY_CAP = 1 << 16,
    KEY_SIZE_MIN = 8 + 1 + 4 + 1, /* bytes of the smallest key record */
    TENSOR_SIZE_MIN = 8 + 1 + 4 + 8 + 4 + 8,
    NAME_SIZE_CAP = 256,
    ALIGN_DEFAULT = 32,
    ALIGN_CAP = 1 << 20
};

static const int64_t element_cap = (int64_t)1 << 40;

/* A reader of the mapped bytes. After the first fault every read gives zero. */
typedef struct cursor {
    const unsigned char *at, *end;
    bool failed;
} cursor;

static const unsigned char *take(cursor *c, uint64_t size) {
    if (c->failed || size > (uint64_t)(c->end - c->at)) {
        c->failed = true;
        return NULL;
    }
    const unsigned char *p = c->at;
    c->at += size;
    return p;
}

static uint32_t take_u32(cursor *c) {
    uint32_t v = 0;
    const unsigned char *p = take(c, sizeof v);
    if (p != NULL) memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t take_u64(cursor *c) {
    uint64_t v = 0;
    const unsigned char *p = take(c, sizeof v);
    if (p != NULL) memcpy(&v, p, sizeof v);
    return v;
}

static const char *take_string(cursor *c, size_t *size) {
    const uint64_t n = take_u64(c);
    const char *p = (const char *)take(c, n);
    *size = p != NULL ? (size_t)n : 0;
    return p;
}

static const size_t scalar_sizes[GGUF_KIND_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static rnl_status cut_off(const gguf *g, rnl_error *error) {
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: the header ends beyond the end of the file; it is cut off or damaged, "
                       "download it again",
                       g->path);
}

static rnl_status bad_key(const gguf *g, const gguf_key *k, const char *what, rnl_error *error) {
    return status_fail(error, RNL_ERR_FORMAT, "%s: key '%.*s' %s; the file is damaged", g->path,
                       (int)(k->name_size < 96 ? k->name_size : 96), k->name, what);
}

/* Skips the value and remembers where it lies; strings of arrays are walked to find the end. */
static rnl_status read_value(const gguf *g, cursor *c, gguf_key *k, rnl_error *error) {
    k->kind = take_u32(c);
    if (k->kind >= GGUF_KIND_COUNT) return bad_key(g, k, "has an unknown type", error);
    if (k->kind == GGUF_STRING) {
        k->value = (const unsigned char *)take_string(c, &k->value_size);
        return RNL_OK;
    }
    if (k->kind != GGUF_ARRAY) {
        k->value_size = scalar_sizes[k->kind];
        k->value = take(c, k->value_size);
        if (k->kind == GGUF_BOOL && k->value != NULL && *k->value > 1)
            return bad_key(g, k, "is a truth value that is neither 0 nor 1", error);
        return RNL_OK;
    }
    k->element_kind = take_u32(c);
    const uint64_t count = take_u64(c);
    if (c->failed) return RNL_OK; /* the caller reports it */
    if (k->element_kind >= GGUF_KIND_COUNT || k->element_kind == GGUF_ARRAY)
        return bad_key(g, k, "is an array of arrays or of an unknown type", error);
    const bool strings = k->element_kind == GGUF_STRING;
    const size_t least = strings ? sizeof(uint64_t) : scalar_sizes[k->element_kind];
    if (count > (uint64_t)(c->end - c->at) / least)
        return bad_key(g, k, "is an array longer than the file", error);
    k->count = (size_t)count;
    k->value = c->at;
    size_t size;
    if (!strings) (void)take(c, count * least);
    for (uint64_t i = 0; strings && i < count && !c->failed; i++) (void)take_string(c, &size);
    return RNL_OK;
}

static rnl_status read_keys(gguf *g, cursor *c, uint64_t count, rnl_error *error) {
    g->keys = calloc((size_t)count + 1, sizeof *g->keys);
    if (g->keys == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", g->path);
    for (uint64_t i = 0; i < count; i++) {
        gguf_key *k = &g->keys[g->key_count];
        k->name = take_string(c, &k->name_size);
        if (c->failed) return cut_off(g, error);
        if (k->name_size == 0) return bad_key(g, k, "has no name", error);
        const rnl_status status = read_value(g, c, k, error);
        if (status != RNL_OK) return status;
        if (c->failed) return cut_off(g, error);
        g->key_count++;
    }
    return RNL_OK;
}

static rnl_status bad_tensor(const gguf *g, const char *name, const char *what, rnl_error *error) {
    return status_fail(error, RNL_ERR_FORMAT, "%s: tensor '%s' %s", g->path, name, what);
}

/* Dimensions come innermost first; a size that overflows or breaks blocks is refused. */
static rnl_status read_shape(const gguf *g, cursor *c, tensor *t, rnl_error *error) {
    const uint32_t rank = take_u32(c);
    if (c->failed) return cut_off(g, error);
    if (rank < 1 || rank > TENSOR_RANK_CAP)
        return bad_tensor(g, t->name, "has not 1 to 4 dimensions; the file is damaged", error);
    for (int i = 0; i < TENSOR_RANK_CAP; i++) t->shape[i] = 1;
    t->rank = (int)rank;
    int64_t elements = 1;
    for (uint32_t i = 0; i < rank; i++) {
        const uint64_t n = take_u64(c);
        if (c->failed) return cut_off(g, error);
        if (n == 0 || n > (uint64_t)element_cap || elements > element_cap / (int64_t)n)
            return bad_tensor(g, t->name,
                              "has a dimension of 0 or too many elements; the file is "
                              "damaged",
                              error);
        t->shape[rank - 1 - i] = (int64_t)n;
        elements *= (int64_t)n;
    }
    const uint32_t type = take_u32(c);
    const quant_info *info = quant_describe(type);
    if (c->failed) return cut_off(g, error);
    if (info->block_size == 0)
        return bad_tensor(g, t->name,
                          "is stored in a format that Runnel does not know; convert the "
                          "model to another type",
                          error);
    if (t->shape[rank - 1] % info->block_len != 0)
        return bad_tensor(g, t->name, "has rows of no whole number of blocks; the file is damaged",
                          error);
    t->type = (quant_type)type;
    t->size = (size_t)(elements / info->block_len) * info->block_size; /* < 2^43: fits */
    return RNL_OK;
}

static rnl_status read_tensors(gguf *g, cursor *c, uint64_t count, rnl_error *error) {
    g->tensors = calloc((size_t)count + 1, sizeof *g->tensors);
    g->names = malloc((size_t)count * (NAME_SIZE_CAP + 1) + 1);
    g->offsets = calloc((size_t)count + 1, sizeof *g->offsets);
    if (g->tensors == NULL || g->names == NULL || g->offsets == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", g->path);
    for (uint64_t i = 0; i < count; i++) {
        tensor *t = &g->tensors[i];
        size_t size;
        const char *name = take_string(c, &size);
        if (c->failed) return cut_off(g, error);
        char *copy = g->names + i * (NAME_SIZE_CAP + 1);
        t->name = copy;
        if (size == 0 || size > NAME_SIZE_CAP || memchr(name, '\0', size) != NULL)
            return status_fail(error, RNL_ERR_FORMAT,
                               "%s: tensor %llu has an empty, overlong or broken name; the file is "
                               "damaged",
                               g->path, (unsigned long long)i);
        memcpy(copy, name, size);
        copy[size] = '\0';
        const rnl_status status = read_shape(g, c, t, error);
        if (status != RNL_OK) return status;
        g->offsets[i] = take_u64(c);
        if (c->failed) return cut_off(g, error);
        g->tensor_count++;
    }
    return RNL_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const tensor *const *)a)->name, (*(const tensor *const *)b)->name);
}

static int by_data(const void *a, const void *b) {
    const tensor *x = *(const tensor *const *)a, *y = *(const tensor *const *)b;
    return x->data < y->data ? -1 : x->data > y->data;
}

static int by_key(const void *a, const void *b) {
    const gguf_key *x = *(const gguf_key *const *)a, *y = *(const gguf_key *const *)b;
    const size_t size = x->name_size < y->name_size ? x->name_size : y->name_size;
    const int order = memcmp(x->name, y->name, size);
    if (order != 0) return order;
    return x->name_size < y->name_size ? -1 : x->name_size > y->name_size;
}

/* Puts the tensors on the data and checks that each lies inside, aligned, alone. */
static rnl_status place_tensors(gguf *g, const unsigned char *data, size_t data_size, size_t align,
                                rnl_error *error) {
    for (size_t i = 0; i < g->tensor_count; i++) {
        tensor *t = &g->tensors[i];
        const uint64_t offset = g->offsets[i];
        if (offset % align != 0)
            return bad_tensor(g, t->name, "is not aligned; the file is damaged", error);
        if (offset > data_size || t->size > data_size - (size_t)offset)
            return bad_tensor(g, t->name,
                              "ends beyond the end of the file; it is cut off, download it again",
                              error);
        t->data = data + offset;
    }
    const tensor **order = calloc(g->tensor_count + 1, sizeof *order);
    if (order == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", g->path);
    rnl_status status = RNL_OK;
    for (size_t i = 0; i < g->tensor_count; i++) order[i] = &g->tensors[i];
    qsort(order, g->tensor_count, sizeof *order, by_data);
    for (size_t i = 1; i < g->tensor_count && status == RNL_OK; i++)
        if (order[i - 1]->data + order[i - 1]->size > order[i]->data)
            status = bad_tensor(g, order[i]->name, "overlaps another; the file is damaged", error);
    qsort(order, g->tensor_count, sizeof *order, by_name);
    for (size_t i = 1; i < g->tensor_count && status == RNL_OK; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            status = bad_tensor(g, order[i]->name, "is there twice; the file is damaged", error);
    free(order);
    return status;
}

/* The sorted view that lookups use. */
static rnl_status sort_keys(gguf *g, rnl_error *error) {
    g->sorted = calloc(g->key_count + 1, sizeof *g->sorted);
    if (g->sorted == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", g->path);
    for (size_t i = 0; i < g->key_count; i++) g->sorted[i] = &g->keys[i];
    qsort(g->sorted, g->key_count, sizeof *g->sorted, by_key);
    for (size_t i = 1; i < g->key_count; i++)
        if (by_key(&g->sorted[i - 1], &g->sorted[i]) == 0)
            return bad_key(g, g->sorted[i], "is there twice", error);
    return RNL_OK;
}

static rnl_status read_all(gguf *g, rnl_error *error) {
    cursor c = {.at = g->file.data, .end = g->file.data + g->file.size};
    const unsigned char *magic = take(&c, 4);
    if (magic == NULL || memcmp(magic, "GGUF", 4) != 0)
        return status_fail(
            error, RNL_ERR_FORMAT,
            "%s: this is no GGUF file; name a .gguf file or a Hugging Face directory", g->path);
    const uint32_t version = take_u32(&c);
    const uint64_t tensors = take_u64(&c), keys = take_u64(&c);
    if (c.failed) return cut_off(g, error);
    if (version == 2u << 24 || version == 3u << 24)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: this GGUF file is big-endian; convert it to little-endian",
                           g->path);
    if (version != 2 && version != 3)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: GGUF version %u is not 2 or 3; convert the file anew", g->path,
                           version);
    const uint64_t left = (uint64_t)(c.end - c.at);
    if (keys > KEY_CAP || tensors > GGUF_TENSOR_CAP || keys > left / KEY_SIZE_MIN ||
        tensors > left / TENSOR_SIZE_MIN)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: %llu keys and %llu tensors cannot fit; the file is damaged",
                           g->path, (unsigned long long)keys, (unsigned long long)tensors);
    rnl_status status = read_keys(g, &c, keys, error);
    if (status == RNL_OK) status = sort_keys(g, error);
    if (status == RNL_OK) status = read_tensors(g, &c, tensors, error);
    if (status != RNL_OK) return status;
    int64_t align = ALIGN_DEFAULT;
    if (gguf_has(g, "general.alignment") &&
        (!gguf_int(g, "general.alignment", 8, ALIGN_CAP, &align) || (align & (align - 1)) != 0))
        return status_fail(
            error, RNL_ERR_FORMAT,
            "%s: general.alignment is no power of two from 8 to 1048576; the file is "
            "damaged",
            g->path);
    size_t start;
    const size_t header = (size_t)(c.at - g->file.data);
    if (!checked_align(header, (size_t)align, &start) || start > g->file.size)
        start = g->file.size; /* metadata alone */
    return place_tensors(g, g->file.data + start, g->file.size - start, (size_t)align, error);
}

rnl_status gguf_open_one(const char *path, gguf **out, rnl_error *error) {
    gguf *g = calloc(1, sizeof *g);
    *out = NULL;
    if (g == NULL || (g->path = strdup(path)) == NULL) {
        free(g);
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    }
    rnl_status status = mapped_open(path, &g->file, error);
    if (status == RNL_OK) status = read_all(g, error);
    if (status != RNL_OK) gguf_close(&g);
    *out = g;
    return status;
}

rnl_status gguf_open(const char *path, gguf **out, rnl_error *error) {
    rnl_status status = gguf_open_one(path, out, error);
    if (status == RNL_OK) status = gguf_join(out, error);
    if (status != RNL_OK) gguf_close(out);
    return status;
}

void gguf_close(gguf **g) {
    if (*g == NULL) return;
    for (size_t i = 1; i < (*g)->part_count; i++) gguf_close(&(*g)->parts[i]);
    free((*g)->parts);
    free((*g)->keys);
    free((*g)->sorted);
    free((*g)->tensors);
    free((*g)->names);
    free((*g)->offsets);
    mapped_close(&(*g)->file);
    free((*g)->path);
    free(*g);
    *g = NULL;
}

const char *gguf_path(const gguf *g) {
    return g->path;
}

size_t gguf_tensor_count(const gguf *g) {
    return g->tensor_count;
}

const tensor *gguf_tensor(const gguf *g, size_t index) {
    return &g->tensors[index];
}
