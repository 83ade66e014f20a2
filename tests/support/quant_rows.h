/* The rows that quantisers are compared on: test_quant_write.c and tools/compare/quant_crc.c. */
#ifndef TESTS_SUPPORT_QUANT_ROWS_H
#define TESTS_SUPPORT_QUANT_ROWS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

enum { QUANT_MADE_ROWS = 512, QUANT_MADE_COLS = 256 };

/* CRC-32 (IEEE, as zlib) of more bytes; crc is 0 to begin with. */
static inline uint32_t quant_crc32(uint32_t crc, const unsigned char *p, size_t size) {
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int b = 0; b < 8; b++) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* Rows of many kinds from integers only, so that every machine makes the same bits: bell-shaped
 * noise at scales from 2^-30 to 2^30, with rows of zeros, of one value, of one sign, of few
 * non-zeros, of two values, with sub-blocks of very unlike size, or flat beside others. */
static inline uint32_t quant_next(uint32_t *s) {
    *s = *s * 1664525u + 1013904223u;
    return *s >> 8;
}

static inline void quant_make_row(float *x, int row, uint32_t *s) {
    const int kind = row % 8;
    const float scale = ldexpf(1.0f, row % 61 - 30);
    for (int i = 0; i < QUANT_MADE_COLS; i++) {
        int32_t sum = 0;
        for (int k = 0; k < 6; k++) sum += (int32_t)(quant_next(s) & 0xffff) - 0x8000;
        float v = (float)sum / 65536.0f;
        if (kind == 1) v = fabsf(v) + 0.125f;
        if (kind == 2) v = i % 16 < 2 ? v : 0.0f;
        if (kind == 3) v = sum > 0 ? 0.75f : -0.25f;
        if (kind == 4) v *= ldexpf(1.0f, -(i / 16 % 13));
        if (kind == 5) v = -0.5f;
        if (kind == 7 && i / 16 % 3 == 0) v = i / 48 % 2 == 0 ? 0.0f : 0.25f;
        if (kind == 6) v = row % 16 == 6 ? 0.0f : v * v * v;
        x[i] = v * scale;
    }
}

#endif
