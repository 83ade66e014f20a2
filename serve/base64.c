/* See base64.h. */
#include "serve/base64.h"

#include <stdint.h>

static int value_of(unsigned char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The value of count characters, -1: one is not of the alphabet. */
static int32_t bits_of(const char *text, size_t count) {
    int32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        const int value = value_of((unsigned char)text[i]);
        if (value < 0) return -1;
        bits = bits << 6 | value;
    }
    return bits;
}

bool base64_decode(const char *text, size_t size, unsigned char *out, size_t *made) {
    *made = 0;
    if (size % 4 == 0 && size > 0)
        for (int i = 0; i < 2 && text[size - 1] == '='; i++) size--;
    const size_t whole = size / 4 * 4, rest = size - whole;
    if (rest == 1) return false;
    for (size_t at = 0; at < whole; at += 4) {
        const int32_t bits = bits_of(text + at, 4);
        if (bits < 0) return false;
        *out++ = (unsigned char)(bits >> 16);
        *out++ = (unsigned char)(bits >> 8);
        *out++ = (unsigned char)bits;
    }
    *made = whole / 4 * 3;
    if (rest == 0) return true;
    const int32_t bits = bits_of(text + whole, rest);
    /* 12 bits make one byte, 18 make two: 4 and 2 are over. */
    const int over = rest == 2 ? 4 : 2;
    if (bits < 0 || (bits & ((1 << over) - 1)) != 0) return false;
    const int32_t kept = bits >> over;
    if (rest == 3) *out++ = (unsigned char)(kept >> 8);
    *out = (unsigned char)kept;
    *made += rest - 1;
    return true;
}
