#include "serve/service_wyoming.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "serve/limits.h"
#include "serve/speaker.h"
#include "serve/wyoming.h"
#include "serve/wyoming_info.h"
#include "serve/wyoming_talks.h"
#include "text/voices.h"

enum {
    SOUND_ROOM = 64 << 10, /* free bytes of the queue that a piece of sound needs */
    RETRY_US = 20000,      /* until the engine has taken some of a clip */
    LOOK_US = 5000000      /* how often an idle connection is looked at */
};

struct wyoming_service {
    wyoming_service_config config;
    char *info;
    wyoming_talks talks;
    int count, busy;
};

/* A connection. */
typedef struct caller {
    wyoming_service *service;
    net_peer *peer;
    wyoming *machine;
    bool busy; /* a job is under way: */
    wyoming_ask ask;
    conversation *recording; /* HEAR, */
    int rate;                /* of its clip, */
    bool has_text;           /* a piece of it came */
    speaker speaker;         /* SPEAK */
    wyoming_talk *talk;      /* ANSWER */
    bool starved;            /* the queue was full: what was written is not whole */
    char *rest;              /* [rest_size] bytes that the machine did not take yet */
    size_t rest_size;
    int64_t begun_us;
    int64_t worked_us; /* by the model */
    uint64_t bytes_in, bytes_out;
    char refusal[API_MESSAGE_CAP];
} caller;

/* What a kept talk is: a conversation, and who uses it now. */
typedef struct talking {
    conversation *conversation;
    caller *caller; /* NULL: nobody */
    int64_t tag;
    int64_t counted_us; /* that the model worked, as counted so far */
} talking;

static void advance(caller *c);

/* ---- Jobs ---- */

static void ready(void *context) {
    advance(context);
}

static void ready_to_talk(void *context) {
    talking *t = context;
    if (t->caller != NULL) advance(t->caller);
}

static void close_talk(void *what) {
    talking *t = what;
    if (t == NULL) return;
    conversation_close(&t->conversation);
    free(t);
}

static bool hear(caller *c, const wyoming_job *job, api_error *e) {
    work *w = c->service->config.work;
    const conversation_config config = {.class = WORK_REQUEST, .ready = ready, .context = c};
    if (!rnl_model_can(work_model(w), RNL_MODE_TRANSCRIBE))
        return api_fail(e, API_INVALID_VALUE, NULL, "this model does not write what it hears");
    rnl_transcript_config transcript = rnl_transcript_config_default(work_model(w));
    transcript.rate = c->rate = job->rate;
    transcript.word_times = false;
    c->has_text = false;
    c->recording = conversation_open_transcript(w, &config, &transcript, e);
    return c->recording != NULL;
}

static bool speak(caller *c, const wyoming_job *job, api_error *e) {
    work *w = c->service->config.work;
    const conversation_config config = {.class = WORK_REQUEST, .ready = ready, .context = c};
    speech_request request = {.format = SOUND_FORMAT_PCM, .size = job->text_size};
    if (!rnl_model_can(work_model(w), RNL_MODE_SPEAK))
        return api_fail(e, API_INVALID_VALUE, NULL, "this model does not speak");
    if (job->voice[0] != '\0' && !speech_voice(job->voice, strlen(job->voice), &request.prompt))
        return api_fail(e, API_INVALID_VALUE, NULL,
                        "the voice '%.60s' is not known; 'default', " VOICE_NAMES " are there",
                        job->voice);
    if (request.prompt == NULL)
        request.prompt = rnl_model_system_prompt(work_model(w), RNL_MODE_SPEAK);
    request.input = malloc(job->text_size + 1);
    if (request.input == NULL)
        return api_fail(e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
    memcpy(request.input, job->text, job->text_size);
    const bool opened = speaker_open(&c->speaker, w, &config, &request, e);
    speech_request_free(&request);
    return opened;
}

/* The talk's conversation, made when it is new. */
static talking *talk_of(caller *c, api_error *e) {
    if (c->talk->what != NULL) return c->talk->what;
    talking *t = calloc(1, sizeof *t);
    if (t == NULL) {
        (void)api_fail(e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
        return NULL;
    }
    const conversation_config config = {
        .class = WORK_REQUEST, .drop_oldest_turns = true, .ready = ready_to_talk, .context = t};
    t->conversation = conversation_open(c->service->config.work, &config, e);
    if (t->conversation == NULL) {
        free(t);
        return NULL;
    }
    c->talk->what = t;
    return t;
}

static bool ask(talking *t, const rnl_model *model, const wyoming_job *job, api_error *e) {
    command text = {.kind = COMMAND_TEXT,
                    .role = RNL_ROLE_USER,
                    .text = malloc(job->text_size),
                    .text_size = job->text_size};
    const command begin = {.kind = COMMAND_BEGIN,
                           .tag = ++t->tag,
                           .turn = rnl_turn_config_default(model, RNL_MODE_TEXT)};
    if (text.text != NULL) {
        memcpy(text.text, job->text, job->text_size);
        if (conversation_ask(t->conversation, &text))
            text.text = NULL; /* it is the engine's now */
        else
            free(text.text);
    }
    if (text.text == NULL && conversation_ask(t->conversation, &begin)) return true;
    return api_fail(e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
}

static bool answer(caller *c, const wyoming_job *job, api_error *e) {
    wyoming_service *s = c->service;
    void *old;
    c->talk = wyoming_talks_take(&s->talks, net_peer_address(c->peer), job->conversation,
                                 clock_us(), &old);
    close_talk(old);
    if (c->talk == NULL)
        return api_fail(e, API_SERVER_OVERLOADED, NULL,
                        "this conversation, or %d others, are just being answered; ask again",
                        LIMIT_WYOMING_CONVERSATIONS);
    talking *t = talk_of(c, e);
    if (t != NULL) t->caller = c;
    return t != NULL && ask(t, work_model(s->config.work), job, e);
}

static int64_t worked_us(const conversation *c) {
    return c != NULL ? conversation_worked_us(c) : 0;
}

/* The job is over; keep: its talk may go on. */
static void end_job(caller *c, bool keep) {
    if (c->busy) c->service->busy--;
    c->busy = false;
    c->worked_us += worked_us(c->recording) + worked_us(c->speaker.conversation);
    conversation_close(&c->recording);
    speaker_close(&c->speaker);
    if (c->talk == NULL) return;
    talking *t = c->talk->what;
    if (t != NULL) {
        t->caller = NULL;
        const int64_t all_us = worked_us(t->conversation);
        c->worked_us += all_us - t->counted_us;
        t->counted_us = all_us;
    }
    close_talk(wyoming_talks_give(c->talk, keep, clock_us()));
    c->talk = NULL;
}

/* ---- What the machine asks ---- */

static void host_write(void *context, const char *bytes, size_t size) {
    caller *c = context;
    c->bytes_out += size;
    if (!c->starved && !net_peer_send(c->peer, bytes, size)) c->starved = true;
}

static const char *host_start(void *context, const wyoming_job *job) {
    caller *c = context;
    api_error e;
    bool begun = false;
    assert(!c->busy);
    c->busy = true;
    c->service->busy++;
    c->ask = job->ask;
    switch (job->ask) {
    case WYOMING_HEAR:
        begun = hear(c, job, &e);
        break;
    case WYOMING_SPEAK:
        begun = speak(c, job, &e);
        break;
    case WYOMING_ANSWER:
        begun = answer(c, job, &e);
        break;
    }
    if (begun) return NULL;
    end_job(c, false);
    (void)snprintf(c->refusal, sizeof c->refusal, "%s", e.message);
    return c->refusal;
}

static size_t host_sound(void *context, const float *samples, size_t count) {
    caller *c = context;
    return conversation_push(c->recording, samples, count, c->rate);
}

static void host_sound_end(void *context) {
    caller *c = context;
    const command end = {.kind = COMMAND_END_CLIP};
    if (!conversation_ask(c->recording, &end)) c->starved = true;
}

/* ---- What the engine tells ---- */

static void fail(caller *c, const api_error *e) {
    end_job(c, false);
    wyoming_failed(c->machine, e->message);
}

static void finish(caller *c) {
    end_job(c, true);
    wyoming_finished(c->machine, clock_us());
}

/* Where somebody spoke, as far as a piece of the transcript shows it. */
static void tell_voice(caller *c, const rnl_piece *p) {
    wyoming_voice(c->machine, true, (int64_t)(1000 * p->begin));
    wyoming_voice(c->machine, false, (int64_t)(1000 * p->end));
}

/* Each takes one step of the job under way. False: nothing more is to be done now. */
static bool step_hearing(caller *c) {
    event e;
    if (!conversation_next(c->recording, &e)) return false;
    if (e.kind == EVENT_PIECE) {
        if (e.piece->text_size > 0) tell_voice(c, e.piece);
        if (c->has_text && e.piece->text_size > 0) wyoming_text(c->machine, " ", 1);
        wyoming_text(c->machine, e.piece->text, e.piece->text_size);
        c->has_text = c->has_text || e.piece->text_size > 0;
    } else if (e.kind == EVENT_ENDED && e.error.code == API_OK) {
        finish(c);
    } else {
        fail(c, &e.error);
    }
    return true;
}

static bool step_speaking(caller *c) {
    uint8_t bytes[2 * WYOMING_SPEECH_CAP];
    int16_t samples[WYOMING_SPEECH_CAP];
    api_error e = {0};
    if (net_peer_room(c->peer) < SOUND_ROOM) return false; /* writable comes */
    const size_t size = speech_take(c->speaker.speech, (char *)bytes, sizeof bytes);
    for (size_t i = 0; i < size / 2; i++)
        samples[i] = (int16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
    wyoming_speech(c->machine, samples, size / 2);
    if (size > 0) return true;
    if (speech_is_over(c->speaker.speech)) {
        finish(c);
        return true;
    }
    if (speaker_step(&c->speaker, &e)) return true;
    if (e.code == API_OK) return false;
    fail(c, &e);
    return true;
}

static bool step_answering(caller *c) {
    const talking *t = c->talk->what;
    event e;
    if (!conversation_next(t->conversation, &e)) return false;
    if (e.kind == EVENT_TEXT)
        wyoming_text(c->machine, e.text, e.size);
    else if (e.kind == EVENT_ENDED && e.error.code == API_OK)
        finish(c);
    else if (e.kind == EVENT_ENDED || e.kind == EVENT_REFUSED || e.kind == EVENT_LOST)
        fail(c, &e.error);
    return true;
}

static bool step(caller *c) {
    if (!c->busy || c->starved) return false;
    return c->ask == WYOMING_HEAR    ? step_hearing(c)
           : c->ask == WYOMING_SPEAK ? step_speaking(c)
                                     : step_answering(c);
}

/* Keeps what the machine did not take. */
static void keep_rest(caller *c, size_t taken) {
    c->rest_size -= taken;
    if (c->rest_size > 0) memmove(c->rest, c->rest + taken, c->rest_size);
}

static void close_caller(caller *c) {
    end_job(c, false);
    net_peer_close(c->peer, 1000, "");
}

/* All that can be done now: what the engine told, what the client sent. */
static void advance(caller *c) {
    size_t taken;
    const int64_t now_us = clock_us();
    rnl_status status;
    do {
        while (step(c)) continue;
        status = wyoming_push(c->machine, c->rest, c->rest_size, &taken, now_us);
        keep_rest(c, taken);
    } while (status != RNL_DONE && c->busy && step(c));
    if (status == RNL_DONE || c->starved) {
        close_caller(c);
        return;
    }
    const bool holds = status == RNL_AGAIN;
    net_peer_hold(c->peer, holds);
    const bool soon = holds && c->busy && c->ask == WYOMING_HEAR;
    net_peer_wake_at(c->peer, now_us + (soon ? RETRY_US : LOOK_US));
}

/* ---- Connections ---- */

static void on_bytes(void *state, net_peer *p, const char *bytes, size_t size) {
    caller *c = state;
    c->bytes_in += size;
    char *rest = realloc(c->rest, c->rest_size + size);
    if (rest == NULL) {
        net_peer_close(p, 1000, "");
        return;
    }
    memcpy(rest + c->rest_size, bytes, size);
    c->rest = rest;
    c->rest_size += size;
    advance(c);
}

static void on_writable(void *state, net_peer *p) {
    (void)p;
    advance(state);
}

static void on_tick(void *state, net_peer *p) {
    caller *c = state;
    if (wyoming_tick(c->machine, clock_us()) == RNL_DONE)
        net_peer_close(p, 1000, "");
    else
        advance(c);
}

static void on_gone(void *state) {
    caller *c = state;
    end_job(c, false);
    const log_entry entry = {.what = "wyoming",
                             .id = "",
                             .method = "",
                             .path = "",
                             .duration_us = clock_us() - c->begun_us,
                             .bytes_in = c->bytes_in,
                             .bytes_out = c->bytes_out,
                             .model_us = c->worked_us,
                             .address = net_peer_address(c->peer),
                             .why = c->starved ? "slow_reader" : "",
                             .file = ""};
    book_connection(c->service->config.book, &entry);
    c->service->count--;
    wyoming_destroy(&c->machine);
    free(c->rest);
    free(c);
}

static const net_peer_handlers peer_handlers = {
    .message = on_bytes, .writable = on_writable, .tick = on_tick, .gone = on_gone};

bool wyoming_service_adopt(wyoming_service *s, const char *address, net_peer *p,
                           const net_peer_handlers **handlers, void **state) {
    if (!cidr_allows(s->config.allowed, s->config.allowed_count, address) ||
        s->count >= LIMIT_WYOMING_CONNECTIONS)
        return false;
    caller *c = calloc(1, sizeof *c);
    if (c == NULL) return false;
    const wyoming_host host = {.context = c,
                               .write = host_write,
                               .start = host_start,
                               .sound = host_sound,
                               .sound_end = host_sound_end};
    c->service = s;
    c->peer = p;
    if (wyoming_create(&host, s->info, clock_us(), &c->machine) != RNL_OK) {
        free(c);
        return false;
    }
    c->begun_us = clock_us();
    s->count++;
    net_peer_wake_at(p, c->begun_us + LOOK_US);
    *handlers = &peer_handlers;
    *state = c;
    return true;
}

/* ---- The service ---- */

rnl_status wyoming_service_create(const wyoming_service_config *config, wyoming_service **out) {
    static const char *const voices[] = {"default", "us-male", "us-female", "uk-male", "uk-female"};
    const rnl_model *model = work_model(config->work);
    const char *prompt = rnl_model_system_prompt(model, RNL_MODE_TRANSCRIBE);
    const char *language = prompt != NULL && strstr(prompt, "japanese") != NULL ? "ja" : "en";
    const wyoming_about about = {.model = config->name,
                                 .hears = rnl_model_can(model, RNL_MODE_TRANSCRIBE),
                                 .speaks = rnl_model_can(model, RNL_MODE_SPEAK),
                                 .languages = &language,
                                 .language_count = 1,
                                 .voices = voices,
                                 .voice_count = sizeof voices / sizeof *voices};
    wyoming_service *s = *out = calloc(1, sizeof *s);
    if (s == NULL) return RNL_ERR_MEMORY;
    s->config = *config;
    s->info = wyoming_info(&about);
    if (s->info != NULL) return RNL_OK;
    wyoming_service_destroy(out);
    return RNL_ERR_MEMORY;
}

void wyoming_service_destroy(wyoming_service **out) {
    wyoming_service *s = *out;
    if (s == NULL) return;
    *out = NULL;
    assert(s->count == 0 && s->busy == 0);
    for (void *old; (old = wyoming_talks_expire(&s->talks, INT64_MAX)) != NULL;) close_talk(old);
    free(s->info);
    free(s);
}

void wyoming_service_tick(wyoming_service *s, int64_t now_us) {
    for (void *old; (old = wyoming_talks_expire(&s->talks, now_us)) != NULL;) close_talk(old);
}

int wyoming_service_count(const wyoming_service *s) {
    return s->count;
}

int wyoming_service_busy(const wyoming_service *s) {
    return s->busy;
}
