/* Transcripts of what the user said in a realtime conversation: a second reading of each of his
 * clips, by a conversation beside it that has time, one at a time. The clip is not encoded again
 * where the conversation itself has had it (conversation_config.kin). Loop thread. */
#ifndef SERVE_REALTIME_HEARING_H
#define SERVE_REALTIME_HEARING_H

#include "serve/realtime.h"
#include "serve/work.h"

typedef struct realtime_hearing realtime_hearing;

/* beside: how its conversations are opened, with ready() and context. NULL: memory is exhausted. */
realtime_hearing *realtime_hearing_open(work *w, const conversation_config *beside);
void realtime_hearing_close(realtime_hearing **h); /* NULL is fine; sets NULL */

/* One more; samples [count] at RNL_RATE_IN from malloc: taken. logprobs: news have tokens. What
 * cannot be had ends as UNHEARD. */
void realtime_hearing_add(realtime_hearing *h, uint32_t key, float *samples, size_t count,
                          bool logprobs);
/* The next news, HEARD, HEARD_ALL or UNHEARD, valid until the next call of anything here. False:
 * none wait. */
bool realtime_hearing_next(realtime_hearing *h, realtime_news_item *news);
/* A transcript is under way, or waits. */
bool realtime_hearing_is_busy(const realtime_hearing *h);
int64_t realtime_hearing_worked_us(const realtime_hearing *h); /* as conversation_worked_us */
/* Tries to have a conversation that could not be had before. */
void realtime_hearing_tick(realtime_hearing *h);

#endif
