/* core/checksum.c: every bit counts, wherever it is, and where one thing ends; neither where bytes
 * lie nor what was asked before does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/checksum.h"
#include "core/random.h"

enum { SIZE = 200 };

static void sum_of(const void *bytes, size_t size, char out[CHECKSUM_TEXT_CAP]) {
    checksum s;
    checksum_begin(&s);
    checksum_add(&s, bytes, size);
    checksum_text(&s, out);
}

static void fill(unsigned char bytes[SIZE]) {
    random_state random;
    random_seed(&random, 7);
    for (int i = 0; i < SIZE; i++) bytes[i] = (unsigned char)(256 * random_unit(&random));
}

/* Of sums that were collected: those that are another's as well. */
static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

static int count_twice(char (*sums)[CHECKSUM_TEXT_CAP], size_t count) {
    int twice = 0;
    qsort(sums, count, sizeof *sums, by_text);
    for (size_t i = 1; i < count; i++) twice += strcmp(sums[i - 1], sums[i]) == 0;
    return twice;
}

static void every_bit_and_every_size_count(void **state) {
    (void)state;
    static char sums[8 * SIZE + SIZE + 1][CHECKSUM_TEXT_CAP];
    unsigned char bytes[SIZE];
    size_t count = 0;
    fill(bytes);
    for (size_t size = 0; size <= SIZE; size++) sum_of(bytes, size, sums[count++]);
    for (int bit = 0; bit < 8 * SIZE; bit++) {
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1u << bit % 8);
        sum_of(bytes, SIZE, sums[count++]);
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1u << bit % 8);
    }
    assert_int_equal(count_twice(sums, count), 0);
}

/* Zeros at the end, two words that have changed places, the same words in other blocks. */
static void what_is_alike_differs(void **state) {
    (void)state;
    char sums[5][CHECKSUM_TEXT_CAP];
    unsigned char bytes[SIZE] = {0};
    sum_of(bytes, 64, sums[0]);
    sum_of(bytes, 128, sums[1]);
    bytes[0] = 1;
    sum_of(bytes, 128, sums[2]);
    bytes[0] = 0, bytes[8] = 1;
    sum_of(bytes, 128, sums[3]);
    bytes[8] = 0, bytes[64] = 1;
    sum_of(bytes, 128, sums[4]);
    assert_int_equal(count_twice(sums, 5), 0);
}

static void things_end_where_they_end(void **state) {
    (void)state;
    char sums[4][CHECKSUM_TEXT_CAP];
    static const char *const things[4][2] = {{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"abc", NULL}};
    for (int i = 0; i < 4; i++) {
        checksum s;
        checksum_begin(&s);
        for (int k = 0; k < 2; k++) checksum_add_text(&s, things[i][k]);
        checksum_text(&s, sums[i]);
    }
    assert_int_equal(count_twice(sums, 4), 0);
}

static void the_same_bytes_have_the_same_sum(void **state) {
    (void)state;
    unsigned char bytes[SIZE], moved[SIZE + 8];
    char first[CHECKSUM_TEXT_CAP], again[CHECKSUM_TEXT_CAP];
    checksum s;
    fill(bytes);
    sum_of(bytes, SIZE, first);
    for (size_t shift = 0; shift < 8; shift++) {
        memcpy(moved + shift, bytes, SIZE);
        sum_of(moved + shift, SIZE, again);
        assert_string_equal(first, again);
    }
    checksum_begin(&s);
    checksum_text(&s, again); /* asks, and changes nothing */
    checksum_add(&s, bytes, SIZE);
    checksum_text(&s, again);
    assert_string_equal(first, again);
    assert_int_equal(strlen(first), CHECKSUM_TEXT_CAP - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_and_every_size_count),
        cmocka_unit_test(what_is_alike_differs),
        cmocka_unit_test(things_end_where_they_end),
        cmocka_unit_test(the_same_bytes_have_the_same_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
