/* Calls on a thread that can be given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "core/clock.h"
#include "core/watched.h"

typedef struct call {
    pthread_t thread;
    int count;
    sem_t go;
    atomic_bool begun, back;
} call;

static void note(void *context) {
    call *c = context;
    c->thread = pthread_self();
    c->count++;
}

static void wait_for_it(void *context) {
    call *c = context;
    atomic_store(&c->begun, true);
    (void)sem_wait(&c->go);
    atomic_store(&c->back, true);
}

static void calls_run_on_one_thread_of_their_own(void **state) {
    call c = {0};
    watched *w;
    (void)state;
    assert_int_equal(watched_create(&w), RNL_OK);
    assert_int_equal(watched_call(w, note, &c, 10000000), RNL_OK);
    const pthread_t first = c.thread;
    assert_false(pthread_equal(first, pthread_self()));
    for (int i = 0; i < 1000; i++) assert_int_equal(watched_call(w, note, &c, 10000000), RNL_OK);
    assert_true(pthread_equal(first, c.thread));
    assert_int_equal(c.count, 1001);
    watched_destroy(&w);
    assert_null(w);
    watched_destroy(&w);
}

/* Whether its owner leaves before or behind the call that comes back late. */
static void one_that_hangs_is_given_up(void **state) {
    static call calls[2];
    (void)state;
    for (int leaves_first = 0; leaves_first < 2; leaves_first++) {
        call *c = &calls[leaves_first], other = {0};
        watched *w;
        assert_int_equal(sem_init(&c->go, 0, 0), 0);
        assert_int_equal(watched_create(&w), RNL_OK);
        const int64_t begin = clock_us();
        assert_int_equal(watched_call(w, wait_for_it, c, 20000), RNL_AGAIN);
        assert_true(clock_us() - begin >= 20000);
        assert_int_equal(watched_call(w, note, &other, 10000000), RNL_AGAIN);
        assert_int_equal(other.count, 0);
        if (leaves_first) watched_destroy(&w);
        (void)sem_post(&c->go);
        /* On a machine that is busy it may not even have begun, and then never does. */
        while (atomic_load(&c->begun) && !atomic_load(&c->back)) (void)sched_yield();
        watched_destroy(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_run_on_one_thread_of_their_own),
        cmocka_unit_test(one_that_hangs_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
