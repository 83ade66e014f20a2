/* Training: what a run leaves does not depend on threads nor on where it was cut; it learns; what
 * does not fit is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "learn/checkpoint.h"
#include "learn/result.h"
#include "tests/support/folder.h"
#include "tests/support/learn_rig.h"
#include "tests/support/rig.h"

enum { STEPS = 12, LENGTH = 48 };

typedef struct world {
    rnl_model *model;
    learn_dataset data, held;
} world;

static void read_data(world *w, const folder *f) {
    char path[PATH_CAP], line[256];
    learn_readers *r = NULL;
    rnl_error error = {0};
    const learn_reading how = {.length_max = LENGTH, .seconds_max = 1, .thread_count = 3};
    assert_int_equal(learn_readers_create(w->model, &how, &r, &error), RNL_OK);
    name_in(f, "chats.jsonl", path);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 24; i++) {
        (void)snprintf(line, sizeof line,
                       "{\"messages\":[{\"role\":\"user\",\"content\":\"Say %d\"},"
                       "{\"role\":\"assistant\",\"content\":\"It is %d, so %s\"}]}\n",
                       i, i + 1,
                       i % 3 == 0   ? "yes"
                       : i % 3 == 1 ? "no, not ever"
                                    : "perhaps");
        assert_true(fputs(line, file) >= 0);
    }
    assert_int_equal(fclose(file), 0);
    if (learn_dataset_read(&w->data, r, path, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_true(learn_dataset_hold(&w->data, 0.2, &w->held));
    learn_readers_destroy(&r);
}

static void open_world(world *w, const folder *f) {
    *w = (world){.model = rig_model("tiny")};
    read_data(w, f);
}

static void close_world(world *w) {
    learn_dataset_free(&w->data);
    learn_dataset_free(&w->held);
    rnl_model_close(&w->model);
}

static learn_plan plan_of(void) {
    return (learn_plan){.hyper = {.rate = 5e-3,
                                  .beta1 = 0.9,
                                  .beta2 = 0.99,
                                  .eps = 1e-8,
                                  .decay = 0.01,
                                  .clip = 1,
                                  .warmup = 2,
                                  .steps = STEPS,
                                  .floor = 0.1},
                        .length = LENGTH,
                        .batch = 3,
                        .seed = 4};
}

static learn_config with_adapters(const rnl_model *m, int threads) {
    learn_config c = learn_rig_adapters(2, 2);
    c.choice.dropout = 0.1; /* which a resumed run draws as the whole one does */
    for (int i = 0; i < LEARN_MODULE_COUNT && m->backbone.codebook_count > 0; i++)
        c.choice.modules[LEARN_AUDIO] |= 1u << i;
    c.row_cap = c.run_cap = LENGTH;
    c.thread_count = threads;
    return c;
}

typedef struct run {
    learn_network *n;
    learn_trainer *t;
} run;

static run open_run(world *w, const learn_config *c) {
    run r = {.n = learn_rig_network(w->model, c)};
    rnl_error error = {0};
    const learn_plan plan = plan_of();
    if (learn_trainer_create(r.n, &w->data, &w->held, &plan, &r.t, &error) != RNL_OK)
        fail_msg("%s", error.text);
    return r;
}

static void close_run(run *r) {
    learn_trainer_destroy(&r->t);
    learn_network_destroy(&r->n);
}

static double steps(const run *r, int count) {
    rnl_error error = {0};
    learn_report report = {0};
    for (int i = 0; i < count; i++) {
        const rnl_status status = learn_trainer_step(r->t, &report, &error);
        if (status != RNL_OK) fail_msg("%s", error.text);
    }
    return report.loss;
}

/* A folder in the test's, made. */
static void folder_in(const folder *f, const char *name, char path[PATH_CAP]) {
    name_in(f, name, path);
    assert_int_equal(mkdir(path, 0777), 0);
}

static void write_checkpoint(const run *r, const char *path, int keep) {
    rnl_error error = {0};
    if (learn_checkpoint_write(r->t, path, keep, &error) != RNL_OK) fail_msg("%s", error.text);
}

static void assert_same_file(const char *a, const char *b, const char *name) {
    char path[2][PATH_CAP + 64];
    size_t size[2];
    (void)snprintf(path[0], sizeof path[0], "%s/%s", a, name);
    (void)snprintf(path[1], sizeof path[1], "%s/%s", b, name);
    unsigned char *x = read_whole(path[0], &size[0]), *y = read_whole(path[1], &size[1]);
    assert_int_equal(size[0], size[1]);
    if (memcmp(x, y, size[0]) != 0) fail_msg("%s and %s differ", path[0], path[1]);
    free(x);
    free(y);
}

static void remove_tree(const char *path) {
    char command[PATH_CAP + 16];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static void a_resumed_run_is_the_whole_run_byte_for_byte(void **state) {
    const folder *f = *state;
    world w;
    char whole[PATH_CAP], cut[PATH_CAP];
    open_world(&w, f);
    folder_in(f, "whole", whole);
    folder_in(f, "cut", cut);
    const learn_config one = with_adapters(w.model, 1), two = with_adapters(w.model, 2);
    rnl_error error = {0};
    bool is_best, found = false;
    run r = open_run(&w, &one);
    (void)steps(&r, 5);
    assert_int_equal(learn_trainer_evaluate(r.t, &is_best, &error), RNL_OK);
    (void)steps(&r, STEPS - 5);
    write_checkpoint(&r, whole, 2);
    close_run(&r);
    r = open_run(&w, &two); /* in the middle of an epoch, and with other threads */
    (void)steps(&r, 5);
    assert_int_equal(learn_trainer_evaluate(r.t, &is_best, &error), RNL_OK);
    write_checkpoint(&r, cut, 2);
    close_run(&r);
    r = open_run(&w, &one);
    if (learn_checkpoint_read(r.t, cut, false, &found, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_true(found);
    assert_int_equal(r.t->step, 5);
    (void)steps(&r, STEPS - 5);
    write_checkpoint(&r, cut, 1);
    assert_int_equal(learn_trainer_step(r.t, &(learn_report){0}, &error), RNL_DONE);
    close_run(&r);
    const char *const files[] = {"step-00000012/state.json", "step-00000012/weights.safetensors",
                                 "step-00000012/moments.safetensors"};
    for (int i = 0; i < 3; i++) assert_same_file(whole, cut, files[i]);
    (void)strcat(cut, "/step-00000005");
    assert_int_not_equal(access(cut, F_OK), 0); /* one was to be kept */
    cut[strlen(cut) - strlen("/step-00000005")] = '\0';
    remove_tree(whole);
    remove_tree(cut);
    close_world(&w);
}

static void a_checkpoint_of_something_else_is_refused(void **state) {
    const folder *f = *state;
    world w;
    char path[PATH_CAP];
    open_world(&w, f);
    folder_in(f, "other", path);
    const learn_config c = with_adapters(w.model, 1);
    rnl_error error = {0};
    bool found = true;
    run r = open_run(&w, &c);
    assert_int_equal(learn_checkpoint_read(r.t, path, false, &found, &error), RNL_OK);
    assert_false(found);
    (void)steps(&r, 2);
    write_checkpoint(&r, path, 1);
    r.t->plan.hyper.rate *= 2;
    assert_int_equal(learn_checkpoint_read(r.t, path, false, &found, &error), RNL_ERR_STATE);
    assert_non_null(strstr(error.text, "\"rate\""));
    assert_int_equal(learn_checkpoint_read(r.t, path, true, &found, &error), RNL_OK);
    r.t->plan.hyper.rate /= 2;
    w.data.hash++;
    assert_int_equal(learn_checkpoint_read(r.t, path, false, &found, &error), RNL_ERR_STATE);
    assert_non_null(strstr(error.text, "other data"));
    w.data.hash--;
    char state_path[PATH_CAP + 64];
    (void)snprintf(state_path, sizeof state_path, "%s/step-00000002/state.json", path);
    write_file(state_path, "{\"step\":", 8);
    assert_true(learn_checkpoint_read(r.t, path, false, &found, &error) < 0);
    assert_int_equal(unlink(state_path), 0); /* without it there is none */
    assert_int_equal(learn_checkpoint_read(r.t, path, false, &found, &error), RNL_OK);
    assert_false(found);
    close_run(&r);
    remove_tree(path);
    close_world(&w);
}

static void training_learns_what_it_is_given(void **state) {
    const folder *f = *state;
    world w;
    char path[PATH_CAP];
    open_world(&w, f);
    folder_in(f, "adapter", path);
    const learn_config c = with_adapters(w.model, 2);
    rnl_error error = {0};
    bool is_best = false;
    run r = open_run(&w, &c);
    assert_int_equal(learn_trainer_evaluate(r.t, &is_best, &error), RNL_OK);
    assert_true(is_best);
    const double first = steps(&r, 1), last = steps(&r, STEPS - 1);
    assert_int_equal(learn_trainer_evaluate(r.t, &is_best, &error), RNL_OK);
    printf("loss %.3f -> %.3f, held out %.3f -> %.3f\n", first, last, r.t->held_first,
           r.t->held_last);
    assert_true(last < 0.8 * first && is_best && r.t->held_last < 0.8 * r.t->held_first);
    if (learn_adapter_write(r.n, path, "tests/data/tiny", false, &error) != RNL_OK)
        fail_msg("%s", error.text);
    close_run(&r);
    remove_tree(path);
    close_world(&w);
}

/* Values that are no numbers: the step is left out, and five of them end the run. */
static void gradients_that_are_no_numbers_change_nothing(void **state) {
    const folder *f = *state;
    world w;
    open_world(&w, f);
    const learn_config c = with_adapters(w.model, 1);
    rnl_error error = {0};
    learn_report report;
    run r = open_run(&w, &c);
    learn_tensor *t = learn_tensors_find(&r.n->tensors, "blk.0.shortconv.in_proj.weight.lora_a");
    const float before = t->value[1];
    t->value[0] = NAN;
    for (int i = 1; i < LEARN_SKIPPED_MAX; i++) {
        assert_int_equal(learn_trainer_step(r.t, &report, &error), RNL_OK);
        assert_true(report.skipped);
    }
    assert_int_equal(learn_trainer_step(r.t, &report, &error), RNL_ERR_DATA);
    assert_int_equal(r.t->taken, 0);
    assert_true(t->value[1] == before && t->mean[1] == 0);
    close_run(&r);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_resumed_run_is_the_whole_run_byte_for_byte),
        IN_FOLDER(a_checkpoint_of_something_else_is_refused),
        IN_FOLDER(training_learns_what_it_is_given),
        IN_FOLDER(gradients_that_are_no_numbers_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
