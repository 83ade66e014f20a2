/* Sockets: HTTP, WebSockets and plain TCP in one thread. The only file behind it that knows
 * libwebsockets is net.c. It knows no protocol above these: what is asked goes to the handlers of a
 * server, which answer by the calls below, from within a handler or later, in the loop thread.
 *
 *     request ──► exchange: begin, body ..., complete ──► answer whole, or in pieces
 *     upgrade ──► exchange: accept ──► peer: message ..., writable ──► send, close
 *     TCP     ──────────────────────► peer: bytes ..., writable ────► send, close
 *
 * Nothing waits here: what cannot be written stays in a bounded queue, whose room the handlers ask
 * for. A client that takes nothing for LIMIT_SLOW_SECONDS is closed. */
#ifndef SERVE_NET_H
#define SERVE_NET_H

#include <runnel/runnel.h>

#include "serve/api_error.h"

typedef struct net net;
typedef struct net_exchange net_exchange; /* a request and its answer */
typedef struct net_peer net_peer;         /* a WebSocket, or a TCP connection */

/* ---- A request, as it came ---- */

typedef enum net_header {
    NET_HOST,
    NET_ORIGIN,
    NET_AUTHORIZATION,
    NET_API_KEY,
    NET_CONTENT_TYPE,
    NET_OPENAI_BETA,
    NET_SUBPROTOCOL,
    NET_FORWARDED_FOR,
    NET_FORWARDED_PROTO,
    NET_PREFLIGHT_METHOD, /* Access-Control-Request-Method */
    NET_IF_NONE_MATCH,
    NET_HEADER_COUNT
} net_header;

typedef enum net_method { NET_GET, NET_HEAD, NET_POST, NET_OPTIONS, NET_OTHER } net_method;

enum { NET_VALUE_CAP = 1024, NET_PATH_CAP = 512, NET_QUERY_CAP = 2048, NET_ADDRESS_CAP = 48 };

net_method net_exchange_method(const net_exchange *x);
const char *net_exchange_path(const net_exchange *x); /* decoded, without query */
/* A parameter of the query, decoded; NULL: not there. Of several with one name the first. */
const char *net_exchange_parameter(const net_exchange *x, const char *name);
/* NULL: not there. Longer than NET_VALUE_CAP: the request was refused. */
const char *net_exchange_header(const net_exchange *x, net_header h);
const char *net_exchange_address(const net_exchange *x); /* of the peer, numeric */
int64_t net_exchange_body_size(const net_exchange *x);   /* Content-Length; 0: no body */
bool net_exchange_is_upgrade(const net_exchange *x);
const char *net_exchange_id(const net_exchange *x); /* "req_...": goes out as x-request-id */
/* The number of its connection, which no other has or will have, from 1; left() comes with it when
 * that ends. */
uint64_t net_exchange_follow(net_exchange *x);
/* For logs: 0 as long as nothing was answered; bytes of the answer so far; clock_us of the head. */
int net_exchange_status(const net_exchange *x);
int64_t net_exchange_sent(const net_exchange *x);
int64_t net_exchange_begun_us(const net_exchange *x);

/* ---- Its answer ---- */

/* A header line more, before the answer begins: net_exchange_add_header(x, "allow", "GET, HEAD").
 * x-request-id and content-type are there anyway. Both are copied, together at most 2 KiB of
 * them; a value with control characters is left out. */
void net_exchange_add_header(net_exchange *x, const char *name, const char *value);
/* The whole answer, copied; content_type NULL: no body. */
void net_answer(net_exchange *x, int status, const char *content_type, const void *body,
                size_t size);
/* OpenAI's error, with Retry-After and WWW-Authenticate where they belong. */
void net_answer_error(net_exchange *x, const api_error *e);
/* In pieces: begin, write ..., end. write copies; false: there was not enough room, nothing was
 * taken; net_answer_room says how much there is, and writable() when there is more. */
void net_answer_begin(net_exchange *x, int status, const char *content_type);
RNL_MUST_USE bool net_answer_write(net_exchange *x, const void *bytes, size_t size);
size_t net_answer_room(const net_exchange *x);
void net_answer_end(net_exchange *x);
bool net_answer_is_begun(const net_exchange *x);
/* The connection ends without what was promised: an error in the midst of an answer. */
void net_answer_break(net_exchange *x);

/* What waits to be written, of one connection. writable() comes when half of it is free again,
 * after less was. */
enum { NET_QUEUE_SIZE = 256 << 10 };

/* ---- WebSockets and TCP ---- */

/* A text message, or bytes of TCP; copied. False: not enough room in the queue. (One that is larger
 * than all of the queue is taken when nothing else waits.) */
RNL_MUST_USE bool net_peer_send(net_peer *p, const void *bytes, size_t size);
size_t net_peer_room(const net_peer *p);
/* Closes behind what is queued; code of RFC 6455, reason at most 120 bytes; of TCP neither counts.
 * gone() comes later. */
void net_peer_close(net_peer *p, int code, const char *reason);
/* Reads nothing more of it until it is told so again. */
void net_peer_hold(net_peer *p, bool hold);
/* tick() at this time of clock_us, or as soon after it as can be; the last call counts. */
void net_peer_wake_at(net_peer *p, int64_t at_us);
const char *net_peer_address(const net_peer *p);
/* In gone(): the connection broke off, neither side had closed it. */
bool net_peer_is_lost(const net_peer *p);

typedef struct net_peer_handlers {
    /* One whole text message of at most message_max bytes; of TCP some bytes. May close. */
    void (*message)(void *state, net_peer *p, const char *bytes, size_t size);
    void (*writable)(void *state, net_peer *p); /* there is room again */
    void (*tick)(void *state, net_peer *p);     /* net_peer_wake_at */
    void (*gone)(void *state);                  /* the connection is no more; frees state */
} net_peer_handlers;

/* ---- The server ---- */

typedef struct net_handlers {
    /* The head is there. Answers at once (or begins to) and returns false; or returns true to have
     * the body and then complete(), with net_exchange_state set as it likes. gone() comes for
     * each, also for those that net refused without a begin(). */
    bool (*begin)(void *server, net_exchange *x);
    void (*body)(void *server, net_exchange *x, const uint8_t *bytes, size_t size);
    void (*complete)(void *server, net_exchange *x);
    void (*writable)(void *server, net_exchange *x); /* there is room again */
    void (*gone)(void *server, net_exchange *x);     /* answered, or the client went away */
    /* An upgrade: false with an error, or true with the state and handlers of the peer; opened()
     * comes when it is one. */
    bool (*accept)(void *server, net_exchange *x, const net_peer_handlers **handlers, void **state,
                   api_error *error);
    void (*opened)(void *server, net_peer *p, void *state);
    /* A TCP connection to a port of listen_raw: handlers and state, or false to close it. */
    bool (*adopt)(void *server, int listener, const char *address, net_peer *p,
                  const net_peer_handlers **handlers, void **state);
    /* A connection that was followed is no more; behind the gone() of its exchange. */
    void (*left)(void *server, uint64_t connection);
    void (*woken)(void *server); /* net_wake was called */
    void (*tick)(void *server);  /* once a second */
} net_handlers;

void *net_exchange_state(const net_exchange *x);
void net_exchange_set_state(net_exchange *x, void *state);

typedef struct net_config {
    const char *host; /* address or name; "unix:PATH" */
    int port;         /* 0: one that is free */
    const char *tls_cert, *tls_key;
    size_t message_max; /* of a WebSocket message */
    int slow_seconds;
    struct {
        const char *host;
        int port;
    } raw[2]; /* plain TCP; port -1: none */
    const net_handlers *handlers;
    void *server;
} net_config;

/* Binds and listens. RNL_ERR_IO: the address cannot be bound; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status net_create(const net_config *config, net **out, rnl_error *error);
int net_port(const net *n); /* that it listens at */
int net_raw_port(const net *n, int listener);
/* Serves until net_stop. */
void net_run(net *n);
void net_stop(net *n);
/* Any thread, also a handler of a signal: woken() comes in the loop thread. */
void net_wake(net *n);
/* New connections get what the files of TLS hold now, which certificate_check found good; those
 * that are open go on. Loop thread. */
void net_reload_certificate(net *n);
/* Closes what is open; its gone() come. NULL is fine; sets NULL. */
void net_destroy(net **n);

typedef struct net_counts {
    int http, websockets, raw; /* connections open */
    int64_t slow;              /* closed so far because nothing was read, or sent */
} net_counts;
void net_get_counts(const net *n, net_counts *counts);

#endif
