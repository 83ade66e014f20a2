/* The inside of server.h: calls, which are requests with a service, and the services. */
#ifndef SERVE_SERVER_INNER_H
#define SERVE_SERVER_INNER_H

#include <stdatomic.h>

#include "serve/answers.h"
#include "serve/api_keys.h"
#include "serve/book.h"
#include "serve/json_out.h"
#include "serve/realtime.h"
#include "serve/realtime_secrets.h"
#include "serve/route.h"
#include "serve/server.h"
#include "serve/service_wyoming.h"
#include "serve/work.h"

typedef struct call call;
typedef struct realtime_talk realtime_talk; /* service_realtime.c */

/* What answers a route. All but complete may be NULL. */
typedef struct service {
    /* The head is there and allowed. False: it has answered. */
    bool (*begin)(call *c);
    /* Bytes of the body, if it takes them itself; false: it has answered. NULL: they are gathered
     * in c->body. */
    bool (*body)(call *c, const uint8_t *bytes, size_t size);
    void (*complete)(call *c); /* the body is there */
    void (*writable)(call *c); /* the answer has room again */
    void (*gone)(call *c);     /* answered, or the client went away: frees c->state */
} service;

struct call {
    server *server;
    net_exchange *exchange;
    const route *route;
    const service *service;
    int owner;       /* number of the key; 0: none */
    uint64_t caller; /* whose conversations may go on from each other (work.h); 0: from none */
    bool has_secret; /* the key was a client secret: */
    realtime_secret secret;
    void *state; /* the service's */
    char *body;  /* [body_size] gathered, terminated */
    size_t body_size, body_cap;
    int64_t worked_us; /* by the model, in conversations that are closed; below 0: none was */
    char file[128];    /* name of an uploaded file; "": none */
};

struct server {
    server_config config;
    net *net;
    work *work;
    api_keys *keys;
    answers *answers;
    book *book;
    realtime_secrets *secrets;
    wyoming_service *wyoming; /* NULL: none */
    realtime_talk *talks;     /* all of /v1/realtime: a list */
    int64_t created;          /* seconds since 1970: when the model became available */
    atomic_int ends_asked;
    atomic_bool reload_asked;
    int64_t drain_until_us; /* 0: not draining */
    int call_count;         /* under way, */
    int phone_count;        /* of these telephone calls */
    size_t body_size;       /* of all bodies that are gathered */
    void (*ready)(void *context, server *s);
    void *ready_context;
    bool told_ready;
};

/* Whether the server may start with these: RNL_ERR_ARGUMENT; of TLS RNL_ERR_DATA. */
rnl_status server_check(const server_config *c, const api_keys *keys, const rnl_model *model,
                        rnl_error *error);

/* The services of the routes; NULL: not there (yet). */
const service *service_of(route_id id);
extern const service service_health, service_metrics, service_models, service_transcriptions,
    service_speech, service_chat, service_page, service_secrets;

/* What a realtime conversation of this server has to know. */
realtime_config realtime_config_of(const server *s, const char *model, bool beta,
                                   bool transcribes_only);
/* Upgrades to /v1/realtime (service_realtime.c): false with an error, or the peer's handlers and
 * state; then opened. */
bool realtime_accept(call *c, const net_peer_handlers **handlers, void **state, api_error *e);
void realtime_opened(net_peer *p, void *state);
/* Ends conversations that are kept for a client who has not come back in time, or all of them. */
void realtime_drop_kept(server *s, bool all);
/* How many are in each metric_state. */
void realtime_count_states(const server *s, int counts[METRIC_STATE_COUNT]);

/* A telephone call, as adopt of net_handlers (service_audiosocket.c). */
bool audiosocket_adopt(server *s, const char *address, net_peer *p,
                       const net_peer_handlers **handlers, void **state);

/* Closes a conversation of the call, and counts what it took. NULL is fine; sets NULL. */
void call_close(call *c, conversation **talk);
/* What is said in pieces: begins the answer unless it is begun, sends what the writer holds and
 * clears it. False: there is no room; writable() comes. */
bool call_send(call *c, const char *type, json_out *out);
/* An error before the answer was begun; later the connection is broken off, or, where the answer is
 * a stream of events, the error is one of them. */
void call_fail(call *c, const api_error *error, bool events);

/* A model as clients choose it: the one that is served, or it with a set of its adapters. */
typedef struct served_model {
    const char *name;    /* what it is called; both live as long as the server */
    const char *adapter; /* NULL: none */
} served_model;

/* The one of that name, NULL: the model without an adapter. Without adapters, and unless
 * strict_model, any name means the model; else others are MODEL_NOT_FOUND. */
bool server_find_model(const server *s, const char *name, served_model *out, api_error *error);

#endif
