/* What a reply tells to programs: its tokens and frames, and when things happened. */
#ifndef APPS_REPLY_JSON_H
#define APPS_REPLY_JSON_H

#include <runnel/runnel.h>

#include "core/json.h"

/* Moments of clock_seconds; 0: not yet. begin is set by the caller. */
typedef struct reply_times {
    double begin, encoded, prefilled, first_text, first_sound, end;
    size_t sample_count; /* samples pulled */
} reply_times;

/* After each step: notes which stages lie behind. */
void reply_times_watch(reply_times *t, rnl_stage stage);
/* Milliseconds from the beginning; -1: not yet. */
double reply_times_ms(const reply_times *t, double moment);

/* Sets text_tokens, modality, frames, finish and times. */
void reply_json(json_draft *o, const rnl_reply *reply, const reply_times *t);

#endif
