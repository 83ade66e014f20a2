/* POST /v1/audio/transcriptions: the form's file through a transcript of the engine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/server_inner.h"
#include "serve/transcription.h"

typedef struct writing {
    call *call;
    transcription_form form;
    transcription_request request;
    transcription_answer *answer;
    conversation *conversation;
    size_t counted; /* bytes that stand in the server's count of bodies */
    bool ended;     /* the last event was taken */
} writing;

static bool begin(call *c) {
    api_error e;
    writing *w = calloc(1, sizeof *w);
    c->state = w;
    if (w == NULL) {
        (void)api_fail(&e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
    } else {
        w->call = c;
        if (transcription_form_begin(&w->form, net_exchange_header(c->exchange, NET_CONTENT_TYPE),
                                     work_model(c->server->work), c->server->config.upload_max,
                                     &e)) {
            w->counted = (size_t)net_exchange_body_size(c->exchange);
            c->server->body_size += w->counted;
            return true;
        }
    }
    net_answer_error(c->exchange, &e);
    return false;
}

static bool take_bytes(call *c, const uint8_t *bytes, size_t size) {
    writing *w = c->state;
    api_error e;
    if (transcription_form_push(&w->form, bytes, size, &e)) return true;
    net_answer_error(c->exchange, &e);
    return false;
}

/* What is missing in the sound, for forms that have no place for it. */
static void tell_faults(const writing *w, const sound_faults *faults) {
    char text[TRANSCRIPTION_HEADER_CAP];
    net_exchange *x = w->call->exchange;
    if (w->request.stream) return; /* the last event tells */
    if (transcription_damage(faults, text)) net_exchange_add_header(x, "x-runnel-damaged", text);
    if (transcription_phase(faults, text)) net_exchange_add_header(x, "x-runnel-phase", text);
}

/* False: nothing more is to be done with the answer. */
static bool take_event(writing *w, const event *e) {
    api_error error = e->error;
    switch (e->kind) {
    case EVENT_PIECE:
        if (transcription_answer_piece(w->answer, e->piece)) return true;
        (void)api_fail(&error, API_SERVER_OVERLOADED, NULL, "the answer is too long");
        break;
    case EVENT_ENDED:
        w->ended = true;
        if (error.code == API_OK) tell_faults(w, e->faults);
        if (error.code == API_OK && transcription_answer_end(w->answer, e)) return true;
        if (error.code == API_OK)
            (void)api_fail(&error, API_SERVER_OVERLOADED, NULL, "the answer is too long");
        break;
    case EVENT_LOST:
        break;
    default:
        return true;
    }
    call_fail(w->call, &error, w->request.stream);
    call_close(w->call, &w->conversation);
    return false;
}

static void pump(writing *w) {
    event e;
    for (;;) {
        json_out *out = transcription_answer_out(w->answer);
        if (out->size > 0 && w->request.stream &&
            !call_send(w->call, transcription_answer_type(w->answer), out))
            return;
        if (w->ended || w->conversation == NULL || !conversation_next(w->conversation, &e)) break;
        if (!take_event(w, &e)) return;
    }
    if (!w->ended) return;
    json_out *out = transcription_answer_out(w->answer);
    if (w->request.stream)
        net_answer_end(w->call->exchange);
    else
        net_answer(w->call->exchange, 200, transcription_answer_type(w->answer), out->text,
                   out->size);
    call_close(w->call, &w->conversation);
}

static void ready(void *context) {
    pump(context);
}

static bool ask(writing *w, api_error *e) {
    server *s = w->call->server;
    served_model model;
    if (!server_find_model(s, w->request.model, &model, e)) return false;
    const conversation_config config = {.class = WORK_IDLE,
                                        .adapter = model.adapter,
                                        .owner = w->call->owner,
                                        .ready = ready,
                                        .context = w};
    const rnl_transcript_config transcript = transcription_config(&w->request, work_model(s->work));
    w->answer = transcription_answer_create(&w->request, work_model(s->work));
    if (w->answer == NULL) return api_fail(e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
    w->conversation = conversation_open_transcript(s->work, &config, &transcript, e);
    if (w->conversation == NULL) return false;
    const command file = {
        .kind = COMMAND_FILE, .tag = 1, .bytes = w->request.file, .size = w->request.size};
    if (!conversation_ask(w->conversation, &file))
        return api_fail(e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
    w->request.file = NULL; /* it is the engine's now */
    w->request.size = 0;
    return true;
}

static void complete(call *c) {
    writing *w = c->state;
    api_error e;
    if (!transcription_form_finish(&w->form, &w->request, &e) || !ask(w, &e))
        net_answer_error(c->exchange, &e);
}

static void writable(call *c) {
    writing *w = c->state;
    if (w != NULL && w->answer != NULL && w->conversation != NULL) pump(w);
}

static void gone(call *c) {
    writing *w = c->state;
    if (w == NULL) return;
    c->server->body_size -= w->counted;
    (void)snprintf(c->file, sizeof c->file, "%s", w->form.file_name);
    call_close(c, &w->conversation);
    transcription_form_free(&w->form);
    transcription_request_free(&w->request);
    transcription_answer_destroy(&w->answer);
    free(w);
}

const service service_transcriptions = {
    .begin = begin, .body = take_bytes, .complete = complete, .writable = writable, .gone = gone};
