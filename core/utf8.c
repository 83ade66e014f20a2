#include "core/utf8.h"

#include <assert.h>
#include <string.h>

/* Bytes of the character a lead byte begins, and the range its second byte must be in (Unicode
 * table 3-7: this alone excludes overlong forms, surrogates and what lies above U+10FFFF). 0: no
 * lead. */
static size_t lead(unsigned char byte, unsigned char *low, unsigned char *high) {
    *low = 0x80;
    *high = 0xBF;
    if (byte < 0x80) return 1;
    if (byte < 0xC2) return 0;
    if (byte < 0xE0) return 2;
    if (byte < 0xF0) {
        if (byte == 0xE0) *low = 0xA0;
        if (byte == 0xED) *high = 0x9F;
        return 3;
    }
    if (byte > 0xF4) return 0;
    if (byte == 0xF0) *low = 0x90;
    if (byte == 0xF4) *high = 0x8F;
    return 4;
}

/* Length of the valid beginning of a character; *whole when it is complete, *need its full
 * length. */
static size_t prefix(const char *text, size_t size, size_t *need) {
    const unsigned char *p = (const unsigned char *)text;
    unsigned char low, high;
    *need = lead(p[0], &low, &high);
    if (*need == 0) return 0;
    size_t n = 1;
    while (n < *need && n < size && p[n] >= low && p[n] <= high) {
        n++;
        low = 0x80;
        high = 0xBF;
    }
    return n;
}

size_t utf8_next(const char *text, size_t size, uint32_t *code_point) {
    size_t need;
    const size_t n = prefix(text, size, &need);
    if (n == 0 || n < need) {
        *code_point = UTF8_REPLACEMENT;
        return n == 0 ? 1 : n;
    }
    const unsigned char *p = (const unsigned char *)text;
    static const unsigned char lead_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t c = p[0] & lead_bits[need];
    for (size_t i = 1; i < need; i++) c = c << 6 | (p[i] & 0x3Fu);
    *code_point = c;
    return n;
}

size_t utf8_mark_size(const char *text, size_t size) {
    size_t at = 0;
    while (size - at >= 3 && memcmp(text + at, UTF8_MARK, 3) == 0) at += 3;
    return at;
}

bool utf8_is_valid(const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        size_t need;
        const size_t n = prefix(text + at, size - at, &need);
        if (n == 0 || n < need) return false;
        at += n;
    }
    return true;
}

size_t utf8_put(uint32_t c, char *out) {
    unsigned char *p = (unsigned char *)out;
    if (c < 0x80) {
        p[0] = (unsigned char)c;
        return 1;
    }
    if (c < 0x800) {
        p[0] = (unsigned char)(0xC0 | c >> 6);
        p[1] = (unsigned char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        p[0] = (unsigned char)(0xE0 | c >> 12);
        p[1] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
        p[2] = (unsigned char)(0x80 | (c & 0x3F));
        return 3;
    }
    p[0] = (unsigned char)(0xF0 | c >> 18);
    p[1] = (unsigned char)(0x80 | (c >> 12 & 0x3F));
    p[2] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
    p[3] = (unsigned char)(0x80 | (c & 0x3F));
    return 4;
}

size_t utf8_words_before(const char *text, size_t size, double byte) {
    size_t end = 0;
    for (size_t at = 0; at < size;) {
        while (at < size && text[at] == ' ') at++;
        const size_t begin = at;
        while (at < size && text[at] != ' ') at++;
        if (0.5 * (double)(begin + at) > byte || at == begin) break;
        end = at;
    }
    return end;
}

void utf8_decoder_reset(utf8_decoder *d) {
    d->pending_size = 0;
}

/* The first two bytes of a surrogate are invalid already, but the reference's incremental decoder
 * waits for the third before it says so (golden text/stream.json). */
static bool is_surrogate_start(const utf8_decoder *d) {
    const unsigned char *p = (const unsigned char *)d->pending;
    return d->pending_size == 2 && p[0] == 0xED && p[1] >= 0xA0 && p[1] <= 0xBF;
}

/* What stands in pending, as far as it can be decided. */
static size_t settle(utf8_decoder *d, bool at_end, char *out) {
    size_t used = 0;
    while (d->pending_size > 0) {
        if (!at_end && is_surrogate_start(d)) break;
        size_t need;
        const size_t n = prefix(d->pending, d->pending_size, &need);
        if (n > 0 && n < need && n == d->pending_size && !at_end)
            break; /* may still be completed */
        const size_t taken = n == 0 ? 1 : n;
        if (n > 0 && n == need) {
            memcpy(out + used, d->pending, n);
            used += n;
        } else {
            used += utf8_put(UTF8_REPLACEMENT, out + used);
        }
        d->pending_size -= taken;
        memmove(d->pending, d->pending + taken, d->pending_size);
    }
    return used;
}

size_t utf8_decoder_push(utf8_decoder *d, const char *bytes, size_t size, char *out, size_t cap) {
    assert(cap >= size); /* the caller's room; replacements are bounded by the contract */
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        d->pending[d->pending_size++] = bytes[i];
        used += settle(d, false, out + used);
    }
    assert(used <= cap);
    (void)cap;
    return used;
}

size_t utf8_decoder_flush(utf8_decoder *d, char *out, size_t cap) {
    const size_t used = settle(d, true, out);
    assert(used <= cap);
    (void)cap;
    return used;
}
