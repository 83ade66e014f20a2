/* The file device: a clock of samples, the same run every time, files as they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "audio/duplex.h"
#include "audio/file.h"

typedef struct fixture {
    char folder[64], in[96], out[96], in_name[128], out_name[128];
} fixture;

static int make_folder(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    if (f == NULL) return -1;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/runnel-device-XXXXXX");
    if (mkdtemp(f->folder) == NULL) return -1;
    (void)snprintf(f->in, sizeof f->in, "%s/in.wav", f->folder);
    (void)snprintf(f->out, sizeof f->out, "%s/out.wav", f->folder);
    (void)snprintf(f->in_name, sizeof f->in_name, "file:%s", f->in);
    (void)snprintf(f->out_name, sizeof f->out_name, "file:%s", f->out);
    return 0;
}

static int remove_folder(void **state) {
    fixture *f = *state;
    (void)unlink(f->in);
    (void)unlink(f->out);
    (void)rmdir(f->folder);
    free(f);
    return 0;
}

/* A ramp of count samples: sample i is i / 32768. */
static void write_input(const fixture *f, int rate, int count) {
    sound_writer *w = NULL;
    assert_int_equal(sound_writer_create(f->in, rate, &w, NULL), RNL_OK);
    for (int i = 0; i < count; i++) {
        const float x = (float)i / 32768.0f;
        assert_int_equal(sound_write(w, &x, 1, NULL), RNL_OK);
    }
    assert_int_equal(sound_writer_finish(&w, NULL), RNL_OK);
}

static duplex *open_files(const char *in, const char *out, double cost_ms) {
    device_config c = device_config_default();
    duplex *d = NULL;
    rnl_error error = {0};
    c.input = in;
    c.output = out;
    c.sim_cost_ms = cost_ms;
    if (duplex_open(&c, &d, &error) != RNL_OK) fail_msg("%s", error.text);
    return d;
}

static int pull_all(duplex *d) {
    duplex_block b;
    int n = 0;
    while (duplex_pull(d, &b) == RNL_OK) n++;
    return n;
}

static void test_clock(void **state) {
    fixture *f = *state;
    write_input(f, 16000, 16000);
    duplex *d = open_files(f->in_name, "null", -1.0);
    assert_true(duplex_facts(d)->simulated && duplex_facts(d)->one_clock);
    assert_int_equal(duplex_now_us(d), 0);
    assert_int_equal(pull_all(d), 0);
    assert_int_equal(duplex_wait(d, NULL), RNL_OK);
    assert_int_equal(duplex_now_us(d), 10000);
    duplex_block b;
    assert_int_equal(duplex_pull(d, &b), RNL_OK);
    assert_int_equal(b.adc_us, 0);
    for (int i = 0; i < DUPLEX_BLOCK; i++) assert_true(b.mic[i] == (float)i / 32768.0f);
    /* While it computes, the microphone goes on. */
    assert_int_equal(duplex_charge(d, 55000, NULL), RNL_OK);
    assert_int_equal(duplex_now_us(d), 65000);
    assert_int_equal(pull_all(d), 5);
    assert_false(duplex_input_over(d));
    while (!duplex_input_over(d)) {
        assert_int_equal(duplex_wait(d, NULL), RNL_OK);
        (void)pull_all(d);
    }
    assert_in_range(duplex_now_us(d), 1000000, 1010000);
    /* Silence for as long as one likes. */
    assert_int_equal(duplex_charge(d, 100000, NULL), RNL_OK);
    assert_int_equal(pull_all(d), 10);
    assert_int_equal(duplex_close(&d, false, NULL), RNL_OK);
}

static void test_fixed_cost(void **state) {
    fixture *f = *state;
    write_input(f, 16000, 1600);
    duplex *d = open_files(f->in_name, "null", 2.5);
    for (int i = 0; i < 4; i++) assert_int_equal(duplex_charge(d, 999 * i, NULL), RNL_OK);
    assert_int_equal(duplex_now_us(d), 10000);
    assert_int_equal(duplex_close(&d, false, NULL), RNL_OK);
}

/* A little loop: answers the third block with a ramp, late once, cut at the end. */
static void small_talk(duplex *d, int64_t *trace, int *trace_count) {
    duplex_block b;
    float ramp[4800];
    size_t taken;
    for (int i = 0; i < 4800; i++) ramp[i] = (float)(i + 1) / 32768.0f;
    for (int blocks = 0; blocks < 60;) {
        while (duplex_pull(d, &b) == RNL_OK) {
            blocks++;
            trace[(*trace_count)++] = duplex_now_us(d) * 1000 + b.adc_us;
            if (blocks == 3 || blocks == 40) {
                duplex_push(d, ramp, 2400, &taken);
                assert_int_equal(duplex_charge(d, 12345, NULL), RNL_OK);
            }
            if (blocks == 20) {
                duplex_push(d, ramp, 2400, &taken);
                duplex_end(d);
            }
            if (blocks == 45) duplex_cut(d);
        }
        assert_int_equal(duplex_wait(d, NULL), RNL_OK);
    }
}

static void test_same_every_time(void **state) {
    fixture *f = *state;
    int64_t traces[2][200] = {{0}};
    int counts[2] = {0};
    sound heard[2];
    write_input(f, 22050, 30000);
    for (int k = 0; k < 2; k++) {
        duplex *d = open_files(f->in_name, f->out_name, 3.0);
        small_talk(d, traces[k], &counts[k]);
        assert_int_equal(access(f->out, F_OK), -1); /* nothing half-written is ever seen */
        assert_int_equal(duplex_close(&d, false, NULL), RNL_OK);
        assert_int_equal(sound_read(f->out, 10.0, NULL, &heard[k], NULL), RNL_OK);
        assert_int_equal(unlink(f->out), 0);
    }
    assert_int_equal(counts[0], counts[1]);
    assert_memory_equal(traces[0], traces[1], sizeof traces[0]);
    assert_int_equal(heard[0].count, heard[1].count);
    assert_int_equal(heard[0].rate, 24000);
    assert_memory_equal(heard[0].samples, heard[1].samples, heard[0].count * sizeof(float));
    /* The ramp stands in the file as it was pushed, from the callback after the third block. */
    size_t first = 0;
    while (heard[0].samples[first] == 0.0f) first++;
    assert_int_equal(first % 240, 0);
    for (size_t i = 0; i < 2400; i++)
        assert_true(heard[0].samples[first + i] == (float)(i + 1) / 32768.0f);
    sound_free(&heard[0]);
    sound_free(&heard[1]);
}

static void test_abort_leaves_nothing(void **state) {
    fixture *f = *state;
    write_input(f, 16000, 1600);
    duplex *d = open_files(f->in_name, f->out_name, 0.0);
    assert_int_equal(duplex_wait(d, NULL), RNL_OK);
    assert_int_equal(duplex_close(&d, true, NULL), RNL_OK);
    assert_int_equal(access(f->out, F_OK), -1);
}

static void test_null_keeps_real_time(void **state) {
    (void)state;
    duplex *d = open_files("null", "null", -1.0);
    assert_false(duplex_facts(d)->simulated);
    const int64_t begin = duplex_now_us(d);
    int blocks = 0;
    while (blocks < 10) {
        blocks += pull_all(d);
        assert_int_equal(duplex_wait(d, NULL), RNL_OK);
    }
    assert_true(duplex_now_us(d) - begin >= 99000);
    assert_int_equal(duplex_charge(d, 5000000, NULL), RNL_OK); /* time passes by itself */
    assert_true(pull_all(d) < 400);
    assert_int_equal(duplex_close(&d, false, NULL), RNL_OK);
}

static void test_refusals(void **state) {
    fixture *f = *state;
    device_config c = device_config_default();
    duplex *d = NULL;
    rnl_error error = {0};
    c.input = "file:/nowhere/a.wav";
    c.output = "null";
    assert_int_equal(duplex_open(&c, &d, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "/nowhere/a.wav"));
    write_input(f, 16000, 16);
    c.input = f->in_name;
    c.output = "file:/nowhere/b.wav";
    assert_int_equal(duplex_open(&c, &d, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "/nowhere/b.wav"));
    assert_null(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_clock, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_fixed_cost, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_same_every_time, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_abort_leaves_nothing, make_folder, remove_folder),
        cmocka_unit_test(test_null_keeps_real_time),
        cmocka_unit_test_setup_teardown(test_refusals, make_folder, remove_folder),
    };
    return cmocka_run_group_tests_name("device_file", tests, NULL, NULL);
}
