#include "chat/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

void chat_text_free(chat_text *t) {
    free(t->data);
    *t = (chat_text){0};
}

void chat_put(chat_text *t, const char *bytes, size_t size) {
    if (t->failed) return;
    if (size >= t->cap - t->size) {
        const size_t cap = 2 * t->cap + size + 64;
        char *grown = cap > size ? realloc(t->data, cap) : NULL;
        t->failed = grown == NULL;
        if (grown == NULL) return;
        t->data = grown;
        t->cap = cap;
    }
    if (size > 0) memcpy(t->data + t->size, bytes, size);
    t->size += size;
    t->data[t->size] = '\0';
}

void chat_puts(chat_text *t, const char *text) {
    chat_put(t, text, strlen(text));
}

/* d.ddde-05 -> digits without the point, and the exponent. */
static int split_real(const char *text, char *digits) {
    int count = 0;
    for (; *text != 'e'; text++)
        if (*text >= '0' && *text <= '9') digits[count++] = *text;
    while (count > 1 && digits[count - 1] == '0') count--;
    digits[count] = '\0';
    return atoi(text + 1);
}

void chat_put_real(chat_text *t, double value) {
    char text[40], digits[24];
    for (int precision = 0; precision < 17; precision++) {
        (void)snprintf(text, sizeof text, "%.*e", precision, value);
        if (strtod(text, NULL) == value) break;
    }
    const int exponent = split_real(text, digits);
    const int count = (int)strlen(digits);
    if (signbit(value)) chat_puts(t, "-");
    if (exponent < -4 || exponent >= 16) {
        chat_put(t, digits, 1);
        if (count > 1) chat_puts(t, ".");
        chat_puts(t, digits + 1);
        (void)snprintf(text, sizeof text, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        chat_puts(t, text);
        return;
    }
    if (exponent < 0) {
        chat_puts(t, "0.");
        for (int i = -1; i > exponent; i--) chat_puts(t, "0");
        chat_puts(t, digits);
        return;
    }
    for (int i = 0; i <= exponent; i++) chat_put(t, i < count ? digits + i : "0", 1);
    chat_puts(t, ".");
    chat_puts(t, count > exponent + 1 ? digits + exponent + 1 : "0");
}

void chat_put_json_string(chat_text *t, const char *bytes, size_t size) {
    static const char named[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
    chat_puts(t, "\"");
    for (size_t i = 0, begin = 0; i <= size; i++) {
        const char *name = i < size && bytes[i] != '\0' ? strchr(named, bytes[i]) : NULL;
        const bool plain = i < size && name == NULL && (unsigned char)bytes[i] >= 0x20;
        if (plain) continue;
        chat_put(t, bytes + begin, i - begin);
        begin = i + 1;
        char escape[8] = "";
        if (name != NULL)
            (void)snprintf(escape, sizeof escape, "\\%c", letters[name - named]);
        else if (i < size)
            (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)bytes[i]);
        chat_puts(t, escape);
    }
    chat_puts(t, "\"");
}

/* repr of a string: in ' unless only that one is within. */
static void put_repr_string(chat_text *t, const char *bytes, size_t size) {
    const bool has_single = memchr(bytes, '\'', size) != NULL;
    const char quote = has_single && memchr(bytes, '"', size) == NULL ? '"' : '\'';
    chat_put(t, &quote, 1);
    for (size_t i = 0; i < size; i++) {
        const char c = bytes[i];
        char escape[8] = {c};
        if (c == '\n' || c == '\r' || c == '\t')
            (void)snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if ((unsigned char)c < 0x20 || c == 0x7F)
            (void)snprintf(escape, sizeof escape, "\\x%02x", (unsigned)(unsigned char)c);
        else if (c == quote || c == '\\')
            (void)snprintf(escape, sizeof escape, "\\%c", c);
        chat_puts(t, escape);
    }
    chat_put(t, &quote, 1);
}

static void put_value(chat_text *t, const json *value, chat_string_fn put_string, bool python);

typedef struct member_job {
    chat_text *t;
    chat_string_fn put_string;
    bool python, more;
} member_job;

static bool put_member(void *context, const char *key, size_t size, const json *value) {
    member_job *job = context;
    if (job->more) chat_puts(job->t, ", ");
    job->more = true;
    job->put_string(job->t, key, size);
    chat_puts(job->t, ": ");
    put_value(job->t, value, job->put_string, job->python);
    return true;
}

static void put_number(chat_text *t, const json *value) {
    int64_t integer;
    double real;
    char text[32];
    if (json_int(value, INT64_MIN, INT64_MAX, &integer)) {
        (void)snprintf(text, sizeof text, "%" PRId64, integer);
        chat_puts(t, text);
    } else if (json_number(value, &real)) {
        chat_put_real(t, real);
    }
}

static void put_value(chat_text *t, const json *value, chat_string_fn put_string, bool python) {
    size_t size;
    bool yes;
    const char *text = json_chars(value, &size);
    if (text != NULL) {
        put_string(t, text, size);
    } else if (json_is_object(value)) {
        member_job job = {t, put_string, python, false};
        chat_puts(t, "{");
        (void)json_each(value, put_member, &job);
        chat_puts(t, "}");
    } else if (json_is_array(value)) {
        chat_puts(t, "[");
        for (size_t i = 0; i < json_count(value); i++) {
            if (i > 0) chat_puts(t, ", ");
            put_value(t, json_at(value, i), put_string, python);
        }
        chat_puts(t, "]");
    } else if (json_bool(value, &yes)) {
        chat_puts(t, python ? (yes ? "True" : "False") : (yes ? "true" : "false"));
    } else if (json_is_null(value)) {
        chat_puts(t, python ? "None" : "null");
    } else {
        put_number(t, value);
    }
}

void chat_put_json(chat_text *t, const json *value) {
    put_value(t, value, chat_put_json_string, false);
}

void chat_put_repr(chat_text *t, const json *value) {
    put_value(t, value, put_repr_string, true);
}

void chat_put_python(chat_text *t, const json *value, chat_string_fn put_string) {
    put_value(t, value, put_string, true);
}
