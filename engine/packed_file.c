#include "engine/packed_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/status.h"

enum { KEY_CAP = 600, TEXT_CAP = 64, SIDE_CAP = 1 << 24 };

static void key_of(const char *name, char key[KEY_CAP]) {
    (void)snprintf(key, KEY_CAP, "runnel.packed.%s", name);
}

static int64_t slab_count(int64_t row_count) {
    return (row_count + PACKED_ROWS - 1) / PACKED_ROWS;
}

void packed_file_put(gguf_writer *w, const char *name, quant_type type, int64_t row_count,
                     int64_t col_count) {
    char key[KEY_CAP], text[TEXT_CAP];
    const int64_t shape[] = {slab_count(row_count), (int64_t)packed_slab_size(type, col_count)};
    const int size =
        snprintf(text, sizeof text, "%s %lld %lld", quant_describe((uint32_t)type)->name,
                 (long long)row_count, (long long)col_count);
    key_of(name, key);
    gguf_put_string(w, key, text, (size_t)size);
    gguf_put_tensor(w, name, QUANT_I8, 2, shape);
}

/* "Q4_0 8192 2048" */
static bool parse(const char *text, size_t size, tensor *t) {
    char copy[TEXT_CAP], type[16];
    long long rows, cols;
    if (size >= sizeof copy) return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    if (sscanf(copy, "%15s %lld %lld", type, &rows, &cols) != 3) return false;
    if (!quant_parse(type, &t->type) || packed_describe(t->type)->low_bits == 0) return false;
    if (rows < 1 || rows > SIDE_CAP || cols < 1 || cols > SIDE_CAP) return false;
    t->rank = 2;
    t->shape[0] = rows;
    t->shape[1] = cols;
    return cols % packed_describe(t->type)->super_len == 0;
}

rnl_status packed_file_read(const gguf *g, tensor *t, rnl_error *error) {
    char key[KEY_CAP];
    const char *text;
    size_t size, expected;
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
    if (!parse(text, size, t) ||
        !checked_mul((size_t)slab_count(t->shape[0]), packed_slab_size(t->type, t->shape[1]),
                     &expected) ||
        expected != t->size)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: key %s does not fit its tensor; the file is damaged", gguf_path(g),
                           key);
    t->slabs = t->data;
    t->data = NULL;
    return RNL_OK;
}
