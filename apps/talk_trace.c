/* The trace: one JSON line a turn. With transcribe the user's clip is written down by a second
 * session on the same model, in steps taken while the loop has nothing to do; the line waits for
 * it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/lora_options.h"
#include "apps/messages.h"
#include "apps/replace.h"
#include "apps/talk.h"
#include "core/json.h"

enum { TEXT_CAP = 32768 };

struct talk_trace {
    const options *options;
    talk_view *view;
    const char *path; /* NULL: no file */
    FILE *file;
    rnl_session *session; /* NULL without transcribe */
    rnl_turn_config how;
    const char *prompt; /* system prompt of transcription, or NULL */
    float *clip;        /* [clip_cap] */
    size_t clip_cap;
    bool writing_down; /* a clip is being transcribed */
    char user[TEXT_CAP];
    size_t user_size, user_shown;
    bool waiting; /* a turn waits for user */
    rnl_live_turn turn;
    char said[TEXT_CAP], heard[TEXT_CAP];
    size_t said_size, heard_size;
};

static int out_of_memory(void) {
    return complain(EXIT_FAILED, "memory for the trace is exhausted");
}

static int open_transcriber(talk_trace *t, rnl_model *model) {
    const options *o = t->options;
    rnl_error error = {0};
    if (!rnl_model_can(model, RNL_MODE_TRANSCRIBE))
        return complain(EXIT_MODEL, "--transcribe: this model cannot write down speech");
    const double seconds = (o->turn_seconds_max > 0 ? o->turn_seconds_max : 30.0) + 0.5;
    rnl_session_config config = rnl_session_config_default();
    if (o->threads > 0) config.thread_count = o->threads;
    config.clip_seconds_max = seconds < 600 ? seconds : 600;
    config.context_cap = 1024 + (int)(seconds * 12.5);
    config.snapshot_cap = 0;
    config.adapter = lora_options_set(o);
    t->prompt = rnl_model_system_prompt(model, RNL_MODE_TRANSCRIBE);
    t->how = rnl_turn_config_default(model, RNL_MODE_TRANSCRIBE);
    t->clip_cap = (size_t)(seconds * RNL_RATE_IN) + 1;
    t->clip = malloc(t->clip_cap * sizeof *t->clip);
    if (t->clip == NULL) return out_of_memory();
    if (rnl_session_create(model, &config, &t->session, &error) == RNL_OK) return EXIT_OK;
    return complain(exit_code(&error), "%s", error.text);
}

static int open_file(talk_trace *t) {
    t->path = t->options->trace;
    if (t->path == NULL) return EXIT_OK;
    const int code = check_target(t->path);
    if (code != EXIT_OK) return code;
    t->file = fopen(t->path, "w");
    if (t->file != NULL) return EXIT_OK;
    return complain(EXIT_FAILED, "%s: cannot be written: %s", t->path, strerror(errno));
}

talk_trace *trace_open(const options *o, rnl_model *model, talk_view *view, int *code) {
    talk_trace *t = calloc(1, sizeof *t);
    if (t == NULL) {
        *code = out_of_memory();
        return NULL;
    }
    t->options = o;
    t->view = view;
    *code = o->transcribe ? open_transcriber(t, model) : EXIT_OK;
    if (*code == EXIT_OK) *code = open_file(t);
    if (*code != EXIT_OK) (void)trace_close(&t);
    return t;
}

/* ---- The line ---- */

static json_draft *mark_of(const rnl_live_turn *turn, int mark) {
    const int64_t us = turn->mark_us[mark];
    return us >= 0 ? json_new_int(us) : json_new_number((double)NAN); /* null */
}

static int write_line(talk_trace *t) {
    t->waiting = false;
    const size_t user_size = t->user_size;
    t->user_size = t->user_shown = 0;
    if (t->file == NULL) return EXIT_OK;
    json_draft *o = json_new_object();
    json_set(o, "turn", json_new_int(t->turn.index));
    for (int i = 0; i < RNL_LIVE_MARK_COUNT; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "T%d", i);
        json_set(o, name, mark_of(&t->turn, i));
    }
    json_set(o, "said", json_new_string(t->said, t->said_size));
    json_set(o, "said_heard", json_new_string(t->heard, t->heard_size));
    if (t->session != NULL) json_set(o, "user_text", json_new_string(t->user, user_size));
    json_set(o, "barged_in", json_new_bool(t->turn.barged_in));
    json_set(o, "holds", json_new_int(t->turn.hold_count));
    const char *rule = rnl_live_end_rule_name(t->turn.end_rule);
    const double p = t->turn.end_probability;
    json_set(o, "end_rule", json_new_string(rule, strlen(rule)));
    json_set(o, "end_probability", json_new_number(p >= 0 ? p : (double)NAN)); /* null */
    char *line = json_text(o);
    json_drop(&o);
    if (line == NULL) return out_of_memory();
    errno = 0;
    const bool good = fprintf(t->file, "%s\n", line) > 0 && fflush(t->file) == 0;
    free(line);
    if (good) return EXIT_OK;
    return complain(EXIT_FAILED, "%s: cannot be written: %s", t->path, strerror(errno));
}

static size_t keep(char *to, const char *text, size_t size) {
    const size_t kept = size < TEXT_CAP ? size : TEXT_CAP;
    memcpy(to, text, kept);
    return kept;
}

int trace_turn(talk_trace *t, rnl_live *live, const rnl_live_turn *turn) {
    const char *text;
    size_t size;
    t->turn = *turn;
    rnl_live_said(live, &text, &size);
    t->said_size = keep(t->said, text, size);
    rnl_live_heard(live, &text, &size);
    t->heard_size = keep(t->heard, text, size);
    t->waiting = true;
    return t->writing_down ? EXIT_OK : write_line(t);
}

/* ---- What the user said ---- */

static int failed(const rnl_error *error) {
    return complain(exit_code(error), "%s", error->text);
}

static void collect(talk_trace *t) {
    size_t got;
    while (t->user_size < TEXT_CAP - 8 &&
           rnl_session_pull_text(t->session, t->user + t->user_size, TEXT_CAP - t->user_size,
                                 &got) == RNL_OK)
        t->user_size += got;
}

int trace_work(talk_trace *t, bool *worked) {
    *worked = t->writing_down;
    if (!t->writing_down) return EXIT_OK;
    rnl_error error = {0};
    const rnl_status status = rnl_session_step(t->session, &error);
    if (status < 0) return failed(&error);
    collect(t);
    if (status != RNL_DONE) return EXIT_OK;
    t->writing_down = false;
    view_user(t->view, t->user + t->user_shown, t->user_size - t->user_shown);
    return t->waiting ? write_line(t) : EXIT_OK;
}

static int finish_work(talk_trace *t) {
    int code = EXIT_OK;
    for (bool worked = true; worked && code == EXIT_OK;) code = trace_work(t, &worked);
    return code;
}

int trace_clip(talk_trace *t, rnl_live *live) {
    if (t->session == NULL) return EXIT_OK;
    int code = finish_work(t); /* of the turn before */
    if (code != EXIT_OK) return code;
    if (t->user_size > 0 && t->user_size < TEXT_CAP) t->user[t->user_size++] = ' ';
    t->user_shown = t->user_size;
    rnl_error error = {0};
    size_t count;
    rnl_live_clip(live, t->clip, t->clip_cap, &count);
    if (count < RNL_RATE_IN / 50) return EXIT_OK;
    rnl_session_reset(t->session);
    const char *prompt = t->prompt != NULL ? t->prompt : "";
    if (rnl_session_add_text(t->session, RNL_ROLE_SYSTEM, prompt, strlen(prompt), &error) !=
            RNL_OK ||
        rnl_session_add_audio(t->session, t->clip, count, RNL_RATE_IN, &error) != RNL_OK ||
        rnl_session_begin(t->session, &t->how, &error) != RNL_OK)
        return failed(&error);
    t->writing_down = true;
    return EXIT_OK;
}

int trace_close(talk_trace **trace) {
    talk_trace *t = *trace;
    if (t == NULL) return EXIT_OK;
    *trace = NULL;
    int code = t->session != NULL ? finish_work(t) : EXIT_OK;
    if (t->file != NULL && fclose(t->file) != 0 && code == EXIT_OK)
        code = complain(EXIT_FAILED, "%s: cannot be written: %s", t->path, strerror(errno));
    rnl_session_destroy(&t->session);
    free(t->clip);
    free(t);
    return code;
}
