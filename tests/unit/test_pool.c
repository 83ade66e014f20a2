/* The pool: every item once, parts as promised, no wake lost however threads are timed. Run it
 * under ThreadSanitizer too: results are plain memory, so a missing order would be a race. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/pool.h"

enum { ITEM_CAP = 200 };

typedef struct log {
    int64_t item_count, grain;
    int covered[ITEM_CAP];           /* plain on purpose */
    int call_count[POOL_THREAD_CAP]; /* by thread index */
    bool off_grain[POOL_THREAD_CAP]; /* a part began beside the grain */
    long nap_ns[POOL_THREAD_CAP];
} log;

static void nap(long ns) {
    if (ns > 0) (void)nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void mark(void *context, int64_t begin, int64_t end, int thread_index) {
    log *l = context;
    nap(l->nap_ns[thread_index]);
    for (int64_t i = begin; i < end; i++) l->covered[i]++;
    l->call_count[thread_index]++;
    if (begin % l->grain != 0) l->off_grain[thread_index] = true;
}

static pool *make(int thread_count) {
    pool *p = NULL;
    assert_int_equal(pool_create(thread_count, &p), RNL_OK);
    assert_int_equal(pool_thread_count(p), thread_count);
    return p;
}

static void check(const log *l, int thread_count) {
    for (int64_t i = 0; i < ITEM_CAP; i++)
        if (l->covered[i] != (i < l->item_count))
            fail_msg("%d threads, %lld items, grain %lld: item %lld covered %d times", thread_count,
                     (long long)l->item_count, (long long)l->grain, (long long)i, l->covered[i]);
    for (int i = 0; i < POOL_THREAD_CAP; i++) {
        assert_false(l->off_grain[i]);
        if (i >= thread_count) assert_int_equal(l->call_count[i], 0);
    }
}

static void every_item_is_covered_once(void **state) {
    (void)state;
    static const int64_t grains[] = {1, 3, 4, 16, 1000};
    for (int threads = 1; threads <= 5; threads++) {
        pool *p = make(threads);
        for (size_t g = 0; g < sizeof grains / sizeof grains[0]; g++)
            for (int64_t items = 0; items <= 67; items++) {
                log l = {.item_count = items, .grain = grains[g]};
                pool_run(p, items, grains[g], mark, &l);
                check(&l, threads);
            }
        pool_destroy(&p);
        assert_null(p);
    }
}

/* Each part takes longer than a thread needs to come: all of them get some. */
static void work_is_shared_by_all_threads(void **state) {
    (void)state;
    pool *p = make(4);
    int worked = 0;
    for (int round = 0; round < 50 && worked < 4; round++) {
        log l = {.item_count = 160, .grain = 16};
        for (int i = 0; i < 4; i++) l.nap_ns[i] = 2000000;
        pool_run(p, l.item_count, l.grain, mark, &l);
        check(&l, 4);
        worked = 0;
        for (int i = 0; i < 4; i++) worked += l.call_count[i] > 0;
    }
    assert_int_equal(worked, 4);
    pool_destroy(&p);
}

/* A thread that sleeps inside its part holds up nothing else: the others do the rest. */
static void a_slow_thread_holds_up_only_its_part(void **state) {
    (void)state;
    pool *p = make(2);
    log l = {.item_count = 64, .grain = 1};
    l.nap_ns[1] = 100000000;
    pool_run(p, l.item_count, l.grain, mark, &l);
    check(&l, 2);
    assert_true(l.call_count[1] <= 1);
    assert_true(l.call_count[0] >= 3);
    pool_destroy(&p);
}

/* Naps longer than any spinning, of one thread after the other, inside and between the jobs. */
static void sleepers_are_woken(void **state) {
    (void)state;
    pool *p = make(3);
    for (int round = 0; round < 60; round++) {
        log l = {.item_count = 100, .grain = 7};
        l.nap_ns[round % 3] = round % 4 * 500000;
        pool_run(p, l.item_count, l.grain, mark, &l);
        check(&l, 3);
        nap(round % 5 * 300000);
    }
    pool_destroy(&p);
}

static void jobs_follow_each_other_closely(void **state) {
    (void)state;
    for (int threads = 2; threads <= 5; threads += 3) {
        const int rounds = threads == 2 ? 20000 : 2000;
        pool *p = make(threads);
        int64_t sum[2] = {0};
        log l = {.item_count = ITEM_CAP, .grain = 1};
        for (int round = 0; round < rounds; round++) {
            memset(l.covered, 0, sizeof l.covered);
            pool_run(p, l.item_count, l.grain, mark, &l);
            sum[0] += l.covered[0];
            sum[1] += l.covered[ITEM_CAP - 1];
        }
        assert_int_equal(sum[0], rounds);
        assert_int_equal(sum[1], rounds);
        pool_destroy(&p);
    }
}

static void pools_come_and_go(void **state) {
    (void)state;
    pool *none = NULL;
    pool_destroy(&none);
    for (int round = 0; round < 2000; round++) {
        pool *p = make(1 + round % 8), *q = make(2);
        log l = {.item_count = 50, .grain = 2}, m = l;
        if (round % 3 != 0) pool_run(p, l.item_count, l.grain, mark, &l);
        if (round % 3 == 1) pool_run(q, m.item_count, m.grain, mark, &m);
        if (round % 70 == 0) nap(500000);
        pool_destroy(&p);
        pool_destroy(&q);
    }
    pool *p = make(POOL_THREAD_CAP);
    log l = {.item_count = 100, .grain = 1};
    pool_run(p, l.item_count, l.grain, mark, &l);
    check(&l, POOL_THREAD_CAP);
    pool_destroy(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_covered_once),
        cmocka_unit_test(work_is_shared_by_all_threads),
        cmocka_unit_test(a_slow_thread_holds_up_only_its_part),
        cmocka_unit_test(sleepers_are_woken),
        cmocka_unit_test(jobs_follow_each_other_closely),
        cmocka_unit_test(pools_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
