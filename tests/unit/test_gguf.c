/* GGUF from strangers: a small honest file, then the same file with one lie each (hostile.md), and
 * the keys of every kind. What the writer writes is in test_gguf_write.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/gguf_inner.h"

/* ---- A file under construction ---- */

enum { FILE_CAP = 1 << 16 };

typedef struct image {
    unsigned char bytes[FILE_CAP];
    size_t size;
} image;

static void put(image *m, const void *data, size_t size) {
    assert_true(m->size + size <= FILE_CAP);
    memcpy(m->bytes + m->size, data, size);
    m->size += size;
}

static void put_u32(image *m, uint32_t v) {
    put(m, &v, sizeof v);
}

static void put_u64(image *m, uint64_t v) {
    put(m, &v, sizeof v);
}

static void put_text(image *m, const char *text) {
    put_u64(m, strlen(text));
    put(m, text, strlen(text));
}

static void put_key_u32(image *m, const char *key, uint32_t value) {
    put_text(m, key);
    put_u32(m, GGUF_U32);
    put_u32(m, value);
}

/* Everything that the lies below change. */
typedef struct plan {
    const char *magic;
    uint32_t version;
    uint64_t tensor_count, key_count; /* as the header says; written are two each */
    const char *key;                  /* of the second key */
    uint32_t align;                   /* general.alignment, the first key */
    const char *name;                 /* of the second tensor */
    uint32_t rank;                    /* of the second tensor, as all below */
    uint64_t dims[5];
    uint32_t type;
    uint64_t offset;
    size_t data_size;
} plan;

static const plan honest = {.magic = "GGUF",
                            .version = 3,
                            .tensor_count = 2,
                            .key_count = 2,
                            .key = "answer",
                            .align = 32,
                            .name = "second",
                            .rank = 2,
                            .dims = {4, 2}, /* innermost first */
                            .type = QUANT_F32,
                            .offset = 32,
                            .data_size = 64};

static void build(image *m, const plan *p) {
    m->size = 0;
    put(m, p->magic, 4);
    put_u32(m, p->version);
    put_u64(m, p->tensor_count);
    put_u64(m, p->key_count);
    put_key_u32(m, "general.alignment", p->align);
    put_key_u32(m, p->key, 42);
    put_text(m, "first");
    put_u32(m, 1);
    put_u64(m, 4);
    put_u32(m, QUANT_F32);
    put_u64(m, 0);
    put_text(m, p->name);
    put_u32(m, p->rank);
    for (uint32_t i = 0; i < p->rank && i < 5; i++) put_u64(m, p->dims[i]);
    put_u32(m, p->type);
    put_u64(m, p->offset);
    while (m->size % 32 != 0) put(m, "", 1);
    for (size_t i = 0; i < p->data_size / 4; i++) {
        const float value = (float)i;
        put(m, &value, sizeof value);
    }
}

static char path[] = "/tmp/runnel-gguf-XXXXXX";

static int setup(void **state) {
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 ? 1 : close(fd);
}

static int teardown(void **state) {
    (void)state;
    return unlink(path);
}

static rnl_status open_image(const image *m, gguf **g, rnl_error *error) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(m->bytes, 1, m->size, f), m->size);
    assert_int_equal(fclose(f), 0);
    return gguf_open(path, g, error);
}

static void refuse(const image *m, const char *what, const char *part) {
    gguf *g = NULL;
    rnl_error error = {0};
    if (open_image(m, &g, &error) != RNL_ERR_FORMAT) fail_msg("%s was taken", what);
    assert_null(g);
    if (strstr(error.text, path) == NULL || strstr(error.text, part) == NULL)
        fail_msg("%s: '%s' lacks the path or '%s'", what, error.text, part);
}

/* ---- Tests ---- */

static void an_honest_file_is_read(void **state) {
    (void)state;
    static image m;
    for (uint32_t version = 2; version <= 3; version++) {
        plan p = honest;
        p.version = version;
        build(&m, &p);
        gguf *g = NULL;
        rnl_error error = {0};
        if (open_image(&m, &g, &error) != RNL_OK) fail_msg("%s", error.text);
        assert_string_equal(gguf_path(g), path);
        assert_int_equal(gguf_key_count(g), 2);
        assert_int_equal(gguf_tensor_count(g), 2);
        const tensor *t = gguf_tensor(g, 1);
        assert_string_equal(t->name, "second");
        assert_int_equal(t->rank, 2);
        assert_int_equal(t->shape[0], 2); /* outermost first */
        assert_int_equal(t->shape[1], 4);
        assert_int_equal(t->shape[2], 1);
        assert_int_equal(t->size, 32);
        float values[8];
        memcpy(values, t->data, sizeof values);
        for (int i = 0; i < 8; i++) assert_true(values[i] == (float)(8 + i));
        gguf_close(&g);
        assert_null(g);
        gguf_close(&g);
    }
}

static void each_lie_is_refused(void **state) {
    (void)state;
    static image m;
    struct {
        const char *what, *part;
        plan p;
    } lies[] = {
        {"another magic", "no GGUF file", honest},
        {"version 1", "version 1", honest},
        {"version of the other byte order", "big-endian", honest},
        {"more tensors than there are", "tensor", honest},
        {"2^61 tensors", "cannot fit", honest},
        {"2^61 keys", "cannot fit", honest},
        {"a key twice", "twice", honest},
        {"alignment 0", "general.alignment", honest},
        {"alignment 48", "general.alignment", honest},
        {"alignment 2^31", "general.alignment", honest},
        {"a tensor twice", "twice", honest},
        {"no name", "name", honest},
        {"rank 0", "1 to 4 dimensions", honest},
        {"rank 5", "1 to 4 dimensions", honest},
        {"a dimension of 0", "dimension of 0", honest},
        {"a negative dimension", "dimension of 0", honest},
        {"a product that wraps to 0", "too many elements", honest},
        {"a product that wraps to 16", "too many elements", honest},
        {"an unknown type", "format that Runnel does not know", honest},
        {"half a block", "whole number of blocks", honest},
        {"data behind the end", "beyond the end", honest},
        {"an offset that wraps", "beyond the end", honest},
        {"an odd offset", "not aligned", honest},
        {"overlapping data", "overlaps", honest},
        {"data cut off", "beyond the end", honest},
    };
    plan *p[sizeof lies / sizeof *lies];
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) p[i] = &lies[i].p;
    p[0]->magic = "GGML";
    p[1]->version = 1;
    p[2]->version = 3 << 24;
    p[3]->tensor_count = 3;
    p[4]->tensor_count = (uint64_t)1 << 61;
    p[5]->key_count = (uint64_t)1 << 61;
    p[6]->key = "general.alignment";
    p[7]->align = 0;
    p[8]->align = 48;
    p[9]->align = (uint32_t)1 << 31;
    p[10]->name = "first";
    p[11]->name = "";
    p[12]->rank = 0;
    p[13]->rank = 5;
    p[14]->dims[1] = 0;
    p[15]->dims[0] = (uint64_t)-4;
    p[16]->dims[0] = p[16]->dims[1] = (uint64_t)1 << 32;
    p[17]->dims[0] = ((uint64_t)1 << 62) + 4; /* 4 elements of 4 bytes after wrapping */
    p[18]->type = 99;
    p[19]->type = QUANT_Q4_0;
    p[20]->dims[1] = 100;
    p[21]->offset = (uint64_t)-32;
    p[22]->offset = 33;
    p[23]->offset = 0;
    p[24]->data_size = 60;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        build(&m, p[i]);
        refuse(&m, lies[i].what, lies[i].part);
    }
}

static void a_file_cut_anywhere_is_refused(void **state) {
    (void)state;
    static image m;
    build(&m, &honest);
    const size_t whole = m.size;
    for (m.size = 1; m.size < whole; m.size++) refuse(&m, "a cut file", "");
}

/* One value of the given bytes behind an honest header. */
static void build_value(image *m, uint32_t kind, const void *value, size_t size) {
    m->size = 0;
    put(m, "GGUF", 4);
    put_u32(m, 3);
    put_u64(m, 0);
    put_u64(m, 1);
    put_text(m, "key");
    put_u32(m, kind);
    put(m, value, size);
    /* So that it is the value, not the end of the file, that is refused. */
    for (int i = 0; i < 64; i++) put(m, "", 1);
}

static void lengths_are_checked_before_they_are_believed(void **state) {
    (void)state;
    static image m;
    const struct {
        const char *what;
        uint32_t kind, element;
        uint64_t count;
    } lies[] = {
        {"a kind that does not exist", GGUF_KIND_COUNT, 0, 0},
        {"a string of 2^63 bytes", GGUF_STRING, 0, (uint64_t)1 << 63},
        {"a string longer than the file", GGUF_STRING, 0, 1000},
        {"an array of arrays", GGUF_ARRAY, GGUF_ARRAY, 1},
        {"an array of an unknown kind", GGUF_ARRAY, GGUF_KIND_COUNT, 1},
        {"2^62 numbers of 4 bytes", GGUF_ARRAY, GGUF_U32, (uint64_t)1 << 62},
        {"2^61 strings", GGUF_ARRAY, GGUF_STRING, (uint64_t)1 << 61},
        {"more strings than the file holds", GGUF_ARRAY, GGUF_STRING, 9},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        unsigned char value[12];
        const bool array = lies[i].kind == GGUF_ARRAY;
        memcpy(value, &lies[i].element, 4);
        memcpy(value + (array ? 4 : 0), &lies[i].count, 8);
        build_value(&m, lies[i].kind, value, array ? 12 : 8);
        refuse(&m, lies[i].what, "");
    }
    build_value(&m, GGUF_BOOL, "\2", 1);
    refuse(&m, "a truth value of 2", "neither 0 nor 1");
}

static gguf *with_value(uint32_t kind, const void *value, size_t size) {
    static image m;
    gguf *g = NULL;
    rnl_error error = {0};
    build_value(&m, kind, value, size);
    if (open_image(&m, &g, &error) != RNL_OK) fail_msg("%s", error.text);
    return g;
}

static void integers_of_every_width_are_read_and_ranged(void **state) {
    (void)state;
    const int64_t bytes = -2; /* all ones but the lowest bit, in any width */
    const struct {
        uint32_t kind;
        size_t size;
        int64_t want;
        bool readable;
    } rows[] = {{GGUF_U8, 1, 254, true},         {GGUF_I8, 1, -2, true},
                {GGUF_U16, 2, 65534, true},      {GGUF_I16, 2, -2, true},
                {GGUF_U32, 4, 4294967294, true}, {GGUF_I32, 4, -2, true},
                {GGUF_U64, 8, 0, false},         {GGUF_I64, 8, -2, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gguf *g = with_value(rows[i].kind, &bytes, rows[i].size);
        int64_t got = 77;
        const bool read = gguf_int(g, "key", INT64_MIN, INT64_MAX, &got);
        assert_int_equal(read, rows[i].readable); /* 2^64 - 2 is no int64 */
        assert_int_equal(got, rows[i].readable ? rows[i].want : 77);
        assert_false(gguf_int(g, "key", rows[i].want + 1, INT64_MAX, &got));
        assert_false(gguf_int(g, "ke", INT64_MIN, INT64_MAX, &got));
        assert_false(gguf_int(g, "key2", INT64_MIN, INT64_MAX, &got));
        gguf_close(&g);
    }
}

static void a_key_is_taken_only_for_its_kind(void **state) {
    (void)state;
    int64_t i;
    double d;
    bool b;
    const char *text;
    size_t size;
    const float f = 2.5f, nan = NAN;
    gguf *g = with_value(GGUF_F32, &f, sizeof f);
    assert_true(gguf_float(g, "key", &d) && d == 2.5);
    assert_false(gguf_int(g, "key", 0, 9, &i) || gguf_bool(g, "key", &b));
    assert_false(gguf_string(g, "key", &text, &size) || gguf_array_count(g, "key", &size));
    gguf_close(&g);
    g = with_value(GGUF_F32, &nan, sizeof nan);
    assert_false(gguf_float(g, "key", &d)); /* finite numbers only */
    gguf_close(&g);
    g = with_value(GGUF_BOOL, "\1", 1);
    assert_true(gguf_bool(g, "key", &b) && b);
    assert_false(gguf_int(g, "key", 0, 9, &i));
    gguf_close(&g);
    g = with_value(GGUF_STRING, "\3\0\0\0\0\0\0\0a\0b", 11);
    assert_true(gguf_string(g, "key", &text, &size));
    assert_int_equal(size, 3);
    assert_memory_equal(text, "a\0b", 3);
    assert_false(gguf_float(g, "key", &d));
    char shown[64];
    gguf_key_text(g, 0, shown, sizeof shown);
    assert_true(strlen(shown) < sizeof shown);
    gguf_close(&g);
}

typedef struct words {
    char all[64];
    size_t stop_at;
} words;

static bool collect(void *context, size_t index, const char *text, size_t size) {
    words *w = context;
    strncat(w->all, text, size);
    strcat(w->all, "|");
    return index != w->stop_at;
}

static void arrays_are_walked(void **state) {
    (void)state;
    static image value;
    value.size = 0;
    put_u32(&value, GGUF_STRING);
    put_u64(&value, 3);
    put_text(&value, "one");
    put_text(&value, "");
    put_text(&value, "three");
    gguf *g = with_value(GGUF_ARRAY, value.bytes, value.size);
    size_t count;
    int64_t i;
    words w = {.stop_at = 99};
    assert_true(gguf_array_count(g, "key", &count) && count == 3);
    assert_true(gguf_each_string(g, "key", collect, &w));
    assert_string_equal(w.all, "one||three|");
    w = (words){.stop_at = 1};
    (void)gguf_each_string(g, "key", collect, &w);
    assert_string_equal(w.all, "one||");
    assert_false(gguf_array_int(g, "key", 0, &i));
    gguf_close(&g);
    const int16_t numbers[] = {-5, 6};
    value.size = 0;
    put_u32(&value, GGUF_I16);
    put_u64(&value, 2);
    put(&value, numbers, sizeof numbers);
    g = with_value(GGUF_ARRAY, value.bytes, value.size);
    assert_true(gguf_array_int(g, "key", 0, &i) && i == -5);
    assert_true(gguf_array_int(g, "key", 1, &i) && i == 6);
    assert_false(gguf_array_int(g, "key", 2, &i));
    gguf_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_honest_file_is_read),
        cmocka_unit_test(each_lie_is_refused),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(lengths_are_checked_before_they_are_believed),
        cmocka_unit_test(integers_of_every_width_are_read_and_ranged),
        cmocka_unit_test(a_key_is_taken_only_for_its_kind),
        cmocka_unit_test(arrays_are_walked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
