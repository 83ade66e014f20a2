/* The model of a realtime conversation: what the machine asks (realtime_ops) as commands to the
 * engine thread (work.h), what comes back as news.
 *
 *     the conversation        one WORK_TALK, the reply spoken as it is made
 *     out of band             one WORK_REQUEST for each response, as soon as one can be had, closed
 *                             when it is over
 *     transcripts             one WORK_IDLE at a time, the others wait (realtime_hearing.h)
 *
 * A reply that was begun at a guessed end stays in its ring until the end is sure. Loop thread. */
#ifndef SERVE_REALTIME_MODEL_H
#define SERVE_REALTIME_MODEL_H

#include "serve/realtime.h"
#include "serve/work.h"

typedef struct realtime_model realtime_model;

typedef struct realtime_model_config {
    work *work;
    int owner;           /* number of the key */
    const char *adapter; /* as in conversation_config */
    uint64_t seed;
    void (*ready)(void *context); /* news wait, or may */
    void *context;
} realtime_model_config;

/* NULL with an error: as conversation_open. */
realtime_model *realtime_model_open(const realtime_model_config *config, api_error *error);
void realtime_model_close(realtime_model **m); /* NULL is fine; sets NULL */

/* Fills all but send, close and wire. */
void realtime_model_ops(realtime_model *m, realtime_ops *ops);
/* The next news, valid until the next call of anything here. False: none wait. */
bool realtime_model_next(realtime_model *m, realtime_news_item *news);
/* It is of no use any more, and none can be had: why. */
bool realtime_model_is_lost(const realtime_model *m, api_error *error);
/* Transcripts of the user are under way. */
bool realtime_model_is_hearing(const realtime_model *m);
/* How long the model has worked for it, as conversation_worked_us. */
int64_t realtime_model_worked_us(const realtime_model *m);
/* Tries what could not be had before: to be called now and then. */
void realtime_model_tick(realtime_model *m);

#endif
