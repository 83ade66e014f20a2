/* apps/tuning.c: what is kept of a machine is read again, of older programs too, and a batch gets
 * the times of its own model, level and threads and of no other. (What measures them:
 * tests/api/tuning.sh.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/machine.h"
#include "apps/tuning.h"
#include "engine/model.h"
#include "tests/support/folder.h"
#include "tests/support/rig.h"

/* The user's cache is the test's folder; tuning_prepare makes runnel/ in it. */
static void prepare(const folder *f, char path[TUNING_PATH_CAP]) {
    assert_int_equal(setenv("XDG_CACHE_HOME", f->path, 1), 0);
    assert_int_equal(tuning_prepare(path), 0);
}

static void discard(const folder *f, const char *path) {
    char folder_path[PATH_CAP];
    name_in(f, "runnel", folder_path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder_path), 0);
}

static tuning_passes passes_of(const char *model, int threads, double text_us) {
    tuning_passes p = {.level = "scalar", .threads = threads, .count = 2, .rows = {1, 4}};
    assert_true((size_t)snprintf(p.model, sizeof p.model, "%s", model) < sizeof p.model);
    for (int i = 0; i < p.count; i++) {
        p.text_us[i] = text_us * (i + 1);
        p.frame_us[i] = 3 * p.text_us[i];
    }
    return p;
}

static void assert_same_passes(const tuning_passes *a, const tuning_passes *b) {
    assert_string_equal(a->model, b->model);
    assert_string_equal(a->level, b->level);
    assert_int_equal(a->threads, b->threads);
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        assert_int_equal(a->rows[i], b->rows[i]);
        assert_true(a->text_us[i] == b->text_us[i] && a->frame_us[i] == b->frame_us[i]);
    }
}

static void what_is_kept_is_read_again(void **state) {
    char path[TUNING_PATH_CAP];
    prepare(*state, path);
    tuning t = {.choices = {RNL_PREFETCH_L1, false, 512}}, again;
    assert_false(tuning_read(&again, true)); /* none yet */
    const tuning_passes a = passes_of("aa", 2, 1000.25), b = passes_of("bb", 2, 7);
    tuning_add_passes(&t, &a);
    tuning_add_passes(&t, &b);
    assert_int_equal(tuning_write(path, &t), 0);
    assert_true(tuning_read(&again, true));
    assert_int_equal(again.choices.prefetch, RNL_PREFETCH_L1);
    assert_false(again.choices.huge_pages);
    assert_int_equal(again.choices.block_kib, 512);
    assert_int_equal(again.passes_count, 2);
    assert_same_passes(&again.passes[0], &b);
    assert_same_passes(&again.passes[1], &a);
    discard(*state, path);
}

/* Writes {cpu, choices, REST} and reads it. */
static bool reads(const char *path, const char *rest) {
    char cpu[MACHINE_NAME_CAP], text[2048];
    machine_cpu("", cpu);
    const int size = snprintf(text, sizeof text,
                              "{\"cpu\":\"%s\",\"prefetch\":true,\"huge_pages\":true,"
                              "\"block_kib\":256%s}\n",
                              cpu, rest);
    assert_in_range(size, 1, sizeof text - 1);
    write_file(path, text, (size_t)size);
    tuning t;
    const bool good = tuning_read(&t, true);
    assert_true(good || t.passes_count == 0);
    return good;
}

#define DEVICES(fields) ",\"devices\":[{" fields "}]"
#define PASSES(fields) ",\"passes\":[{" fields "}]"
#define NAMES "\"model\":\"ab\",\"level\":\"avx2\",\"threads\":2,"

static void older_files_are_read_and_damaged_times_are_none(void **state) {
    static const char *const damaged[] = {
        ",\"devices\":1",
        DEVICES(NAMES "\"stages\":[]"),
        DEVICES(NAMES "\"device\":\"gpu\""),
        DEVICES(NAMES "\"device\":\"gpu\",\"stages\":[\"deco\"]"),
        DEVICES(NAMES "\"device\":\"gpu\",\"stages\":[1]"),
        ",\"passes\":1",
        PASSES(""),
        PASSES("\"model\":\"ab\",\"level\":\"avx2\",\"rows\":[1],\"text_us\":[1],\"frame_us\":[1]"),
        PASSES(NAMES "\"rows\":[1,2],\"text_us\":[1],\"frame_us\":[1]"),
        PASSES(NAMES "\"rows\":[1],\"text_us\":[0],\"frame_us\":[1]"),
        PASSES(NAMES "\"rows\":[1],\"text_us\":[1],\"frame_us\":[-1]"),
        PASSES(NAMES "\"rows\":[0],\"text_us\":[1],\"frame_us\":[1]"),
        PASSES(NAMES "\"rows\":[257],\"text_us\":[1],\"frame_us\":[1]"),
        PASSES(NAMES "\"rows\":[],\"text_us\":[],\"frame_us\":[]"),
        PASSES(NAMES "\"rows\":1,\"text_us\":[1],\"frame_us\":[1]"),
        PASSES("\"model\":\"0123456789012345678901234567890123\",\"level\":\"avx2\",\"threads\":2,"
               "\"rows\":[1],\"text_us\":[1],\"frame_us\":[1]"),
    };
    char path[TUNING_PATH_CAP];
    prepare(*state, path);
    assert_true(reads(path, ""));
    assert_true(reads(path, ",\"passes\":[]"));
    assert_true(reads(path, DEVICES(NAMES "\"device\":\"gpu\",\"stages\":[\"decode\"]")));
    assert_true(reads(path, PASSES(NAMES "\"rows\":[1],\"text_us\":[1],\"frame_us\":[0]")));
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        print_message("%s\n", damaged[i]);
        assert_false(reads(path, damaged[i]));
    }
    discard(*state, path);
}

static void newer_times_take_the_place_of_older_ones(void **state) {
    (void)state;
    tuning t = {.passes_count = 0};
    char name[FINGERPRINT_SIZE];
    for (int i = 0; i < TUNING_PASSES_CAP + 3; i++) {
        (void)snprintf(name, sizeof name, "%02d", i);
        const tuning_passes p = passes_of(name, 2, 10 + i);
        tuning_add_passes(&t, &p);
    }
    assert_int_equal(t.passes_count, TUNING_PASSES_CAP);
    (void)snprintf(name, sizeof name, "%02d", TUNING_PASSES_CAP + 2);
    assert_string_equal(t.passes[0].model, name);
    assert_string_equal(t.passes[TUNING_PASSES_CAP - 1].model, "03"); /* 00 to 02 are gone */
    const tuning_passes again = passes_of("05", 2, 99), other = passes_of("05", 1, 98);
    tuning_add_passes(&t, &again);
    assert_int_equal(t.passes_count, TUNING_PASSES_CAP);
    assert_same_passes(&t.passes[0], &again);
    assert_string_equal(t.passes[TUNING_PASSES_CAP - 1].model, "03");
    tuning_add_passes(&t, &other); /* other threads: times of their own */
    assert_string_equal(t.passes[TUNING_PASSES_CAP - 1].model, "04");
    assert_same_passes(&t.passes[1], &again);
}

static tuning_device device_of(const char *model, const char *device, unsigned stages) {
    tuning_device d = {.level = "scalar", .threads = 2, .stages = stages};
    assert_true((size_t)snprintf(d.model, sizeof d.model, "%s", model) < sizeof d.model);
    assert_true((size_t)snprintf(d.device, sizeof d.device, "%s", device) < sizeof d.device);
    return d;
}

static void devices_are_kept_for_their_model(void **state) {
    char path[TUNING_PATH_CAP], name[FINGERPRINT_SIZE];
    rnl_model *model = rig_model_scalar("gguf/tiny-Q4_0.gguf", false);
    fingerprint_shapes(model, name);
    const tuning_device gpu = device_of(name, "gpu:A", RNL_DEVICE_ENCODER | RNL_DEVICE_DEPTH),
                        npu = device_of(name, "npu:B", 0), other = device_of("cc", "gpu:A", 15);
    tuning t = {.choices = rnl_tuning_default()}, again;
    assert_null(tuning_find_device(&t, model, 2));
    tuning_add_device(&t, &gpu);
    tuning_add_device(&t, &npu);
    tuning_add_device(&t, &other);
    prepare(*state, path);
    assert_int_equal(tuning_write(path, &t), 0);
    assert_true(tuning_read(&again, true));
    assert_int_equal(again.device_count, 3);
    assert_int_equal(again.devices[0].stages, 15);
    const tuning_device *found = tuning_find_device(&again, model, 2);
    assert_non_null(found);
    assert_string_equal(found->device, "gpu:A");
    assert_int_equal(found->stages, RNL_DEVICE_ENCODER | RNL_DEVICE_DEPTH);
    assert_null(tuning_find_device(&again, model, 1));
    const tuning_device slower = device_of(name, "gpu:A", 0);
    tuning_add_device(&t, &slower); /* measured once more: it has become slower */
    assert_int_equal(t.device_count, 3);
    assert_null(tuning_find_device(&t, model, 2));
    for (int i = 0; i < TUNING_DEVICES_CAP + 2; i++) {
        (void)snprintf(name, sizeof name, "%02d", i);
        const tuning_device d = device_of(name, "gpu:A", 1);
        tuning_add_device(&t, &d);
    }
    assert_int_equal(t.device_count, TUNING_DEVICES_CAP);
    discard(*state, path);
    rnl_model_close(&model);
}

static rnl_batch *open_batch(rnl_model *model, int decision_cap) {
    rnl_batch_config c = rnl_batch_config_default();
    rnl_batch *b = NULL;
    rnl_error error = {0};
    c.row_cap = 32;
    c.decision_cap = decision_cap;
    c.context_cap = 128;
    c.clip_seconds_max = 1;
    c.turn_network = false;
    if (rnl_batch_create(model, &c, &b, &error) != RNL_OK) fail_msg("%s", error.text);
    return b;
}

static double text_us_of(const rnl_batch *b) {
    rnl_batch_facts facts;
    rnl_batch_get_facts(b, &facts);
    return facts.text_us;
}

static void a_batch_begins_with_the_times_of_its_model(void **state) {
    (void)state;
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    rnl_model *exact = rig_model("gguf/tiny-Q4_0.gguf");
    char name[FINGERPRINT_SIZE], other[FINGERPRINT_SIZE];
    fingerprint_shapes(model, name);
    fingerprint_shapes(exact, other);
    assert_string_not_equal(name, other);
    tuning_passes p = passes_of(name, 2, 1234);
    (void)snprintf(p.level, sizeof p.level, "%s", model->kernels.name);
    tuning t = {.passes_count = 0};
    rnl_batch *b = open_batch(model, 4), *few = open_batch(model, 2);
    const double guess = text_us_of(b);
    assert_int_equal(tuning_give_times(&t, model, 2, b), 0);
    tuning_add_passes(&t, &p);
    assert_int_equal(tuning_give_times(&t, model, 1, b), 0);
    assert_int_equal(tuning_give_times(&t, exact, 2, b), 0);
    assert_true(text_us_of(b) == guess);
    assert_int_equal(tuning_give_times(&t, model, 2, b), 2);
    assert_true(text_us_of(b) == 1234);
    rnl_batch_facts facts;
    rnl_batch_get_facts(b, &facts);
    assert_true(facts.frame_us == 3 * 1234.0);
    assert_int_equal(facts.speaking_max, 4); /* 12 frames of 7.4 ms, 6 tokens of 2.5 in 960 ms */
    assert_int_equal(tuning_give_times(&t, model, 2, few), 2); /* of which it can use one */
    assert_true(text_us_of(few) == 1234);
    rnl_batch_destroy(&b);
    rnl_batch_destroy(&few);
    rnl_model_close(&model);
    rnl_model_close(&exact);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_is_kept_is_read_again),
        IN_FOLDER(older_files_are_read_and_damaged_times_are_none),
        cmocka_unit_test(newer_times_take_the_place_of_older_ones),
        IN_FOLDER(devices_are_kept_for_their_model),
        cmocka_unit_test(a_batch_begins_with_the_times_of_its_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
