/* The head of an HTTP/1.1 answer, as text. */
#ifndef SERVE_HTTP_HEAD_H
#define SERVE_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_HEAD_CAP = 4096 };

typedef struct http_head {
    int status;
    const char *content_type; /* NULL: none */
    int64_t content_size;     /* -1: not known, and the body comes in chunks or until the close */
    bool chunked, close;      /* as the answer says of itself */
    const char *extra;        /* whole lines with their ends, or "" */
} http_head;

/* Not terminated; returns its size, 0 when it does not fit. */
size_t http_head_write(const http_head *h, char *text, size_t cap);

/* Whether a value may stand in a header: no control character in it. */
bool http_value_is_clean(const char *value);

#endif
