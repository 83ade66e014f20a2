/* Filling an rnl_error: one sentence that names file, field and remedy. */
#ifndef CORE_STATUS_H
#define CORE_STATUS_H

#include <runnel/runnel.h>

/* Writes the sentence (cut at RNL_ERROR_TEXT_CAP, clean) when error is not NULL; returns status.
 * status must be negative. Any thread. */
rnl_status status_fail(rnl_error *error, rnl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Names come from files of strangers and are shown on terminals, which they must not steer: control
 * characters (below U+0020, U+007F to U+009F, and single bytes of that kind) become '?' each. */
void status_clean(char *text);

#endif
