/* POST /v1/audio/speech: a text to sound, sentence by sentence, as `runnel say` speaks it. No
 * sockets here: sentences are asked for, their sound is given, bytes of the answer are taken.
 *
 *     body ──► speech_request ──► speech ──► sentence ──► (work.h: a reply) ──► samples
 *                                   └──► bytes of the format, or events with them ◄──┘
 */
#ifndef SERVE_SPEECH_H
#define SERVE_SPEECH_H

#include "audio/stream.h"
#include "serve/work.h"

enum { SPEECH_MODEL_CAP = 256 };

typedef struct speech_request {
    sound_format format;
    bool events;                  /* server-sent events with base64 */
    char model[SPEECH_MODEL_CAP]; /* as asked for, "" never */
    char *input;                  /* [size] UTF-8, from malloc; speech_request_free() */
    size_t size;
    const char *prompt; /* the system prompt that asks for the voice; NULL: none */
} speech_request;

/* Reads the body. model tells what its own prompt is. */
bool speech_request_read(const char *body, size_t size, const rnl_model *model,
                         speech_request *request, api_error *error);
void speech_request_free(speech_request *r);

/* Whether this is a voice for every model: "default", or a name of OpenAI's, which all mean it; or
 * one of text/voices.h. *prompt: what asks for it, NULL: the model's own. */
bool speech_voice(const char *name, size_t size, const char **prompt);

typedef struct speech speech;

/* Takes the request's text over. INVALID_VALUE: nothing in it can be spoken; UNSUPPORTED_FORMAT,
 * SERVER_OVERLOADED: the sound cannot be made. */
bool speech_create(speech_request *request, speech **out, api_error *error);
void speech_destroy(speech **s);          /* NULL is fine; sets NULL */
const char *speech_type(const speech *s); /* Content-Type of the answer */

/* The sentence to be spoken now; valid until speech_end_sentence. False: all is spoken. */
bool speech_sentence(const speech *s, const char **text, size_t *size);
/* Its sound, in any cuts; then its end. False: an error, and only destroy. */
bool speech_sound(speech *s, const float *samples, size_t count, api_error *error);
bool speech_end_sentence(speech *s, const work_usage *usage, api_error *error);

/* Takes bytes of the answer that can be sent now; 0: none, or not room for one event (cap >= 512
 * always has). */
size_t speech_take(speech *s, char *bytes, size_t cap);
/* All was spoken and taken: the answer is complete. */
bool speech_is_over(const speech *s);
/* Bytes that wait to be taken, about. */
size_t speech_waiting(const speech *s);

#endif
