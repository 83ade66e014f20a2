/* Writing block formats, against bytes of gguf-py (tests/data/quant), the test vectors of
 * backbone.md 6.4 and checksums of what llama.cpp writes for the rows of tests/support/quant_rows.h
 * (tools/compare/quant_crc.c prints them). Every comparison is of bits. */
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
#include "tests/support/quant_rows.h"

enum { ROWS = 16, COLS = QUANT_MADE_COLS, ROW_SIZE_MAX = 2 * COLS };

typedef struct vector {
    quant_type type;
    size_t size;       /* bytes of 256 elements */
    uint32_t crc;      /* of the vector of backbone.md 6.4 */
    const char *head;  /* its first 16 bytes */
    const char *tail;  /* its last 8 bytes */
    double error;      /* root mean square of what comes back minus the vector; 0: not given */
    uint32_t made_crc; /* of all rows of quant_rows.h, by llama.cpp */
} vector;

static const vector vectors[] = {
    {QUANT_Q4_0, 144, 0x858cdca7, "b02bd0c1c4d7fb1f55acf25bc44ed964", "cd6804b17f4f2e0f", 0,
     0xd727fd26},
    {QUANT_Q4_1, 160, 0xb597611c, "002cb0b7d0c1c3d6fa1f559bf25bc44e", "cc6804b17f4e2e0e", 0,
     0xbdcb04e2},
    {QUANT_Q5_0, 176, 0x7249e0f8, "b027b09a9f95a08397bde52fa937e5a6", "99c00963ef8d4d1e", 0,
     0x47088133},
    {QUANT_Q5_1, 192, 0x8a41d46c, "be27b0b7b09a9f95a08387ade52fa937", "99b00863ef8d4d1e", 0,
     0xb04c2c96},
    {QUANT_Q8_0, 272, 0x9db05d5d, "bf1b8196b9ea2a79cc38a831be630dc6", "45dc8133f3c19e88", 0,
     0xddfe78f7},
    {QUANT_IQ4_NL, 144, 0x9559b420, "d51be0d1d3e6fb1f44acf24cd33ed963", "dd5803c17f3f1f0f", 0,
     0x8b6787c8},
    {QUANT_Q2_K, 84, 0x1697105c, "222233336544597698aabacbdb9afeff", "56592f266031b033", 0.36008,
     0xcb54f1af},
    {QUANT_Q3_K, 110, 0x3adb59f0, "460ac276bbb3e25fc4f56e59e9aabcd9", "0e2f35f50a0249a8", 0.17861,
     0x57ceddd3},
    {QUANT_Q4_K, 144, 0x18490fef, "1d20f92b888ed7df878cd7dc69ff45ff", "cb6907b677482a0c", 0.07925,
     0xd3154f9d},
    {QUANT_Q5_K, 176, 0x759ebc46, "151c242c888ed6de888cd7db79de33ff", "98c30f7efe80441a", 0.04085,
     0x5f79417c},
    {QUANT_Q6_K, 210, 0x9e37c774, "40951ebbabce23ae7a7ca029c3a2b31b", "a6a59d6083802494", 0.01912,
     0x059b48c1},
};
enum { VECTOR_COUNT = sizeof vectors / sizeof vectors[0] };

static void assert_hex(const char *name, const unsigned char *p, const char *want) {
    char got[64] = "";
    for (size_t i = 0; i < strlen(want) / 2; i++) (void)snprintf(got + 2 * i, 3, "%02x", p[i]);
    if (strcmp(got, want) != 0) fail_msg("%s: bytes %s instead of %s", name, got, want);
}

static void make_vector(float *x) {
    for (int i = 0; i < COLS; i++)
        x[i] = (float)((7 * i * i + 13 * i + 5) % 257 - 128) * (float)(1 + i / 32) / 256;
    assert_true(x[0] == -0.48046875f && x[1] == -0.40234375f && x[255] == -3.78125f);
}

static void vector_of_the_specification_has_its_bytes(void **state) {
    (void)state;
    float x[COLS], back[COLS];
    make_vector(x);
    for (size_t v = 0; v < VECTOR_COUNT; v++) {
        const vector *want = &vectors[v];
        const char *name = quant_describe((uint32_t)want->type)->name;
        unsigned char row[ROW_SIZE_MAX];
        memset(row, 0xa5, sizeof row); /* whoever leaves a byte or adds to it is seen */
        assert_true(quant_is_written(want->type));
        assert_true(quant_quantise(want->type, x, row, COLS));
        assert_hex(name, row, want->head);
        assert_hex(name, row + want->size - 8, want->tail);
        const uint32_t crc = quant_crc32(0, row, want->size);
        if (crc != want->crc) fail_msg("%s: checksum %08x instead of %08x", name, crc, want->crc);
        for (size_t i = want->size; i < sizeof row; i++) assert_int_equal(row[i], 0xa5);
        if (want->error == 0) continue;
        double sum = 0;
        quant_dequantise(want->type, row, back, COLS);
        for (int i = 0; i < COLS; i++) sum += pow((double)back[i] - (double)x[i], 2);
        const double error = sqrt(sum / COLS);
        if (fabs(error - want->error) > 1e-5)
            fail_msg("%s: error %.5f instead of %.5f", name, error, want->error);
    }
}

static void rows_of_gguf_py_have_its_bytes(void **state) {
    (void)state;
    static const quant_type types[] = {QUANT_F16,  QUANT_BF16, QUANT_Q8_0, QUANT_Q4_0,
                                       QUANT_Q4_1, QUANT_Q5_0, QUANT_Q5_1};
    npy x = npy_read("quant/x.npy");
    assert_int_equal(x.count, ROWS * COLS);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const quant_info *info = quant_describe(types[i]);
        const size_t size = (size_t)ROWS * COLS / info->block_len * info->block_size;
        char path[1024];
        (void)snprintf(path, sizeof path, "%s/quant/%s.bin", TEST_DATA, info->name);
        FILE *f = fopen(path, "rb");
        if (f == NULL) fail_msg("%s: missing", path);
        unsigned char *want = malloc(size + 1), *got = malloc(size + 1);
        assert_non_null(want);
        assert_non_null(got);
        assert_int_equal(fread(want, 1, size + 1, f), size);
        fclose(f);
        got[size] = 0xa5;
        assert_true(quant_quantise(types[i], x.f, got, ROWS * COLS));
        for (size_t b = 0; b < size; b++)
            if (got[b] != want[b])
                fail_msg("%s: byte %zu (block %zu, offset %zu) is %02x instead of %02x", info->name,
                         b, b / info->block_size, b % info->block_size, got[b], want[b]);
        assert_int_equal(got[size], 0xa5);
        free(got);
        free(want);
    }
    npy_free(&x);
}

static void rows_of_all_kinds_have_the_bytes_of_the_peer(void **state) {
    (void)state;
    for (size_t v = 0; v < VECTOR_COUNT; v++) {
        uint32_t seed = 1, crc = 0;
        for (int r = 0; r < QUANT_MADE_ROWS; r++) {
            float x[COLS];
            unsigned char row[ROW_SIZE_MAX];
            quant_make_row(x, r, &seed);
            assert_true(quant_quantise(vectors[v].type, x, row, COLS));
            crc = quant_crc32(crc, row, vectors[v].size);
        }
        if (crc != vectors[v].made_crc)
            fail_msg("%s: checksum %08x instead of %08x",
                     quant_describe((uint32_t)vectors[v].type)->name, crc, vectors[v].made_crc);
    }
}

static void rows_of_zeros_have_their_bytes(void **state) {
    (void)state;
    const float x[COLS] = {0};
    for (size_t v = 0; v < VECTOR_COUNT; v++) {
        unsigned char row[ROW_SIZE_MAX];
        const size_t block = quant_describe((uint32_t)vectors[v].type)->block_size;
        memset(row, 0xa5, sizeof row);
        assert_true(quant_quantise(vectors[v].type, x, row, COLS));
        for (size_t i = 0; i < vectors[v].size; i++) {
            int want = 0;
            if (vectors[v].type == QUANT_Q4_0) want = i % block == 1 ? 0x80 : i % block ? 0x88 : 0;
            if (vectors[v].type == QUANT_Q5_0)
                want = i % block == 1 ? 0x80 : i % block > 1 && i % block < 6 ? 0xff : 0;
            if (vectors[v].type == QUANT_IQ4_NL) want = i % block > 1 ? 0x88 : 0;
            assert_int_equal(row[i], want);
        }
    }
}

static void codes_of_q8_0_round_ties_away_from_zero(void **state) {
    (void)state;
    const float x[32] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -2.5f, 3.49f, -126.5f};
    static const int want[8] = {127, 1, 2, 3, -1, -3, 3, -127};
    unsigned char row[34];
    assert_true(quant_quantise(QUANT_Q8_0, x, row, 32));
    for (int i = 0; i < 8; i++) assert_int_equal((int8_t)row[2 + i], want[i]);
}

/* No reference exists for these: only that nothing is undefined (UBSan) or written beside. */
static void blocks_that_are_not_numbers_are_survived(void **state) {
    (void)state;
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 0x1p-149f, -0x1p-140f, 0x1.fffffep127f};
    for (size_t b = 0; b < 2 * (sizeof bad / sizeof bad[0]); b++) {
        float x[COLS];
        for (int i = 0; i < COLS; i++)
            x[i] = b % 2 == 0 || i % 37 == 5 ? bad[b / 2] : (float)i - 16;
        for (size_t v = 0; v < VECTOR_COUNT; v++) {
            unsigned char row[ROW_SIZE_MAX];
            memset(row, 0xa5, sizeof row);
            assert_true(quant_quantise(vectors[v].type, x, row, COLS));
            for (size_t i = vectors[v].size; i < sizeof row; i++) assert_int_equal(row[i], 0xa5);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector_of_the_specification_has_its_bytes),
        cmocka_unit_test(rows_of_gguf_py_have_its_bytes),
        cmocka_unit_test(rows_of_all_kinds_have_the_bytes_of_the_peer),
        cmocka_unit_test(rows_of_zeros_have_their_bytes),
        cmocka_unit_test(codes_of_q8_0_round_ties_away_from_zero),
        cmocka_unit_test(blocks_that_are_not_numbers_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
