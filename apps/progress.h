/* Progress on stderr, never with --quiet, no colours with NO_COLOR: a line that is drawn again on a
 * terminal; of long work also a plain line every 10 s when stderr is no terminal. */
#ifndef APPS_PROGRESS_H
#define APPS_PROGRESS_H

#include "apps/options.h"

typedef struct progress {
    bool shown; /* whether anything may be drawn */
    bool told;  /* whether plain lines are written instead */
    bool colour;
    bool drawn;  /* a line stands there now */
    double last; /* when it was drawn or written */
} progress;

void progress_begin(progress *p, const options *o);
/* A bar at fraction [0, 1] after a label. Redrawn at most ten times a second. */
void progress_bar(progress *p, const char *label, double fraction);
/* Long work at fraction [0, 1] (below 0: not known): label, bar and detail ("0:12:30, 41x real
 * time"; may be ""). On a terminal drawn at most ten times a second and cut to its width; else
 * written as a plain line when 10 s have passed since the last one or since begin. */
void progress_work(progress *p, const char *label, double fraction, const char *detail);
/* A word on what is going on. */
void progress_word(progress *p, const char *word);
/* Removes the line, so that other text can be written. */
void progress_clear(progress *p);

#endif
