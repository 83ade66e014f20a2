/* core/hash_table.c: what was added is found, whatever shares its hash; nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/hash_table.h"

enum { COUNT = 1000 };

static bool is_number(const void *things, size_t index, const void *key) {
    return ((const int *)things)[index] == *(const int *)key;
}

/* The hashes of FNV-1a's authors for "", "a" and "foobar". */
static void the_hash_is_fnv_1a(void **state) {
    (void)state;
    assert_true(hash_bytes(HASH_START, "", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(hash_bytes(HASH_START, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    const uint64_t half = hash_bytes(HASH_START, "foo", 3);
    assert_true(hash_bytes(half, "bar", 3) == UINT64_C(0x85944171f73967e8));
}

/* With a divisor of 1 all hashes differ, with COUNT all are one. */
static void what_was_added_is_found(void **state) {
    (void)state;
    for (int divisor = 1; divisor <= COUNT; divisor *= 10) {
        int numbers[COUNT];
        hash_table t = {0};
        for (int i = 0; i < COUNT; i++) {
            numbers[i] = 3 * i;
            const uint64_t hash = (uint64_t)(i / divisor);
            assert_true(hash_table_find(&t, hash, is_number, numbers, &numbers[i]) == HASH_NONE);
            assert_true(hash_table_add(&t, hash, (size_t)i));
        }
        for (int i = 0; i < COUNT; i++) {
            const int wrong = 3 * i + 1;
            const uint64_t hash = (uint64_t)(i / divisor);
            assert_int_equal(hash_table_find(&t, hash, is_number, numbers, &numbers[i]), i);
            assert_true(hash_table_find(&t, hash, is_number, numbers, &wrong) == HASH_NONE);
        }
        assert_true(t.cap >= 2 * t.count);
        hash_table_free(&t);
        assert_true(hash_table_find(&t, 0, is_number, numbers, &numbers[0]) == HASH_NONE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_fnv_1a),
        cmocka_unit_test(what_was_added_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
