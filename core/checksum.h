/* Whether many bytes are those of before, at several gigabytes a second: for caches, which stay on
 * the machine that made them (words are read in its order of bytes). It does not resist somebody
 * who looks for two inputs of one sum. */
#ifndef CORE_CHECKSUM_H
#define CORE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

enum { CHECKSUM_LANES = 8, CHECKSUM_TEXT_CAP = 33 };

/* What differs in one word of eight bytes, wherever, never has the same sum; what differs in more
 * has it by chance, about once in 2^64. */
typedef struct checksum {
    uint64_t lanes[CHECKSUM_LANES];
} checksum;

void checksum_begin(checksum *s);
/* A thing, whose size counts: "ab" and "c" are others than "a" and "bc". */
void checksum_add(checksum *s, const void *bytes, size_t size);
void checksum_add_number(checksum *s, int64_t number);
void checksum_add_text(checksum *s, const char *text); /* NULL: none, which is not an empty one */
/* The sum of all that was added, 128 bits in hexadecimal; more may follow. */
void checksum_text(const checksum *s, char out[CHECKSUM_TEXT_CAP]);

#endif
