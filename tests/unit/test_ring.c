/* The ring: first in, first out, whole or in part, alone and between two threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ring.h"

static uint32_t random_u32(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static void test_create(void **state) {
    (void)state;
    ring *r = NULL;
    assert_int_equal(ring_create(1000, sizeof(float), &r), RNL_OK);
    assert_int_equal(ring_room(r), 1024);
    assert_int_equal(ring_count(r), 0);
    ring_destroy(&r);
    assert_null(r);
    ring_destroy(&r);
    assert_int_equal(ring_create(SIZE_MAX, 1, &r), RNL_ERR_MEMORY);
    assert_int_equal(ring_create(SIZE_MAX / 8, 64, &r), RNL_ERR_MEMORY);
    assert_null(r);
    assert_int_equal(ring_create(1, 3, &r), RNL_OK);
    assert_int_equal(ring_write(r, "abcdef", 2), 1);
    char out[3];
    assert_int_equal(ring_read(r, out, 5), 1);
    assert_memory_equal(out, "abc", 3);
    ring_destroy(&r);
}

/* Items are their own index; any sizes, around the end of the buffer. */
static void test_order(void **state) {
    (void)state;
    int64_t items[100], written = 0, taken = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ring *r = NULL;
        uint64_t walk = seed;
        assert_int_equal(ring_create(37, sizeof(int64_t), &r), RNL_OK);
        written = taken = 0;
        for (int step = 0; step < 2000; step++) {
            const size_t n = random_u32(&walk) % 100;
            const size_t waits = (size_t)(written - taken);
            size_t got;
            assert_int_equal(ring_count(r), waits);
            assert_int_equal(ring_room(r), 64 - waits);
            switch (random_u32(&walk) % 4) {
            case 0:
            case 1:
                for (size_t i = 0; i < n; i++) items[i] = written + (int64_t)i;
                got = ring_write(r, items, n);
                assert_int_equal(got, n < 64 - waits ? n : 64 - waits);
                written += (int64_t)got;
                break;
            case 2:
                got = ring_peek(r, items, n);
                assert_int_equal(got, n < waits ? n : waits);
                assert_int_equal(ring_read(r, items, n), got);
                for (size_t i = 0; i < got; i++) assert_int_equal(items[i], taken + (int64_t)i);
                taken += (int64_t)got;
                break;
            default:
                got = ring_drop(r, n);
                assert_int_equal(got, n < waits ? n : waits);
                taken += (int64_t)got;
            }
            assert_int_equal(ring_written(r), written);
            assert_int_equal(ring_taken(r), taken);
        }
        ring_destroy(&r);
    }
}

typedef struct traffic {
    ring *r;
    int64_t total;
} traffic;

static void *produce(void *context) {
    const traffic *t = context;
    int64_t items[64];
    uint64_t walk = 7;
    for (int64_t at = 0; at < t->total;) {
        size_t n = random_u32(&walk) % 64 + 1;
        if ((int64_t)n > t->total - at) n = (size_t)(t->total - at);
        for (size_t i = 0; i < n; i++) items[i] = at + (int64_t)i;
        at += (int64_t)ring_write(t->r, items, n);
    }
    return NULL;
}

static void test_two_threads(void **state) {
    (void)state;
    traffic t = {.total = getenv("RUNNEL_TEST_SHORT") != NULL ? 200000 : 2000000};
    pthread_t producer;
    int64_t items[64];
    uint64_t walk = 9;
    assert_int_equal(ring_create(256, sizeof(int64_t), &t.r), RNL_OK);
    assert_int_equal(pthread_create(&producer, NULL, produce, &t), 0);
    for (int64_t at = 0; at < t.total;) {
        const size_t got = ring_read(t.r, items, random_u32(&walk) % 64 + 1);
        for (size_t i = 0; i < got; i++)
            if (items[i] != at + (int64_t)i) fail_msg("item %lld is another", (long long)at);
        at += (int64_t)got;
        if (random_u32(&walk) % 16 == 0) at += (int64_t)ring_drop(t.r, 3);
    }
    assert_int_equal(pthread_join(producer, NULL), 0);
    ring_destroy(&t.r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_two_threads),
    };
    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
