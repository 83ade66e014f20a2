/* What the server writes about its work: a line for each request or session when it ends, as JSON
 * or for people. It never holds keys, texts or sound; --log-content alone fills `content`.
 *
 * Lines are made here; writing them to standard error is the caller's. */
#ifndef SERVE_LOG_H
#define SERVE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_LINE_CAP = 4096, LOG_CONTENT_CAP = 1024 };

typedef enum log_form { LOG_TEXT, LOG_JSON } log_form;

typedef struct log_entry {
    int64_t time_us;     /* wall clock, since 1970 in UTC: when it ended */
    const char *what;    /* "request", "realtime", "wyoming", "audiosocket": a word of ours */
    const char *id;      /* "req_...", "sess_..."; "": none */
    const char *method;  /* "POST", or "" */
    const char *path;    /* of the server's table, or "" */
    int code;            /* HTTP's status, or the code that a socket closed with */
    int64_t duration_us; /* from its begin to its end */
    uint64_t bytes_in, bytes_out;
    int64_t model_us;    /* that the model worked for it; below 0: nobody counted */
    const char *address; /* of the client, numeric */
    const char *why;     /* why it ended early, a word of ours: "slow_reader"; "": it did not */
    const char *file;    /* name that an uploaded file came under; "": none */
    const char *content; /* what was said, [content_size] bytes; NULL: not to be written */
    size_t content_size; /* only the first LOG_CONTENT_CAP are */
} log_entry;

/* One line with its end, less than LOG_LINE_CAP bytes, terminated; returns its size. Control
 * characters and what is no UTF-8 become '?', so that no client writes lines of its own. */
size_t log_write(const log_entry *e, log_form form, char out[LOG_LINE_CAP]);

#endif
