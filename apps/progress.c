#include "apps/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BAR = 30 };

void progress_begin(progress *p, const options *o) {
    const char *plain = getenv("NO_COLOR"); /* counts when it is not empty (no-color.org) */
    *p = (progress){.shown = !o->quiet && isatty(STDERR_FILENO) != 0,
                    .colour = plain == NULL || *plain == '\0'};
}

/* True when it is time to draw again. */
static bool due(progress *p) {
    const double now = now_seconds();
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
