#include "apps/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/messages.h"
#include "core/clock.h"
#include "core/utf8.h"

enum { BAR = 30, SHORT_BAR = 12, LINE_CAP = 256 };

void progress_begin(progress *p, const options *o) {
    const bool terminal = isatty(STDERR_FILENO) != 0;
    *p = (progress){.shown = !o->quiet && terminal,
                    .told = !o->quiet && !terminal,
                    .colour = colour_allowed(STDERR_FILENO),
                    .last = clock_seconds()};
}

/* True when it is time to draw again. */
static bool due(progress *p) {
    const double now = clock_seconds();
    if (!p->shown || (p->drawn && now - p->last < 0.1)) return false;
    p->last = now;
    p->drawn = true;
    return true;
}

void progress_bar(progress *p, const char *label, double fraction) {
    if (!due(p)) return;
    const int filled = (int)(fraction * BAR);
    (void)fprintf(stderr, "\r%s%s%s [", p->colour ? "\033[1m" : "", label,
                  p->colour ? "\033[0m" : "");
    for (int i = 0; i < BAR; i++) (void)fputc(i < filled ? '#' : '.', stderr);
    (void)fprintf(stderr, "] %3.0f %%", 100 * fraction);
}

/* Cuts the line to so many characters: one that wraps could not be drawn over. */
static void cut_to(char *line, int width) {
    const size_t size = strlen(line);
    size_t at = 0;
    uint32_t code_point;
    for (int i = 0; i < width && at < size; i++) at += utf8_next(line + at, size - at, &code_point);
    line[at] = '\0';
}

void progress_work(progress *p, const char *label, double fraction, const char *detail) {
    char line[LINE_CAP], share[16] = "";
    if (fraction > 1) fraction = 1;
    if (fraction >= 0) (void)snprintf(share, sizeof share, " %3.0f %%", 100 * fraction);
    if (p->told) {
        const double now = clock_seconds();
        if (now - p->last < 10) return;
        p->last = now;
        (void)fprintf(stderr, "%s%s  %s\n", label, share, detail);
        return;
    }
    if (!due(p)) return;
    char bar[SHORT_BAR + 4] = ""; /* the detail needs room, too */
    if (fraction >= 0) {
        strcpy(bar, " [");
        for (int i = 0; i < SHORT_BAR; i++)
            strcat(bar, i < (int)(fraction * SHORT_BAR) ? "#" : ".");
        strcat(bar, "]");
    }
    (void)snprintf(line, sizeof line, "%s%s%s  %s", label, bar, share, detail);
    cut_to(line, terminal_columns() - 1);
    (void)fprintf(stderr, "\r%s\033[K", line);
}

void progress_word(progress *p, const char *word) {
    if (!due(p)) return;
    (void)fprintf(stderr, "\r%s%s%s \033[K", p->colour ? "\033[2m" : "", word,
                  p->colour ? "\033[0m" : "");
}

void progress_clear(progress *p) {
    if (!p->drawn) return;
    (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    p->drawn = false;
}
