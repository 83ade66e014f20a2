/* What the server counts, as Prometheus reads it (text format 0.0.4): one table of families, each
 * with a fixed set of labels. No label ever holds what a client sent.
 *
 *   loop thread, engine thread --> metrics_count, _set, _observe --> metrics_write --> GET /metrics
 *
 * All numbers are integers of the family's unit: a thing, a byte, or a millionth (of a second, of
 * a ratio), which is written as a decimal fraction. All calls but create and destroy may come from
 * any thread; none waits or allocates. */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

#include <runnel/runnel.h>

typedef enum metric {
    METRIC_UP,          /* millionths of a second */
    METRIC_CONNECTIONS, /* metric_protocol */
    METRIC_SESSIONS,    /* metric_state */
    METRIC_SESSIONS_MAX,
    METRIC_SESSIONS_ADMITTED,
    METRIC_SESSIONS_REFUSED, /* metric_reason */
    METRIC_HTTP_SECONDS,     /* histogram, millionths; metrics_request counts it */
    METRIC_EVENTS_IN,
    METRIC_EVENTS_OUT,
    METRIC_EVENT_ERRORS, /* api_code */
    METRIC_BATCH_ROWS,   /* histogram, rows */
    METRIC_PASS_SECONDS, /* histogram, millionths */
    METRIC_PREFILL_POSITIONS,
    METRIC_TEXT_POSITIONS,
    METRIC_FRAMES,
    METRIC_ENCODED_SECONDS, /* millionths */
    METRIC_FIRST_AUDIO,     /* histogram, millionths: end of a turn to the first delta */
    METRIC_BARGE_IN,        /* histogram, millionths: speech of the person to the end of ours */
    METRIC_SLACK,           /* histogram, millionths: least reserve of a reply; below 0: a gap */
    METRIC_UNDERRUNS,
    METRIC_LOAD,   /* millionths of what can speak at once */
    METRIC_MEMORY, /* metric_memory; bytes */
    METRIC_SLOW_READERS,
    METRIC_PROCESS_MEMORY, /* bytes */
    METRIC_PROCESS_FDS,
    METRIC_PROCESS_CPU, /* millionths of a second */
    METRIC_COUNT
} metric;

typedef enum metric_protocol {
    METRIC_REALTIME,
    METRIC_HTTP,
    METRIC_WYOMING,
    METRIC_AUDIOSOCKET
} metric_protocol;
typedef enum metric_state {
    METRIC_LISTENING,
    METRIC_HEARING,
    METRIC_THINKING,
    METRIC_SPEAKING,
    METRIC_IDLE,
    METRIC_STATE_COUNT
} metric_state;
typedef enum metric_reason {
    METRIC_FOR_LOAD,
    METRIC_FOR_MEMORY,
    METRIC_FOR_LIMIT,
    METRIC_FOR_DRAINING
} metric_reason;
typedef enum metric_memory {
    METRIC_MODEL_BYTES,
    METRIC_SESSION_BYTES,
    METRIC_BUFFER_BYTES
} metric_memory;

typedef struct metrics metrics;

typedef struct metrics_config {
    const char *kernels, *model; /* of runnel_build_info; copied */
    const char *const *paths;    /* [path_count] of the server's table; borrowed, each without
                                     * anything that a client can choose */
    size_t path_count;
} metrics_config;

/* RNL_ERR_MEMORY; *out is then NULL. */
RNL_MUST_USE rnl_status metrics_create(const metrics_config *config, metrics **out);
void metrics_destroy(metrics **m); /* NULL is fine; sets NULL */

/* label: of the enumeration that the family names, 0 where it has none (asserted). */
void metrics_count(metrics *m, metric which, int label, int64_t amount); /* adds, also below 0 */
void metrics_set(metrics *m, metric which, int label, int64_t amount);
void metrics_observe(metrics *m, metric which, int64_t amount); /* histograms */
/* One answered request: an index into paths, the status, and how long it took. */
void metrics_request(metrics *m, size_t path, int status, int64_t micros);

/* The page for /metrics, at most cap bytes, not terminated; returns the bytes that it has, more
 * than cap when it was cut. Requests and errors that never came are left out. */
size_t metrics_write(const metrics *m, char *out, size_t cap);
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
