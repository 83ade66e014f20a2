/* What a run of a benchmark said of each document, kept as lines of JSON: to go on with it, and to
 * compare it with another run (learn.md 2.4, 2.5).
 *
 *     {"settings": "..."}, a line for each document as `eval --json` prints it, {"total": {...}}
 *
 * Of another program's lines those with an index and metrics count. */
#ifndef APPS_TASK_RECORD_H
#define APPS_TASK_RECORD_H

#include <stdio.h>

#include <runnel/runnel.h>

enum { RECORD_METRIC_CAP = 4, RECORD_SETTINGS_CAP = 64 };

typedef struct task_record_line {
    bool there;
    bool right[RECORD_METRIC_CAP];
} task_record_line;

typedef struct task_record {
    task_record_line *lines; /* [count] by the documents' index */
    size_t count, there_count;
    char settings[RECORD_SETTINGS_CAP]; /* "" when no line says them */
    size_t end; /* bytes before the total, or before a line that was not written whole */
} task_record;

/* Empty, for so many documents. False: no memory. */
bool task_record_begin(task_record *r, size_t count);
void task_record_free(task_record *r); /* a zeroed one is fine */

/* Reads a file. metrics [metric_count] are those that each line must have. RNL_ERR_IO,
 * RNL_ERR_MEMORY; RNL_ERR_FORMAT: a line, named, that is not of this benchmark. Free it in any
 * case. */
RNL_MUST_USE rnl_status task_record_read(const char *path, const char *const *metrics,
                                         int metric_count, size_t count, task_record *out,
                                         rnl_error *error);

/* Opens the file to write further lines to: behind those of `from`, or from the beginning (from
 * NULL) with a line of its settings. RNL_ERR_IO, RNL_ERR_ARGUMENT: it is read by the command. */
RNL_MUST_USE rnl_status task_record_open(const char *path, const task_record *from,
                                         const char *settings, FILE **out, rnl_error *error);

/* Two runs of the same documents, paired. */
typedef struct rivalry {
    int64_t count;                 /* documents that both have */
    int64_t only_here, only_there; /* right in one of them only */
    double mean, error;            /* of the difference, here less there */
    double p; /* exact, two-sided: of so uneven a split of those, were both as good */
} rivalry;
rivalry task_record_compare(const task_record *here, const task_record *there, int metric);

#endif
