/* Prints the checksums that llama.cpp's quantisers give for the rows of tests/support/quant_rows.h:
 * the reference of tests/kernels/test_quant_write.c. After build_peer.sh, in the repository root:
 *
 *     p=/tmp/runnel-peer; s=$p/src/vendor/llama.cpp/ggml; b=$p/native/ggml/src
 *     gcc -O2 -I. -I$s/include tools/compare/quant_crc.c $b/libggml-base.a -lstdc++ -lgomp -lm \
 *         -o /tmp/quant_crc && /tmp/quant_crc */
#include <stdio.h>

#include <ggml.h>

#include "tests/support/quant_rows.h"

int main(void) {
    static const enum ggml_type types[] = {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0,
                                           GGML_TYPE_Q5_1, GGML_TYPE_Q8_0, GGML_TYPE_IQ4_NL,
                                           GGML_TYPE_Q2_K, GGML_TYPE_Q3_K, GGML_TYPE_Q4_K,
                                           GGML_TYPE_Q5_K, GGML_TYPE_Q6_K};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        uint32_t seed = 1, crc = 0;
        for (int r = 0; r < QUANT_MADE_ROWS; r++) {
            float x[QUANT_MADE_COLS];
            unsigned char row[4 * QUANT_MADE_COLS];
            quant_make_row(x, r, &seed);
            const size_t size = ggml_quantize_chunk(types[i], x, row, 0, 1, QUANT_MADE_COLS, NULL);
            crc = quant_crc32(crc, row, size);
        }
        printf("%-6s %08x\n", ggml_type_name(types[i]), crc);
    }
    return 0;
}
