/* safetensors from strangers: an honest file, the same with one lie each; the index of shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/safetensors.h"

static char path[] = "/tmp/runnel-safetensors-XXXXXX";

static int setup(void **state) {
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 ? 1 : close(fd);
}

static int teardown(void **state) {
    (void)state;
    return unlink(path);
}

/* A file of a header and data_size bytes 0, 1, 2, ...; header_size as the file claims it. */
static void write_file(uint64_t header_size, const char *header, size_t data_size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(&header_size, 1, 8, f), 8);
    assert_int_equal(fwrite(header, 1, strlen(header), f), strlen(header));
    for (size_t i = 0; i < data_size; i++) (void)fputc((int)i, f);
    assert_int_equal(fclose(f), 0);
}

static rnl_status open_text(const char *header, size_t data_size, safetensors **s,
                            rnl_error *error) {
    write_file(strlen(header), header, data_size);
    return safetensors_open(path, s, error);
}

#define FIRST "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}"

static void an_honest_file_is_read(void **state) {
    (void)state;
    const char *header = "{\"__metadata__\":{\"format\":\"pt\"}," FIRST ","
                         "\"c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[22,30]},"
                         "\"b\":{\"dtype\":\"BF16\",\"shape\":[3,1,1],\"data_offsets\":[16,22]}}  ";
    safetensors *s = NULL;
    rnl_error error = {0};
    if (open_text(header, 30, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_string_equal(safetensors_path(s), path);
    assert_int_equal(safetensors_tensor_count(s), 3);
    const tensor *t = safetensors_tensor(s, 2);
    assert_string_equal(t->name, "b");
    assert_int_equal(t->type, QUANT_BF16);
    assert_int_equal(t->rank, 3);
    assert_int_equal(t->shape[0], 3);
    assert_int_equal(t->shape[3], 1);
    assert_int_equal(t->size, 6);
    assert_int_equal(t->data[0], 16);
    t = safetensors_tensor(s, 1);
    assert_int_equal(t->rank, 0); /* one element */
    assert_int_equal(t->size, 8);
    assert_int_equal(t->data[0], 22);
    safetensors_close(&s);
    assert_null(s);
    safetensors_close(&s);
}

static void refuse(const char *what, const char *part) {
    safetensors *s = NULL;
    rnl_error error = {0};
    if (safetensors_open(path, &s, &error) != RNL_ERR_FORMAT) fail_msg("%s was taken", what);
    assert_null(s);
    if (strstr(error.text, path) == NULL || strstr(error.text, part) == NULL)
        fail_msg("%s: '%s' lacks the path or '%s'", what, error.text, part);
}

static void each_lie_is_refused(void **state) {
    (void)state;
    const struct {
        const char *header;
        size_t data_size;
        const char *part;
    } lies[] = {
        {"[1]", 0, "no safetensors file"},
        {"{\"a\":1}", 0, "no dtype"},
        {"{\"a\":", 0, "JSON"},
        {"{" FIRST "," FIRST "}", 16, "JSON"}, /* twice */
        {"{\"a\":{\"dtype\":\"U32\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "offsets"},
        {"{\"a\":{\"dtype\":\"F8\",\"shape\":[4],\"data_offsets\":[0,5]}}", 4, "outside"},
        {"{\"a\":{\"dtype\":7,\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,2,2],\"data_offsets\":[0,12]}}", 12,
         "offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,16]}}", 16, "list of numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}", 16, "dimension"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,4]}}", 4, "offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4.0],\"data_offsets\":[0,16]}}", 16, "dimension"},
        /* 2^40 * 2^40 * 4 wraps; 2^33 * 2^29 * 4 wraps to 0. */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1099511627776,1099511627776],"
         "\"data_offsets\":[0,0]}}",
         0, "larger than memory"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[8589934592,536870912],\"data_offsets\":[0,0]}}", 0,
         "larger than memory"},
        {"{" FIRST "}", 12, "outside the file"},
        {"{" FIRST "}", 20, "cover the file"}, /* something behind the last */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,12]}}", 12, "offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}}", 16, "offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[-16,0]}}", 16, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0]}}", 16, "outside"},
        {"{" FIRST ",\"b\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[20,24]}}", 24,
         "cover the file"}, /* a hole */
        {"{" FIRST ",\"b\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[12,16]}}", 16,
         "cover the file"}, /* an overlap */
        {"{\"a\\u0000b\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "JSON"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        write_file(strlen(lies[i].header), lies[i].header, lies[i].data_size);
        refuse(lies[i].header, lies[i].part);
    }
}

/* What Runnel cannot read does not make a file of others unreadable. */
static void foreign_tensors_are_listed_as_such(void **state) {
    (void)state;
    const struct {
        const char *dtype, *shape, *foreign;
        size_t size;
    } rows[] = {
        {"U8", "[3]", "U8", 3},
        {"BOOL", "[]", "BOOL", 1},
        {"U16", "[3,1]", "U16", 6},
        {"U32", "[2,2]", "U32", 16},
        {"F8_E4M3", "[5]", "F8_E4M3", 5},
        {"F8_E5M2", "[5]", "F8_E5M2", 5},
        {"F4_OF_TOMORROW", "[5]", "F4_OF_TOMORROW", 3}, /* as large as its extent */
        {"F32", "[0,7]", "an empty array", 0},
        {"U32", "[7,0]", "an empty array", 0},
        {"F32", "[1,2,1,2,1]", "an array of more than four dimensions", 16},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int place = 0; place < 3; place++) { /* before, within, behind what is read */
            const size_t at = place == 0 ? 0 : place == 1 ? 16 : 24, size = rows[i].size;
            const size_t a = at > 0 ? 0 : size, b = at > 16 ? 16 : 16 + size;
            char header[512];
            (void)snprintf(header, sizeof header,
                           "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[%zu,%zu]},"
                           "\"b\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[%zu,%zu]},"
                           "\"f\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}}",
                           a, a + 16, b, b + 8, rows[i].dtype, rows[i].shape, at, at + size);
            safetensors *s = NULL;
            rnl_error error = {0};
            if (open_text(header, 24 + size, &s, &error) != RNL_OK)
                fail_msg("%s: %s", header, error.text);
            assert_int_equal(safetensors_tensor_count(s), 3);
            assert_null(safetensors_tensor(s, 0)->foreign);
            assert_int_equal(safetensors_tensor(s, 0)->data[0], a);
            assert_null(safetensors_tensor(s, 1)->foreign);
            assert_string_equal(safetensors_tensor(s, 2)->foreign, rows[i].foreign);
            assert_int_equal(safetensors_tensor(s, 2)->size, size);
            safetensors_close(&s);
        }
}

static void header_sizes_are_checked(void **state) {
    (void)state;
    const char *header = "{" FIRST "}";
    const uint64_t sizes[] = {0,
                              1,
                              strlen(header) - 1,
                              strlen(header) + 17,
                              1 << 20,
                              (uint64_t)1 << 40,
                              UINT64_MAX,
                              UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        write_file(sizes[i], header, 16);
        refuse("a wrong header size", "");
    }
    for (size_t size = 1; size < 8 + strlen(header) + 16; size++) { /* cut anywhere */
        write_file(strlen(header), header, 16);
        assert_int_equal(truncate(path, (off_t)size), 0);
        refuse("a cut file", "");
    }
}

typedef struct names {
    char all[128];
    int left;
} names;

static rnl_status collect(void *context, const char *name, rnl_error *error) {
    names *n = context;
    (void)error;
    strcat(n->all, name);
    strcat(n->all, "|");
    return --n->left > 0 ? RNL_OK : RNL_ERR_IO;
}

static rnl_status shards(const char *text, names *n, rnl_error *error) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    (void)fputs(text, f);
    assert_int_equal(fclose(f), 0);
    return safetensors_each_shard(path, collect, n, error);
}

static void each_shard_is_named_once(void **state) {
    (void)state;
    names n = {.left = 9};
    rnl_error error = {0};
    assert_int_equal(shards("{\"metadata\":{},\"weight_map\":{\"x\":\"m-2.safetensors\","
                            "\"y\":\"m-1.safetensors\",\"z\":\"m-2.safetensors\"}}",
                            &n, &error),
                     RNL_OK);
    assert_string_equal(n.all, "m-2.safetensors|m-1.safetensors|");
    n = (names){.left = 1}; /* an error of the caller ends the walk */
    assert_int_equal(shards("{\"weight_map\":{\"x\":\"a\",\"y\":\"b\"}}", &n, &error), RNL_ERR_IO);
    assert_string_equal(n.all, "a|");
}

/* A shard must not lead out of the model's folder. */
static void shards_elsewhere_are_refused(void **state) {
    (void)state;
    const char *const bad[] = {"{}",
                               "{\"weight_map\":{}}",
                               "{\"weight_map\":[\"a\"]}",
                               "{\"weight_map\":{\"x\":3}}",
                               "{\"weight_map\":{\"x\":\"\"}}",
                               "{\"weight_map\":{\"x\":\"/etc/passwd\"}}",
                               "{\"weight_map\":{\"x\":\"../a\"}}",
                               "{\"weight_map\":{\"x\":\"..\"}}",
                               "{\"weight_map\":{\"x\":\"a\\u0000b\"}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        names n = {.left = 9};
        rnl_error error = {0};
        if (shards(bad[i], &n, &error) != RNL_ERR_FORMAT) fail_msg("%s was taken", bad[i]);
        assert_non_null(strstr(error.text, path));
        assert_string_equal(n.all, "");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_honest_file_is_read),
        cmocka_unit_test(each_lie_is_refused),
        cmocka_unit_test(foreign_tensors_are_listed_as_such),
        cmocka_unit_test(header_sizes_are_checked),
        cmocka_unit_test(each_shard_is_named_once),
        cmocka_unit_test(shards_elsewhere_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
