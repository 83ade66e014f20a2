/* The generator: the published sequences of splitmix64 and xoshiro256**, and even draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"

/* splitmix64 from seed 0 begins with these; from 1234567 with 6457827717110365317, ... (the test
 * values that accompany the algorithm). */
static void seeding_is_splitmix64(void **state) {
    (void)state;
    random_state r;
    random_seed(&r, 0);
    assert_true(r.s[0] == 0xe220a8397b1dcdafu);
    assert_true(r.s[1] == 0x6e789e6aa1b965f4u);
    assert_true(r.s[2] == 0x06c45d188009454fu);
    assert_true(r.s[3] == 0xf88bb8a8724c81ecu);
    random_seed(&r, 1234567);
    assert_true(r.s[0] == 6457827717110365317u);
    assert_true(r.s[1] == 3203168211198807973u);
    assert_true(r.s[2] == 9817491932198370423u);
    assert_true(r.s[3] == 4593380528125082431u);
}

/* The first outputs of xoshiro256** from the state 1, 2, 3, 4. */
static void the_sequence_is_xoshiro256(void **state) {
    (void)state;
    random_state r = {{1, 2, 3, 4}};
    const uint64_t want[] = {11520u, 0u, 1509978240u, 1215971899390074240u};
    for (int i = 0; i < 4; i++) assert_true(random_u64(&r) == want[i]);
}

static void units_are_even_and_below_one(void **state) {
    (void)state;
    random_state r;
    random_seed(&r, 20261124);
    int bins[16] = {0};
    double sum = 0;
    enum { DRAWS = 160000 };
    for (int i = 0; i < DRAWS; i++) {
        const double u = random_unit(&r);
        assert_true(u >= 0 && u < 1);
        bins[(int)(u * 16)]++;
        sum += u;
    }
    /* 10,000 each; five deviations of a fair bin are 484. */
    for (int i = 0; i < 16; i++) assert_in_range(bins[i], 9516, 10484);
    assert_true(sum / DRAWS > 0.496 && sum / DRAWS < 0.504);
}

static void neighbouring_seeds_are_strangers(void **state) {
    (void)state;
    random_state a, b, again;
    random_seed(&a, 7);
    random_seed(&b, 8);
    random_seed(&again, 7);
    int equal_bits = 0;
    for (int i = 0; i < 100; i++) {
        const uint64_t x = random_u64(&a), y = random_u64(&b);
        assert_true(x == random_u64(&again));
        for (uint64_t same = ~(x ^ y); same != 0; same &= same - 1) equal_bits++;
    }
    assert_in_range(equal_bits, 3000, 3400); /* of 6,400 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeding_is_splitmix64),
        cmocka_unit_test(the_sequence_is_xoshiro256),
        cmocka_unit_test(units_are_even_and_below_one),
        cmocka_unit_test(neighbouring_seeds_are_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
