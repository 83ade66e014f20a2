#include "tests/support/learn_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/safetensors.h"
#include "engine/source.h"
#include "tests/support/golden.h"

learn_config learn_rig_config(void) {
    return (learn_config){.choice = {.full = true, .moments = true},
                          .row_cap = LEARN_RIG_ROWS,
                          .run_cap = LEARN_RIG_RUNS,
                          .keeps_all = true,
                          .thread_count = 1,
                          .seed = 1};
}

learn_config learn_rig_adapters(int rank, float scale) {
    learn_config c = learn_rig_config();
    c.choice = (learn_choice){.rank = rank, .scale = scale, .moments = true};
    for (int m = LEARN_Q_PROJ; m <= LEARN_W3; m++) c.choice.modules[LEARN_BACKBONE] |= 1u << m;
    return c;
}

learn_network *learn_rig_network(const rnl_model *m, const learn_config *config) {
    learn_network *n = NULL;
    rnl_error error = {0};
    if (learn_network_create(m, config, &n, &error) != RNL_OK) fail_msg("%s", error.text);
    return n;
}

/* ---- Batches ---- */

/* One segment of a row: its ids are a run; a label counts for the row before it. */
static void add_run(learn_rig_batch *b, const int32_t *ids, const int32_t *labels, int length) {
    learn_batch *to = &b->b;
    const int first = to->rows.count;
    assert_true(to->rows.run_count < LEARN_RIG_RUNS && first + length <= LEARN_RIG_ROWS);
    memcpy(b->ids + first, ids, (size_t)length * sizeof *ids);
    for (int t = 1; t < length; t++) {
        if (labels[t] == -100) continue;
        b->text_at[to->text_count] = first + t - 1;
        b->text_ids[to->text_count++] = labels[t];
    }
    to->rows.count += length;
    b->begin[++to->rows.run_count] = to->rows.count;
}

void learn_rig_fill(learn_rig_batch *b, const int32_t *ids, const int32_t *labels,
                    const int32_t *segments, int row_count, int length) {
    *b = (learn_rig_batch){0};
    for (int r = 0; r < row_count; r++, ids += length, labels += length) {
        for (int from = 0, to; from < length; from = to) {
            to = segments == NULL ? length : from + 1;
            while (to < length && segments[to] == segments[from]) to++;
            if (segments == NULL || segments[from] >= 0)
                add_run(b, ids + from, labels + from, to - from);
        }
        if (segments != NULL) segments += length;
    }
    b->b.rows.begin = b->begin;
    b->b.ids = b->ids;
    b->b.text_at = b->text_at;
    b->b.text_ids = b->text_ids;
    b->b.frame_at = b->frame_at;
    b->b.frame_of = b->frame_of;
    b->b.text_weight = 1.0 / (b->b.text_count > 0 ? b->b.text_count : 1);
}

/* ---- Names ---- */

/* "base_model.model.MODULE.lora_A.weight" or "MODULE.weight" as canonical. */
static void canonical(const char *name, char out[LEARN_NAME_CAP]) {
    static const char wrapper[] = "base_model.model.";
    char module[256], full[300];
    const bool wrapped = strncmp(name, wrapper, sizeof wrapper - 1) == 0;
    (void)snprintf(module, sizeof module, "%s", wrapped ? name + sizeof wrapper - 1 : name);
    char *half = strstr(module, ".lora_");
    const bool down = half != NULL && half[6] == 'A';
    if (half != NULL) *half = '\0';
    (void)snprintf(full, sizeof full, "%s%s", module, half != NULL ? ".weight" : "");
    if (!source_hf_name(HF_MAIN, full, out, LEARN_NAME_CAP)) fail_msg("%s: no such tensor", full);
    if (half == NULL) return;
    const size_t used = strlen(out);
    (void)snprintf(out + used, LEARN_NAME_CAP - used, "%s", down ? ".lora_a" : ".lora_b");
}

static const learn_tensor *find(const learn_network *n, const char *name) {
    char own[LEARN_NAME_CAP];
    canonical(name, own);
    const learn_tensor *t = learn_tensors_find(&n->tensors, own);
    if (t == NULL) fail_msg("%s (%s) does not learn", name, own);
    return t;
}

static safetensors *open_file(const char *dir, const char *file) {
    char path[1024];
    safetensors *s = NULL;
    rnl_error error = {0};
    (void)snprintf(path, sizeof path, "%s/%s/%s.safetensors", TEST_DATA, dir, file);
    if (safetensors_open(path, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    return s;
}

static json_t *open_json(const char *dir, const char *file) {
    char path[1024];
    json_error_t e;
    (void)snprintf(path, sizeof path, "%s/%s/%s.json", TEST_DATA, dir, file);
    json_t *root = json_load_file(path, 0, &e);
    if (root == NULL) fail_msg("%s: %s", path, e.text);
    return root;
}

double learn_rig_number(const char *dir, const char *file, const char *key) {
    json_t *root = open_json(dir, file);
    const json_t *v = json_object_get(root, key);
    assert_true(json_is_number(v));
    const double number = json_number_value(v);
    json_decref(root);
    return number;
}

/* ---- Comparing ---- */

/* Rows of a table that the file lists; the others by the sum and the norm of all. */
static void compare_rows(const char *name, const json_t *entry, const tensor *want,
                         const float *got, const learn_tensor *t) {
    const json_t *rows = json_object_get(entry, "rows");
    const size_t width = (size_t)want->shape[1];
    const double tolerance = json_number_value(json_object_get(entry, "tolerance"));
    double sum = 0, squares = 0;
    assert_int_equal((size_t)want->shape[0], json_array_size(rows));
    for (size_t r = 0; r < json_array_size(rows); r++) {
        const size_t row = (size_t)json_integer_value(json_array_get(rows, r));
        golden_compare(name, (const float *)(const void *)want->data + r * width, got + row * width,
                       width, tolerance, tolerance);
    }
    for (size_t i = 0; i < t->count; i++) {
        sum += (double)got[i];
        squares += (double)got[i] * (double)got[i];
    }
    const double norm = json_number_value(json_object_get(entry, "norm"));
    const double total = json_number_value(json_object_get(entry, "sum"));
    const double room = json_number_value(json_object_get(entry, "tolerance_rms"));
    if (fabs(sqrt(squares) - norm) > 1e-5 * norm)
        fail_msg("%s: norm %.9g instead of %.9g", name, sqrt(squares), norm);
    if (fabs(sum - total) > 4 * room * sqrt((double)t->count) + 1e-5 * fabs(total))
        fail_msg("%s: sum %.9g instead of %.9g", name, sum, total);
}

void learn_rig_compare(const learn_network *n, learn_rig_part part, const char *dir,
                       const char *file) {
    safetensors *s = open_file(dir, file);
    json_t *root = open_json(dir, file);
    const json_t *tensors = json_object_get(root, "tensors");
    assert_true(safetensors_tensor_count(s) > 0);
    for (size_t i = 0; i < safetensors_tensor_count(s); i++) {
        const tensor *want = safetensors_tensor(s, i);
        const learn_tensor *t = find(n, want->name);
        const float *got = part == LEARN_RIG_VALUES ? t->value : t->grad;
        const json_t *entry = json_object_get(tensors, want->name);
        assert_non_null(entry);
        if (json_object_get(entry, "rows") != NULL) {
            compare_rows(want->name, entry, want, got, t);
            continue;
        }
        assert_int_equal(want->size, t->count * sizeof(float));
        golden_compare(want->name, (const float *)(const void *)want->data, got, t->count,
                       json_number_value(json_object_get(entry, "tolerance")),
                       json_number_value(json_object_get(entry, "tolerance_rms")));
    }
    json_decref(root);
    safetensors_close(&s);
}

void learn_rig_load(const learn_network *n, const char *path) {
    char full[1024];
    safetensors *s = NULL;
    rnl_error error = {0};
    (void)snprintf(full, sizeof full, "%s/%s", TEST_DATA, path);
    if (safetensors_open(full, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    for (size_t i = 0; i < safetensors_tensor_count(s); i++) {
        const tensor *from = safetensors_tensor(s, i);
        const learn_tensor *t = find(n, from->name);
        assert_int_equal(from->size, t->count * sizeof(float));
        memcpy(t->value, from->data, from->size);
    }
    safetensors_close(&s);
}
