/* How far a run over recordings is: a bar on a terminal, a line every 10 s elsewhere, nothing with
 * --quiet. */
#ifndef APPS_METER_H
#define APPS_METER_H

#include "apps/options.h"

enum { METER_TEXT_CAP = 256 };

typedef struct meter_state {
    double sound;       /* s of sound done, of all recordings */
    double elapsed;     /* s since the run began */
    double fraction;    /* of all the work, [0, 1]; below 0: not known */
    size_t done, count; /* recordings */
    const char *text;   /* what was heard last, or "" */
} meter_state;

/* One line without its end, at most `columns` columns: bar or percentage, time done, speed, time
 * left, and as much of the text's end as fits. */
void meter_format(char *out, size_t cap, int columns, bool with_bar, const meter_state *s);

typedef struct meter {
    bool shown, terminal, drawn;
    double begin, last;
} meter;

void meter_begin(meter *m, const options *o);
/* Draws when it is time to (ten times a second, or every 10 s). One thread at a time. */
void meter_show(meter *m, const meter_state *s);
/* Removes the bar, so that other text can be written. */
void meter_clear(meter *m);

/* "1:02:03" of seconds. */
void meter_time(char *out, size_t cap, double seconds);

#endif
