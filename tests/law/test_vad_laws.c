/* Laws of the voice activity network: reset equals fresh, two states do not disturb each other,
 * nothing is allocated. (Its input comes in whole blocks, so there are no cuts to try.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/rig.h"
#include "tests/support/vad_rig.h"

enum { BLOCKS = 60 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GUARDED 0
#else
#define GUARDED 1
#endif
static long allocated;

#if GUARDED
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_memalign(size_t align, size_t size);

#pragma GCC visibility push(default) /* seen by the shared libraries, too */
void *malloc(size_t size) {
    allocated++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocated++;
    return __libc_calloc(count, size);
}

void *aligned_alloc(size_t align, size_t size) {
    allocated++;
    return __libc_memalign(align, size);
}
#pragma GCC visibility pop
#endif

static kernels fast;
static float *speech;

static int setup(void **state) {
    (void)state;
    kernels_select(&fast, kernels_cpu_features());
    speech = rig_wav("audio/jfk.wav", 0, 2 * BLOCKS * VAD_BLOCK);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(speech);
    return 0;
}

static void reset_equals_fresh(void **state) {
    (void)state;
    float want[BLOCKS], got[BLOCKS];
    vad_rig r = vad_rig_open();
    vad_rig_run(&r, &fast, speech, BLOCKS, want);
    vad_rig_run(&r, &fast, speech + BLOCKS * VAD_BLOCK, BLOCKS, got);
    assert_memory_not_equal(got, want, sizeof want);
    vad_reset(&r.s);
    vad_rig_run(&r, &fast, speech, BLOCKS, got);
    assert_memory_equal(got, want, sizeof want);
    vad_rig_close(&r);
}

static void two_states_are_apart(void **state) {
    (void)state;
    const float *sound[2] = {speech, speech + BLOCKS * VAD_BLOCK};
    float want[2][BLOCKS], got[2][BLOCKS];
    for (int i = 0; i < 2; i++) {
        vad_rig r = vad_rig_open();
        vad_rig_run(&r, &fast, sound[i], BLOCKS, want[i]);
        vad_rig_close(&r);
    }
    vad_rig r[2] = {vad_rig_open(), vad_rig_open()};
    for (size_t b = 0; b < BLOCKS; b++)
        for (int i = 0; i < 2; i++)
            vad_rig_run(&r[i], &fast, sound[i] + b * VAD_BLOCK, 1, &got[i][b]);
    assert_memory_equal(got, want, sizeof want);
    for (int i = 0; i < 2; i++) vad_rig_close(&r[i]);
}

/* A block without sound is input like any other: the state must not forget across it. */
static void silence_keeps_probabilities_in_range(void **state) {
    (void)state;
    static const float zeros[VAD_BLOCK];
    vad_rig r = vad_rig_open();
    float p[BLOCKS];
    vad_rig_run(&r, &fast, speech, BLOCKS, p);
    for (int i = 0; i < BLOCKS; i++) {
        const float quiet = vad_block(&r.s, &fast, zeros);
        assert_true(p[i] >= 0 && p[i] <= 1 && quiet >= 0 && quiet <= 1);
        if (i > 10) assert_true(quiet < 0.1f);
    }
    vad_rig_close(&r);
}

static void nothing_is_allocated(void **state) {
    (void)state;
    if (!GUARDED) {
        printf("skipped: a sanitizer has its own allocator, which cannot be replaced\n");
        skip();
    }
    vad_rig r = vad_rig_open();
    float p[BLOCKS];
    assert_true(allocated > 0);
    const long before = allocated;
    vad_reset(&r.s);
    vad_rig_run(&r, &fast, speech, BLOCKS, p);
    assert_true(allocated == before);
    vad_rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reset_equals_fresh),
        cmocka_unit_test(two_states_are_apart),
        cmocka_unit_test(silence_keeps_probabilities_in_range),
        cmocka_unit_test(nothing_is_allocated),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
