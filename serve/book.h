/* What a server keeps account of: metrics, and a line of the log for each request that ended. */
#ifndef SERVE_BOOK_H
#define SERVE_BOOK_H

#include "serve/log.h"
#include "serve/metrics.h"
#include "serve/net.h"
#include "serve/route.h"
#include "serve/work_config.h"

typedef struct book book;

typedef struct book_config {
    const rnl_model *model;
    const char *name; /* of the model, as clients see it */
    log_form log_form;
    bool log_content; /* lines have what was said */
    /* A line of the log, with its end; NULL: nobody reads it. */
    void (*log)(void *context, const char *line, size_t size);
    void *context;
} book_config;

/* Opens what tells of the process, so before a sandbox. RNL_ERR_MEMORY; *out is then NULL. */
RNL_MUST_USE rnl_status book_create(const book_config *config, book **out);
void book_destroy(book **b); /* NULL is fine; sets NULL */

metrics *book_metrics(book *b);

/* A request that ended. */
typedef struct book_entry {
    const route *route; /* NULL: there was none */
    const char *address;
    int status;          /* as it was answered; 0: it was not */
    int64_t begun_us;    /* clock_us */
    int64_t worked_us;   /* that the model worked for it; below 0: it did not */
    const char *file;    /* name of an uploaded file; NULL or "": none */
    const char *content; /* [content_size] its body; NULL: none was kept */
    size_t content_size;
} book_entry;
void book_request(book *b, const net_exchange *x, const book_entry *what);
/* A connection that is no request, when it ends: what, why and id as in log_entry. */
void book_connection(book *b, const log_entry *entry);
/* Whether lines may have what was said. */
bool book_takes_content(const book *b);

/* The page for /metrics, allocated, free() it; *size bytes. states [METRIC_STATE_COUNT]: how many
 * conversations are in each, as far as that is known; all others are idle. NULL: no memory. */
char *book_page(book *b, const work_facts *work, const net_counts *open, const int *states,
                size_t *size);

#endif
