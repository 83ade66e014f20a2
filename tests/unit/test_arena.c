/* The two passes of an arena, and the arithmetic on sizes behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/checked.h"

static void measuring_and_placing_agree(void **state) {
    (void)state;
    const size_t counts[] = {1, 63, 64, 65, 1000, 7}, sizes[] = {1, 1, 1, 1, 8, 4};
    arena measured = {0};
    for (size_t i = 0; i < 6; i++) assert_null(arena_take(&measured, counts[i], sizes[i]));
    assert_int_equal(measured.size_used, 64 + 64 + 64 + 128 + 8000 + 64);
    assert_false(measured.overflowed);
    unsigned char *memory = aligned_alloc(ARENA_ALIGN, measured.size_used);
    assert_non_null(memory);
    arena placed = {.base = memory, .size_cap = measured.size_used};
    unsigned char *end = memory;
    for (size_t i = 0; i < 6; i++) {
        unsigned char *p = arena_take(&placed, counts[i], sizes[i]);
        assert_ptr_equal(p, end); /* one after the other, nothing shared */
        assert_int_equal((uintptr_t)p % ARENA_ALIGN, 0);
        memset(p, (int)i, counts[i] * sizes[i]);
        end = p + (counts[i] * sizes[i] + 63) / 64 * 64;
    }
    assert_int_equal(placed.size_used, measured.size_used);
    free(memory);
}

static void nothing_takes_no_room(void **state) {
    (void)state;
    _Alignas(64) unsigned char memory[64];
    arena a = {.base = memory, .size_cap = sizeof memory};
    assert_null(arena_take(&a, 0, 8));
    assert_null(arena_take(&a, 8, 0));
    assert_int_equal(a.size_used, 0);
    assert_ptr_equal(arena_take(&a, 64, 1), memory);
}

static void an_overflow_is_kept(void **state) {
    (void)state;
    arena a = {0};
    assert_null(arena_take(&a, SIZE_MAX / 2, 3)); /* the product */
    assert_true(a.overflowed);
    assert_null(arena_take(&a, 1, 1));
    assert_true(a.overflowed);
    arena b = {0};
    assert_null(arena_take(&b, SIZE_MAX - 8, 1)); /* rounding up */
    assert_true(b.overflowed);
    arena c = {.size_used = SIZE_MAX - 63};
    assert_null(arena_take(&c, 64, 1)); /* the sum */
    assert_true(c.overflowed);
}

static void checked_arithmetic_knows_its_limits(void **state) {
    (void)state;
    size_t out;
    assert_true(checked_add(SIZE_MAX - 1, 1, &out));
    assert_int_equal(out, SIZE_MAX);
    assert_false(checked_add(SIZE_MAX, 1, &out));
    assert_true(checked_mul(SIZE_MAX / 3, 3, &out));
    assert_false(checked_mul(SIZE_MAX / 3 + 1, 3, &out));
    assert_true(checked_mul(0, SIZE_MAX, &out));
    assert_int_equal(out, 0);
    /* The product that fooled readers of GGUF: 2^32 * 2^32 is 0 in 64 bits. */
    assert_false(checked_mul((size_t)1 << 32, (size_t)1 << 32, &out));
    assert_true(checked_align(65, 64, &out));
    assert_int_equal(out, 128);
    assert_true(checked_align(0, 64, &out));
    assert_int_equal(out, 0);
    assert_false(checked_align(SIZE_MAX - 62, 64, &out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measuring_and_placing_agree),
        cmocka_unit_test(nothing_takes_no_room),
        cmocka_unit_test(an_overflow_is_kept),
        cmocka_unit_test(checked_arithmetic_knows_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
