/* A hand-written matcher of the pattern in backbone.md 4.2; the comments name its alternatives:
 *
 *   1 (?i:'s|'t|'re|'ve|'m|'ll|'d)      4  ?[^\s\p{L}\p{N}]+[\r\n]*
 *   2 [^\r\n\p{L}\p{N}]?\p{L}+          5 \s*[\r\n]+
 *   3 \p{N}{1,3}                        6 \s+(?!\S)      7 \s+                                  */
#include "tokenizer/split.h"

#include "core/utf8.h"
#include "tokenizer/unicode.h"

typedef struct scan {
    const char *text;
    size_t size;
} scan;

enum { END = 0x110000 /* no code point: the end of the text */ };

/* The character at, and where the next begins. */
static uint32_t look(const scan *s, size_t at, size_t *next) {
    uint32_t c = END;
    *next = at;
    if (at < s->size) *next = at + utf8_next(s->text + at, s->size - at, &c);
    return c;
}

static bool is_letter(uint32_t c) {
    return c != END && unicode_is_letter(c);
}

static bool is_number(uint32_t c) {
    return c != END && unicode_is_number(c);
}

static bool is_space(uint32_t c) {
    return c != END && unicode_is_space(c);
}

static bool is_break(uint32_t c) {
    return c == '\r' || c == '\n';
}

/* What alternative 4 repeats. */
static bool is_other(uint32_t c) {
    return c != END && !is_space(c) && !is_letter(c) && !is_number(c);
}

/* ASCII letters in any case; the long s folds to s in the reference's engine. */
static uint32_t fold(uint32_t c) {
    if (c == 0x17F) return 's';
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static size_t contraction(const scan *s) {
    size_t at, second, third;
    if (look(s, 0, &at) != '\'') return 0;
    const uint32_t a = fold(look(s, at, &second));
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return second;
    const uint32_t b = fold(look(s, second, &third));
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return third;
    return 0;
}

/* The run of characters of one class from at on. */
static size_t run(const scan *s, size_t at, bool (*in_class)(uint32_t)) {
    size_t next;
    while (in_class(look(s, at, &next))) at = next;
    return at;
}

static size_t word(const scan *s) {
    size_t at;
    const uint32_t c = look(s, 0, &at);
    if (is_letter(c)) return run(s, 0, is_letter);
    if (c == END || is_break(c) || is_number(c)) return 0;
    const size_t end = run(s, at, is_letter);
    return end > at ? end : 0;
}

static size_t number(const scan *s) {
    size_t at = 0, next;
    for (int i = 0; i < 3 && is_number(look(s, at, &next)); i++) at = next;
    return at;
}

static size_t symbols(const scan *s) {
    size_t at;
    const size_t begin = look(s, 0, &at) == ' ' ? at : 0;
    const size_t end = run(s, begin, is_other);
    return end > begin ? run(s, end, is_break) : 0;
}

/* Alternatives 5, 6 and 7: the text begins with white space. */
static size_t spaces(const scan *s) {
    size_t at = 0, next, after_break = 0, before_last = 0, count = 0;
    for (uint32_t c; is_space(c = look(s, at, &next)); at = next) {
        before_last = at;
        count++;
        if (is_break(c)) after_break = next;
    }
    if (after_break > 0) return after_break;
    if (at == s->size || count == 1) return at;
    return before_last; /* the last space belongs to what follows */
}

size_t split_next(const char *text, size_t size) {
    const scan s = {text, size};
    size_t end;
    if ((end = contraction(&s)) > 0 || (end = word(&s)) > 0 || (end = number(&s)) > 0 ||
        (end = symbols(&s)) > 0)
        return end;
    return spaces(&s);
}
