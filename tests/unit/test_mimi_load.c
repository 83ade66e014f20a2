/* Loading Mimi from files that are not what they should be: every tensor missing once, every
 * dimension of every tensor too small, every number of the caller out of its range. Each is refused
 * with a sentence, or what was loaded runs in both directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/safetensors.h"
#include "detokenizer/mimi.h"
#include "tests/support/stage.h"

enum { HEAD_WIDTH = 8, WINDOW = 20, BOOKS = 8, FRAME_CAP = 4096, SHRINK_ROUNDS = 4 };

static const char path[] = TEST_DATA "/mimi/tokenizer-e351c8d8-checkpoint125.safetensors";

static safetensors *file;
static stage rig;
static mimi_weights mimi;

static int setup(void **state) {
    (void)state;
    rnl_error error;
    return safetensors_open(path, &file, &error) == RNL_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    safetensors_close(&file);
    return 0;
}

/* What is done to one tensor of the file. */
typedef struct damage {
    size_t index; /* of the tensor; past the end: none */
    bool drop;
    int side;   /* else: this dimension is smaller */
    int64_t by; /* by so much */
} damage;

static const damage none = {.index = SIZE_MAX};

/* Files and weights as usual, but for the damage; true when Mimi loads. */
static bool loads(damage d, int head_width, int window, int codebook_count) {
    stage_open(&rig, 1, 4096);
    for (size_t i = 0; i < safetensors_tensor_count(file); i++) {
        tensor t = *safetensors_tensor(file, i);
        char name[512];
        (void)snprintf(name, sizeof name, "mimi.%s", t.name);
        t.name = name;
        if (i == d.index && d.drop) continue;
        if (i == d.index) {
            t.size = t.size / (size_t)t.shape[d.side];
            t.shape[d.side] -= d.by;
            t.size *= (size_t)t.shape[d.side];
        }
        assert_int_equal(weights_add(rig.w, &t, "test", &rig.error), RNL_OK);
    }
    mimi_load(&rig.l, head_width, window, codebook_count, &mimi);
    if (rig.l.status == RNL_OK) return true;
    assert_int_equal(rig.l.status, RNL_ERR_FORMAT);
    assert_true(strlen(rig.error.text) > 20);
    return false;
}

/* Both directions for longer than the window; the sanitizers watch. */
static void run(void) {
    static float samples[FRAME_CAP];
    int32_t codes[BOOKS] = {0};
    mimi_decoder d;
    mimi_encoder e;
    assert_true(mimi.frame_size >= 1 && mimi.frame_size <= FRAME_CAP);
    mimi_decoder_layout(&d, &mimi, 1, &rig.kept, &rig.scratch);
    mimi_decoder_reset(&d);
    if (mimi.has_encoder) {
        mimi_encoder_layout(&e, &mimi, 1, &rig.kept, &rig.scratch);
        mimi_encoder_reset(&e);
    }
    for (int i = 0; i < WINDOW / MIMI_STEPS + 2; i++) {
        assert_int_equal(mimi_decoder_push(&d, &rig.c, codes, samples), RNL_OK);
        if (!mimi.has_encoder) continue;
        size_t taken;
        bool made;
        mimi_encoder_push(&e, &rig.c, samples, (size_t)mimi.frame_size, &taken, codes, &made);
        assert_true(made);
    }
}

/* In the file for training's sake, or a book beyond those that are used. */
static bool is_spare(const char *name) {
    const char rest[] = "quantizer.rvq_rest.vq.layers.";
    return strstr(name, "_initialized") != NULL ||
           (strncmp(name, rest, sizeof rest - 1) == 0 && name[sizeof rest - 1] >= '7');
}

static void the_whole_file_loads(void **state) {
    (void)state;
    assert_true(loads(none, HEAD_WIDTH, WINDOW, BOOKS));
    assert_true(mimi.has_encoder);
    assert_int_equal(mimi.frame_size, 1920);
    run();
    stage_close(&rig);
}

static void every_missing_tensor_is_refused(void **state) {
    (void)state;
    int spare = 0;
    for (size_t i = 0; i < safetensors_tensor_count(file); i++) {
        const char *name = safetensors_tensor(file, i)->name;
        const bool loaded = loads((damage){.index = i, .drop = true}, HEAD_WIDTH, WINDOW, BOOKS);
        if (loaded != is_spare(name))
            fail_msg("without %s: %s", name, loaded ? "loads" : "refused");
        spare += loaded;
        stage_close(&rig);
    }
    assert_true(spare > 0);
}

static void a_tensor_too_small_is_refused_or_runs(void **state) {
    (void)state;
    int refused = 0, ran = 0;
    for (size_t i = 0; i < safetensors_tensor_count(file); i++) {
        const tensor *t = safetensors_tensor(file, i);
        for (int side = 0; side < t->rank; side++)
            for (int64_t by = 1; by <= SHRINK_ROUNDS && by < t->shape[side]; by++) {
                const damage d = {.index = i, .side = side, .by = by};
                const bool loaded = loads(d, HEAD_WIDTH, WINDOW, BOOKS);
                const bool kernel = t->rank == 3 && side == 2; /* some are free to choose */
                if (loaded && !kernel && !is_spare(t->name))
                    fail_msg("%s, dimension %d less %d: loads", t->name, side, (int)by);
                if (loaded) run();
                loaded ? ran++ : refused++;
                stage_close(&rig);
            }
    }
    assert_true(refused > 100 && ran > 0);
}

static void numbers_out_of_range_are_refused(void **state) {
    (void)state;
    const int cases[][3] = {
        {0, WINDOW, BOOKS},
        {-2, WINDOW, BOOKS},
        {1, WINDOW, BOOKS}, /* odd: no pairs */
        {6, WINDOW, BOOKS},
        {64, WINDOW, BOOKS}, /* width is 32 */
        {HEAD_WIDTH, 0, BOOKS},
        {HEAD_WIDTH, -1, BOOKS},
        {HEAD_WIDTH, WINDOW, 0},
        {HEAD_WIDTH, WINDOW, -1},
        {HEAD_WIDTH, WINDOW, MIMI_BOOK_CAP + 1},
        {HEAD_WIDTH, WINDOW, 12}, /* the file has 10 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (loads(none, cases[i][0], cases[i][1], cases[i][2])) fail_msg("case %zu loads", i);
        stage_close(&rig);
    }
}

static void a_file_without_an_encoder_decodes(void **state) {
    (void)state;
    const char *const parts[] = {"encoder.", "encoder_transformer.", "downsample."};
    stage_open(&rig, 1, 4096);
    for (size_t i = 0; i < safetensors_tensor_count(file); i++) {
        tensor t = *safetensors_tensor(file, i);
        bool left_out = strstr(t.name, "input_proj") != NULL;
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
            left_out = left_out || strncmp(t.name, parts[k], strlen(parts[k])) == 0;
        if (left_out) continue;
        char name[512];
        (void)snprintf(name, sizeof name, "mimi.%s", t.name);
        t.name = name;
        assert_int_equal(weights_add(rig.w, &t, "test", &rig.error), RNL_OK);
    }
    mimi_load(&rig.l, HEAD_WIDTH, WINDOW, BOOKS, &mimi);
    stage_check(&rig);
    assert_false(mimi.has_encoder);
    run();
    stage_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_file_loads),
        cmocka_unit_test(every_missing_tensor_is_refused),
        cmocka_unit_test(a_tensor_too_small_is_refused_or_runs),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(a_file_without_an_encoder_decodes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
