/* Reading block formats, against the reference arrays of tests/data/quant (made by gguf-py). Every
 * comparison is of bits. Writing is in test_quant_write.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/quant.h"
#include "tests/support/npy.h"

enum { ROWS = 16, COLS = 256 };

/* The stored rows of one type. The caller frees. */
static unsigned char *read_rows(const quant_info *info, size_t *size) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/quant/%s.bin", TEST_DATA, info->name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("%s: missing", path);
    *size = (size_t)ROWS * COLS / info->block_len * info->block_size;
    unsigned char *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size + 1, f), *size);
    fclose(f);
    return bytes;
}

static const quant_type readable[] = {QUANT_F16,    QUANT_BF16,   QUANT_Q8_0, QUANT_Q4_0,
                                      QUANT_Q4_1,   QUANT_Q5_0,   QUANT_Q5_1, QUANT_Q2_K,
                                      QUANT_Q3_K,   QUANT_Q4_K,   QUANT_Q5_K, QUANT_Q6_K,
                                      QUANT_IQ4_NL, QUANT_IQ4_XS, QUANT_MXFP4};
enum { READABLE_COUNT = sizeof readable / sizeof readable[0] };

static void every_type_equals_the_reference_bit_for_bit(void **state) {
    (void)state;
    for (size_t i = 0; i < READABLE_COUNT; i++) {
        const quant_info *info = quant_describe(readable[i]);
        size_t size;
        unsigned char *rows = read_rows(info, &size);
        char path[64];
        (void)snprintf(path, sizeof path, "quant/%s.npy", info->name);
        npy want = npy_read(path);
        assert_int_equal(want.count, ROWS * COLS);
        /* At an odd address, row by row: rows in files are not aligned. */
        unsigned char *odd = malloc(size + 1);
        assert_non_null(odd);
        memcpy(odd + 1, rows, size);
        float *got = malloc(COLS * sizeof *got);
        assert_non_null(got);
        for (size_t r = 0; r < ROWS; r++) {
            quant_dequantise(readable[i], odd + 1 + r * size / ROWS, got, COLS);
            for (size_t c = 0; c < COLS; c++)
                if (memcmp(&got[c], &want.f[r * COLS + c], sizeof *got) != 0)
                    fail_msg("%s: row %zu column %zu is %.9g instead of %.9g", info->name, r, c,
                             (double)got[c], (double)want.f[r * COLS + c]);
        }
        free(got);
        free(odd);
        free(rows);
        npy_free(&want);
    }
}

static void part_of_a_row_reads_its_blocks_only(void **state) {
    (void)state;
    for (size_t i = 0; i < READABLE_COUNT; i++) {
        const quant_info *info = quant_describe(readable[i]);
        unsigned char *block = calloc(1, info->block_size); /* exact: ASan sees a byte too many */
        float *out = malloc((info->block_len + 1) * sizeof *out);
        assert_non_null(block);
        assert_non_null(out);
        out[info->block_len] = 12345;
        quant_dequantise(readable[i], block, out, info->block_len);
        assert_true(out[info->block_len] == 12345);
        quant_dequantise(readable[i], block, out, 0);
        free(out);
        free(block);
    }
}

static void every_exponent_of_mxfp4_is_its_power_of_two(void **state) {
    (void)state;
    static const int values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    for (int e = 0; e < 256; e++) {
        unsigned char block[17] = {(unsigned char)e};
        float out[32];
        for (int j = 0; j < 16; j++) block[1 + j] = (unsigned char)(j | (15 - j) << 4);
        quant_dequantise(QUANT_MXFP4, block, out, 32);
        for (int j = 0; j < 16; j++) {
            assert_true(out[j] == (float)ldexp(values[j], e - 128));
            assert_true(out[j + 16] == (float)ldexp(values[15 - j], e - 128));
        }
    }
}

static float value_of_half(uint32_t h) { /* by the definition of the format */
    const int exponent = (int)(h >> 10 & 31), mantissa = (int)(h & 1023);
    const double v = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
    return (float)((h & 0x8000) != 0 ? -v : v);
}

static void every_half_is_converted_both_ways(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = quant_f16_to_f32((uint16_t)h);
        const uint16_t back = quant_f32_to_f16(f);
        if ((h & 0x7fff) > 0x7c00) { /* NaNs keep their sign and lose the rest */
            assert_true(isnan(f));
            assert_int_equal(back, (h & 0x8000) | 0x7e00);
        } else {
            if ((h & 0x7fff) == 0x7c00)
                assert_true(isinf(f) && !signbit(f) == ((h & 0x8000) == 0));
            else
                assert_true(f == value_of_half(h) && !signbit(f) == ((h & 0x8000) == 0));
            assert_int_equal(back, h);
        }
        unsigned char row[2];
        assert_true(quant_quantise(QUANT_F16, &f, row, 1));
        assert_memory_equal(row, &back, 2);
    }
}

/* Between neighbouring halves a and b: the middle goes to the even one, its neighbours to
 * theirs. */
static void halves_are_rounded_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const float a = quant_f16_to_f32((uint16_t)h);
        const float b = h + 1 == 0x7c00 ? 65536.0f : quant_f16_to_f32((uint16_t)(h + 1));
        const float middle = (a + b) / 2; /* exact: one bit more than a half has */
        assert_int_equal(quant_f32_to_f16(middle), (h & 1) == 0 ? h : h + 1);
        assert_int_equal(quant_f32_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(quant_f32_to_f16(nextafterf(middle, 1e9f)), h + 1);
        assert_int_equal(quant_f32_to_f16(-middle), 0x8000 | ((h & 1) == 0 ? h : h + 1));
    }
    assert_int_equal(quant_f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(quant_f32_to_f16(-INFINITY), 0xfc00);
}

static void every_bf16_is_converted_both_ways(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = quant_bf16_to_f32((uint16_t)h);
        const uint16_t back = quant_f32_to_bf16(f);
        const bool is_nan = (h & 0x7fff) > 0x7f80;
        assert_int_equal(isnan(f) != 0, is_nan);
        assert_int_equal(back, is_nan ? (h | 64) : h);
        if ((h & 0x7fff) >= 0x7f80) continue;
        const uint32_t u = h << 16 | 0x8000; /* the middle above */
        float middle;
        memcpy(&middle, &u, sizeof middle);
        assert_int_equal(quant_f32_to_bf16(middle), (h & 1) == 0 ? h : h + 1);
        assert_int_equal(quant_f32_to_bf16(nextafterf(middle, 0)), h);
    }
}

static void types_are_described_and_found(void **state) {
    (void)state;
    int count = 0;
    for (uint32_t t = 0; t < 300; t++) {
        const quant_info *info = quant_describe(t);
        assert_non_null(info);
        if (info->block_size == 0) {
            assert_string_equal(info->name, "?");
            assert_false(info->is_weight);
            continue;
        }
        quant_type found = QUANT_TYPE_CAP;
        assert_true(quant_parse(info->name, &found));
        assert_int_equal(found, t);
        count++;
    }
    assert_int_equal(count, 21);
    assert_string_equal(quant_describe(0xffffffff)->name, "?");
    quant_type type = QUANT_F64;
    assert_true(quant_parse("q4_k", &type) && type == QUANT_Q4_K);
    assert_true(quant_parse("iQ4_xs", &type) && type == QUANT_IQ4_XS);
    assert_false(quant_parse("q4", &type) || quant_parse("q4_00", &type) ||
                 quant_parse("", &type) || quant_parse("?", &type));
    assert_int_equal(type, QUANT_IQ4_XS); /* a failed search leaves it */
    float x[256] = {0};
    unsigned char row[256] = {0};
    static const quant_type only_read[] = {QUANT_IQ4_XS, QUANT_MXFP4, QUANT_I8, QUANT_F64};
    for (size_t i = 0; i < sizeof only_read / sizeof only_read[0]; i++) {
        assert_false(quant_is_written(only_read[i]));
        assert_false(quant_quantise(only_read[i], x, row, 256));
    }
    assert_false(quant_describe(QUANT_I32)->is_weight || quant_describe(QUANT_F64)->is_weight);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_equals_the_reference_bit_for_bit),
        cmocka_unit_test(part_of_a_row_reads_its_blocks_only),
        cmocka_unit_test(every_exponent_of_mxfp4_is_its_power_of_two),
        cmocka_unit_test(every_half_is_converted_both_ways),
        cmocka_unit_test(halves_are_rounded_to_nearest_even),
        cmocka_unit_test(every_bf16_is_converted_both_ways),
        cmocka_unit_test(types_are_described_and_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
