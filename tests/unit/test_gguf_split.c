/* Split GGUF files: any cut, named by any part, is the whole file; parts that do not belong
 * together are refused with a sentence that names one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/gguf.h"
#include "core/random.h"
#include "tests/support/folder.h"

enum { TENSORS = 7, PART_MAX = 9 };

static void part_path(const folder *f, int number, int count, char path[PATH_CAP]) {
    char name[64];
    (void)snprintf(name, sizeof name, "x-%05d-of-%05d.gguf", number, count);
    name_in(f, name, path);
}

/* What one part says; the tensors [begin, end) are in it. */
typedef struct plan {
    uint32_t number, count; /* split.no, split.count */
    int said;               /* split.tensors.count; -1: not there */
    int begin, end;
} plan;

/* Tensor i is a row of i + 1 numbers 100 i, 100 i + 1, ... */
static void write_part(const char *path, const plan *p) {
    gguf_writer *w;
    rnl_error error;
    assert_int_equal(gguf_writer_create(path, &w, &error), RNL_OK);
    if (p->number == 0) gguf_put_string(w, "general.name", "whole", 5);
    gguf_put_u32(w, "split.no", p->number);
    gguf_put_u32(w, "split.count", p->count);
    if (p->said >= 0) gguf_put_u32(w, "split.tensors.count", (uint32_t)p->said);
    for (int i = p->begin; i < p->end; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "t.%d", i);
        gguf_put_tensor(w, name, QUANT_F32, 1, &(int64_t){i + 1});
    }
    assert_int_equal(gguf_writer_begin_data(w, &error), RNL_OK);
    for (int i = p->begin; i < p->end; i++)
        for (int k = 0; k <= i; k++)
            assert_int_equal(gguf_writer_data(w, &(float){(float)(100 * i + k)}, 4, &error),
                             RNL_OK);
    assert_int_equal(gguf_writer_finish(&w, &error), RNL_OK);
}

static void check_whole(const gguf *g) {
    const char *name;
    size_t size;
    assert_true(gguf_string(g, "general.name", &name, &size));
    assert_int_equal(gguf_tensor_count(g), TENSORS);
    for (int i = 0; i < TENSORS; i++) {
        const tensor *t = gguf_tensor(g, (size_t)i);
        char wanted[16];
        (void)snprintf(wanted, sizeof wanted, "t.%d", i);
        assert_string_equal(t->name, wanted);
        assert_int_equal(t->shape[0], i + 1);
        for (int k = 0; k <= i; k++) {
            float value;
            memcpy(&value, t->data + (size_t)k * sizeof value, sizeof value);
            assert_true(value == (float)(100 * i + k));
        }
    }
}

/* Parts that hold the tensors between random cuts, empty ones among them. */
static void write_cut(const folder *f, random_state *r, int count) {
    int at = 0;
    for (int i = 0; i < count; i++) {
        const int left = TENSORS - at;
        const int take = i == count - 1 ? left : (int)(random_u64(r) % (uint64_t)(left + 1));
        char path[PATH_CAP];
        part_path(f, i + 1, count, path);
        write_part(path, &(plan){(uint32_t)i, (uint32_t)count, TENSORS, at, at + take});
        at += take;
    }
}

static void law_any_cut_named_by_any_part_is_the_whole(void **state) {
    folder *f = *state;
    random_state r;
    random_seed(&r, 3);
    for (int round = 0; round < 40; round++) {
        const int count = 2 + (int)(random_u64(&r) % (PART_MAX - 1));
        write_cut(f, &r, count);
        for (int i = 1; i <= count; i++) {
            char path[PATH_CAP];
            gguf *g = NULL;
            rnl_error error;
            part_path(f, i, count, path);
            if (gguf_open(path, &g, &error) != RNL_OK) fail_msg("%s", error.text);
            check_whole(g);
            part_path(f, 1, count, path);
            assert_string_equal(gguf_path(g), path);
            gguf_close(&g);
            assert_null(g);
        }
    }
}

static void a_whole_file_may_keep_the_keys(void **state) {
    folder *f = *state;
    const char *const names[] = {"joined.gguf", "x-00001-of-00002.gguf", "x-00001-of-00001.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (uint32_t count = 0; count < 2; count++) {
            char path[PATH_CAP];
            gguf *g = NULL;
            name_in(f, names[i], path);
            write_part(path, &(plan){0, count, TENSORS, 0, TENSORS});
            assert_int_equal(gguf_open(path, &g, NULL), RNL_OK);
            check_whole(g);
            gguf_close(&g);
        }
}

static void the_stem_of_a_part_is_told_exactly(void **state) {
    (void)state;
    const struct {
        const char *path;
        size_t stem;
        int number, count;
    } rows[] = {
        {"a/x-Q4_0-00002-of-00003.gguf", 8, 2, 3},
        {"x-99999-of-00001.gguf", 1, 99999, 1},
        {"x-00001-of-00002", 0, 0, 0},
        {"x-0001-of-0002.gguf", 0, 0, 0},
        {"x-1-of-2.gguf", 0, 0, 0},
        {"x-+0001-of-00002.gguf", 0, 0, 0},
        {"x- 0001-of-00002.gguf", 0, 0, 0},
        {"x-00001-of-00002.gguf.gguf", 0, 0, 0},
        {"-00001-of-00002.gguf", 0, 0, 0},
        {"", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int number = 0, count = 0;
        const size_t stem = gguf_split_stem(rows[i].path, &number, &count);
        if (stem != rows[i].stem) fail_msg("'%s': %zu", rows[i].path, stem);
        if (stem == 0) continue;
        assert_int_equal(number, rows[i].number);
        assert_int_equal(count, rows[i].count);
    }
}

static void each_lie_is_refused(void **state) {
    folder *f = *state;
    const struct {
        const char *why;
        plan second;
        int named; /* the part that is opened */
        rnl_status status;
    } lies[] = {
        {"another number", {0, 2, TENSORS, 3, TENSORS}, 1, RNL_ERR_FORMAT},
        {"another number, named", {0, 2, TENSORS, 3, TENSORS}, 2, RNL_ERR_FORMAT},
        {"another count", {1, 3, TENSORS, 3, TENSORS}, 1, RNL_ERR_FORMAT},
        {"another count, named", {1, 3, TENSORS, 3, TENSORS}, 2, RNL_ERR_FORMAT},
        {"a count of one", {1, 1, TENSORS, 3, TENSORS}, 1, RNL_ERR_FORMAT},
        {"a count that is too large", {1, 70000, TENSORS, 3, TENSORS}, 2, RNL_ERR_FORMAT},
        {"tensors twice", {1, 2, TENSORS, 2, TENSORS - 1}, 1, RNL_ERR_FORMAT},
        {"tensors missing", {1, 2, TENSORS, 4, TENSORS}, 2, RNL_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        char path[PATH_CAP];
        gguf *g = NULL;
        rnl_error error = {0};
        part_path(f, 1, 2, path);
        write_part(path, &(plan){0, 2, TENSORS, 0, 3});
        part_path(f, 2, 2, path);
        write_part(path, &lies[i].second);
        part_path(f, lies[i].named, 2, path);
        if (gguf_open(path, &g, &error) != lies[i].status || g != NULL)
            fail_msg("%s: %s", lies[i].why, error.text);
        assert_non_null(strstr(error.text, f->path));
    }
    char path[PATH_CAP];
    gguf *g = NULL;
    rnl_error error = {0};
    part_path(f, 2, 2, path);
    assert_int_equal(unlink(path), 0);
    part_path(f, 1, 2, path);
    assert_int_equal(gguf_open(path, &g, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "x-00002-of-00002.gguf"));
    part_path(f, 2, 2, path);
    write_file(path, "GGUF", 4);
    part_path(f, 1, 2, path);
    assert_int_equal(gguf_open(path, &g, &error), RNL_ERR_FORMAT);
    assert_non_null(strstr(error.text, "x-00002-of-00002.gguf"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(law_any_cut_named_by_any_part_is_the_whole),
        IN_FOLDER(a_whole_file_may_keep_the_keys),
        cmocka_unit_test(the_stem_of_a_part_is_told_exactly),
        IN_FOLDER(each_lie_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
