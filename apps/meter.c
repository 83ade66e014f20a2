#include "apps/meter.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/messages.h"
#include "core/clock.h"
#include "core/utf8.h"
#include "text/subtitles.h"

enum { BAR = 20 };

void meter_time(char *out, size_t cap, double seconds) {
    const long long s = seconds > 0 ? (long long)(seconds + 0.5) : 0;
    (void)snprintf(out, cap, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

/* The end of a text that takes at most `columns` columns, from the start of a word if one starts
 * in it. */
static const char *tail_of(const char *text, int columns) {
    size_t size = strlen(text);
    if (subtitle_columns(text, size) <= columns) return text;
    while (size > 0 && subtitle_columns(text, size) > columns) {
        uint32_t c;
        const size_t step = utf8_next(text, size, &c);
        text += step;
        size -= step;
    }
    const char *space = strchr(text, ' ');
    return space != NULL ? space + 1 : text;
}

void meter_format(char *out, size_t cap, int columns, bool with_bar, const meter_state *s) {
    char done[32], left[48] = "", bar[BAR + 16] = "", count[48] = "";
    const double f = s->fraction > 1.0 ? 1.0 : s->fraction;
    meter_time(done, sizeof done, s->sound);
    if (f >= 0.0) {
        char marks[BAR + 1];
        for (int i = 0; i < BAR; i++) marks[i] = i < (int)(f * BAR) ? '#' : '.';
        marks[BAR] = '\0';
        (void)snprintf(bar, sizeof bar, with_bar ? "[%s] %3.0f %% " : "%.0s%.0f %% ", marks,
                       100.0 * f);
    }
    if (f > 0.0) {
        char time[32];
        meter_time(time, sizeof time, s->elapsed * (1.0 - f) / f);
        (void)snprintf(left, sizeof left, ", %s left", time);
    }
    if (s->count > 1) (void)snprintf(count, sizeof count, ", %zu of %zu files", s->done, s->count);
    const double speed = s->elapsed > 0 ? s->sound / s->elapsed : 0.0;
    (void)snprintf(out, cap, "%s%s, %.1f x real time%s%s", bar, done, speed, left, count);
    const int room = columns - subtitle_columns(out, strlen(out)) - 2;
    if (room < 10 || *s->text == '\0') return;
    const size_t used = strlen(out);
    (void)snprintf(out + used, cap - used, "  %s", tail_of(s->text, room));
}

void meter_begin(meter *m, const options *o) {
    const double now = clock_seconds();
    *m = (meter){
        .shown = !o->quiet, .terminal = isatty(STDERR_FILENO) != 0, .begin = now, .last = now};
}

void meter_show(meter *m, const meter_state *s) {
    const double now = clock_seconds();
    if (!m->shown || now - m->last < (m->terminal ? 0.1 : 10.0)) return;
    m->last = now;
    char line[METER_TEXT_CAP * 2];
    const int columns = m->terminal ? terminal_columns() - 1 : 100;
    meter_format(line, sizeof line, columns, m->terminal, s);
    (void)fprintf(stderr, m->terminal ? "\r%s\033[K" : "%s\n", line);
    (void)fflush(stderr);
    m->drawn = m->terminal;
}

void meter_clear(meter *m) {
    if (!m->drawn) return;
    (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    m->drawn = false;
}
