#include "tests/support/variant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/safetensors.h"

static const char *const linked[] = {"config.json", "tokenizer.json", "audio_detokenizer"};

static const tensor *find(const safetensors *s, const char *name, size_t size) {
    for (size_t i = 0; i < safetensors_tensor_count(s); i++) {
        const tensor *t = safetensors_tensor(s, i);
        if (strlen(t->name) == size && strncmp(t->name, name, size) == 0) return t;
    }
    fail_msg("no tensor %.*s", (int)size, name);
    return NULL;
}

/* Where the file's data begins in memory: the lowest tensor. */
static const unsigned char *data_begin(const safetensors *s) {
    const unsigned char *low = safetensors_tensor(s, 0)->data;
    for (size_t i = 1; i < safetensors_tensor_count(s); i++)
        if (safetensors_tensor(s, i)->data < low) low = safetensors_tensor(s, i)->data;
    return low;
}

static unsigned char *read_file(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *size = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    fclose(f);
    return bytes;
}

static void put_rows(unsigned char *bytes, const safetensors *base, const safetensors *rows) {
    uint64_t header;
    memcpy(&header, bytes, sizeof header);
    unsigned char *data = bytes + 8 + header;
    for (size_t i = 0; i < safetensors_tensor_count(rows); i++) {
        const tensor *row = safetensors_tensor(rows, i);
        const char *mark = strchr(row->name, '#');
        assert_non_null(mark);
        const tensor *whole = find(base, row->name, (size_t)(mark - row->name));
        const size_t row_size = whole->size / (size_t)whole->shape[0];
        assert_int_equal(row->size, row_size);
        const size_t at = (size_t)(whole->data - data_begin(base)) +
                          (size_t)strtoul(mark + 1, NULL, 10) * row_size;
        memcpy(data + at, row->data, row_size);
    }
}

void variant_make(const char *name, char *dir, size_t cap) {
    (void)snprintf(dir, cap, "/tmp/runnel-variant-XXXXXX");
    assert_non_null(mkdtemp(dir));
    char path[1024], target[1024];
    for (size_t i = 0; i < sizeof linked / sizeof *linked; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, linked[i]);
        (void)snprintf(target, sizeof target, "%s/tiny/%s", TEST_DATA, linked[i]);
        assert_int_equal(symlink(target, path), 0);
    }
    safetensors *base = NULL, *rows = NULL;
    (void)snprintf(path, sizeof path, "%s/tiny/variant-%s.safetensors", TEST_DATA, name);
    assert_int_equal(safetensors_open(path, &rows, NULL), RNL_OK);
    (void)snprintf(path, sizeof path, "%s/tiny/model.safetensors", TEST_DATA);
    assert_int_equal(safetensors_open(path, &base, NULL), RNL_OK);
    size_t size;
    unsigned char *bytes = read_file(path, &size);
    put_rows(bytes, base, rows);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", dir);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
    free(bytes);
    safetensors_close(&base);
    safetensors_close(&rows);
}

void variant_remove(const char *dir) {
    char path[1024];
    for (size_t i = 0; i < sizeof linked / sizeof *linked; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, linked[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/model.safetensors", dir);
    (void)unlink(path);
    (void)rmdir(dir);
}
