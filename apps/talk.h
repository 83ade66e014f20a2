/* The parts of `runnel talk`: what is shown, what is traced, what is recorded. The loop itself is
 * in cmd_talk.c. */
#ifndef APPS_TALK_H
#define APPS_TALK_H

#include <runnel/runnel_live.h>

#include "apps/options.h"

/* ---- talk_view.c: state, meters and text on a terminal, plain lines elsewhere ---- */

typedef struct talk_view {
    const options *options;
    bool drawing; /* a line of state that is drawn anew; else plain lines */
    bool colour, drawn;
    double last;       /* when it was drawn, seconds */
    double latency_ms; /* voice to voice of the last turn; negative: none yet */
} talk_view;

void view_begin(talk_view *v, const options *o);
/* Draws the line of state when it is time to. heard: text of the reply that was spoken so far. */
void view_state(talk_view *v, const rnl_live_facts *facts, bool key_down, const char *heard,
                size_t heard_size);
void view_clear(talk_view *v);
/* What the user said, when it was written down. */
void view_user(talk_view *v, const char *text, size_t size);
/* A turn that is over: the text as heard on stdout, its latencies on stderr. */
void view_turn(talk_view *v, const rnl_live_turn *t, const char *heard, size_t heard_size);
/* One sentence on stderr. */
void view_say(talk_view *v, const char *sentence);

/* ---- talk_trace.c: one JSON line a turn; what the user said, by a second session ---- */

typedef struct talk_trace talk_trace;

/* Opens the file (NULL: none) and, with transcribe, a session of its own. NULL after a complaint,
 * with *code. */
talk_trace *trace_open(const options *o, rnl_model *model, talk_view *view, int *code);
/* The user's turn, or a part of one, is over: its clip. */
int trace_clip(talk_trace *t, rnl_live *live);
/* A reply is over. dac_us: T10, T11, -1 where not reached. */
int trace_turn(talk_trace *t, rnl_live *live, const rnl_live_turn *turn);
/* A bounded piece of the transcript; *worked: there was one to do. */
int trace_work(talk_trace *t, bool *worked);
/* Completes the file: EXIT_OK or the code of a complaint. Sets NULL. */
int trace_close(talk_trace **t);

/* ---- talk_tools.c: calls as lines of standard output, results as lines of standard input ---- */

typedef struct talk_tools talk_tools;

/* NULL without --tools, and after a complaint, with *code. The model outlives it. */
talk_tools *tools_open(const options *o, rnl_model *model, talk_view *view, int *code);
void tools_close(talk_tools **t); /* sets NULL; NULL is fine, as for all below */
rnl_constraint *tools_constraint(const talk_tools *t);
/* RNL_LIVE_CALL was told. */
int tools_take_calls(talk_tools *t, rnl_live *live);
/* What comes of standard input goes to the calls that wait; `waits`: stands still until it is
 * there. */
int tools_give_results(talk_tools *t, rnl_live *live, bool waits);
/* The turn is over: results that have not come belong to nobody. */
void tools_end_turn(talk_tools *t);

/* ---- talk_record.c: a stereo WAV of 16 bits ---- */

typedef struct talk_record talk_record;

/* NULL after a complaint, with *code. */
talk_record *record_open(const char *path, int rate, int *code);
int record_write(talk_record *r, const float *left, const float *right, size_t count);
/* Completes the file under its name, or with abort removes it. Sets NULL; NULL is fine. */
int record_close(talk_record **r, bool abort);

#endif
