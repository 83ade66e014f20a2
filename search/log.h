/* The log of a search, lines of JSON, one for each evaluation and each generation. It is written
 * line by line, and read back to go on: the search is run again, and finds in it, line by line,
 * what it would otherwise measure. A line that was not written whole is cut away.
 *
 * One thread at a time. */
#ifndef SEARCH_LOG_H
#define SEARCH_LOG_H

#include <stdio.h>

#include <runnel/runnel.h>

#include "core/json.h"

typedef struct search_log {
    FILE *file; /* to append to; NULL: it is read only */
    char *path; /* or what else it is called in sentences */
    char *text; /* [size] what was recorded */
    size_t size, at;
    int line; /* of the last one read or written, from 1 */
} search_log;

/* Opens a file, one that is not there as an empty one, and keeps other processes from it.
 * RNL_ERR_IO, also when another process has it; RNL_ERR_MEMORY. Close it in any case. */
RNL_MUST_USE rnl_status search_log_open(search_log *l, const char *path, rnl_error *error);
/* To read alone: a file, which must be there, or bytes (copied). */
RNL_MUST_USE rnl_status search_log_open_read(search_log *l, const char *path, rnl_error *error);
RNL_MUST_USE rnl_status search_log_of_text(search_log *l, const char *name, const char *text,
                                           size_t size, rnl_error *error);
void search_log_close(search_log *l); /* a zeroed or closed one is fine */

/* The next line that was recorded, to be destroyed; NULL: there are no more. RNL_ERR_FORMAT. */
RNL_MUST_USE rnl_status search_log_next(search_log *l, json **line, rnl_error *error);
/* Writes a line behind the last and takes it over. RNL_ERR_IO; RNL_ERR_MEMORY; RNL_ERR_STATE: the
 * log is only read. */
RNL_MUST_USE rnl_status search_log_append(search_log *l, json_draft *line, rnl_error *error);
/* RNL_ERR_FORMAT: the line that was read last is not that of this search. */
rnl_status search_log_refuse(const search_log *l, const char *what, rnl_error *error);

#endif
