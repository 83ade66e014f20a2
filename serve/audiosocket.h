/* One telephone call of Asterisk (AudioSocket) as a state machine, without sockets and clock.
 *
 *   bytes --> audiosocket_push --> host: began, sound (the call's rate), digit, ended
 *   every 20 ms --> audiosocket_tick --> host: sound wanted --> one message of 20 ms
 *
 * A message is a byte of kind, two bytes of length (big end first) and so many bytes. The call's
 * rate is that of the kind its sound comes in; we answer in the same. Asterisk has no jitter
 * buffer: what is written is played, so exactly one message goes out each 20 ms, of silence when
 * there is nothing, and what the caller heard is what was written but for the last message. */
#ifndef SERVE_AUDIOSOCKET_H
#define SERVE_AUDIOSOCKET_H

#include <runnel/runnel.h>

enum {
    AUDIOSOCKET_STEP_US = 20000,
    AUDIOSOCKET_RATE_MAX = 192000,
    AUDIOSOCKET_STEP_CAP = AUDIOSOCKET_RATE_MAX / 50, /* samples of a message */
    AUDIOSOCKET_UUID_CAP = 37
};

typedef struct audiosocket_host {
    void *context;
    void (*write)(void *context, const char *bytes, size_t size); /* for Asterisk; copied */
    /* The call has a name now: 8-4-4-4-12 hex digits. False: it is not to be answered. */
    bool (*began)(void *context, const char *uuid);
    /* What the caller says, mono within [-1, 1); rate is the same in all of a call. */
    void (*sound)(void *context, const float *samples, size_t count, int rate);
    void (*digit)(void *context, char digit); /* a key of the telephone: 0-9 * # A-D */
    /* Fills in up to count samples of what is to be heard, at the call's rate; returns how many.
     * The rest of the message is silence. */
    size_t (*wanted)(void *context, int16_t *samples, size_t count);
} audiosocket_host;

typedef struct audiosocket audiosocket;

/* RNL_ERR_MEMORY; *out is then NULL. */
RNL_MUST_USE rnl_status audiosocket_create(const audiosocket_host *host, audiosocket **out);
void audiosocket_destroy(audiosocket **a); /* NULL is fine; sets NULL */

/* Bytes of Asterisk, all of which are taken. RNL_DONE: the call is over, or what came is no
 * AudioSocket: close it. */
RNL_MUST_USE rnl_status audiosocket_push(audiosocket *a, const char *bytes, size_t size,
                                         int64_t now_us);
/* Writes the messages that are due, unless more than 100 ms of them are: then their time is over,
 * and the next one is due now. *next_us: when to call again; INT64_MAX: not before something was
 * pushed. */
void audiosocket_tick(audiosocket *a, int64_t now_us, int64_t *next_us);
/* Samples of ours that the caller has heard, at the call's rate: what host->wanted gave, but for
 * the last message. */
int64_t audiosocket_heard(const audiosocket *a);
int audiosocket_rate(const audiosocket *a); /* 0: no sound came yet */
/* Ends the call from this side. */
void audiosocket_hang_up(audiosocket *a);

#endif
