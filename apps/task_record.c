#include "apps/task_record.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/messages.h"
#include "apps/replace.h"
#include "core/json.h"
#include "core/status.h"

bool task_record_begin(task_record *r, size_t count) {
    *r = (task_record){.lines = calloc(count, sizeof *r->lines), .count = count};
    return r->lines != NULL;
}

void task_record_free(task_record *r) {
    free(r->lines);
    *r = (task_record){0};
}

/* ---- Reading ---- */

typedef struct reading {
    const char *path;
    const char *const *metrics;
    int metric_count;
    size_t line; /* from 1 */
} reading;

static rnl_status refuse(const reading *w, const char *what, rnl_error *error) {
    return status_fail(error, RNL_ERR_FORMAT, "%s: line %zu %s; it is of another benchmark",
                       w->path, w->line, what);
}

/* A line that is whole. */
static rnl_status take(const reading *w, const json *root, task_record *r, bool *total,
                       rnl_error *error) {
    int64_t index, right;
    size_t size;
    const char *settings = json_chars(json_get(root, "settings"), &size);
    *total = json_get(root, "total") != NULL;
    if (settings != NULL && size < sizeof r->settings)
        (void)snprintf(r->settings, sizeof r->settings, "%s", settings);
    if (*total || settings != NULL) return RNL_OK;
    if (!json_int(json_get(root, "index"), 0, (int64_t)r->count - 1, &index))
        return refuse(w, "has no index of the documents there are", error);
    task_record_line *line = &r->lines[index];
    if (line->there) return refuse(w, "has the index of another line", error);
    for (int k = 0; k < w->metric_count; k++) {
        const json *metric = json_get(json_get(root, "metrics"), w->metrics[k]);
        if (!json_int(metric, 0, 1, &right)) return refuse(w, "lacks a metric of 0 or 1", error);
        line->right[k] = right == 1;
    }
    line->there = true;
    r->there_count++;
    return RNL_OK;
}

static rnl_status take_all(reading *w, const char *text, size_t size, task_record *r,
                           rnl_error *error) {
    rnl_status status = RNL_OK;
    for (size_t at = 0; at < size && status == RNL_OK; w->line++) {
        const char *end = memchr(text + at, '\n', size - at);
        json *root = NULL;
        bool total = false;
        if (end == NULL) break; /* a run that was killed */
        const size_t length = (size_t)(end - text) - at;
        rnl_error inner;
        if (length > 0) status = json_parse(text + at, length, "the line", &root, &inner);
        if (status == RNL_ERR_MEMORY)
            return status_fail(error, status, "%s: memory is exhausted", w->path);
        if (status != RNL_OK) return refuse(w, "is no JSON", error);
        if (length > 0) status = take(w, root, r, &total, error);
        json_destroy(&root);
        if (total) break;
        at += length + 1;
        r->end = at;
    }
    return status;
}

rnl_status task_record_read(const char *path, const char *const *metrics, int metric_count,
                            size_t count, task_record *out, rnl_error *error) {
    reading w = {.path = path, .metrics = metrics, .metric_count = metric_count, .line = 1};
    char *text;
    size_t size;
    if (!task_record_begin(out, count))
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    rnl_status status = text_of_file(path, &text, &size, error);
    if (status == RNL_OK) status = take_all(&w, text, size, out, error);
    free(text);
    return status;
}

/* ---- Writing ---- */

static rnl_status fail(const char *path, rnl_error *error) {
    return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
}

rnl_status task_record_open(const char *path, const task_record *from, const char *settings,
                            FILE **out, rnl_error *error) {
    *out = NULL;
    if (!target_is_free(path, error)) return error->status;
    FILE *f = fopen(path, from != NULL ? "r+b" : "wb");
    if (f == NULL) return fail(path, error);
    bool good;
    if (from != NULL)
        good = ftruncate(fileno(f), (off_t)from->end) == 0 && fseek(f, 0, SEEK_END) == 0;
    else
        good = fprintf(f, "{\"settings\": \"%s\"}\n", settings) > 0 && fflush(f) == 0;
    if (good) {
        *out = f;
        return RNL_OK;
    }
    const rnl_status status = fail(path, error);
    (void)fclose(f);
    return status;
}

/* ---- Comparing ---- */

/* Of n throws of a coin, k or fewer on one side, or on the other. */
static double two_sided(int64_t k, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i <= k; i++)
        sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) -
                   (double)n * log(2));
    return fmin(1, 2 * sum);
}

rivalry task_record_compare(const task_record *here, const task_record *there, int metric) {
    rivalry r = {.p = 1};
    for (size_t i = 0; i < here->count && i < there->count; i++) {
        const task_record_line *a = &here->lines[i], *b = &there->lines[i];
        if (!a->there || !b->there) continue;
        r.count++;
        r.only_here += a->right[metric] && !b->right[metric];
        r.only_there += b->right[metric] && !a->right[metric];
    }
    const double n = (double)r.count, apart = (double)(r.only_here + r.only_there);
    if (r.count == 0) return r;
    r.mean = (double)(r.only_here - r.only_there) / n;
    if (r.count > 1) r.error = sqrt((apart - n * r.mean * r.mean) / (n - 1) / n);
    r.p = two_sided(r.only_here < r.only_there ? r.only_here : r.only_there,
                    r.only_here + r.only_there);
    return r;
}
