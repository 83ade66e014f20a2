#include "serve/metrics.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/api_error.h"

enum {
    BUCKET_CAP = 12,
    STATUS_COUNT = 20,
    NAME_CAP = 128,
    MILLION = 1000000,
    MS = 1000 /* millionths of a second */
};

typedef enum kind { GAUGE, COUNTER, HISTOGRAM } kind;

static const char *const protocols[] = {"realtime", "http", "wyoming", "audiosocket"};
static const char *const states[] = {"listening", "hearing", "thinking", "speaking", "idle"};
static const char *const reasons[] = {"load", "memory", "limit", "draining"};
static const char *const memories[] = {"model", "sessions", "buffers"};
/* The statuses that this server answers with; any other would be counted under the last. */
static const int statuses[STATUS_COUNT] = {101, 200, 204, 206, 304, 400, 401, 403, 404, 405,
                                           408, 409, 411, 413, 415, 422, 429, 500, 503, 0};

/* Upper bounds of the buckets, in the family's unit; what is above the last is in +Inf. */
static const int64_t http_bounds[] = {5 * MS,  10 * MS,     50 * MS,      100 * MS,    500 * MS,
                                      MILLION, 5 * MILLION, 10 * MILLION, 60 * MILLION};
static const int64_t row_bounds[] = {1, 2, 4, 8, 12, 16, 24, 32};
static const int64_t pass_bounds[] = {5 * MS,  10 * MS,  20 * MS,  40 * MS,
                                      80 * MS, 160 * MS, 320 * MS, MILLION};
static const int64_t first_bounds[] = {100 * MS, 200 * MS, 300 * MS,    500 * MS,
                                       750 * MS, MILLION,  2 * MILLION, 5 * MILLION};
static const int64_t barge_bounds[] = {5 * MS,   10 * MS,  20 * MS,  50 * MS,
                                       100 * MS, 200 * MS, 500 * MS, MILLION};
static const int64_t slack_bounds[] = {-MILLION, -500 * MS, -100 * MS,   0,           100 * MS,
                                       500 * MS, MILLION,   2 * MILLION, 5 * MILLION, 10 * MILLION};

typedef struct family {
    const char *name, *help;
    kind kind;
    int scale;                 /* units in what is written: 1, or MILLION */
    const char *label;         /* NULL: none */
    const char *const *values; /* [value_count] of the label; NULL: codes of errors */
    size_t value_count;
    const int64_t *bounds; /* [bound_count] of a histogram */
    size_t bound_count;
} family;

#define LIST(array) (array), sizeof(array) / sizeof *(array)
#define PLAIN(name, help, kind, scale)                                                             \
    { name, help, kind, scale, NULL, NULL, 1, NULL, 0 }
#define LABELLED(name, help, kind, label, values)                                                  \
    { name, help, kind, 1, label, LIST(values), NULL, 0 }
#define BUCKETS(name, help, scale, bounds)                                                         \
    { name, help, HISTOGRAM, scale, NULL, NULL, 1, LIST(bounds) }

static const family families[METRIC_COUNT] = {
    [METRIC_UP] = PLAIN("runnel_up_seconds", "since the server was ready", GAUGE, MILLION),
    [METRIC_CONNECTIONS] =
        LABELLED("runnel_connections", "open connections", GAUGE, "protocol", protocols),
    [METRIC_SESSIONS] =
        LABELLED("runnel_sessions", "open conversations by what they do", GAUGE, "state", states),
    [METRIC_SESSIONS_MAX] =
        PLAIN("runnel_sessions_max", "conversations that are admitted at most", GAUGE, 1),
    [METRIC_SESSIONS_ADMITTED] =
        PLAIN("runnel_sessions_admitted_total", "conversations that were admitted", COUNTER, 1),
    [METRIC_SESSIONS_REFUSED] = LABELLED("runnel_sessions_refused_total",
                                         "conversations that were not", COUNTER, "reason", reasons),
    [METRIC_HTTP_SECONDS] =
        BUCKETS("runnel_http_request_seconds",
                "from the head of a request to the end of its answer", MILLION, http_bounds),
    [METRIC_EVENTS_IN] = PLAIN("runnel_events_in_total", "realtime events of clients", COUNTER, 1),
    [METRIC_EVENTS_OUT] =
        PLAIN("runnel_events_out_total", "realtime events to clients", COUNTER, 1),
    [METRIC_EVENT_ERRORS] = {"runnel_event_errors_total", "realtime errors told to clients",
                             COUNTER, 1, "code", NULL, API_CODE_COUNT, NULL, 0},
    [METRIC_BATCH_ROWS] =
        BUCKETS("runnel_batch_rows", "rows that went through the model at once", 1, row_bounds),
    [METRIC_PASS_SECONDS] =
        BUCKETS("runnel_pass_seconds", "one pass through the model", MILLION, pass_bounds),
    [METRIC_PREFILL_POSITIONS] =
        PLAIN("runnel_prefill_positions_total", "positions that were read", COUNTER, 1),
    [METRIC_TEXT_POSITIONS] =
        PLAIN("runnel_text_positions_total", "tokens of text that were made", COUNTER, 1),
    [METRIC_FRAMES] = PLAIN("runnel_frames_total", "frames of sound that were made", COUNTER, 1),
    [METRIC_ENCODED_SECONDS] =
        PLAIN("runnel_encoded_seconds_total", "sound that was heard", COUNTER, MILLION),
    [METRIC_FIRST_AUDIO] =
        BUCKETS("runnel_first_audio_seconds",
                "from the end of a turn to the first sound of the answer", MILLION, first_bounds),
    [METRIC_BARGE_IN] =
        BUCKETS("runnel_barge_in_stop_seconds",
                "from the speech that interrupts to the end of the reply", MILLION, barge_bounds),
    [METRIC_SLACK] =
        BUCKETS("runnel_slack_seconds", "least sound that a reply was ahead of its playing",
                MILLION, slack_bounds),
    [METRIC_UNDERRUNS] =
        PLAIN("runnel_underruns_total", "gaps in replies that came too late", COUNTER, 1),
    [METRIC_LOAD] =
        PLAIN("runnel_load_ratio", "speaking conversations of those that can", GAUGE, MILLION),
    [METRIC_MEMORY] = LABELLED("runnel_memory_bytes", "memory by use", GAUGE, "kind", memories),
    [METRIC_SLOW_READERS] = PLAIN("runnel_slow_readers_closed_total",
                                  "connections closed because nothing was read", COUNTER, 1),
    [METRIC_PROCESS_MEMORY] =
        PLAIN("process_resident_memory_bytes", "resident memory of the process", GAUGE, 1),
    [METRIC_PROCESS_FDS] = PLAIN("process_open_fds", "open file descriptors", GAUGE, 1),
    [METRIC_PROCESS_CPU] = PLAIN("process_cpu_seconds_total",
                                 "time of the processors, of user and system", COUNTER, MILLION),
};

/* value[0] is the sum of a histogram, else value[label]. */
typedef struct family_state {
    _Atomic int64_t value[API_CODE_COUNT];
    _Atomic int64_t bucket[BUCKET_CAP]; /* not cumulative; [bound_count] is +Inf */
} family_state;

struct metrics {
    char kernels[NAME_CAP], model[NAME_CAP];
    const char *const *paths;
    size_t path_count;
    _Atomic int64_t *requests; /* [path_count, STATUS_COUNT] */
    family_state families[METRIC_COUNT];
};

/* A value of a label: backslash, quote and line end have escapes. Cut where the room ends. */
static void escape(char out[NAME_CAP], const char *text) {
    size_t size = 0;
    for (; *text != '\0' && size + 3 < NAME_CAP; text++) {
        if (*text == '\\' || *text == '"' || *text == '\n') out[size++] = '\\';
        out[size++] = *text;
        if (*text == '\n') out[size - 1] = 'n';
    }
    out[size] = '\0';
}

rnl_status metrics_create(const metrics_config *config, metrics **out) {
    metrics *m = *out = calloc(1, sizeof *m);
    if (m == NULL) return RNL_ERR_MEMORY;
    escape(m->kernels, config->kernels);
    escape(m->model, config->model);
    m->paths = config->paths;
    m->path_count = config->path_count;
    m->requests = calloc(config->path_count + 1, STATUS_COUNT * sizeof *m->requests);
    if (m->requests != NULL) return RNL_OK;
    metrics_destroy(out);
    return RNL_ERR_MEMORY;
}

void metrics_destroy(metrics **m) {
    if (*m == NULL) return;
    free((*m)->requests);
    free(*m);
    *m = NULL;
}

static _Atomic int64_t *value_of(metrics *m, metric which, int label) {
    assert(families[which].kind != HISTOGRAM);
    assert(label >= 0 && (size_t)label < families[which].value_count);
    return &m->families[which].value[label];
}

void metrics_count(metrics *m, metric which, int label, int64_t amount) {
    atomic_fetch_add_explicit(value_of(m, which, label), amount, memory_order_relaxed);
}

void metrics_set(metrics *m, metric which, int label, int64_t amount) {
    atomic_store_explicit(value_of(m, which, label), amount, memory_order_relaxed);
}

void metrics_observe(metrics *m, metric which, int64_t amount) {
    const family *f = &families[which];
    assert(f->kind == HISTOGRAM);
    size_t i = 0;
    while (i < f->bound_count && amount > f->bounds[i]) i++;
    atomic_fetch_add_explicit(&m->families[which].bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->families[which].value[0], amount, memory_order_relaxed);
}

void metrics_request(metrics *m, size_t path, int status, int64_t micros) {
    assert(path < m->path_count);
    size_t i = 0;
    while (i < STATUS_COUNT - 1 && statuses[i] != status) i++;
    atomic_fetch_add_explicit(&m->requests[path * STATUS_COUNT + i], 1, memory_order_relaxed);
    metrics_observe(m, METRIC_HTTP_SECONDS, micros);
}

/* ---- the page ---- */

typedef struct page {
    char *text;
    size_t cap, size;
} page;

static void put(page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(page *p, const char *format, ...) {
    char line[512];
    va_list list;
    va_start(list, format);
    const int size = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    assert(size >= 0 && (size_t)size < sizeof line);
    for (int i = 0; i < size; i++, p->size++)
        if (p->size < p->cap) p->text[p->size] = line[i];
}

/* A number of the family's unit as it is written. */
static const char *number(char out[32], int64_t amount, int scale) {
    if (scale == 1) {
        (void)snprintf(out, 32, "%lld", (long long)amount);
    } else {
        const long long whole = amount / scale, part = amount % scale;
        (void)snprintf(out, 32, "%s%lld.%06lld", amount < 0 ? "-" : "", llabs(whole), llabs(part));
    }
    return out;
}

static void put_head(page *p, const char *name, const char *help, kind k) {
    static const char *const names[] = {"gauge", "counter", "histogram"};
    put(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, names[k]);
}

static int64_t read_of(const _Atomic int64_t *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void put_histogram(page *p, const family *f, const family_state *s) {
    int64_t count = 0;
    char text[32];
    for (size_t i = 0; i < f->bound_count; i++) {
        count += read_of(&s->bucket[i]);
        put(p, "%s_bucket{le=\"%s\"} %lld\n", f->name, number(text, f->bounds[i], f->scale),
            (long long)count);
    }
    count += read_of(&s->bucket[f->bound_count]);
    put(p, "%s_bucket{le=\"+Inf\"} %lld\n", f->name, (long long)count);
    put(p, "%s_sum %s\n", f->name, number(text, read_of(&s->value[0]), f->scale));
    put(p, "%s_count %lld\n", f->name, (long long)count);
}

static void put_family(page *p, const family *f, const family_state *s) {
    char text[32];
    put_head(p, f->name, f->help, f->kind);
    if (f->kind == HISTOGRAM) {
        put_histogram(p, f, s);
        return;
    }
    for (size_t i = 0; i < f->value_count; i++) {
        const int64_t amount = read_of(&s->value[i]);
        if (f->label == NULL)
            put(p, "%s %s\n", f->name, number(text, amount, f->scale));
        else if (f->values != NULL)
            put(p, "%s{%s=\"%s\"} %s\n", f->name, f->label, f->values[i],
                number(text, amount, f->scale));
        else if (amount != 0)
            put(p, "%s{%s=\"%s\"} %s\n", f->name, f->label, api_code_text((api_code)i),
                number(text, amount, f->scale));
    }
}

static void put_requests(page *p, const metrics *m) {
    put_head(p, "runnel_http_requests_total", "answered requests", COUNTER);
    for (size_t path = 0; path < m->path_count; path++)
        for (size_t i = 0; i < STATUS_COUNT; i++) {
            const int64_t count = read_of(&m->requests[path * STATUS_COUNT + i]);
            if (count == 0) continue;
            put(p, "runnel_http_requests_total{path=\"%s\",code=\"%d\"} %lld\n", m->paths[path],
                statuses[i], (long long)count);
        }
}

size_t metrics_write(const metrics *m, char *out, size_t cap) {
    page p = {.text = out, .cap = cap};
    put_head(&p, "runnel_build_info", "what runs", GAUGE);
    put(&p, "runnel_build_info{version=\"%s\",kernels=\"%s\",model=\"%s\"} 1\n", RNL_VERSION,
        m->kernels, m->model);
    for (int i = 0; i < METRIC_COUNT; i++) put_family(&p, &families[i], &m->families[i]);
    put_requests(&p, m);
    return p.size;
}
