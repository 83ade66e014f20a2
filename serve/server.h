/* The voice server: routes, rules and services on top of net.h and work.h.
 *
 *     net ──► rules: Host, Origin, key, body ──► a service ──► conversations of work ──► net
 *
 * Each set of adapters that the model was opened with is a model of its own name for clients. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "serve/cidr.h"
#include "serve/log.h"
#include "serve/net.h"
#include "serve/origin.h"
#include "serve/realtime_options.h"
#include "serve/work_config.h"

typedef struct server server;

enum { SERVER_RANGE_CAP = 16 };

/* A port beside HTTP, whose protocol knows no keys. */
typedef struct server_port_config {
    const char *host;              /* default 127.0.0.1 */
    int port;                      /* -1 (default): none */
    cidr ranges[SERVER_RANGE_CAP]; /* who may come, besides this machine */
    int range_count;
} server_port_config;

/* Texts are borrowed for the server's life. */
typedef struct server_config {
    const char *name;               /* of the model, as clients see it */
    const char *host;               /* address, name or "unix:PATH"; default 127.0.0.1 */
    int port;                       /* 0: a free one; default 8080 */
    const char *tls_cert, *tls_key; /* NULL (default): no TLS */
    bool plain;                     /* not only for this machine, and without TLS */
    const char *key_file, *key;     /* NULL (default): none */
    origin_rules rules;
    cidr proxies[SERVER_RANGE_CAP]; /* whose X-Forwarded-* count */
    int proxy_count;
    bool strict_model; /* other names than those of /v1/models are not found,
                                            * which is so anyway with adapters */
    server_port_config wyoming, audiosocket;
    bool no_page;      /* GET / is not there */
    bool metrics_open; /* /metrics needs no key */
    log_form log_form; /* of the lines below; default LOG_TEXT */
    bool log_content;  /* they have what was said, too; default false */
    /* A line of the log, with its end, in the loop thread; NULL (default): nobody reads it. */
    void (*log)(void *context, const char *line, size_t size);
    /* The sockets listen, the keys are read, and no thread was started yet; NULL (default): nobody
     * needs to know. An error ends server_create. */
    rnl_status (*listening)(void *context, rnl_error *error);
    /* Once a second, in the loop thread; NULL (default): not needed. */
    void (*tick)(void *context, const work_facts *facts);
    /* What was asked for could not be done, and all stays as it was: a sentence, in the loop
     * thread; NULL (default): nobody listens. */
    void (*trouble)(void *context, const char *sentence);
    void *context;      /* of these four */
    int drain_seconds;  /* until what is under way is cut off; default 30 */
    int slow_seconds;   /* without a write to a reader; default LIMIT_SLOW_SECONDS */
    size_t message_max; /* bytes of a WebSocket message; default LIMIT_MESSAGE_SIZE */
    size_t upload_max;  /* bytes of a sound file; default LIMIT_UPLOAD_SIZE */
    realtime_options realtime;
    work_config work; /* wake and owner are the server's */
} server_config;

server_config server_config_default(void);

/* Binds, listens, and starts the engine; nothing is answered before server_run. The model must
 * outlive it. RNL_ERR_IO: the address cannot be bound; RNL_ERR_ARGUMENT: settings that would let
 * strangers in; keys, certificate, memory and the budget as api_keys_load, certificate_check and
 * work_create say. */
RNL_MUST_USE rnl_status server_create(const server_config *config, rnl_model *model, server **out,
                                      rnl_error *error);
int server_port(const server *s);
int server_wyoming_port(const server *s); /* -1: none */
int server_audiosocket_port(const server *s);
void server_get_facts(const server *s, work_facts *facts);
/* Called once, in the loop thread, when the first conversation could be opened. */
void server_when_ready(server *s, void (*ready)(void *context, server *s), void *context);
/* Serves until the end was asked for and what was under way is over. */
void server_run(server *s);
/* From a handler of a signal. The first time: nothing new is begun, what is under way ends, at most
 * drain_seconds. The second time: now. */
void server_ask_end(server *s);
/* From a handler of a signal: keys and certificate are read again. */
void server_ask_reload(server *s);
void server_destroy(server **s); /* NULL is fine; sets NULL */

#endif
