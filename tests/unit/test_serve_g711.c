/* The two telephone codes against the tables of another implementation (Python's audioop, by their
 * sums), and against themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "serve/g711.h"

static uint32_t sum_of_table(g711_law law) {
    uint32_t sum = 2166136261u; /* FNV-1a */
    for (int code = 0; code < 256; code++) {
        const uint16_t sample = (uint16_t)g711_decode(law, (uint8_t)code);
        sum = (sum ^ (sample & 0xff)) * 16777619u;
        sum = (sum ^ (sample >> 8)) * 16777619u;
    }
    return sum;
}

static void tables_are_the_standards(void **state) {
    (void)state;
    assert_int_equal(g711_decode(G711_MU, 0), -32124);
    assert_int_equal(g711_decode(G711_MU, 0xff), 0);
    assert_int_equal(g711_decode(G711_A, 0), -5504);
    assert_int_equal(g711_decode(G711_A, 0xaa), 32256);
    assert_int_equal(sum_of_table(G711_MU), 0x715d95a8u);
    assert_int_equal(sum_of_table(G711_A), 0x12fb6645u);
}

static void every_code_comes_back(void **state) {
    (void)state;
    for (int code = 0; code < 256; code++) {
        const int want = code == 0x7f ? 0xff : code; /* mu has two zeros */
        assert_int_equal(g711_encode(G711_MU, g711_decode(G711_MU, (uint8_t)code)), want);
        assert_int_equal(g711_encode(G711_A, g711_decode(G711_A, (uint8_t)code)), code);
    }
}

/* Steps are 2 of 14 bits at the bottom and 256 times that at the top. */
static void samples_are_near(void **state) {
    (void)state;
    for (int law = 0; law < 2; law++)
        for (int x = -32768; x < 32768; x++) {
            const int y = g711_decode((g711_law)law, g711_encode((g711_law)law, (int16_t)x));
            const int size = abs(x), off = abs(y - x);
            const int loudest = law == G711_MU ? 32124 : 32256;
            if (off > 16 + size / 32 && size <= loudest) fail_msg("law %d: %d -> %d", law, x, y);
        }
    assert_int_equal(g711_decode(G711_MU, g711_encode(G711_MU, INT16_MAX)), 32124);
    assert_int_equal(g711_decode(G711_MU, g711_encode(G711_MU, INT16_MIN)), -32124);
    assert_int_equal(g711_decode(G711_A, g711_encode(G711_A, INT16_MIN)), -32256);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_the_standards),
        cmocka_unit_test(every_code_comes_back),
        cmocka_unit_test(samples_are_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
