/* The set of canonical tensors and its loader: names, shapes, types, the sticky error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/pool.h"
#include "core/weights.h"

typedef struct rig {
    weights *w;
    loader l;
    rnl_error error;
    pool *p;
} rig;

static const float values[64] = {0.5f, -1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f};

static void begin(rig *r) {
    *r = (rig){0};
    assert_int_equal(weights_create(&r->w), RNL_OK);
    r->l = (loader){.w = r->w, .prefix = "", .file = "some.file", .error = &r->error};
}

static void add(rig *r, const char *name, const void *data, quant_type type, int rank, int64_t a,
                int64_t b, int64_t c) {
    const tensor t = {
        .name = name, .data = data, .type = type, .rank = rank, .shape = {a, b, c, 1}};
    if (weights_add(r->w, &t, "some.file", &r->error) != RNL_OK) fail_msg("%s", r->error.text);
}

static void refused(rig *r, const char *part) {
    assert_int_equal(r->l.status, RNL_ERR_FORMAT);
    if (strstr(r->error.text, "some.file") == NULL || strstr(r->error.text, part) == NULL)
        fail_msg("'%s' lacks the file or '%s'", r->error.text, part);
    r->l.status = RNL_OK;
}

static void files_are_known_in_their_order(void **state) {
    (void)state;
    rig r;
    begin(&r);
    static const char *const files[] = {"a.gguf", "a.gguf", "b.gguf", "b.gguf", "c"};
    for (int i = 0; i < 5; i++) {
        char name[8] = {(char)('p' + i)};
        const tensor t = {
            .name = name, .data = (const void *)values, .type = QUANT_F32, .rank = 1, .shape = {4}};
        assert_int_equal(weights_add(r.w, &t, files[i], &r.error), RNL_OK);
    }
    assert_int_equal(weights_file_count(r.w), 3);
    for (size_t i = 0; i < 3; i++) assert_string_equal(weights_file(r.w, i), files[2 * i]);
    weights_destroy(&r.w);
}

static void thousands_of_names_are_found(void **state) {
    (void)state;
    rig r;
    begin(&r);
    char name[32];
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(name, sizeof name, "blk.%d.weight", i);
        add(&r, name, values, QUANT_F32, 1, i + 1, 1, 1);
    }
    memset(name, 0, sizeof name); /* names are copied */
    assert_int_equal(weights_count(r.w), 3000);
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(name, sizeof name, "blk.%d.weight", i);
        const tensor *t = weights_find(r.w, name);
        assert_non_null(t);
        assert_int_equal(t->shape[0], i + 1);
        assert_string_equal(weights_at(r.w, (size_t)i)->name, name); /* in the order of adding */
    }
    assert_null(weights_find(r.w, "blk.3000.weight"));
    const tensor again = {.name = "blk.7.weight", .data = (const void *)values};
    assert_int_equal(weights_add(r.w, &again, "other.file", &r.error), RNL_ERR_FORMAT);
    assert_non_null(strstr(r.error.text, "blk.7.weight"));
    assert_non_null(strstr(r.error.text, "other.file"));
    weights_destroy(&r.w);
    assert_null(r.w);
    weights_destroy(&r.w);
}

static char closed[8];

static void note(void *object) {
    strncat(closed, object, 1);
}

static void what_is_owned_is_closed_last_first(void **state) {
    (void)state;
    rig r;
    begin(&r);
    closed[0] = '\0';
    static char letters[] = "abc";
    for (int i = 0; i < 3; i++) assert_int_equal(weights_own(r.w, letters + i, note), RNL_OK);
    assert_string_equal(closed, "");
    weights_destroy(&r.w);
    assert_string_equal(closed, "cba");
}

static void vectors_are_borrowed_or_converted_once(void **state) {
    (void)state;
    rig r;
    begin(&r);
    static const uint16_t halves[4] = {0x3c00, 0xc000, 0x0000, 0x3800}; /* 1, -2, 0, 0.5 */
    add(&r, "f", values, QUANT_F32, 2, 2, 4, 1);
    add(&r, "h", halves, QUANT_F16, 1, 4, 1, 1);
    add(&r, "odd", (const char *)values + 2, QUANT_F32, 1, 3, 1, 1);
    assert_ptr_equal(load_vector(&r.l, 8, "f"), values); /* any rank */
    const float *h = load_vector(&r.l, 4, "%c", 'h');
    assert_non_null(h);
    assert_true(h[0] == 1 && h[1] == -2 && h[2] == 0 && h[3] == 0.5f);
    assert_ptr_equal(load_vector(&r.l, 4, "h"), h);
    /* A float that does not lie where floats may lie is copied. */
    const float *odd = load_vector(&r.l, 3, "odd");
    assert_non_null(odd);
    assert_int_equal((uintptr_t)odd % sizeof(float), 0);
    assert_memory_equal(odd, (const char *)values + 2, 3 * sizeof(float));
    assert_int_equal(r.l.status, RNL_OK);
    weights_destroy(&r.w);
}

static void wrong_vectors_are_refused(void **state) {
    (void)state;
    rig r;
    begin(&r);
    add(&r, "f", values, QUANT_F32, 2, 2, 4, 1);
    add(&r, "i", values, QUANT_I64, 1, 4, 1, 1);
    assert_null(load_vector(&r.l, 7, "f"));
    refused(&r, "shape 2 x 4, but 7 values");
    assert_null(load_vector(&r.l, 4, "i"));
    refused(&r, "I64");
    assert_null(load_vector(&r.l, 4, "blk.%d.norm", 3));
    refused(&r, "'blk.3.norm' is missing");
    assert_null(load_vector_if(&r.l, 4, "blk.%d.norm", 3));
    assert_int_equal(r.l.status, RNL_OK); /* may be missing */
    assert_null(load_vector_if(&r.l, 4, "f"));
    refused(&r, "4 values"); /* but not be wrong */
    weights_destroy(&r.w);
}

/* Three matrices of 20 x 32 in one tensor, or scattered: as stored and as slabs, each of which
 * begins at its own matrix. */
static void stacks_are_matrices_side_by_side(void **state) {
    (void)state;
    enum { COUNT = 3, ROWS = 20, COLS = 32 };
    static float numbers[COUNT * ROWS * COLS];
    static unsigned char blocks[COUNT * ROWS * 34];
    for (int i = 0; i < COUNT * ROWS * COLS; i++) numbers[i] = (float)((i * 37) % 101) - 50;
    assert_true(quant_quantise(QUANT_Q8_0, numbers, blocks, COUNT * ROWS * COLS));
    const unsigned char *const scattered[COUNT] = {blocks + 2 * ROWS * 34, blocks,
                                                   blocks + ROWS * 34};
    for (int pack = 0; pack < 2; pack++) {
        rig r;
        begin(&r);
        tensor t = {.name = "whole",
                    .data = blocks,
                    .type = QUANT_Q8_0,
                    .rank = 3,
                    .shape = {COUNT, ROWS, COLS, 1},
                    .size = sizeof blocks};
        assert_int_equal(weights_add(r.w, &t, "some.file", &r.error), RNL_OK);
        t.name = "parts";
        t.data = scattered[0];
        t.members = scattered;
        assert_int_equal(weights_add(r.w, &t, "some.file", &r.error), RNL_OK);
        assert_int_equal(pool_create(2, &r.p), RNL_OK);
        r.l.pack = pack == 1;
        const matrix *whole = load_matrices(&r.l, COUNT, ROWS, COLS, "whole");
        const matrix *parts = load_matrices(&r.l, COUNT, ROWS, COLS, "parts");
        assert_int_equal(r.l.status, RNL_OK);
        assert_true(weights_is_stack(r.w, 0) && weights_is_stack(r.w, 1));
        if (pack == 1) assert_int_equal(weights_pack(r.w, r.p, false, NULL, NULL), RNL_OK);
        for (int i = 0; i < COUNT; i++) {
            const unsigned char *stored = blocks + i * ROWS * 34;
            const matrix *const both[] = {&whole[i], &parts[(i + 1) % COUNT]};
            for (int n = 0; n < 2; n++) {
                assert_ptr_equal(both[n]->data, stored);
                assert_int_equal(both[n]->row_count, ROWS);
                assert_true((both[n]->packed != NULL) == (pack == 1));
                for (int row = 0; row < ROWS && pack == 1; row++) {
                    float want[COLS], got[COLS];
                    const packed_rows *p = both[n]->packed;
                    quant_dequantise(QUANT_Q8_0, stored + row * 34, want, COLS);
                    packed_dequantise(QUANT_Q8_0,
                                      p->slabs + (size_t)(both[n]->slab + row / PACKED_ROWS) *
                                                     p->slab_size,
                                      COLS, row % PACKED_ROWS, got);
                    assert_memory_equal(got, want, sizeof want);
                }
            }
        }
        assert_null(load_matrices(&r.l, COUNT, COLS, ROWS, "whole"));
        refused(&r, "3 x 20 x 32, but 3 x 32 x 20");
        assert_null(load_matrices(&r.l, COUNT + 1, ROWS, COLS, "whole"));
        refused(&r, "4 x 20 x 32");
        assert_null(load_matrices(&r.l, COUNT, ROWS, COLS, "none"));
        refused(&r, "'none' is missing");
        weights_destroy(&r.w);
        pool_destroy(&r.p);
    }
}

static void matrices_have_the_shape_that_is_asked_for(void **state) {
    (void)state;
    rig r;
    begin(&r);
    static const unsigned char blocks[6 * 34];
    add(&r, "m", values, QUANT_F32, 3, 4, 8, 1);
    add(&r, "q", blocks, QUANT_Q8_0, 2, 3, 64, 1);
    add(&r, "column", values, QUANT_F32, 1, 8, 1, 1);
    matrix m = load_matrix(&r.l, 4, 8, "m");
    assert_ptr_equal(m.data, values);
    assert_int_equal(m.row_size, 32);
    m = load_matrix(&r.l, 0, 64, "q"); /* 0: as the file has it */
    assert_int_equal(m.row_count, 3);
    assert_int_equal(m.row_size, 68);
    const matrix part = matrix_rows(&m, 1, 2);
    assert_ptr_equal(part.data, blocks + 68);
    assert_int_equal(part.row_count, 2);
    m = load_matrix(&r.l, 8, 1, "column");
    assert_int_equal(m.col_count, 1);
    assert_int_equal(r.l.status, RNL_OK);
    assert_null(load_matrix(&r.l, 8, 4, "m").data);
    refused(&r, "shape 4 x 8 x 1, but 8 x 4");
    assert_null(load_matrix(&r.l, 0, 7, "m").data);
    refused(&r, "any x 7");
    add(&r, "deep", values, QUANT_F32, 3, 2, 2, 2);
    assert_null(load_matrix(&r.l, 2, 2, "deep").data);
    refused(&r, "2 x 2 x 2");
    add(&r, "half", blocks, QUANT_Q8_0, 2, 2, 48, 1);
    assert_null(load_matrix(&r.l, 2, 48, "half").data);
    refused(&r, "blocks");
    add(&r, "huge", values, QUANT_F32, 2, ((int64_t)1 << 24) + 1, 1, 1);
    assert_null(load_matrix(&r.l, 0, 1, "huge").data);
    refused(&r, "16777217 x 1");
    weights_destroy(&r.w);
}

static void the_first_error_stays(void **state) {
    (void)state;
    rig r;
    begin(&r);
    r.l.prefix = "detok.";
    add(&r, "detok.f", values, QUANT_F32, 1, 8, 1, 1);
    assert_true(load_has(&r.l, "f"));
    assert_false(load_has(&r.l, "g"));
    assert_ptr_equal(load_vector(&r.l, 8, "f"), values); /* the prefix is put before */
    assert_null(load_vector(&r.l, 8, "first"));
    assert_null(load_matrix(&r.l, 1, 1, "second").data);
    assert_null(load_vector(&r.l, 8, "f")); /* nothing more is given */
    refused(&r, "'detok.first' is missing");
    weights_destroy(&r.w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_known_in_their_order),
        cmocka_unit_test(thousands_of_names_are_found),
        cmocka_unit_test(what_is_owned_is_closed_last_first),
        cmocka_unit_test(vectors_are_borrowed_or_converted_once),
        cmocka_unit_test(wrong_vectors_are_refused),
        cmocka_unit_test(stacks_are_matrices_side_by_side),
        cmocka_unit_test(matrices_have_the_shape_that_is_asked_for),
        cmocka_unit_test(the_first_error_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
