#include "engine/packed_file.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/status.h"

enum { KEY_CAP = 600, TEXT_CAP = 64, SIDE_CAP = 1 << 24 };

static void key_of(const char *name, char key[KEY_CAP]) {
    (void)snprintf(key, KEY_CAP, "runnel.packed.%s", name);
}

/* Slabs of all matrices [rank 2: one, 3: a stack]; false when they are too many. */
static bool slab_count(int rank, const int64_t *shape, size_t *out) {
    const int64_t rows = shape[rank - 2], count = rank == 3 ? shape[0] : 1;
    return checked_mul((size_t)((rows + PACKED_ROWS - 1) / PACKED_ROWS), (size_t)count, out);
}

void packed_file_put(gguf_writer *w, const char *name, quant_type type, int rank,
                     const int64_t *shape) {
    char key[KEY_CAP], text[TEXT_CAP];
    size_t slabs = 0;
    const bool fits = slab_count(rank, shape, &slabs);
    assert(fits && (rank == 2 || rank == 3));
    (void)fits;
    const int64_t stored[] = {(int64_t)slabs, (int64_t)packed_slab_size(type, shape[rank - 1])};
    int size = snprintf(text, sizeof text, "%s", quant_describe((uint32_t)type)->name);
    for (int i = 0; i < rank; i++)
        size += snprintf(text + size, sizeof text - (size_t)size, " %lld", (long long)shape[i]);
    key_of(name, key);
    gguf_put_string(w, key, text, (size_t)size);
    gguf_put_tensor(w, name, QUANT_I8, 2, stored);
}

/* "Q4_0 8192 2048", or with the number of matrices before the rows. */
static bool parse(const char *text, size_t size, tensor *t) {
    char copy[TEXT_CAP], type[16];
    long long sides[3];
    if (size >= sizeof copy) return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    const int read = sscanf(copy, "%15s %lld %lld %lld", type, &sides[0], &sides[1], &sides[2]);
    if (read < 3) return false;
    if (!quant_parse(type, &t->type) || packed_describe(t->type)->low_bits == 0) return false;
    t->rank = read - 1;
    for (int i = 0; i < t->rank; i++) {
        if (sides[i] < 1 || sides[i] > SIDE_CAP) return false;
        t->shape[i] = sides[i];
    }
    return t->shape[t->rank - 1] % packed_describe(t->type)->super_len == 0;
}

rnl_status packed_file_read(const gguf *g, tensor *t, rnl_error *error) {
    char key[KEY_CAP];
    const char *text;
    size_t size, slabs, expected;
    key_of(t->name, key);
    if (t->type != QUANT_I8 || !gguf_string(g, key, &text, &size)) return RNL_OK;
    const char *layout;
    size_t layout_size;
    if (!gguf_string(g, PACKED_LAYOUT_KEY, &layout, &layout_size) ||
        layout_size != strlen(PACKED_LAYOUT) || memcmp(layout, PACKED_LAYOUT, layout_size) != 0)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: " PACKED_LAYOUT_KEY " is not " PACKED_LAYOUT
                           ": another version of Runnel packed this bundle; convert the original "
                           "again",
                           gguf_path(g));
    if (!parse(text, size, t) || !slab_count(t->rank, t->shape, &slabs) ||
        !checked_mul(slabs, packed_slab_size(t->type, t->shape[t->rank - 1]), &expected) ||
        expected != t->size)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: key %s does not fit its tensor; the file is damaged", gguf_path(g),
                           key);
    t->slabs = t->data;
    t->data = NULL;
    return RNL_OK;
}
