#include "serve/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/utf8.h"

enum { NAME_CAP = 100, STAMP_CAP = 40 }; /* bytes of a name that is written */

typedef struct line {
    char *text;
    size_t size;
} line;

static void put(line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(line *l, const char *format, ...) {
    va_list list;
    va_start(list, format);
    const int size = vsnprintf(l->text + l->size, LOG_LINE_CAP - l->size, format, list);
    va_end(list);
    assert(size >= 0 && (size_t)size < LOG_LINE_CAP - l->size);
    l->size += (size_t)size;
}

/* The text between quotes, at most cap bytes of it, with nothing in it that ends a line or a
 * string: what JSON and people read the same. */
static void put_quoted(line *l, const char *text, size_t size, size_t cap) {
    if (size > cap) size = cap;
    put(l, "\"");
    for (size_t at = 0; at < size;) {
        uint32_t c;
        const size_t step = utf8_next(text + at, size - at, &c);
        const bool plain =
            c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0) && utf8_is_valid(text + at, step);
        if (!plain)
            put(l, "?");
        else
            put(l, "%s%.*s", c == '"' || c == '\\' ? "\\" : "", (int)step, text + at);
        at += step;
    }
    put(l, "\"");
}

/* "2026-11-30T08:30:00.123Z", without the day for people. */
static void stamp(char out[STAMP_CAP], int64_t time_us, bool day) {
    const time_t seconds = (time_t)(time_us / 1000000);
    struct tm parts;
    char text[STAMP_CAP - 8] = "";
    if (gmtime_r(&seconds, &parts) != NULL)
        (void)strftime(text, sizeof text, day ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &parts);
    (void)snprintf(out, STAMP_CAP, "%s.%03dZ", text, (int)(time_us / 1000 % 1000));
}

static void put_member(line *l, const char *key, const char *text) {
    if (text[0] == '\0') return;
    put(l, ",\"%s\":", key);
    put_quoted(l, text, strlen(text), NAME_CAP);
}

static void write_json(line *l, const log_entry *e) {
    char time[STAMP_CAP];
    stamp(time, e->time_us, true);
    put(l, "{\"time\":\"%s\"", time);
    put_member(l, "what", e->what);
    put_member(l, "id", e->id);
    put_member(l, "method", e->method);
    put_member(l, "path", e->path);
    put(l, ",\"code\":%d,\"ms\":%.3f,\"bytes_in\":%llu,\"bytes_out\":%llu", e->code,
        (double)e->duration_us / 1e3, (unsigned long long)e->bytes_in,
        (unsigned long long)e->bytes_out);
    if (e->model_us >= 0) put(l, ",\"model_seconds\":%.3f", (double)e->model_us / 1e6);
    put_member(l, "address", e->address);
    put_member(l, "why", e->why);
    put_member(l, "file", e->file);
    if (e->content != NULL) {
        put(l, ",\"content\":");
        put_quoted(l, e->content, e->content_size, LOG_CONTENT_CAP);
    }
    put(l, "}\n");
}

static void put_word(line *l, const char *before, const char *text) {
    if (text[0] == '\0') return;
    put(l, "%s", before);
    put_quoted(l, text, strlen(text), NAME_CAP);
}

static void write_text(line *l, const log_entry *e) {
    char time[STAMP_CAP];
    stamp(time, e->time_us, false);
    /* The words of ours stand without quotes; a path is of the table. */
    put(l, "%s %s", time, e->what);
    if (e->method[0] != '\0') put(l, " %.*s", NAME_CAP, e->method);
    if (e->path[0] != '\0') put(l, " %.*s", NAME_CAP, e->path);
    put(l, " %d %.1f ms, %llu bytes in, %llu out", e->code, (double)e->duration_us / 1e3,
        (unsigned long long)e->bytes_in, (unsigned long long)e->bytes_out);
    if (e->model_us >= 0) put(l, ", model %.3f s", (double)e->model_us / 1e6);
    if (e->address[0] != '\0') put(l, ", %.*s", NAME_CAP, e->address);
    if (e->id[0] != '\0') put(l, ", %.*s", NAME_CAP, e->id);
    if (e->why[0] != '\0') put(l, ", %.*s", NAME_CAP, e->why);
    put_word(l, ", file ", e->file);
    if (e->content != NULL) {
        put(l, ": ");
        put_quoted(l, e->content, e->content_size, LOG_CONTENT_CAP);
    }
    put(l, "\n");
}

size_t log_write(const log_entry *e, log_form form, char out[LOG_LINE_CAP]) {
    line l = {.text = out};
    if (form == LOG_JSON)
        write_json(&l, e);
    else
        write_text(&l, e);
    return l.size;
}
