#include "serve/book.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "engine/model.h"
#include "serve/process_watch.h"

enum { PATH_CAP = 32, MILLION = 1000000 };

struct book {
    book_config config;
    metrics *metrics;
    process_watch *process;
    const char *paths[PATH_CAP]; /* of the routes, and one for all others */
    size_t path_count;
    int64_t begun_us;
};

rnl_status book_create(const book_config *config, book **out) {
    book *b = *out = calloc(1, sizeof *b);
    if (b == NULL) return RNL_ERR_MEMORY;
    b->config = *config;
    b->begun_us = clock_us();
    const route *r;
    for (int i = 0; (r = route_at(i)) != NULL && b->path_count < PATH_CAP - 1; i++)
        b->paths[b->path_count++] = r->path;
    b->paths[b->path_count++] = "other";
    const metrics_config m = {.kernels = config->model->kernels.name,
                              .model = config->name,
                              .paths = b->paths,
                              .path_count = b->path_count};
    rnl_status status = metrics_create(&m, &b->metrics);
    if (status == RNL_OK) status = process_watch_create(&b->process);
    if (status != RNL_OK) book_destroy(out);
    return status;
}

void book_destroy(book **out) {
    book *b = *out;
    if (b == NULL) return;
    *out = NULL;
    metrics_destroy(&b->metrics);
    process_watch_destroy(&b->process);
    free(b);
}

metrics *book_metrics(book *b) {
    return b->metrics;
}

static void write_line(const book *b, log_entry *entry) {
    struct timespec now = {0};
    char line[LOG_LINE_CAP];
    if (b->config.log == NULL) return;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    entry->time_us = (int64_t)now.tv_sec * MILLION + now.tv_nsec / 1000;
    b->config.log(b->config.context, line, log_write(entry, b->config.log_form, line));
}

static size_t path_of(const book *b, const route *r) {
    const route *row;
    for (int i = 0; r != NULL && (row = route_at(i)) != NULL; i++)
        if (row == r) return (size_t)i;
    return b->path_count - 1;
}

bool book_takes_content(const book *b) {
    return b->config.log_content && b->config.log != NULL;
}

void book_request(book *b, const net_exchange *x, const book_entry *what) {
    static const char *const methods[] = {"GET", "HEAD", "POST", "OPTIONS", "other"};
    const size_t path = path_of(b, what->route);
    log_entry entry = {.what = "request",
                       .id = net_exchange_id(x),
                       .method = methods[net_exchange_method(x)],
                       .path = b->paths[path],
                       .code = what->status,
                       .duration_us = clock_us() - what->begun_us,
                       .bytes_in = (uint64_t)net_exchange_body_size(x),
                       .bytes_out = (uint64_t)net_exchange_sent(x),
                       .model_us = what->worked_us,
                       .address = what->address,
                       .why = what->status == 0 ? "gone" : "",
                       .file = what->file != NULL ? what->file : "",
                       .content = book_takes_content(b) ? what->content : NULL,
                       .content_size = what->content_size};
    metrics_request(b->metrics, path, entry.code, entry.duration_us);
    write_line(b, &entry);
}

void book_connection(book *b, const log_entry *entry) {
    log_entry copy = *entry;
    write_line(b, &copy);
}

static void note_work(metrics *m, const work_facts *w, const int *states) {
    int idle = w->conversations;
    for (int i = 0; i < METRIC_IDLE; i++) {
        metrics_set(m, METRIC_SESSIONS, i, states[i]);
        idle -= states[i];
    }
    metrics_set(m, METRIC_SESSIONS, METRIC_IDLE, idle > 0 ? idle : 0);
    metrics_set(m, METRIC_SESSIONS_MAX, 0, w->session_max);
    metrics_set(m, METRIC_LOAD, 0, (int64_t)(w->load * MILLION));
    metrics_set(m, METRIC_MEMORY, METRIC_SESSION_BYTES,
                (int64_t)w->session_size * (w->conversations + w->beside + w->kept));
    metrics_set(m, METRIC_MEMORY, METRIC_BUFFER_BYTES, (int64_t)w->batch_size);
}

static void note_process(metrics *m, process_watch *p) {
    process_facts f;
    process_watch_read(p, &f);
    metrics_set(m, METRIC_PROCESS_MEMORY, 0, f.resident_size);
    metrics_set(m, METRIC_PROCESS_FDS, 0, f.fd_count);
    metrics_set(m, METRIC_PROCESS_CPU, 0, f.cpu_us);
}

char *book_page(book *b, const work_facts *work, const net_counts *open, const int *states,
                size_t *size) {
    metrics *m = b->metrics;
    rnl_model_info info;
    rnl_model_get_info(b->config.model, &info);
    metrics_set(m, METRIC_UP, 0, clock_us() - b->begun_us);
    metrics_set(m, METRIC_CONNECTIONS, METRIC_HTTP, open->http);
    metrics_set(m, METRIC_CONNECTIONS, METRIC_REALTIME, open->websockets);
    metrics_set(m, METRIC_SLOW_READERS, 0, open->slow);
    metrics_set(m, METRIC_MEMORY, METRIC_MODEL_BYTES, (int64_t)info.weight_size);
    note_work(m, work, states);
    note_process(m, b->process);
    size_t cap = 32 * 1024;
    for (;;) { /* it grows while it is written only when somebody counts at the same time */
        char *page = malloc(cap);
        if (page == NULL) return NULL;
        *size = metrics_write(m, page, cap);
        if (*size <= cap) return page;
        free(page);
        cap = 2 * *size;
    }
}
