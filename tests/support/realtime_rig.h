/* A realtime machine with a fake model, a fake clock, and every event it sends kept and checked
 * (realtime_order.h). What the machine asks of the model is kept as lines:
 *
 *     restart interleaved|text[ keeps RATIO/POSITIONS][ tools][ "instructions"]
 *     append KEY ROLE "text" 16000...
 *     push N (together)   drop   guess KEY   withdraw   end KEY   ask KEY N
 *     respond KEY interleaved|text   alone KEY N (entries)   cancel KEY   truncate KEY N
 *     transcribe KEY N[ logprobs]
 *
 * KEY as #1, #2, ... in the order in which keys were seen. With REALTIME_RIG_LOG a folder, each
 * machine's events go to a file there as events_check.py reads them. */
#ifndef TESTS_SUPPORT_REALTIME_RIG_H
#define TESTS_SUPPORT_REALTIME_RIG_H

#include <stdio.h>

#include "core/json.h"
#include "serve/realtime.h"
#include "tests/support/realtime_order.h"

enum { RIG_KEY_CAP = 4096, RIG_CLOSE_CAP = 64 };

typedef struct realtime_rig {
    realtime *rt;
    realtime_config config;
    kernels kernels;
    int64_t now_us;
    char **events; /* [event_count] JSON, terminated */
    int event_count, event_cap;
    int mark; /* events from here on are new */
    realtime_order order;
    int close_code; /* 0: open */

    char *log; /* of the fake model; lines */
    size_t log_size, log_cap, log_mark;
    size_t pushed; /* samples of the push line that is being written */
    uint32_t keys[RIG_KEY_CAP];
    int key_count;
    uint32_t reply, guess, transcript, question; /* last keys of those commands */
    size_t push_room;                            /* what clip_push takes at most; SIZE_MAX */
    float *clip;                                 /* [clip_count] of the clip under way */
    size_t clip_count, clip_cap;
    size_t ended_count; /* of the last one that was ended: its samples are still there */
    FILE *dump;
    int rate;  /* of the sound that rig_speak sends */
    bool asks; /* the model can be asked how finished a clip sounds */
} realtime_rig;

/* Defaults; then change config, then open. */
void rig_init(realtime_rig *r);
/* Creates and opens; start: a session object or NULL. */
void rig_open(realtime_rig *r, const char *start);
/* The fake model alone, for who has a machine of his own: all but send, close and wire. */
void rig_model_ops(realtime_rig *r, realtime_ops *ops);
/* Checks that the order holds to the end, unless the machine was closed by itself. */
void rig_close(realtime_rig *r);

/* The same as cmocka's setup and teardown; the state is the rig. */
int realtime_rig_begin(void **state);
int realtime_rig_end(void **state);

/* A client's event; the quotes in it may be ' instead. */
void rig_send(realtime_rig *r, const char *form, ...) __attribute__((format(printf, 2, 3)));
void rig_send_raw(realtime_rig *r, const char *text, size_t size);
/* Sound at 16 kHz as appends of 20 ms at the input's rate, the clock going with it. */
void rig_speak(realtime_rig *r, const float *samples, size_t count);
void rig_silence(realtime_rig *r, double seconds);
/* The clip of samples/questions. */
void rig_ask(realtime_rig *r, const char *name);
/* One append of bytes. */
void rig_append(realtime_rig *r, const void *bytes, size_t size);
void rig_wait(realtime_rig *r, double seconds); /* ticks when due */

/* News about the last reply. */
void rig_begun(realtime_rig *r);
void rig_words(realtime_rig *r, const char *text);
void rig_sound(realtime_rig *r, double seconds); /* frames of 80 ms */
void rig_call(realtime_rig *r, const char *name, const char *arguments);
void rig_done(realtime_rig *r, rnl_finish finish);
void rig_fail(realtime_rig *r, api_code code, const char *message);
/* All of a reply. */
void rig_answer(realtime_rig *r, const char *text, double seconds);

/* Types since the mark, one space between, sets the mark. Free. */
const char *rig_types(realtime_rig *r);
/* What the model was asked since the last call of it, "; " between. */
const char *rig_asked(realtime_rig *r);
/* The last event of that type; destroy. NULL: there is none. */
json *rig_last(const realtime_rig *r, const char *type);
/* A text in the last event of a type, "response.status" or "error.code"; "" where there is none. */
const char *rig_value(const realtime_rig *r, const char *type, const char *path);
int rig_count(const realtime_rig *r, const char *type);

#endif
