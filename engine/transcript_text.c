#include "engine/transcript_text.h"

#include <string.h>

#include "core/utf8.h"
#include "tokenizer/unicode.h"

static bool is_spaceless(uint32_t c) { /* begins a word of its own when it begins a token */
    return (c >= 0x3041 && c <= 0x30FF && c != 0x30FB && c != 0x30FC) ||
           (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x20000 && c <= 0x3FFFF);
}

float text_mean(const float *values, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += (double)values[i];
    return count > 0 ? (float)(sum / (double)count) : 0.0f;
}

/* The tokens that have bytes in the word; token is where to begin looking, moved along. */
static void set_tokens(rnl_word *w, const uint32_t *ends, const float *confidences, size_t count,
                       size_t *token) {
    while (*token < count && ends[*token] <= w->text_at) ++*token;
    w->token_at = *token;
    size_t end = *token;
    while (end < count && (end == *token || ends[end - 1] < w->text_at + w->text_size)) end++;
    w->token_count = end - *token;
    w->confidence = text_mean(confidences + w->token_at, w->token_count);
}

size_t text_words(const char *text, size_t size, const uint32_t *token_ends,
                  const float *confidences, size_t token_count, rnl_word *words) {
    size_t count = 0, token = 0, border = 0, begin = SIZE_MAX;
    for (size_t at = 0; at <= size;) {
        uint32_t c = ' ';
        const size_t length = at < size ? utf8_next(text + at, size - at, &c) : 1;
        while (border < token_count && token_ends[border] < at) border++;
        const bool at_token = border < token_count && token_ends[border] == at;
        const bool space = unicode_is_space(c);
        if (begin != SIZE_MAX && (space || (at_token && is_spaceless(c)))) {
            rnl_word *w = &words[count++];
            *w = (rnl_word){.text_at = begin, .text_size = at - begin};
            set_tokens(w, token_ends, confidences, token_count, &token);
            begin = SIZE_MAX;
        }
        if (begin == SIZE_MAX && !space) begin = at;
        at += length;
    }
    return count;
}

/* ---- Sentences ---- */

static bool is_abbreviation(const char *word, size_t size) {
    static const char *const known[] = {"mr", "mrs", "ms", "dr",  "prof", "st", "vs",
                                        "no", "jr",  "sr", "e.g", "i.e",  "etc"};
    if (size <= 1) return true; /* an initial */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i]) != size) continue;
        size_t same = 0;
        while (same < size &&
               ((unsigned char)word[same] | 0x20) == ((unsigned char)known[i][same] | 0x20))
            same++;
        if (same == size) return true;
    }
    return false;
}

/* Whether a word is the last of a sentence. */
static bool ends_sentence(const char *word, size_t size) {
    /* Closing quotes and brackets may follow the mark. */
    static const char *const closing[] = {
        "\"", "'", ")", "]", "\xE2\x80\x9D", "\xE2\x80\x99", "\xE3\x80\x8D", "\xE3\x80\x8F"};
    static const char *const marks[] = {
        "!", "?", "\xE3\x80\x82", "\xEF\xBC\x81", "\xEF\xBC\x9F", "\xE2\x80\xA6"};
    for (size_t i = 0; i < sizeof closing / sizeof *closing;) {
        const size_t n = strlen(closing[i]);
        const bool found = size > n && memcmp(word + size - n, closing[i], n) == 0;
        size -= found ? n : 0;
        i = found ? 0 : i + 1;
    }
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const size_t n = strlen(marks[i]);
        if (size >= n && memcmp(word + size - n, marks[i], n) == 0) return true;
    }
    return size > 0 && word[size - 1] == '.' && !is_abbreviation(word, size - 1);
}

size_t text_segments(const char *text, const rnl_word *words, size_t word_count,
                     const float *confidences, size_t token_count, rnl_segment *segments) {
    size_t count = 0;
    for (size_t first = 0; first < word_count;) {
        size_t last = first;
        while (last + 1 < word_count &&
               !ends_sentence(text + words[last].text_at, words[last].text_size))
            last++;
        const rnl_word *a = &words[first], *b = &words[last];
        const size_t token_end = last + 1 < word_count ? words[last + 1].token_at : token_count;
        segments[count++] = (rnl_segment){
            .begin = a->begin,
            .end = b->end,
            .text_at = a->text_at,
            .text_size = b->text_at + b->text_size - a->text_at,
            .token_at = a->token_at,
            .token_count = token_end > a->token_at ? token_end - a->token_at : 0,
            .word_at = first,
            .word_count = last + 1 - first,
        };
        rnl_segment *s = &segments[count - 1];
        s->confidence = text_mean(confidences + s->token_at, s->token_count);
        first = last + 1;
    }
    return count;
}

/* ---- Loops ---- */

size_t text_loop(const int32_t *tokens, size_t count) {
    enum { LENGTH_CAP = 32, ROUNDS = 4, TOKENS = 24 };
    for (size_t length = 1; length <= LENGTH_CAP && length * ROUNDS <= count; length++) {
        size_t same = 0; /* tokens at the end that equal those `length` before */
        while (same + length < count &&
               tokens[count - 1 - same] == tokens[count - 1 - same - length])
            same++;
        const size_t looped = same + length;
        if (looped / length >= ROUNDS && looped >= TOKENS) return count - same;
    }
    return 0;
}

static size_t next_sound(const char *word, size_t size, size_t at, int *c) {
    *c = -1;
    for (; at < size; at++) {
        const unsigned char byte = (unsigned char)word[at];
        const unsigned char low = byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
        if (low < 0x80 && (low < 'a' || low > 'z') && (low < '0' || low > '9')) continue;
        *c = low;
        return at + 1;
    }
    return at;
}

bool text_same_word(const char *a, size_t a_size, const char *b, size_t b_size) {
    int x, y;
    size_t i = 0, j = 0;
    do {
        i = next_sound(a, a_size, i, &x);
        j = next_sound(b, b_size, j, &y);
    } while (x == y && x >= 0);
    return x == y;
}
