/* Filling an rnl_error: one sentence that names file, field and remedy. */
#ifndef CORE_STATUS_H
#define CORE_STATUS_H

#include <runnel/runnel.h>

/* Writes the sentence (cut at RNL_ERROR_TEXT_CAP) when error is not NULL; returns status.
 * status must be negative. Any thread. */
rnl_status status_fail(rnl_error *error, rnl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
