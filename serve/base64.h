/* Base64 as it comes from strangers, read strictly: the alphabet of RFC 4648 and nothing else, no
 * spaces, padding right or absent, and the bits that padding leaves over are zero. */
#ifndef SERVE_BASE64_H
#define SERVE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes that a text of so many characters holds at most. */
static inline size_t base64_size_max(size_t text_size) {
    return text_size / 4 * 3 + 3;
}

/* text [size] -> out [*made], room for base64_size_max(size). out may be text itself. False: no
 * base64, what stands in out is void. */
bool base64_decode(const char *text, size_t size, unsigned char *out, size_t *made);

#endif
