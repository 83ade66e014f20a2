/* See realtime_model.h. Commands that the ring does not take wait in a list of our own, so that the
 * machine never has to know how much it may ask. */
#include "serve/realtime_model.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "serve/limits.h"
#include "serve/realtime_commands.h"
#include "serve/realtime_hearing.h"
#include "serve/realtime_settings.h"

enum {
    JOB_CAP = LIMIT_RESPONSES_QUEUED + 1, /* responses with a conversation of their own */
    GUESS_SLOT = 0
};

/* A response with a conversation of its own. */
typedef struct job {
    uint32_t key;             /* 0: the place is free */
    conversation *talk;       /* NULL: it waits for one */
    command *commands;        /* [count] for it, */
    size_t count, cap, asked; /* so many of them were asked */
} job;

struct realtime_model {
    realtime_model_config config;
    uint64_t kin; /* of all its conversations */
    conversation *talk;
    bool lost;
    api_error why;
    command *waiting; /* [waiting_count] for talk */
    size_t waiting_count, waiting_cap;
    bool begun;     /* something stands behind the system's text */
    uint32_t guess; /* reply made at a guess: news of talk wait; 0: none */
    char *tools;    /* of the prompt; NULL: none */

    job jobs[JOB_CAP];
    realtime_hearing *hearing; /* transcripts of the user */
    work_look *look;           /* at the last pause; NULL: none is wanted */
    uint32_t look_key;
    bool look_failed;         /* there was no memory for it */
    uint32_t failed[JOB_CAP]; /* to tell about: no conversation was had */
    int failed_count;

    char *call_name, *call_arguments; /* of the last news */
    int64_t worked_us;                /* for conversations that are closed */
};

/* ---- Asking ---- */

static void close_talk(realtime_model *m, conversation **talk) {
    if (*talk != NULL) m->worked_us += conversation_worked_us(*talk);
    conversation_close(talk);
}

static const rnl_model *model_of(const realtime_model *m) {
    return work_model(m->config.work);
}

/* What waits goes in, as far as there is room. */
static void flush(realtime_model *m) {
    size_t done = 0;
    while (m->talk != NULL && done < m->waiting_count &&
           conversation_ask(m->talk, &m->waiting[done]))
        done++;
    m->waiting_count -= done;
    if (done > 0) memmove(m->waiting, m->waiting + done, m->waiting_count * sizeof *m->waiting);
}

static bool make_room(realtime_model *m) {
    if (m->waiting_count < m->waiting_cap) return true;
    const size_t cap = 2 * m->waiting_cap + 64;
    command *grown = realloc(m->waiting, cap * sizeof *grown);
    if (grown == NULL) {
        m->lost = !api_fail(&m->why, API_ENGINE_FAILURE, NULL, "memory is exhausted");
        return false;
    }
    m->waiting = grown;
    m->waiting_cap = cap;
    return true;
}

/* Of the conversation; a realtime_sink's take. */
static bool take(void *context, const command *what) {
    realtime_model *m = context;
    flush(m);
    if (m->talk == NULL) return false;
    if (m->waiting_count == 0 && conversation_ask(m->talk, what)) return true;
    if (!make_room(m)) return false;
    m->waiting[m->waiting_count++] = *what;
    return true;
}

/* Of a response with a conversation of its own: kept until that can take it. */
static bool take_for_job(void *context, const command *what) {
    job *j = context;
    if (j->count == j->cap) {
        const size_t cap = 2 * j->cap + 16;
        command *grown = realloc(j->commands, cap * sizeof *grown);
        if (grown == NULL) return false;
        j->commands = grown;
        j->cap = cap;
    }
    j->commands[j->count++] = *what;
    return true;
}

static void ask(realtime_model *m, const command *what) {
    realtime_sink s = {.take = take, .context = m};
    realtime_put(&s, what);
}

static realtime_sink sink_of(realtime_model *m) {
    return (realtime_sink){.model = model_of(m), .take = take, .context = m, .begun = m->begun};
}

/* ---- The conversation ---- */

static void keep_tools(realtime_model *m, const char *tools) {
    free(m->tools);
    m->tools = tools != NULL ? strdup(tools) : NULL;
    if (tools != NULL && m->tools == NULL)
        m->lost = !api_fail(&m->why, API_ENGINE_FAILURE, NULL, "memory is exhausted");
}

static void on_restart(void *context, const realtime_prompt *prompt) {
    realtime_model *m = context;
    m->begun = false;
    realtime_sink s = sink_of(m);
    ask(m, &(command){.kind = COMMAND_RESET});
    realtime_put_prompt(&s, prompt);
    keep_tools(m, prompt->tools);
    m->begun = s.begun;
    m->guess = 0;
}

static void on_append(void *context, const realtime_entry *entry) {
    realtime_model *m = context;
    realtime_sink s = sink_of(m);
    if (entry->role == REALTIME_ASSISTANT || entry->role == REALTIME_CALL) {
        /* What it said itself it has in its own form, perhaps. */
        ask(m, &(command){.kind = COMMAND_AGAIN, .tag = entry->key});
        s.spare = true;
    }
    realtime_put_entry(&s, entry);
    m->begun = s.begun;
}

static size_t on_clip_push(void *context, const float *samples, size_t count) {
    realtime_model *m = context;
    flush(m);
    if (m->talk == NULL || m->waiting_count > 0) return 0;
    m->begun = true;
    return conversation_push(m->talk, samples, count, RNL_RATE_IN);
}

static void on_clip_drop(void *context) {
    ask(context, &(command){.kind = COMMAND_CANCEL_CLIP});
}

/* False: memory is exhausted. */
static bool begin_of(realtime_model *m, uint32_t key, const realtime_wish *wish, command *out) {
    if (realtime_begin_command(model_of(m), key, wish, m->tools, out)) return true;
    m->lost = !api_fail(&m->why, API_ENGINE_FAILURE, NULL, "memory is exhausted");
    return false;
}

static void on_clip_guess(void *context, uint32_t key, const realtime_wish *wish) {
    realtime_model *m = context;
    command c;
    if (!begin_of(m, key, wish, &c)) return;
    c.guess = true;
    ask(m, &(command){.kind = COMMAND_MARK, .slot = GUESS_SLOT, .tag = key});
    ask(m, &(command){.kind = COMMAND_END_CLIP});
    ask(m, &c);
    m->guess = key;
}

static void on_clip_withdraw(void *context) {
    realtime_model *m = context;
    if (m->guess == 0) return;
    if (m->talk != NULL) conversation_cancel(m->talk, m->guess);
    ask(m, &(command){.kind = COMMAND_RETURN, .slot = GUESS_SLOT, .tag = m->guess});
    m->guess = 0;
}

static void on_clip_end(void *context, uint32_t key) {
    realtime_model *m = context;
    (void)key;
    if (m->guess == 0) ask(m, &(command){.kind = COMMAND_END_CLIP});
}

static void on_respond(void *context, uint32_t key, const realtime_wish *wish) {
    realtime_model *m = context;
    m->begun = true;
    if (m->guess == key) {
        ask(m, &(command){.kind = COMMAND_CONFIRM, .tag = key});
    } else {
        command c;
        if (begin_of(m, key, wish, &c)) ask(m, &c);
    }
    m->guess = 0;
}

static void on_truncate(void *context, uint32_t key, size_t sample_count) {
    ask(context, &(command){.kind = COMMAND_CUT, .tag = key, .sample_count = sample_count});
}

static void on_ask_finished(void *context, uint32_t key, float *samples, size_t count) {
    realtime_model *m = context;
    work_look_close(&m->look); /* of the pause before */
    m->look_key = key;
    m->look = work_look_open(m->config.work, samples, count, m->config.ready, m->config.context);
    m->look_failed = m->look == NULL;
}

/* ---- Responses with a conversation of their own ---- */

/* Told with the next news: at the next tick, if nothing comes before. */
static void note_failure(realtime_model *m, uint32_t key) {
    if (m->failed_count < JOB_CAP) m->failed[m->failed_count++] = key;
}

/* Of a conversation of that class; what is no talk is beside the one that is. */
static conversation_config config_of(const realtime_model *m, work_class class) {
    return (conversation_config){.class = class,
                                 .seed = m->config.seed,
                                 .adapter = m->config.adapter,
                                 .owner = m->config.owner,
                                 .kin = m->kin,
                                 .beside = class != WORK_TALK,
                                 .drop_oldest_turns = true,
                                 .ready = m->config.ready,
                                 .context = m->config.context};
}

static conversation *open_alone(realtime_model *m, work_class class) {
    const conversation_config c = config_of(m, class);
    api_error error;
    return conversation_open(m->config.work, &c, &error);
}

static void free_entries(const realtime_entry *entries, int count) {
    for (int i = 0; i < count; i++)
        for (int p = 0; p < entries[i].piece_count; p++) {
            free(entries[i].pieces[p].samples);
            free(entries[i].pieces[p].pixels);
        }
}

static void end_job(realtime_model *m, job *j) {
    close_talk(m, &j->talk);
    while (j->asked < j->count) command_free(&j->commands[j->asked++]);
    free(j->commands);
    *j = (job){0};
}

/* What waits goes to its conversation, as soon as one can be had: who asked first comes first. */
static void run_jobs(realtime_model *m) {
    for (bool any = true; any;) {
        job *first = NULL;
        for (job *j = m->jobs; j < m->jobs + JOB_CAP; j++) {
            while (j->talk != NULL && j->asked < j->count &&
                   conversation_ask(j->talk, &j->commands[j->asked]))
                j->asked++;
            if (j->key != 0 && j->talk == NULL && (first == NULL || j->key < first->key)) first = j;
        }
        if (first != NULL) first->talk = open_alone(m, WORK_REQUEST);
        any = first != NULL && first->talk != NULL;
    }
}

static bool has_room_beside(const realtime_model *m) {
    work_facts f;
    work_get_facts(m->config.work, &f);
    return f.beside_max > 0;
}

static void on_respond_alone(void *context, uint32_t key, const realtime_prompt *prompt,
                             const realtime_entry *entries, int count, const realtime_wish *wish) {
    realtime_model *m = context;
    job *j = m->jobs;
    while (j < m->jobs + JOB_CAP && j->key != 0) j++;
    if (j == m->jobs + JOB_CAP || !has_room_beside(m)) {
        free_entries(entries, count);
        note_failure(m, key);
        return;
    }
    realtime_sink s = {.model = model_of(m), .take = take_for_job, .context = j};
    realtime_put_prompt(&s, prompt);
    for (int i = 0; i < count; i++) realtime_put_entry(&s, &entries[i]);
    command c;
    s.refused = !realtime_begin_command(model_of(m), key, wish, prompt->tools, &c) || s.refused;
    c.spoken = false;
    realtime_put(&s, &c);
    j->key = key;
    if (s.refused) {
        end_job(m, j);
        note_failure(m, key);
    }
    run_jobs(m);
}

static void on_cancel(void *context, uint32_t key) {
    realtime_model *m = context;
    for (int i = 0; i < JOB_CAP; i++) {
        if (m->jobs[i].key != key) continue;
        end_job(m, &m->jobs[i]);
        return;
    }
    if (m->talk != NULL) conversation_cancel(m->talk, key);
}

static void on_transcribe(void *context, uint32_t key, float *samples, size_t count,
                          const char *language, bool logprobs) {
    realtime_model *m = context;
    (void)language; /* the model hears which one it is */
    realtime_hearing_add(m->hearing, key, samples, count, logprobs);
}

void realtime_model_tick(realtime_model *m) {
    flush(m);
    run_jobs(m);
    realtime_hearing_tick(m->hearing);
}

/* ---- News ---- */

static realtime_usage usage_of(const work_usage *u) {
    return (realtime_usage){.input_text = u->input_text,
                            .input_audio = u->input_audio,
                            .input_image = u->input_image,
                            .cached_text = u->cached_text,
                            .cached_audio = u->cached_audio,
                            .cached_image = u->cached_image,
                            .output_text = u->output_text,
                            .output_audio = u->output_audio};
}

static bool read_call(realtime_model *m, const event *e, realtime_news_item *news) {
    json *call = NULL;
    if (json_parse(e->text, e->size, "call", &call, NULL) != RNL_OK) return false;
    const char *name = json_chars(json_get(call, "tool"), NULL);
    free(m->call_name);
    free(m->call_arguments);
    m->call_name = name != NULL ? strdup(name) : NULL;
    m->call_arguments = realtime_source(json_get(call, "arguments"));
    json_destroy(&call);
    if (m->call_name == NULL || m->call_arguments == NULL) return false;
    news->kind = REALTIME_CALLED;
    news->name = m->call_name;
    news->text = m->call_arguments;
    news->size = strlen(m->call_arguments);
    return true;
}

/* What an event about a reply says; false: nothing. */
static bool translate(realtime_model *m, const event *e, uint32_t key, realtime_news_item *news) {
    enum { FRAME = RNL_RATE_OUT * 8 / 100 };
    *news = (realtime_news_item){.key = key, .text = e->text, .size = e->size};
    switch (e->kind) {
    case EVENT_BEGUN:
        news->kind = REALTIME_BEGUN;
        news->usage = usage_of(&e->usage);
        return true;
    case EVENT_TEXT:
        news->kind = REALTIME_TEXT;
        news->position_count = 1;
        return true;
    case EVENT_SOUND:
        news->kind = REALTIME_SOUND;
        news->samples = e->samples;
        news->count = e->count;
        news->position_count = (int)((e->count + FRAME / 2) / FRAME);
        return true;
    case EVENT_CALL:
        return read_call(m, e, news);
    case EVENT_ENDED:
        news->kind = REALTIME_ENDED;
        news->usage = usage_of(&e->usage);
        news->finish = e->finish;
        news->code = e->error.code;
        if (news->code == API_OK) return true;
        m->why = e->error; /* the event's does not last */
        news->text = m->why.message;
        news->size = strlen(m->why.message);
        return true;
    default:
        return false;
    }
}

static void astray(realtime_news_item *news) {
    *news = (realtime_news_item){.kind = REALTIME_ASTRAY};
}

/* The session failed: another one, which has nothing yet. */
static void begin_anew(realtime_model *m, const api_error *error) {
    close_talk(m, &m->talk);
    for (size_t i = 0; i < m->waiting_count; i++) command_free(&m->waiting[i]);
    m->waiting_count = 0;
    m->guess = 0;
    m->talk = open_alone(m, WORK_TALK);
    m->lost = m->talk == NULL;
    m->why = *error;
}

static bool next_of_talk(realtime_model *m, realtime_news_item *news) {
    event e;
    while (m->talk != NULL && m->guess == 0 && conversation_next(m->talk, &e)) {
        if (e.kind == EVENT_LOST) begin_anew(m, &e.error);
        if (e.kind == EVENT_LOST || e.kind == EVENT_REFUSED) {
            astray(news);
            return true;
        }
        if (translate(m, &e, (uint32_t)e.tag, news)) return true;
    }
    return false;
}

static bool next_of_job(realtime_model *m, job *j, realtime_news_item *news) {
    event e;
    while (j->talk != NULL && conversation_next(j->talk, &e)) {
        bool told = translate(m, &e, j->key, news);
        const bool over = e.kind == EVENT_ENDED || e.kind == EVENT_LOST;
        if (e.kind == EVENT_REFUSED || e.kind == EVENT_LOST) m->why = e.error;
        if (e.kind == EVENT_LOST) {
            *news = (realtime_news_item){.kind = REALTIME_ENDED,
                                         .key = j->key,
                                         .code = e.error.code,
                                         .text = m->why.message,
                                         .size = strlen(m->why.message)};
            told = true;
        }
        if (over) end_job(m, j);
        if (told) return true;
    }
    return false;
}

/* Of a look that was not to be had nobody knows. */
static bool next_look(realtime_model *m, realtime_news_item *news) {
    float probability = 0.5f;
    if (!m->look_failed && (m->look == NULL || !work_look_answer(m->look, &probability)))
        return false;
    work_look_close(&m->look);
    m->look_failed = false;
    *news = (realtime_news_item){
        .kind = REALTIME_FINISHED, .key = m->look_key, .probability = probability};
    return true;
}

static bool next_failure(realtime_model *m, realtime_news_item *news) {
    static const char text[] = "this machine has no room for it now";
    if (m->failed_count == 0) return false;
    *news = (realtime_news_item){.kind = REALTIME_ENDED,
                                 .key = m->failed[--m->failed_count],
                                 .code = API_SERVER_OVERLOADED,
                                 .text = text,
                                 .size = sizeof text - 1};
    return true;
}

bool realtime_model_next(realtime_model *m, realtime_news_item *news) {
    flush(m);
    run_jobs(m);
    if (next_failure(m, news) || next_look(m, news) || next_of_talk(m, news)) return true;
    for (int i = 0; i < JOB_CAP; i++)
        if (next_of_job(m, &m->jobs[i], news)) return true;
    return realtime_hearing_next(m->hearing, news);
}

bool realtime_model_is_lost(const realtime_model *m, api_error *error) {
    if (m->lost) *error = m->why;
    return m->lost;
}

bool realtime_model_is_hearing(const realtime_model *m) {
    return realtime_hearing_is_busy(m->hearing);
}

int64_t realtime_model_worked_us(const realtime_model *m) {
    int64_t us = m->worked_us + realtime_hearing_worked_us(m->hearing);
    if (m->talk != NULL) us += conversation_worked_us(m->talk);
    for (int i = 0; i < JOB_CAP; i++)
        if (m->jobs[i].talk != NULL) us += conversation_worked_us(m->jobs[i].talk);
    return us;
}

/* ---- Life ---- */

realtime_model *realtime_model_open(const realtime_model_config *config, api_error *error) {
    realtime_model *m = calloc(1, sizeof *m);
    if (m == NULL) {
        (void)api_fail(error, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
        return NULL;
    }
    m->config = *config;
    m->kin = work_new_kin(config->work);
    const conversation_config c = config_of(m, WORK_TALK), beside = config_of(m, WORK_IDLE);
    m->talk = conversation_open(config->work, &c, error);
    m->hearing = realtime_hearing_open(config->work, &beside);
    if (m->talk != NULL && m->hearing == NULL)
        (void)api_fail(error, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
    if (m->talk == NULL || m->hearing == NULL) realtime_model_close(&m);
    return m;
}

void realtime_model_close(realtime_model **out) {
    realtime_model *m = *out;
    *out = NULL;
    if (m == NULL) return;
    conversation_close(&m->talk);
    realtime_hearing_close(&m->hearing);
    work_look_close(&m->look);
    for (int i = 0; i < JOB_CAP; i++) end_job(m, &m->jobs[i]);
    for (size_t i = 0; i < m->waiting_count; i++) command_free(&m->waiting[i]);
    free(m->waiting);
    free(m->tools);
    free(m->call_name);
    free(m->call_arguments);
    free(m);
}

void realtime_model_ops(realtime_model *m, realtime_ops *ops) {
    ops->model = m;
    ops->restart = on_restart;
    ops->append = on_append;
    ops->clip_push = on_clip_push;
    ops->clip_drop = on_clip_drop;
    ops->clip_guess = on_clip_guess;
    ops->clip_withdraw = on_clip_withdraw;
    ops->clip_end = on_clip_end;
    ops->ask_finished = work_takes_looks(m->config.work) ? on_ask_finished : NULL;
    ops->respond = on_respond;
    ops->respond_alone = on_respond_alone;
    ops->cancel = on_cancel;
    ops->truncate = on_truncate;
    ops->transcribe = on_transcribe;
}
