#include "tests/support/operators.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/support/golden.h"

static safetensors *open_file(const char *name, const char *ending) {
    char path[1024];
    safetensors *s = NULL;
    rnl_error error = {0};
    (void)snprintf(path, sizeof path, "%s/learn/ops/%s%s.safetensors", TEST_DATA, name, ending);
    if (safetensors_open(path, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    return s;
}

static const float *array(const safetensors *s, const char *name, int64_t shape[TENSOR_RANK_CAP],
                          size_t *count) {
    for (size_t i = 0; i < safetensors_tensor_count(s); i++) {
        const tensor *t = safetensors_tensor(s, i);
        if (strcmp(t->name, name) != 0) continue;
        if (shape != NULL) memcpy(shape, t->shape, sizeof t->shape);
        if (count != NULL) *count = t->size / sizeof(float);
        return (const float *)(const void *)t->data;
    }
    fail_msg("no %s", name);
    return NULL;
}

operator_golden operator_open(const char *name) {
    operator_golden o = {.name = name, .in = open_file(name, "-in"), .want = open_file(name, "")};
    int64_t shape[TENSOR_RANK_CAP];
    (void)operator_in(&o, "x", shape);
    o.count = (int)shape[0];
    return o;
}

void operator_close(operator_golden *o) {
    safetensors_close(&o->in);
    safetensors_close(&o->want);
}

const float *operator_in(const operator_golden *o, const char *name,
                         int64_t shape[TENSOR_RANK_CAP]) {
    return array(o->in, name, shape, NULL);
}

static json_t *manifest(const operator_golden *o) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/learn/ops/%s.json", TEST_DATA, o->name);
    json_t *root = json_load_file(path, 0, NULL);
    assert_non_null(root);
    return root;
}

int operator_note(const operator_golden *o, const char *key) {
    json_t *root = manifest(o);
    const json_t *value = json_object_get(json_object_get(root, "note"), key);
    assert_true(json_is_integer(value));
    const int number = (int)json_integer_value(value);
    json_decref(root);
    return number;
}

void operator_check(const operator_golden *o, const char *name, const float *got, size_t count) {
    size_t there;
    char what[128];
    const float *want = array(o->want, name, NULL, &there);
    json_t *root = manifest(o);
    const json_t *entry = json_object_get(json_object_get(root, "tensors"), name);
    assert_non_null(entry);
    assert_true(there == count);
    (void)snprintf(what, sizeof what, "%s %s", o->name, name);
    golden_compare(what, want, got, count, json_number_value(json_object_get(entry, "tolerance")),
                   json_number_value(json_object_get(entry, "tolerance_rms")));
    json_decref(root);
}
