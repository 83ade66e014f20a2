/* The verbs of Mimi's encoder, and its law of threads. That its codes are right is golden/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "detokenizer/mimi.h"
#include "tests/support/npy.h"
#include "tests/support/stage.h"

enum { HEAD_WIDTH = 8, WINDOW = 20, BOOKS = 8, FRAME = 1920, FRAMES = 14, WIDTH = 32 };

static stage rig;
static mimi_weights mimi;
static mimi_encoder encoder;
static npy sound;

static void open_threads(int thread_count) {
    stage_open(&rig, thread_count, 4096);
    stage_add(&rig, "mimi/tokenizer-e351c8d8-checkpoint125.safetensors", "mimi.");
    mimi_load(&rig.l, HEAD_WIDTH, WINDOW, BOOKS, &mimi);
    stage_check(&rig);
    mimi_encoder_layout(&encoder, &mimi, thread_count, &rig.kept, &rig.scratch);
    mimi_encoder_reset(&encoder);
}

static int setup(void **state) {
    (void)state;
    sound = npy_read("mimi/expect/samples_24k.npy");
    return sound.count >= FRAMES * FRAME ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    npy_free(&sound);
    return 0;
}

/* One push that must take all; true when a frame came. */
static bool push(const float *samples, size_t count, int32_t *codes) {
    size_t taken = 77;
    bool made;
    mimi_encoder_push(&encoder, &rig.c, samples, count, &taken, codes, &made);
    assert_int_equal(taken, count);
    return made;
}

static void nothing_pushed_changes_nothing(void **state) {
    (void)state;
    int32_t codes[BOOKS] = {-1}, want[BOOKS], got[BOOKS];
    bool made = true;
    open_threads(1);
    mimi_encoder_finish(&encoder, &rig.c, codes, &made); /* fresh: no frame */
    assert_false(made);
    assert_int_equal(codes[0], -1);
    assert_false(push(sound.f, FRAME - 1, codes));
    assert_true(push(sound.f + FRAME - 1, 1, want));
    mimi_encoder_reset(&encoder);
    assert_false(push(sound.f, 0, codes));
    assert_false(push(sound.f, FRAME - 1, codes));
    assert_false(push(sound.f, 0, codes));
    assert_true(push(sound.f + FRAME - 1, 1, got));
    assert_false(push(sound.f, 0, codes)); /* after a frame, too */
    assert_memory_equal(want, got, sizeof want);
    stage_close(&rig);
}

static void a_push_stops_at_the_frame(void **state) {
    (void)state;
    int32_t codes[BOOKS];
    size_t taken;
    bool made;
    open_threads(1);
    mimi_encoder_push(&encoder, &rig.c, sound.f, FRAME + 5, &taken, codes, &made);
    assert_true(made);
    assert_int_equal(taken, FRAME);
    stage_close(&rig);
}

/* 1 sample and the end = 1 sample and zeros; the second end gives nothing. */
static void finish_completes_with_zeros_once(void **state) {
    (void)state;
    static float padded[FRAME];
    int32_t want[BOOKS], got[BOOKS], codes[BOOKS];
    bool made;
    open_threads(1);
    padded[0] = sound.f[100];
    assert_true(push(padded, FRAME, want));
    mimi_encoder_finish(&encoder, &rig.c, codes, &made); /* nothing waits */
    assert_false(made);
    mimi_encoder_reset(&encoder);
    /* What an earlier frame left in the room behind the sample must not show. */
    assert_true(push(sound.f, FRAME, codes));
    mimi_encoder_reset(&encoder);
    assert_false(push(padded, 1, codes));
    mimi_encoder_finish(&encoder, &rig.c, got, &made);
    assert_true(made);
    assert_memory_equal(want, got, sizeof want);
    mimi_encoder_finish(&encoder, &rig.c, codes, &made);
    assert_false(made);
    stage_close(&rig);
}

typedef struct record {
    float latents[FRAMES * WIDTH];
    int32_t codes[FRAMES * BOOKS];
    int count;
} record;

static void keep(void *context, const char *stage_name, const float *x, int count, int width) {
    record *r = context;
    (void)stage_name;
    assert_int_equal(width, WIDTH);
    memcpy(r->latents + r->count * WIDTH, x, (size_t)(count * WIDTH) * sizeof *x);
    r->count += count;
}

static void threads_and_reset_change_no_bit(void **state) {
    (void)state;
    static record first, again;
    for (int threads = 1; threads <= 4; threads++) {
        open_threads(threads);
        for (int round = 0; round < 2; round++) {
            memset(&again, 0, sizeof again);
            mimi_encoder_reset(&encoder);
            encoder.tap = keep;
            encoder.tap_context = &again;
            for (int t = 0; t < FRAMES; t++) /* longer than the window */
                assert_true(push(sound.f + t * FRAME, FRAME, again.codes + t * BOOKS));
            assert_int_equal(again.count, FRAMES);
            if (threads == 1 && round == 0) first = again;
            assert_memory_equal(&first, &again, sizeof first);
        }
        stage_close(&rig);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_pushed_changes_nothing),
        cmocka_unit_test(a_push_stops_at_the_frame),
        cmocka_unit_test(finish_completes_with_zeros_once),
        cmocka_unit_test(threads_and_reset_change_no_bit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
