#include "tests/support/crc.h"

uint32_t crc32_of(const void *data, size_t size) {
    const unsigned char *p = data;
    uint32_t table[256], sum = ~0u;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
    }
    for (size_t i = 0; i < size; i++) sum = sum >> 8 ^ table[(sum ^ p[i]) & 0xff];
    return ~sum;
}
