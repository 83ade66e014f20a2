#include "serve/speaker.h"

#include <stdlib.h>
#include <string.h>

static bool say(conversation *c, rnl_role role, const char *text, size_t size) {
    command what = {
        .kind = COMMAND_TEXT, .role = role, .text = command_text(text, size), .text_size = size};
    if (what.text == NULL) return false;
    if (conversation_ask(c, &what)) return true;
    command_free(&what);
    return false;
}

/* Asks for the sentence at hand. False: there is none, or no room for it (*error). */
static bool ask_sentence(speaker *s, api_error *error) {
    const char *text;
    size_t size;
    error->code = API_OK;
    if (!speech_sentence(s->speech, &text, &size)) return false;
    const command reset = {.kind = COMMAND_RESET};
    const command begin = {.kind = COMMAND_BEGIN,
                           .tag = ++s->tag,
                           .turn = rnl_turn_config_default(work_model(s->work), RNL_MODE_SPEAK)};
    if (conversation_ask(s->conversation, &reset) &&
        (s->prompt == NULL ||
         say(s->conversation, RNL_ROLE_SYSTEM, s->prompt, strlen(s->prompt))) &&
        say(s->conversation, RNL_ROLE_USER, text, size) &&
        conversation_ask(s->conversation, &begin))
        return true;
    return api_fail(error, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
}

bool speaker_open(speaker *s, work *w, const conversation_config *config, speech_request *request,
                  api_error *error) {
    s->work = w;
    s->prompt = request->prompt;
    s->tag = 0;
    s->taken = false;
    if (!speech_create(request, &s->speech, error)) return false;
    s->conversation = conversation_open(w, config, error);
    return s->conversation != NULL && ask_sentence(s, error);
}

static bool take_event(speaker *s, const event *e, api_error *error) {
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

bool speaker_step(speaker *s, api_error *error) {
    event e;
    error->code = API_OK;
    return conversation_next(s->conversation, &e) && take_event(s, &e, error);
}

void speaker_close(speaker *s) {
    conversation_close(&s->conversation);
    speech_destroy(&s->speech);
}
