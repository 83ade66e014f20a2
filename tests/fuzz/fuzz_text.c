/* Any bytes as text: pieces cover it, the streaming decoder gives valid UTF-8 at any cut. */
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "tokenizer/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t decode(const char *text, size_t size, size_t cut, char *out, size_t cap) {
    utf8_decoder d;
    utf8_decoder_reset(&d);
    size_t used = utf8_decoder_push(&d, text, cut, out, cap);
    used += utf8_decoder_push(&d, text + cut, size - cut, out + used, cap - used);
    return used + utf8_decoder_flush(&d, out + used, cap - used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > 4096) return 0;
    static char whole[3 * 4096 + 64], parts[3 * 4096 + 64];
    const char *text = (const char *)data;
    for (size_t at = 0; at < size;) {
        const size_t piece = split_next(text + at, size - at);
        if (piece == 0 || piece > size - at) abort();
        at += piece;
    }
    const size_t a = decode(text, size, 0, whole, sizeof whole);
    const size_t b = decode(text, size, data[0] % size, parts, sizeof parts);
    if (a != b || memcmp(whole, parts, a) != 0 || !utf8_is_valid(whole, a)) abort();
    return 0;
}
