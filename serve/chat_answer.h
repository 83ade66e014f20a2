/* What a chat is answered with: events of the engine to one object, or to a stream of chunks.
 *
 *     text, tokens, sound, calls ──► chat_answer ──► out: bytes of the answer, or of its events
 *
 * In a stream whole events are in `out` after each call; otherwise all of it is there behind the
 * end. */
#ifndef SERVE_CHAT_ANSWER_H
#define SERVE_CHAT_ANSWER_H

#include "serve/chat_request.h"
#include "serve/json_out.h"

enum { CHAT_ID_CAP = 64, CHAT_CALLS_MAX = 64 };

typedef struct chat_answer_config {
    const chat_request *request; /* outlives the answer */
    const char *model;           /* the name it is answered under; outlives the answer */
    char id[CHAT_ID_CAP];        /* "chatcmpl-..." */
    char audio_id[CHAT_ID_CAP];  /* "audio_...", of a spoken answer */
    int64_t created, expires;    /* s since 1970: of now, and when the spoken answer is forgotten */
    void (*identify)(void *context, char id[CHAT_ID_CAP]); /* a new "call_..." */
    void *context;
} chat_answer_config;

typedef struct chat_answer chat_answer;

/* config is copied. False: UNSUPPORTED_FORMAT, SERVER_OVERLOADED. */
bool chat_answer_create(const chat_answer_config *config, chat_answer **out, api_error *error);
void chat_answer_destroy(chat_answer **a);          /* NULL is fine; sets NULL */
const char *chat_answer_type(const chat_answer *a); /* Content-Type */

/* What the engine tells, in its order. text: whole characters; *stopped: a text of `stop` has come,
 * so the reply can be ended and what it still says is passed over. call: {"tool", "arguments"}.
 * False: memory is exhausted, or the answer is too long. */
bool chat_answer_text(chat_answer *a, const char *text, size_t size, bool *stopped);
/* Of the text that comes next; called only where the request asks for logprobs. */
bool chat_answer_tokens(chat_answer *a, const work_token *tokens, size_t count, int alternatives);
bool chat_answer_sound(chat_answer *a, const float *samples, size_t count);
bool chat_answer_call(chat_answer *a, const char *call, size_t size);
bool chat_answer_end(chat_answer *a, rnl_finish finish, const work_usage *usage);
/* An error in the midst of a stream. */
void chat_answer_fail(chat_answer *a, const api_error *error);

/* What can be sent now; the caller sends it and clears it. */
json_out *chat_answer_out(chat_answer *a);
/* What was said, for whoever names its id later. */
const char *chat_answer_words(const chat_answer *a, size_t *size);

#endif
