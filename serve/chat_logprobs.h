/* How sure the model was of each token of an answer: what the engine tells of tokens, kept until
 * the text that they stand for is settled, then written as `logprobs` of a choice.
 *
 *     tokens ──► waiting, each with where it begins in the text ──► {"content": [...]}
 */
#ifndef SERVE_CHAT_LOGPROBS_H
#define SERVE_CHAT_LOGPROBS_H

#include "serve/json_out.h"
#include "serve/work.h"

typedef struct chat_logprobs {
    json_out entries; /* JSON of those that wait, one behind the other */
    struct {
        size_t begin; /* byte of the text where the token begins */
        size_t end;   /* byte of entries where its entry ends */
    } * waiting;      /* [count] */
    size_t count, cap;
    size_t text_size; /* bytes of all tokens so far */
} chat_logprobs;

void chat_logprobs_begin(chat_logprobs *l);
void chat_logprobs_free(chat_logprobs *l);
/* Tokens in their order: [count, 1 + alternatives]. False: memory is exhausted. */
bool chat_logprobs_take(chat_logprobs *l, const work_token *tokens, size_t count, int alternatives);
/* Writes the member "logprobs" with the tokens that begin before byte `end` of the text, and
 * forgets them; null: there are none. */
void chat_logprobs_put(chat_logprobs *l, json_out *o, size_t end);

#endif
