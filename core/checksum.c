#include "core/checksum.h"

#include <stdio.h>
#include <string.h>

/* Odd, so that a product with one can be undone; the digits of the roots of 2 and 3 otherwise. */
static const uint64_t factors[2] = {UINT64_C(0x6a09e667f3bcc909), UINT64_C(0xbb67ae8584caa73b)};

enum { WORD = sizeof(uint64_t), BLOCK = CHECKSUM_LANES * WORD };

/* One to one in the lane and in the word. */
static uint64_t step(uint64_t lane, uint64_t word) {
    lane = (lane ^ word) * factors[0];
    return lane ^ lane >> 29;
}

/* One to one. */
static uint64_t stir(uint64_t x, uint64_t factor) {
    for (int i = 0; i < 3; i++) x = (x ^ x >> 32) * factor;
    return x ^ x >> 31;
}

/* Lanes of their own, so that a processor has several products under way. */
static void add_blocks(uint64_t lanes[CHECKSUM_LANES], const unsigned char *at, size_t count) {
    uint64_t own[CHECKSUM_LANES], words[CHECKSUM_LANES];
    memcpy(own, lanes, sizeof own);
    for (size_t i = 0; i < count; i++, at += BLOCK) {
        memcpy(words, at, sizeof words);
        for (int k = 0; k < CHECKSUM_LANES; k++) own[k] = step(own[k], words[k]);
    }
    memcpy(lanes, own, sizeof own);
}

void checksum_begin(checksum *s) {
    for (int k = 0; k < CHECKSUM_LANES; k++) s->lanes[k] = stir((uint64_t)k + 1, factors[1]);
}

void checksum_add(checksum *s, const void *bytes, size_t size) {
    const size_t blocks = size / BLOCK, rest = size % BLOCK;
    unsigned char last[BLOCK] = {0};
    add_blocks(s->lanes, bytes, blocks);
    if (rest > 0) {
        memcpy(last, (const unsigned char *)bytes + blocks * BLOCK, rest);
        add_blocks(s->lanes, last, 1);
    }
    s->lanes[0] = step(s->lanes[0], size);
}

void checksum_add_number(checksum *s, int64_t number) {
    checksum_add(s, &number, sizeof number);
}

void checksum_add_text(checksum *s, const char *text) {
    checksum_add_number(s, text != NULL);
    if (text != NULL) checksum_add(s, text, strlen(text));
}

void checksum_text(const checksum *s, char out[CHECKSUM_TEXT_CAP]) {
    uint64_t halves[2] = {0, 0};
    for (int k = 0; k < CHECKSUM_LANES; k++)
        for (int i = 0; i < 2; i++)
            halves[i] = stir(halves[i] ^ s->lanes[k], factors[i]) + factors[i];
    (void)snprintf(out, CHECKSUM_TEXT_CAP, "%016llx%016llx", (unsigned long long)halves[0],
                   (unsigned long long)halves[1]);
}
