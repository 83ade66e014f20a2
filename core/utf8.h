/* UTF-8: checking, and decoding a stream of bytes to text that is always whole and valid. What
 * is invalid becomes U+FFFD, one for each longest invalid prefix (as the reference's tokenizer
 * does). */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_PENDING_CAP = 4, UTF8_REPLACEMENT = 0xFFFD };

/* The byte order mark that some editors put before a text, and that stands within it where texts
 * were joined. Nothing is lost with it. */
#define UTF8_MARK "\xef\xbb\xbf"
/* Bytes of the marks that the text begins with: 0, 3, 6, ... */
size_t utf8_mark_size(const char *text, size_t size);

bool utf8_is_valid(const char *text, size_t size);

/* Reads the character at text (size >= 1). Returns its bytes, at least 1; *code_point is
 * UTF8_REPLACEMENT and the length that of the longest invalid prefix when it is not valid. */
size_t utf8_next(const char *text, size_t size, uint32_t *code_point);

/* Writes a code point, at most 4 bytes; returns how many. */
size_t utf8_put(uint32_t code_point, char *out);

/* The end of the last word whose middle lies at or before the byte; 0: of none. Words are parted by
 * spaces. */
size_t utf8_words_before(const char *text, size_t size, double byte);

typedef struct utf8_decoder {
    char pending[UTF8_PENDING_CAP]; /* the beginning of a character that is not complete yet */
    size_t pending_size;
} utf8_decoder;

void utf8_decoder_reset(utf8_decoder *d);
/* Adds bytes; writes the text that is certain now to out and returns its size. The first two bytes
 * of a surrogate wait for a third, as in the reference. Room needed:
 * 3 * (size + UTF8_PENDING_CAP) bytes at worst (asserted). */
size_t utf8_decoder_push(utf8_decoder *d, const char *bytes, size_t size, char *out, size_t cap);
/* The end of the stream: what was pending is invalid now. Room: 3 * UTF8_PENDING_CAP. */
size_t utf8_decoder_flush(utf8_decoder *d, char *out, size_t cap);

#endif
