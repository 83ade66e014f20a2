/* POST /v1/audio/speech: a text spoken, its bytes sent as they come. */
#include <stdlib.h>
#include <string.h>

#include "serve/server_inner.h"
#include "serve/speaker.h"

enum { PIECE = 32768, WAITING_MAX = 4 * PIECE };

typedef struct speaking {
    call *call;
    speaker speaker;
    char bytes[PIECE]; /* on their way, */
    size_t at, size;   /* [at, size) */
} speaking;

static bool is_events(const speaking *s) {
    return strcmp(speech_type(s->speaker.speech), "text/event-stream") == 0;
}

static void begin_answer(const speaking *s) {
    net_exchange *x = s->call->exchange;
    if (net_answer_is_begun(x)) return;
    if (is_events(s)) net_exchange_add_header(x, "cache-control", "no-cache");
    net_answer_begin(x, 200, speech_type(s->speaker.speech));
}

/* Sends what can be sent. False: there is no room for the rest. */
static bool flush(speaking *s) {
    net_exchange *x = s->call->exchange;
    if (!s->speaker.taken) return true; /* the head of a WAV is there before anything else */
    for (;;) {
        if (s->at == s->size) {
            s->at = 0;
            s->size = speech_take(s->speaker.speech, s->bytes, sizeof s->bytes);
            if (s->size == 0) return true;
        }
        begin_answer(s);
        if (!net_answer_write(x, s->bytes, s->size)) return false;
        s->at = s->size;
    }
}

static void pump(speaking *s) {
    api_error error;
    while (flush(s) && speech_waiting(s->speaker.speech) < WAITING_MAX) {
        if (speaker_step(&s->speaker, &error)) continue;
        if (error.code == API_OK) break;
        call_fail(s->call, &error, is_events(s));
        call_close(s->call, &s->speaker.conversation);
        return;
    }
    if (s->at < s->size || !speech_is_over(s->speaker.speech)) return;
    net_answer_end(s->call->exchange);
    call_close(s->call, &s->speaker.conversation);
}

static void ready(void *context) {
    pump(context);
}

static bool begin_speaking(speaking *s, speech_request *request, api_error *e) {
    server *o = s->call->server;
    served_model model;
    if (!server_find_model(o, request->model, &model, e)) return false;
    const conversation_config config = {.class = WORK_REQUEST,
                                        .adapter = model.adapter,
                                        .owner = s->call->owner,
                                        .ready = ready,
                                        .context = s};
    if (!rnl_model_can(work_model(o->work), RNL_MODE_SPEAK))
        return api_fail(e, API_MODEL_NOT_FOUND, "model", "this model does not speak");
    return speaker_open(&s->speaker, o->work, &config, request, e);
}

static void complete(call *c) {
    api_error e;
    speech_request request = {0};
    speaking *s = calloc(1, sizeof *s);
    c->state = s;
    if (s == NULL) {
        (void)api_fail(&e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
        net_answer_error(c->exchange, &e);
        return;
    }
    s->call = c;
    if (!speech_request_read(c->body, c->body_size, work_model(c->server->work), &request, &e) ||
        !begin_speaking(s, &request, &e))
        net_answer_error(c->exchange, &e);
    speech_request_free(&request);
}

static void writable(call *c) {
    speaking *s = c->state;
    if (s != NULL && s->speaker.conversation != NULL) pump(s);
}

static void gone(call *c) {
    speaking *s = c->state;
    if (s == NULL) return;
    call_close(c, &s->speaker.conversation);
    speaker_close(&s->speaker);
    free(s);
}

const service service_speech = {.complete = complete, .writable = writable, .gone = gone};
