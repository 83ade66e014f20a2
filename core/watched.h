/* A thread that makes calls for others and can be given up: for drivers, which may never come back.
 * One call at a time; who calls waits for its end or for a deadline. A thread that let a deadline
 * go by is not waited for again, nor ended: it stays, with what it holds, until the process ends or
 * its call comes back, after which it ends by itself. */
#ifndef CORE_WATCHED_H
#define CORE_WATCHED_H

#include <runnel/runnel.h>

typedef struct watched watched;

/* RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status watched_create(watched **out);
/* NULL is fine; sets NULL. Of a thread that was given up nothing is freed by the caller. */
void watched_destroy(watched **w);

/* Runs fn(context) there. RNL_OK: it ran. RNL_AGAIN: it did not end in time, or one before it had
 * not; the thread is given up, and may be using context for good. One caller at a time. */
typedef void (*watched_fn)(void *context);
RNL_MUST_USE rnl_status watched_call(watched *w, watched_fn fn, void *context, int64_t deadline_us);

#endif
