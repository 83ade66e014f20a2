/* See json_out.h. Every byte goes through put(), which alone knows room and limit. */
#include "serve/json_out.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"

enum { GROWN_MIN = 512 };

void json_out_begin(json_out *o, char *text, size_t cap) {
    memset(o, 0, sizeof *o);
    o->text = text;
    o->cap = o->limit = cap;
}

void json_out_begin_growing(json_out *o, size_t limit) {
    memset(o, 0, sizeof *o);
    o->limit = limit;
    o->grows = true;
}

void json_out_free(json_out *o) {
    if (o->grows) free(o->text);
    memset(o, 0, sizeof *o);
}

void json_out_clear(json_out *o) {
    o->size = 0;
    o->depth = 0;
    o->full = false;
}

char *json_out_take(json_out *o, size_t *size) {
    assert(o->grows);
    const size_t limit = o->limit;
    char *text = o->text;
    const bool whole = json_out_whole(o);
    *size = o->size;
    if (!whole) free(text);
    json_out_begin_growing(o, limit);
    return whole ? text : NULL;
}

bool json_out_whole(const json_out *o) {
    return !o->full && o->depth == 0;
}

/* Room for so many more bytes; false: there is none, and the writer is full. */
static bool room(json_out *o, size_t size) {
    if (!o->full && size <= o->cap - o->size) return true;
    if (o->full || !o->grows || size > o->limit - o->size) {
        o->full = true;
        return false;
    }
    size_t cap = o->cap < o->limit / 2 ? 2 * o->cap : o->limit;
    if (cap < o->size + size) cap = o->size + size;
    if (cap < GROWN_MIN && GROWN_MIN <= o->limit) cap = GROWN_MIN;
    char *grown = realloc(o->text, cap);
    o->full = grown == NULL;
    if (grown == NULL) return false;
    o->text = grown;
    o->cap = cap;
    return true;
}

static void put(json_out *o, const char *bytes, size_t size) {
    if (size == 0 || !room(o, size)) return;
    memcpy(o->text + o->size, bytes, size);
    o->size += size;
}

static void put_word(json_out *o, const char *word) {
    put(o, word, strlen(word));
}

/* What stands before a value: the comma, and the name within an object. */
static void begin_value(json_out *o, const char *key) {
    if (o->depth == 0) {
        assert(key == NULL);
        return;
    }
    const int top = o->depth - 1;
    assert(o->array[top] == (key == NULL));
    if (o->filled[top]) put(o, ",", 1);
    o->filled[top] = true;
    if (key == NULL) return;
    put(o, "\"", 1);
    json_out_text_more(o, key, strlen(key));
    put(o, "\":", 2);
}

static void open_value(json_out *o, const char *key, bool array) {
    begin_value(o, key);
    assert(o->depth < JSON_OUT_DEPTH_CAP);
    o->array[o->depth] = array;
    o->filled[o->depth] = false;
    o->depth++;
    put(o, array ? "[" : "{", 1);
}

void json_out_object(json_out *o, const char *key) {
    open_value(o, key, false);
}

void json_out_array(json_out *o, const char *key) {
    open_value(o, key, true);
}

void json_out_end(json_out *o) {
    assert(o->depth > 0);
    o->depth--;
    put(o, o->array[o->depth] ? "]" : "}", 1);
}

static void put_escaped(json_out *o, unsigned char c) {
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    char escape[7] = {'\\', 0};
    const char *known = c != 0 ? strchr(plain, c) : NULL;
    if (known != NULL)
        escape[1] = letters[known - plain];
    else
        (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)c);
    put_word(o, escape);
}

void json_out_text_open(json_out *o, const char *key) {
    begin_value(o, key);
    put(o, "\"", 1);
}

void json_out_text_more(json_out *o, const char *text, size_t size) {
    size_t from = 0, at = 0; /* text[from, at) is copied as it is */
    if (size == 0) return;
    while (at < size) {
        const unsigned char c = (unsigned char)text[at];
        uint32_t point = c;
        const size_t length = c < 0x80 ? 1 : utf8_next(text + at, size - at, &point);
        /* The replacement character itself is written as it came, which is the same bytes. */
        if (c >= 0x20 && c != '"' && c != '\\' && point != UTF8_REPLACEMENT) {
            at += length;
            continue;
        }
        put(o, text + from, at - from);
        if (point == UTF8_REPLACEMENT)
            put_word(o, "\xef\xbf\xbd");
        else
            put_escaped(o, c);
        at += length;
        from = at;
    }
    put(o, text + from, at - from);
}

void json_out_text_close(json_out *o) {
    put(o, "\"", 1);
}

void json_out_text(json_out *o, const char *key, const char *text, size_t size) {
    json_out_text_open(o, key);
    json_out_text_more(o, text, size);
    json_out_text_close(o);
}

void json_out_word(json_out *o, const char *key, const char *text) {
    if (text == NULL)
        json_out_null(o, key);
    else
        json_out_text(o, key, text, strlen(text));
}

void json_out_int(json_out *o, const char *key, int64_t value) {
    char digits[32];
    begin_value(o, key);
    (void)snprintf(digits, sizeof digits, "%" PRId64, value);
    put_word(o, digits);
}

void json_out_number(json_out *o, const char *key, double value) {
    char digits[40];
    if (!isfinite(value)) {
        json_out_null(o, key);
        return;
    }
    begin_value(o, key);
    /* 15 digits: as many as a double always keeps, so that 0.1 is not 0.10000000000000001. */
    (void)snprintf(digits, sizeof digits, "%.15g", value);
    /* The largest ones would be rounded beyond what a double holds. */
    if (!isfinite(strtod(digits, NULL))) (void)snprintf(digits, sizeof digits, "%.17g", value);
    put_word(o, digits);
    /* A whole number stays one that is read as a float: "1.0", not "1". */
    if (strpbrk(digits, ".e") == NULL) put(o, ".0", 2);
}

void json_out_bool(json_out *o, const char *key, bool value) {
    begin_value(o, key);
    put_word(o, value ? "true" : "false");
}

void json_out_null(json_out *o, const char *key) {
    begin_value(o, key);
    put_word(o, "null");
}

void json_out_base64(json_out *o, const char *key, const void *bytes, size_t size) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = bytes;
    begin_value(o, key);
    put(o, "\"", 1);
    /* Room for all of it at once: sound is most of what is written here. */
    if (size > 0 && room(o, json_out_base64_size(size))) {
        char *to = o->text + o->size;
        for (size_t i = 0; i < size; i += 3) {
            const size_t left = size - i;
            const uint32_t bits = (uint32_t)from[i] << 16 |
                                  (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                                  (left > 2 ? (uint32_t)from[i + 2] : 0);
            *to++ = letters[bits >> 18];
            *to++ = letters[bits >> 12 & 63];
            *to++ = left > 1 ? letters[bits >> 6 & 63] : '=';
            *to++ = left > 2 ? letters[bits & 63] : '=';
        }
        o->size += json_out_base64_size(size);
    }
    put(o, "\"", 1);
}

void json_out_logprob(json_out *o, const char *bytes, size_t size, bool is_text, double logprob) {
    static const double never = -9999; /* what OpenAI's server says of a token that cannot be */
    json_out_text(o, "token", bytes, size);
    if (is_text) {
        json_out_array(o, "bytes");
        for (size_t i = 0; i < size; i++) json_out_int(o, NULL, (unsigned char)bytes[i]);
        json_out_end(o);
    } else {
        json_out_null(o, "bytes");
    }
    json_out_number(o, "logprob", isfinite(logprob) ? round(logprob * 1e6) / 1e6 : never);
}

void json_out_raw(json_out *o, const char *key, const char *text, size_t size) {
    begin_value(o, key);
    put(o, text, size);
}

void json_out_event_open(json_out *o) {
    put_word(o, "data: ");
}

void json_out_event_close(json_out *o) {
    put(o, "\n\n", 2);
}
