/* The probes of `runnel bench`: every level reads every byte once, and computes something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/limit.h"

enum { LINES = 67, LINE = 64 };

static void every_level_reads_every_byte_once(void **state) {
    (void)state;
    unsigned char *data = aligned_alloc(LINE, LINES * LINE);
    assert_non_null(data);
    uint32_t seed = 1;
    for (size_t i = 0; i < LINES * LINE; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (unsigned char)(seed >> 24);
    }
    for (size_t lines = 0; lines <= LINES; lines++) {
        uint64_t want = 0, word;
        for (size_t at = 0; at < lines * LINE; at += sizeof word) {
            memcpy(&word, data + at, sizeof word);
            want += word;
        }
        for (int f = 0; f < KERNELS_FETCH_COUNT; f++) {
            const kernels_fetch fetch = (kernels_fetch)f;
            assert_int_equal(limit_read(0, data, lines * LINE, fetch), want);
            assert_int_equal(limit_read(kernels_cpu_features(), data, lines * LINE, fetch), want);
        }
    }
    free(data);
}

static void every_level_has_a_probe_that_computes(void **state) {
    (void)state;
    const limit_probe *probe;
    int scalar_count = 0;
    for (size_t i = 0; (probe = limit_probe_at(i)) != NULL; i++) {
        scalar_count += strcmp(probe->level, "scalar") == 0;
        assert_true(probe->op_count > 0);
        if ((probe->needs & ~kernels_allowed(kernels_cpu_features())) != 0) continue;
        /* Another number of rounds is another result, until floats settle. */
        assert_true(probe->run(3) != probe->run(5));
    }
    assert_int_equal(scalar_count, 1);
    kernels k;
    kernels_select(&k, kernels_cpu_features());
    for (size_t i = 0; (probe = limit_probe_at(i)) != NULL; i++)
        if (strcmp(probe->level, k.name) == 0) return;
    fail_msg("the level %s has no probe", k.name);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_reads_every_byte_once),
        cmocka_unit_test(every_level_has_a_probe_that_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
