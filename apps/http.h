/* Requests over HTTP, several at once on one thread. The only file behind it that knows libcurl is
 * http.c. The other end is a stranger: https only, http to this machine only; at most 5 redirects,
 * checked by the same rule; a token goes to the host that it was given for and to no other. */
#ifndef APPS_HTTP_H
#define APPS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_URL_CAP = 8192, HTTP_REASON_CAP = 256, HTTP_REDIRECT_MAX = 5 };

typedef enum http_fault {
    HTTP_FINE,
    HTTP_STATUS,   /* the status is not 200 or 206 */
    HTTP_CUT,      /* the connection broke off, or nothing came for a minute */
    HTTP_NETWORK,  /* no connection, no proof of who the other end is */
    HTTP_REDIRECT, /* to where we do not go, or too often */
    HTTP_RANGE,    /* a part that was not asked for */
    HTTP_ENDED,    /* by begin or take, which know why */
    HTTP_MEMORY
} http_fault;

typedef struct http_answer {
    http_fault fault;
    int status;                   /* of the last response; 0: there was none */
    int64_t retry_after;          /* seconds it asks to wait; 0: it does not */
    char reason[HTTP_REASON_CAP]; /* of HTTP_CUT, HTTP_NETWORK, HTTP_REDIRECT; without secrets */
    char next[HTTP_URL_CAP];      /* where a listing goes on; "": it does not */
} http_answer;

typedef struct http_request {
    const char *url;   /* copied */
    const char *token; /* NULL: none. Sent until a redirect leaves the scheme, host and port of the
                        * url, and never after that. Borrowed */
    int64_t offset;    /* above 0: only what follows so many bytes is wanted */
    /* A body comes that begins at byte start, offset or 0, and has length bytes (-1: it does not
     * say); then its bytes. False ends the request. */
    bool (*begin)(void *context, int64_t start, int64_t length);
    bool (*take)(void *context, const void *bytes, size_t size);
    void *context;
} http_request;

typedef struct http http;

/* NULL: no memory. */
http *http_open(void);
void http_close(http **h); /* ends requests; NULL is fine; sets NULL */
/* False: no memory. The url must have passed http_url_fault. */
bool http_add(http *h, const http_request *r);
/* Moves bytes; waits for some at most wait_ms. False: libcurl failed. */
bool http_move(http *h, int wait_ms);
/* The context of a request that is over, and how it ended; NULL: none is. */
void *http_ended(http *h, http_answer *out);

/* Why an url is not one to go to, as a sentence goes on: "is not https", ...; NULL: it is.
 * from: the url that leads there; NULL: a person named it. */
const char *http_url_fault(const char *url, const char *from);
/* Scheme, host and port are the same. */
bool http_same_origin(const char *a, const char *b);

#endif
