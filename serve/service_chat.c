/* POST /v1/chat/completions: the request's commands to the engine, its events to the answer. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/answers.h"
#include "serve/chat_answer.h"
#include "serve/ids.h"
#include "serve/limits.h"
#include "serve/server_inner.h"
#include "serve/sound_in.h"

typedef struct chatting {
    call *call;
    chat_request request;
    served_model model;
    chat_answer *answer;
    conversation *conversation;
    char audio_id[CHAT_ID_CAP];
    bool ended;   /* the last event was taken */
    bool stopped; /* a text of `stop` has come: the rest is passed over */
} chatting;

static void identify(void *context, char id[CHAT_ID_CAP]) {
    char fresh[ID_CAP];
    (void)context;
    id_make(fresh, "call_");
    memcpy(id, fresh, sizeof fresh);
}

/* False: nothing more is to be done with the answer. */
static bool take_event(chatting *c, const event *e) {
    api_error error = e->error;
    bool good = true, stopped = false;
    switch (e->kind) {
    case EVENT_TOKENS:
        good = c->stopped || chat_answer_tokens(c->answer, e->tokens, e->count, e->alternatives);
        break;
    case EVENT_TEXT:
        good = c->stopped || chat_answer_text(c->answer, e->text, e->size, &stopped);
        break;
    case EVENT_SOUND:
        good = c->stopped || chat_answer_sound(c->answer, e->samples, e->count);
        break;
    case EVENT_CALL:
        good = chat_answer_call(c->answer, e->text, e->size);
        break;
    case EVENT_ENDED:
        c->ended = true;
        good = error.code == API_OK &&
               chat_answer_end(c->answer, c->stopped ? RNL_FINISH_END : e->finish, &e->usage);
        break;
    case EVENT_REFUSED:
    case EVENT_LOST:
        good = false;
        break;
    default:
        break;
    }
    if (stopped) {
        c->stopped = true;
        conversation_cancel(c->conversation, CHAT_REPLY_TAG);
    }
    if (good) return true;
    if (error.code == API_OK)
        (void)api_fail(&error, API_SERVER_OVERLOADED, NULL, "the answer is too long");
    if (c->request.stream && net_answer_is_begun(c->call->exchange)) {
        chat_answer_fail(c->answer, &error);
        c->ended = true;
        return true;
    }
    call_fail(c->call, &error, c->request.stream);
    call_close(c->call, &c->conversation);
    return false;
}

static void finish(chatting *c) {
    json_out *out = chat_answer_out(c->answer);
    size_t size;
    if (c->request.audio) {
        const char *words = chat_answer_words(c->answer, &size);
        answers_keep(c->call->server->answers, c->audio_id, c->call->owner, words, size,
                     (int64_t)time(NULL));
    }
    if (c->request.stream)
        net_answer_end(c->call->exchange);
    else
        net_answer(c->call->exchange, 200, chat_answer_type(c->answer), out->text, out->size);
    call_close(c->call, &c->conversation);
}

static void pump(chatting *c) {
    event e;
    for (;;) {
        json_out *out = chat_answer_out(c->answer);
        if (c->request.stream && out->size > 0 &&
            !call_send(c->call, chat_answer_type(c->answer), out))
            return;
        if (c->ended) break;
        if (!conversation_next(c->conversation, &e)) return;
        if (!take_event(c, &e)) return;
    }
    finish(c);
}

/* Commands of a long history may have to wait for each other. */
static void ask_more(chatting *c) {
    chat_request *r = &c->request;
    while (r->asked < r->command_count && conversation_ask(c->conversation, &r->commands[r->asked]))
        r->asked++;
}

static void ready(void *context) {
    chatting *c = context;
    ask_more(c);
    pump(c);
}

/* What the caller was answered before. */
static bool recall(void *context, const char *id, const char **text, size_t *size) {
    const call *c = context;
    return answers_find(c->server->answers, id, c->owner, (int64_t)time(NULL), text, size);
}

static bool begin_answer(chatting *c, api_error *e) {
    const int64_t now = (int64_t)time(NULL);
    chat_answer_config config = {.request = &c->request,
                                 .model = c->model.name,
                                 .created = now,
                                 .expires = now + LIMIT_ANSWERS_SECONDS,
                                 .identify = identify};
    char id[ID_CAP];
    id_make(id, "chatcmpl-");
    memcpy(config.id, id, sizeof id);
    id_make(id, "audio_");
    memcpy(config.audio_id, id, sizeof id);
    memcpy(c->audio_id, id, sizeof id);
    return chat_answer_create(&config, &c->answer, e);
}

/* What each of the commands before the last, which begins the answer, goes on from. NULL: there is
 * no memory, and nothing is gone on from. */
static uint64_t *steps_of(const chat_request *r) {
    uint64_t sum = 0, *steps = malloc((size_t)r->command_count * sizeof *steps);
    for (int i = 0; steps != NULL && i < r->command_count - 1; i++)
        steps[i] = sum = command_sum(sum, &r->commands[i]);
    return steps;
}

static bool begin_chat(chatting *c, api_error *e) {
    server *s = c->call->server;
    const chat_config config = {.model = work_model(s->work),
                                .clip_seconds_max = s->config.work.clip_seconds_max,
                                .pixel_max = BITMAP_PIXELS_MAX,
                                .recall = recall,
                                .context = c->call};
    if (!chat_request_read(c->call->body, c->call->body_size, &config, &c->request, e) ||
        !server_find_model(s, c->request.model, &c->model, e) || !begin_answer(c, e))
        return false;
    uint64_t *steps = steps_of(&c->request);
    const conversation_config asked = {.class = WORK_REQUEST,
                                       .seed = c->request.seed,
                                       .adapter = c->model.adapter,
                                       .owner = c->call->owner,
                                       .caller = c->call->caller,
                                       .steps = steps,
                                       .step_count =
                                           steps != NULL ? c->request.command_count - 1 : 0,
                                       .ready = ready,
                                       .context = c};
    c->conversation = conversation_open(s->work, &asked, e);
    free(steps);
    if (c->conversation == NULL) return false;
    ask_more(c);
    return true;
}

static void complete(call *c) {
    api_error e;
    chatting *chat = calloc(1, sizeof *chat);
    c->state = chat;
    if (chat != NULL) {
        chat->call = c;
        if (begin_chat(chat, &e)) return;
    } else {
        (void)api_fail(&e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
    }
    net_answer_error(c->exchange, &e);
}

static void writable(call *c) {
    chatting *chat = c->state;
    if (chat != NULL && chat->conversation != NULL) pump(chat);
}

static void gone(call *c) {
    chatting *chat = c->state;
    if (chat == NULL) return;
    call_close(c, &chat->conversation);
    chat_answer_destroy(&chat->answer);
    chat_request_free(&chat->request);
    free(chat);
}

const service service_chat = {.complete = complete, .writable = writable, .gone = gone};
