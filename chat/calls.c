#include "chat/calls.h"

#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

typedef struct reader {
    const char *at, *end;
    char *out; /* NULL: only counted */
    size_t cap, size;
    bool bad;
    int depth;
} reader;

static void put(reader *r, const char *bytes, size_t size) {
    if (r->out != NULL && size <= r->cap && r->size <= r->cap - size)
        memcpy(r->out + r->size, bytes, size);
    r->size += size;
}

static void puts_in(reader *r, const char *text) {
    put(r, text, strlen(text));
}

static char peek(const reader *r) {
    return r->at < r->end ? *r->at : '\0';
}

static void skip_space(reader *r) {
    while (r->at < r->end && memchr(" \t\r\n", *r->at, 4) != NULL) r->at++;
}

/* Whether the character is next; it is passed over then. */
static bool take(reader *r, char c) {
    if (r->at >= r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static void need(reader *r, char c) {
    skip_space(r);
    if (!take(r, c)) r->bad = true;
}

/* ---- Strings ---- */

static void put_code_point(reader *r, uint32_t c) {
    char text[16];
    if (c == '"' || c == '\\')
        (void)snprintf(text, sizeof text, "\\%c", (char)c);
    else if (c == '\n' || c == '\r' || c == '\t')
        (void)snprintf(text, sizeof text, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (c < 0x20)
        (void)snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    else
        text[utf8_put(c, text)] = '\0';
    puts_in(r, text);
}

static uint32_t take_hex(reader *r, int count) {
    uint32_t value = 0;
    for (int i = 0; i < count; i++) {
        const char c = peek(r);
        const char *digits = "0123456789abcdef";
        const char *digit = c != '\0' ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
        if (digit == NULL) r->bad = true;
        if (r->bad) return 0;
        value = 16 * value + (uint32_t)(digit - digits);
        r->at++;
    }
    return value;
}

static void take_escape(reader *r) {
    static const char letters[] = "nrtbfav0\\'\"/", bytes[] = "\n\r\t\b\f\a\v\0\\'\"/";
    const char c = peek(r);
    uint32_t code;
    r->at++;
    if (c == 'x' || c == 'u' || c == 'U') {
        code = take_hex(r, c == 'x' ? 2 : c == 'u' ? 4 : 8);
        if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) r->bad = true;
    } else {
        const char *letter = c != '\0' ? strchr(letters, c) : NULL;
        if (letter == NULL) r->bad = true;
        code = letter != NULL ? (unsigned char)bytes[letter - letters] : 0;
    }
    if (!r->bad) put_code_point(r, code);
}

static void take_string(reader *r) {
    const char quote = *r->at++;
    puts_in(r, "\"");
    while (!r->bad && !take(r, quote)) {
        if (r->at >= r->end) {
            r->bad = true;
        } else if (take(r, '\\')) {
            if (r->at >= r->end) r->bad = true;
            if (!r->bad) take_escape(r);
        } else {
            uint32_t c;
            const size_t size = utf8_next(r->at, (size_t)(r->end - r->at), &c);
            r->at += size;
            put_code_point(r, c);
        }
    }
    puts_in(r, "\"");
}

/* ---- Other values ---- */

static size_t digits(const reader *r, const char *from) {
    const char *p = from;
    while (p < r->end && *p >= '0' && *p <= '9') p++;
    return (size_t)(p - from);
}

/* Digits as JSON has them: Python's 1. and 1e5 are numbers, 007 is none. */
static void take_number(reader *r) {
    if (take(r, '-')) puts_in(r, "-");
    const size_t whole = digits(r, r->at);
    if (whole == 0 || (whole > 1 && *r->at == '0') || whole > 300) r->bad = true;
    if (r->bad) return;
    put(r, r->at, whole);
    r->at += whole;
    if (take(r, '.')) {
        const size_t count = digits(r, r->at);
        puts_in(r, ".");
        if (count == 0) puts_in(r, "0");
        put(r, r->at, count);
        r->at += count;
    }
    if (peek(r) != 'e' && peek(r) != 'E') return;
    r->at++;
    puts_in(r, "e");
    if (peek(r) == '-' || peek(r) == '+') {
        put(r, r->at, 1);
        r->at++;
    }
    const size_t count = digits(r, r->at);
    if (count == 0 || count > 3) r->bad = true;
    put(r, r->at, count);
    r->at += count;
}

static bool is_word_byte(char c) {
    return c == '_' || c == '-' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static size_t word_size(const reader *r) {
    const char *p = r->at;
    while (p < r->end && is_word_byte(*p)) p++;
    return (size_t)(p - r->at);
}

static void take_word(reader *r) {
    static const char *const words[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"},
                                           {"true", "true"}, {"false", "false"}, {"null", "null"}};
    const size_t size = word_size(r);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i][0]) != size || memcmp(r->at, words[i][0], size) != 0) continue;
        puts_in(r, words[i][1]);
        r->at += size;
        return;
    }
    r->bad = true;
}

static void take_value(reader *r);

/* Whether a list or dict that `close` ends goes on with another item. */
static bool another(reader *r, char close, bool first) {
    skip_space(r);
    if (r->bad || take(r, close)) return false;
    if (first) return true;
    need(r, ',');
    skip_space(r);
    if (r->bad || take(r, close)) return false; /* a comma may stand before the end */
    return true;
}

/* Whether the key that was written between these offsets of the text stands there earlier too. */
typedef struct seen_keys {
    const char *keys[64];
    size_t sizes[64];
    int count;
} seen_keys;

static void note_key(reader *r, seen_keys *seen, const char *key, size_t size) {
    for (int i = 0; i < seen->count; i++)
        if (seen->sizes[i] == size && memcmp(seen->keys[i], key, size) == 0) r->bad = true;
    if (seen->count == 64) r->bad = true;
    if (r->bad) return;
    seen->keys[seen->count] = key;
    seen->sizes[seen->count++] = size;
}

static void take_list(reader *r) {
    r->at++;
    puts_in(r, "[");
    for (bool first = true; another(r, ']', first); first = false) {
        if (!first) puts_in(r, ",");
        take_value(r);
    }
    puts_in(r, "]");
}

static void take_dict(reader *r) {
    seen_keys seen = {.count = 0};
    r->at++;
    puts_in(r, "{");
    for (bool first = true; another(r, '}', first); first = false) {
        if (!first) puts_in(r, ",");
        if (peek(r) != '"' && peek(r) != '\'') r->bad = true;
        if (r->bad) return;
        const char *key = r->at + 1;
        take_string(r);
        if (r->bad) return;
        note_key(r, &seen, key, (size_t)(r->at - 1 - key));
        need(r, ':');
        puts_in(r, ":");
        skip_space(r);
        take_value(r);
    }
    puts_in(r, "}");
}

static void take_value(reader *r) {
    const char c = peek(r);
    if (r->bad) return;
    if (++r->depth > CALLS_DEPTH_CAP) r->bad = true;
    if (r->bad) return;
    if (c == '"' || c == '\'')
        take_string(r);
    else if (c == '[')
        take_list(r);
    else if (c == '{')
        take_dict(r);
    else if (c == '-' || (c >= '0' && c <= '9'))
        take_number(r);
    else
        take_word(r);
    r->depth--;
}

/* f(a=1, b='x') */
static void take_call(reader *r, const char **name, size_t *name_size) {
    seen_keys seen = {.count = 0};
    *name = r->at;
    *name_size = word_size(r);
    r->at += *name_size;
    if (*name_size == 0) r->bad = true;
    puts_in(r, "{\"tool\":\"");
    put(r, *name, *name_size);
    puts_in(r, "\",\"arguments\":{");
    need(r, '(');
    for (bool first = true; another(r, ')', first); first = false) {
        const char *key = r->at;
        while (r->at < r->end && (unsigned char)*r->at > ' ' && *r->at != '=' && *r->at != '"' &&
               *r->at != '\\' && *r->at != '(' && *r->at != ')')
            r->at++;
        const size_t size = (size_t)(r->at - key);
        if (size == 0 || !utf8_is_valid(key, size)) r->bad = true;
        if (r->bad) return;
        note_key(r, &seen, key, size);
        if (!first) puts_in(r, ",");
        puts_in(r, "\"");
        put(r, key, size);
        puts_in(r, "\":");
        need(r, '=');
        skip_space(r);
        take_value(r);
    }
    puts_in(r, "}}");
}

int calls_count(const char *text, size_t size, calls_known_fn known, const void *context) {
    reader r = {.at = text, .end = text + size};
    int count = 0;
    if (size > CALLS_SIZE_CAP || !utf8_is_valid(text, size)) return -1;
    need(&r, '[');
    for (bool first = true; another(&r, ']', first); first = false) {
        const char *name;
        size_t name_size;
        take_call(&r, &name, &name_size);
        if (r.bad || !known(context, name, name_size) || ++count > CALLS_COUNT_CAP) return -1;
    }
    skip_space(&r);
    return r.bad || r.at != r.end || count == 0 ? -1 : count;
}

size_t calls_write(const char *text, size_t size, int index, char *out, size_t cap) {
    reader r = {.at = text, .end = text + size};
    need(&r, '[');
    for (bool first = true; another(&r, ']', first); first = false) {
        const char *name;
        size_t name_size;
        r.size = 0;
        r.out = index == 0 ? out : NULL;
        r.cap = cap;
        take_call(&r, &name, &name_size);
        if (r.bad) return 0;
        if (index-- == 0) return r.size;
    }
    return 0;
}
