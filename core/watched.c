#include "core/watched.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct watched {
    pthread_t thread;
    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t moved;
    watched_fn fn; /* NULL: nothing to run */
    void *context;
    bool stop;
    bool given_up; /* the thread frees w when its call comes back */
};

static void release(watched *w) {
    (void)pthread_cond_destroy(&w->moved);
    (void)pthread_mutex_destroy(&w->mutex);
    free(w);
}

static void *watched_main(void *argument) {
    watched *w = argument;
    (void)pthread_mutex_lock(&w->mutex);
    while (!w->stop && !w->given_up) {
        if (w->fn == NULL) {
            (void)pthread_cond_wait(&w->moved, &w->mutex);
            continue;
        }
        const watched_fn fn = w->fn;
        (void)pthread_mutex_unlock(&w->mutex);
        fn(w->context);
        (void)pthread_mutex_lock(&w->mutex);
        w->fn = NULL;
        (void)pthread_cond_broadcast(&w->moved);
    }
    w->fn = NULL; /* one that was given up before it was begun is not begun any more */
    const bool abandoned = w->given_up && w->stop;
    (void)pthread_mutex_unlock(&w->mutex);
    if (abandoned) release(w);
    return NULL;
}

rnl_status watched_create(watched **out) {
    *out = NULL;
    watched *w = calloc(1, sizeof *w);
    pthread_condattr_t monotonic;
    if (w == NULL) return RNL_ERR_MEMORY;
    if (pthread_mutex_init(&w->mutex, NULL) != 0) goto fail_mutex;
    if (pthread_condattr_init(&monotonic) != 0) goto fail_attr;
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    const int made = pthread_cond_init(&w->moved, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (made != 0) goto fail_attr;
    if (pthread_create(&w->thread, NULL, watched_main, w) != 0) goto fail_thread;
    *out = w;
    return RNL_OK;
fail_thread:
    (void)pthread_cond_destroy(&w->moved);
fail_attr:
    (void)pthread_mutex_destroy(&w->mutex);
fail_mutex:
    free(w);
    return RNL_ERR_MEMORY;
}

void watched_destroy(watched **w) {
    watched *q = *w;
    if (q == NULL) return;
    *w = NULL;
    (void)pthread_mutex_lock(&q->mutex);
    const bool hangs = q->given_up && q->fn != NULL;
    const pthread_t thread = q->thread;
    q->stop = true;
    if (hangs) (void)pthread_detach(thread); /* while it cannot have freed q */
    (void)pthread_cond_broadcast(&q->moved);
    (void)pthread_mutex_unlock(&q->mutex);
    if (hangs) return;
    (void)pthread_join(thread, NULL);
    release(q);
}

/* The monotonic clock so many microseconds from now. */
static struct timespec end_of(int64_t deadline_us) {
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    const int64_t ns = end.tv_nsec + deadline_us % 1000000 * 1000;
    end.tv_sec += (time_t)(deadline_us / 1000000 + ns / 1000000000);
    end.tv_nsec = (long)(ns % 1000000000);
    return end;
}

rnl_status watched_call(watched *w, watched_fn fn, void *context, int64_t deadline_us) {
    const struct timespec end = end_of(deadline_us);
    (void)pthread_mutex_lock(&w->mutex);
    assert(w->given_up || w->fn == NULL);
    if (!w->given_up) {
        w->fn = fn;
        w->context = context;
        (void)pthread_cond_broadcast(&w->moved);
        while (w->fn != NULL && !w->given_up)
            w->given_up =
                pthread_cond_timedwait(&w->moved, &w->mutex, &end) == ETIMEDOUT && w->fn != NULL;
    }
    const bool ran = !w->given_up;
    (void)pthread_mutex_unlock(&w->mutex);
    return ran ? RNL_OK : RNL_AGAIN;
}
