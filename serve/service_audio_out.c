/* POST /v1/audio/speech: a text spoken sentence by sentence, each a conversation from the seed. */
#include <stdlib.h>
#include <string.h>

#include "serve/server_inner.h"
#include "serve/speech.h"

enum { PIECE = 32768, WAITING_MAX = 4 * PIECE };

typedef struct speaking {
    call *call;
    const char *prompt; /* the system prompt; NULL: none */
    speech *speech;
    conversation *conversation;
    int64_t tag;       /* of the sentence that is being spoken */
    bool taken;        /* the engine has begun: an error is no refusal any more */
    char bytes[PIECE]; /* on their way, */
    size_t at, size;   /* [at, size) */
} speaking;

static char *copy_of(const char *text, size_t size) {
    char *copy = malloc(size + 1);
    if (copy != NULL) memcpy(copy, text, size);
    return copy;
}

static bool say(conversation *c, rnl_role role, const char *text, size_t size) {
    command what = {
        .kind = COMMAND_TEXT, .role = role, .text = copy_of(text, size), .text_size = size};
    if (what.text != NULL && conversation_ask(c, &what)) return true;
    free(what.text);
    return false;
}

/* Asks for the sentence at hand. False: there is none, or no room for it (*error). */
static bool ask_sentence(speaking *s, api_error *error) {
    const char *text;
    size_t size;
    error->code = API_OK;
    if (!speech_sentence(s->speech, &text, &size)) return false;
    const command reset = {.kind = COMMAND_RESET};
    const command begin = {
        .kind = COMMAND_BEGIN,
        .tag = ++s->tag,
        .turn = rnl_turn_config_default(work_model(s->call->server->work), RNL_MODE_SPEAK)};
    if (conversation_ask(s->conversation, &reset) &&
        (s->prompt == NULL ||
         say(s->conversation, RNL_ROLE_SYSTEM, s->prompt, strlen(s->prompt))) &&
        say(s->conversation, RNL_ROLE_USER, text, size) &&
        conversation_ask(s->conversation, &begin))
        return true;
    return api_fail(error, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
}

static bool take_event(speaking *s, const event *e, api_error *error) {
    *error = e->error;
    s->taken = s->taken || e->kind == EVENT_BEGUN;
    switch (e->kind) {
    case EVENT_SOUND:
        return speech_sound(s->speech, e->samples, e->count, error);
    case EVENT_ENDED:
        if (error->code != API_OK) return false;
        if (!speech_end_sentence(s->speech, &e->usage, error)) return false;
        return ask_sentence(s, error) || error->code == API_OK;
    case EVENT_REFUSED:
    case EVENT_LOST:
        return false;
    default:
        return true;
    }
}

static bool is_events(const speaking *s) {
    return strcmp(speech_type(s->speech), "text/event-stream") == 0;
}

static void begin_answer(const speaking *s) {
    net_exchange *x = s->call->exchange;
    if (net_answer_is_begun(x)) return;
    if (is_events(s)) net_exchange_add_header(x, "cache-control", "no-cache");
    net_answer_begin(x, 200, speech_type(s->speech));
}

/* Sends what can be sent. False: there is no room for the rest. */
static bool flush(speaking *s) {
    net_exchange *x = s->call->exchange;
    if (!s->taken) return true; /* the head of a WAV is there before anything else */
    for (;;) {
        if (s->at == s->size) {
            s->at = 0;
            s->size = speech_take(s->speech, s->bytes, sizeof s->bytes);
            if (s->size == 0) return true;
        }
        begin_answer(s);
        if (!net_answer_write(x, s->bytes, s->size)) return false;
        s->at = s->size;
    }
}

static void pump(speaking *s) {
    event e;
    api_error error;
    while (flush(s) && speech_waiting(s->speech) < WAITING_MAX &&
           conversation_next(s->conversation, &e)) {
        if (take_event(s, &e, &error)) continue;
        call_fail(s->call, &error, is_events(s));
        conversation_close(&s->conversation);
        return;
    }
    if (s->at < s->size || !speech_is_over(s->speech)) return;
    net_answer_end(s->call->exchange);
    conversation_close(&s->conversation);
}

static void ready(void *context) {
    pump(context);
}

static bool begin_speaking(speaking *s, speech_request *request, api_error *e) {
    server *o = s->call->server;
    const conversation_config config = {
        .class = WORK_REQUEST, .owner = s->call->owner, .ready = ready, .context = s};
    if (!server_has_model(o, request->model, e)) return false;
    if (!rnl_model_can(work_model(o->work), RNL_MODE_SPEAK))
        return api_fail(e, API_MODEL_NOT_FOUND, "model", "this model does not speak");
    s->prompt = request->prompt;
    if (!speech_create(request, &s->speech, e)) return false;
    s->conversation = conversation_open(o->work, &config, e);
    return s->conversation != NULL && ask_sentence(s, e);
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
    if (s != NULL && s->conversation != NULL) pump(s);
}

static void gone(call *c) {
    speaking *s = c->state;
    if (s == NULL) return;
    conversation_close(&s->conversation);
    speech_destroy(&s->speech);
    free(s);
}

const service service_speech = {.complete = complete, .writable = writable, .gone = gone};
