/* Laws of the network for ends of turns: any cut of the clip, any number of threads, a reset, sound
 * that comes meanwhile or has long gone by change no bit; nothing is allocated after create; a
 * library without it says so. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "tests/support/rig.h"
#include "tests/support/turn_rig.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GUARDED 0
#else
#define GUARDED 1
#endif
static atomic_long allocated;

#if GUARDED
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_memalign(size_t align, size_t size);

#pragma GCC visibility push(default) /* seen by the shared libraries, too */
void *malloc(size_t size) {
    atomic_fetch_add(&allocated, 1);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    atomic_fetch_add(&allocated, 1);
    return __libc_calloc(count, size);
}

void *aligned_alloc(size_t align, size_t size) {
    atomic_fetch_add(&allocated, 1);
    return __libc_memalign(align, size);
}
#pragma GCC visibility pop
#endif

enum { LONG = 11 * TURN_RATE, SHORT = 3 * TURN_RATE + 77 };
static float *speech; /* [LONG] */

static int setup(void **state) {
    (void)state;
    speech = rig_wav("audio/jfk.wav", 0, LONG);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(speech);
    return 0;
}

static void assert_same(float a, float b) {
    assert_memory_equal(&a, &b, sizeof a);
}

/* Pieces of 0 to 6 s: longer than what is left of the ring, and empty ones. */
static void any_cut_gives_the_same_bits(void **state) {
    (void)state;
    turn_rig r;
    turn_rig_open(&r, NULL, false, 1);
    const float want = turn_rig_hear(&r, speech, LONG);
    random_state random;
    random_seed(&random, 7);
    for (int round = 0; round < rig_rounds(4); round++) {
        turn_look_reset(&r.s);
        for (size_t at = 0, n; at < LONG; at += n) {
            n = (size_t)(random_unit(&random) * 6 * TURN_RATE) % (round < 2 ? 6 * TURN_RATE : 700);
            if (n > LONG - at) n = LONG - at;
            turn_look_push(&r.s, speech + at, n);
        }
        assert_same(turn_rig_look(&r), want);
    }
    turn_rig_close(&r);
}

/* Only the last 8 s are heard, and a clip that is shorter is one with silence in front. */
static void eight_seconds_are_heard(void **state) {
    (void)state;
    turn_rig r;
    turn_rig_open(&r, NULL, false, 1);
    const float whole = turn_rig_hear(&r, speech, LONG);
    assert_same(turn_rig_hear(&r, speech + LONG - TURN_WINDOW, TURN_WINDOW), whole);
    const float less = turn_rig_hear(&r, speech + LONG - TURN_WINDOW + 1, TURN_WINDOW - 1);
    assert_memory_not_equal(&less, &whole, sizeof less);
    const float brief = turn_rig_hear(&r, speech, SHORT);
    float *padded = calloc(TURN_WINDOW, sizeof *padded);
    assert_non_null(padded);
    memcpy(padded + TURN_WINDOW - SHORT, speech, SHORT * sizeof *padded);
    assert_same(turn_rig_hear(&r, padded, TURN_WINDOW), brief);
    free(padded);
    const float none = turn_rig_hear(&r, NULL, 0);
    assert_true(none >= 0 && none <= 1);
    turn_rig_close(&r);
}

enum { MEL = 800 * 80 };

static void keep_mel(void *context, const char *stage, int layer, const float *x, int rows,
                     int cols) {
    (void)layer;
    if (strcmp(stage, "mel") != 0) return;
    assert_int_equal(rows * cols, MEL);
    memcpy(context, x, MEL * sizeof *x);
}

/* The window has mean 0, so a converter's offset is not heard: what is left is rounding. */
static void an_offset_changes_nothing(void **state) {
    (void)state;
    turn_rig r;
    turn_rig_open(&r, NULL, false, 2);
    r.s.tap = keep_mel;
    float *moved = malloc(TURN_WINDOW * sizeof *moved), *mel = malloc(2 * MEL * sizeof *mel);
    assert_true(moved != NULL && mel != NULL);
    for (size_t i = 0; i < TURN_WINDOW; i++) moved[i] = speech[LONG - TURN_WINDOW + i] + 0.5f;
    r.s.tap_context = mel;
    (void)turn_rig_hear(&r, speech, LONG);
    r.s.tap_context = mel + MEL;
    (void)turn_rig_hear(&r, moved, TURN_WINDOW);
    for (size_t i = 0; i < MEL; i++) assert_true(fabsf(mel[MEL + i] - mel[i]) < 5e-3f);
    free(moved);
    free(mel);
    turn_rig_close(&r);
}

static void thread_count_changes_no_bit(void **state) {
    (void)state;
    for (int exact = 0; exact < rig_rounds(2); exact++) {
        float want = 0;
        for (int threads = 1; threads <= 3; threads++) {
            turn_rig r;
            turn_rig_open(&r, NULL, exact, threads);
            const float got = turn_rig_hear(&r, speech, SHORT);
            if (threads == 1) want = got;
            assert_same(got, want);
            turn_rig_close(&r);
        }
    }
}

/* Whatever a state has done before, and wherever a look was broken off. */
static void reset_equals_fresh(void **state) {
    (void)state;
    turn_rig r;
    turn_rig_open(&r, NULL, false, 1);
    const float want = turn_rig_hear(&r, speech, SHORT);
    const int stride = rig_rounds(2) > 1 ? 5 : 14;
    for (int steps = 1; steps < 16; steps += stride) {
        turn_look_reset(&r.s);
        turn_look_push(&r.s, speech + SHORT, LONG - SHORT);
        turn_look_begin(&r.s);
        for (int i = 0; i < steps; i++) assert_int_equal(turn_look_step(&r.s, &r.c), RNL_OK);
        assert_same(turn_rig_hear(&r, speech, SHORT), want);
    }
    turn_look_begin(&r.s);
    assert_int_equal(turn_look_step(&r.s, &r.c), RNL_OK);
    turn_look_reset(&r.s);
    assert_int_equal(turn_look_step(&r.s, &r.c), RNL_DONE); /* nothing is under way */
    turn_rig_close(&r);
}

/* A look hears what had come when it began. */
static void the_clip_goes_on_meanwhile(void **state) {
    (void)state;
    turn_rig r;
    turn_rig_open(&r, NULL, false, 1);
    const float want = turn_rig_hear(&r, speech, LONG / 2);
    const float then = turn_rig_hear(&r, speech, LONG);
    turn_look_reset(&r.s);
    turn_look_push(&r.s, speech, LONG / 2);
    turn_look_begin(&r.s);
    size_t at = LONG / 2;
    while (turn_look_step(&r.s, &r.c) == RNL_OK) {
        turn_look_push(&r.s, speech + at, LONG / 64);
        at += LONG / 64;
    }
    assert_same(turn_look_probability(&r.s), want);
    turn_look_push(&r.s, speech + at, LONG - at);
    assert_same(turn_rig_look(&r), then);
    turn_rig_close(&r);
}

static void two_looks_are_apart(void **state) {
    (void)state;
    turn_rig r[2];
    float want[2];
    for (int i = 0; i < 2; i++) {
        turn_rig_open(&r[i], NULL, false, 1);
        want[i] = turn_rig_hear(&r[i], speech + i * SHORT, SHORT);
    }
    turn_network *const own = r[1].s.n == r[1].n ? r[1].n : NULL;
    r[1].s.n = r[0].n; /* the weights are shared */
    for (int i = 0; i < 2; i++) {
        turn_look_reset(&r[i].s);
        turn_look_push(&r[i].s, speech + i * SHORT, SHORT);
        turn_look_begin(&r[i].s);
    }
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < 2; i++)
            if (turn_look_step(&r[i].s, &r[i].c) == RNL_OK) more = true;
    }
    for (int i = 0; i < 2; i++) assert_same(turn_look_probability(&r[i].s), want[i]);
    assert_ptr_equal(own, r[1].n);
    for (int i = 0; i < 2; i++) turn_rig_close(&r[i]);
}

static void nothing_is_allocated(void **state) {
    (void)state;
    if (!GUARDED) {
        printf("skipped: a sanitizer has its own allocator, which cannot be replaced\n");
        skip();
    }
    for (int exact = 0; exact < 2; exact++) {
        turn_rig r;
        turn_rig_open(&r, NULL, exact, 2);
        assert_true(atomic_load(&allocated) > 0);
        const long before = atomic_load(&allocated);
        (void)turn_rig_hear(&r, speech, LONG);
        (void)turn_rig_hear(&r, speech, SHORT);
        assert_true(atomic_load(&allocated) == before);
        turn_rig_close(&r);
    }
}

static void a_library_without_it_says_so(void **state) {
    (void)state;
    if (turn_network_is_built()) skip();
    turn_network *n;
    rnl_error error;
    assert_int_equal(turn_network_create(true, NULL, &n, &error), RNL_ERR_UNSUPPORTED);
    assert_null(n);
    assert_non_null(strstr(error.text, "RUNNEL_TURN_NETWORK=ON"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_gives_the_same_bits),
        cmocka_unit_test(eight_seconds_are_heard),
        cmocka_unit_test(an_offset_changes_nothing),
        cmocka_unit_test(thread_count_changes_no_bit),
        cmocka_unit_test(reset_equals_fresh),
        cmocka_unit_test(the_clip_goes_on_meanwhile),
        cmocka_unit_test(two_looks_are_apart),
        cmocka_unit_test(nothing_is_allocated),
        cmocka_unit_test(a_library_without_it_says_so),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
