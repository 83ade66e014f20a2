/* A telephone call that the model answers: a client of the realtime machine in the same process,
 * without sockets, threads and clock.
 *
 *     Asterisk's bytes ─► audiosocket ─► 16 kHz ─► input_audio_buffer.append ─► realtime
 *     20 ms each 20 ms ◄─ audiosocket ◄─ the call's rate ◄─ response.output_audio.delta ◄─┘
 *
 * Sound is written when it is played, so what the caller heard is known: whoever speaks into an
 * answer stops it, and the model is told how far it came. '#' ends a turn. */
#ifndef SERVE_TELEPHONE_H
#define SERVE_TELEPHONE_H

#include "serve/realtime.h"

typedef struct telephone telephone;

typedef struct telephone_config {
    const realtime_config *realtime; /* read by create alone */
    const realtime_ops *model;       /* all but send, close and wire, which are the call's own */
    void (*write)(void *context, const char *bytes, size_t size); /* for Asterisk; copied */
    void *context;
} telephone_config;

/* RNL_ERR_MEMORY, or what realtime_create says. *out is then NULL. */
RNL_MUST_USE rnl_status telephone_create(const telephone_config *config, int64_t now_us,
                                         telephone **out, rnl_error *error);
void telephone_destroy(telephone **t); /* NULL is fine; sets NULL */

void telephone_push(telephone *t, const char *bytes, size_t size, int64_t now_us);
void telephone_news(telephone *t, const realtime_news_item *news, int64_t now_us);
/* Writes what is due. Returns when to call again; INT64_MAX: not before something happens. */
int64_t telephone_tick(telephone *t, int64_t now_us);
/* The call has ended from either side: close it. */
bool telephone_is_over(const telephone *t);
/* It has more than it can look at now: let it wait. */
bool telephone_is_full(const telephone *t);
/* An answer is being made or played: what a drain waits for. */
bool telephone_is_talking(const telephone *t, int64_t now_us);
void telephone_hang_up(telephone *t);
/* The model is of no use any more. */
void telephone_fail(telephone *t, const char *why);
const char *telephone_id(const telephone *t); /* "sess_..." */

#endif
