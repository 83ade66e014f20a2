/* POST /v1/chat/completions: a body to commands for the engine and to the form of the answer.
 *
 *     body ──► chat_request: commands (work.h) in their order, BEGIN last
 *
 * Sounds and pictures are decoded here; whether tools and schemas are valid the engine says
 * (EVENT_REFUSED), before anything was answered. */
#ifndef SERVE_CHAT_REQUEST_H
#define SERVE_CHAT_REQUEST_H

#include "audio/stream.h"
#include "serve/limits.h"
#include "serve/work.h"

enum {
    CHAT_MODEL_CAP = 256,
    CHAT_REPLY_TAG = 1,               /* of BEGIN */
    CHAT_SOUND_SAMPLES_MAX = 16 << 20 /* of all sounds of a request together */
};

typedef struct chat_config {
    const rnl_model *model;
    double clip_seconds_max; /* longest sound of a message */
    int64_t pixel_max;       /* of all pictures of a request together */
    /* The words of a spoken answer of ours, by its id, if the caller may have them; valid until the
     * next call. NULL: none are kept. */
    bool (*recall)(void *context, const char *id, const char **text, size_t *size);
    void *context;
} chat_config;

typedef struct chat_request {
    char model[CHAT_MODEL_CAP]; /* as asked for, "" never */
    bool audio;                 /* the answer is spoken */
    sound_format format;        /* how; PCM is called pcm16 here */
    bool stream, include_usage;
    bool logprobs;    /* of each token, */
    int top_logprobs; /* with so many others */
    uint64_t seed;
    char *stops[LIMIT_STOP_TEXTS]; /* [stop_count] texts that end the answer */
    size_t stop_sizes[LIMIT_STOP_TEXTS];
    int stop_count;
    /* [command_count] from malloc; the first `asked` of them belong to the engine. */
    command *commands;
    int command_count, command_cap, asked;
} chat_request;

/* An error leaves the request empty. */
bool chat_request_read(const char *body, size_t size, const chat_config *config,
                       chat_request *request, api_error *error);
/* With the commands that were not asked. */
void chat_request_free(chat_request *r);

#endif
