/* A text spoken by the engine: the sentences of a speech (speech.h), each a conversation from the
 * seed, so that it has the sound that it has alone. */
#ifndef SERVE_SPEAKER_H
#define SERVE_SPEAKER_H

#include "serve/speech.h"

typedef struct speaker {
    work *work;
    const char *prompt; /* the system prompt that asks for the voice; NULL: none */
    speech *speech;
    conversation *conversation; /* NULL: nothing is under way. Closed early nothing more is spoken;
                                 * what was can still be taken */
    int64_t tag;                /* of the sentence that is being spoken */
    bool taken;                 /* the engine has begun: an error is no refusal any more */
} speaker;

/* Takes the request's text over and asks for its first sentence. config: ready() says when
 * speaker_step has work. False: an error, and only close. */
bool speaker_open(speaker *s, work *w, const conversation_config *config, speech_request *request,
                  api_error *error);
/* Gives the speech one event of the engine. False: none waits (error->code API_OK), or it
 * failed. */
bool speaker_step(speaker *s, api_error *error);
void speaker_close(speaker *s); /* zeroed, or closed already, is fine */

#endif
