/* The files that MMLU was published in: rows of question, A, B, C, D, answer, without a header, as
 * RFC 4180 has them. learn.md 2.4. */
#ifndef APPS_TASKS_CSV_H
#define APPS_TASKS_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include <runnel/runnel.h>

bool tasks_is_csv(const char *path); /* by the end of its name */
/* The rows as lines of JSON that task mmlu reads, one for each; the subject is the file's name
 * without _test, _val or _dev. *out is allocated; *out_size bytes. name is put into sentences,
 * which name the row. RNL_ERR_FORMAT, RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status tasks_from_csv(const char *name, const char *text, size_t size, char **out,
                                       size_t *out_size, rnl_error *error);

#endif
