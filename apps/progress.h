/* A line of progress on stderr: only on a terminal, never with --quiet, no colours with
 * NO_COLOR. */
#ifndef APPS_PROGRESS_H
#define APPS_PROGRESS_H

#include "apps/cli.h"

typedef struct progress {
    bool shown; /* whether anything may be shown at all */
    bool colour;
    bool drawn;  /* a line stands there now */
    double last; /* when it was drawn */
} progress;

void progress_begin(progress *p, const options *o);
/* A bar at fraction [0, 1] after a label. Redrawn at most ten times a second. */
void progress_bar(progress *p, const char *label, double fraction);
/* A word on what is going on. */
void progress_word(progress *p, const char *word);
/* Removes the line, so that other text can be written. */
void progress_clear(progress *p);

#endif
