/* The inside of net.h: what net.c (libwebsockets) and net_exchange.c (HTTP as text) share. */
#ifndef SERVE_NET_INNER_H
#define SERVE_NET_INNER_H

#include "serve/http_head.h"
#include "serve/ids.h"
#include "serve/net.h"
#include "serve/send_queue.h"

enum { NET_EXTRA_CAP = 2048 };

typedef enum answer_state {
    ANSWER_NONE,
    ANSWER_BEGUN,
    ANSWER_ENDED, /* all of it is queued */
    ANSWER_BROKEN /* the connection is to be closed instead of more */
} answer_state;

struct net_exchange {
    net_peer *peer;
    void *state;
    net_method method;
    char id[ID_CAP];
    char path[NET_PATH_CAP];
    char query[NET_QUERY_CAP]; /* "name=value", each terminated; an empty one ends them */
    char *values[NET_HEADER_COUNT];
    char extra[NET_EXTRA_CAP]; /* header lines of the answer */
    int64_t body_size, body_got;
    int64_t begun_us, sent;
    int status;
    bool upgrade;
    bool body_done; /* all of the body has come */
    bool old;       /* HTTP/1.0: no chunks, closed behind the answer */
    bool wanted;    /* the handler wants the body and has not had all of it yet */
    bool no_body;   /* HEAD */
    bool close;     /* the connection ends behind the answer */
    bool chunked;
    bool events; /* server-sent ones: a comment now and then keeps proxies awake */
    answer_state answer;
};

struct net_peer {
    net *net;
    void *wsi; /* of libwebsockets */
    struct net_peer *next, *before;
    char address[NET_ADDRESS_CAP];
    bool websocket, raw;
    uint64_t number;
    bool followed; /* left() is to come */
    bool gone;     /* the connection is no more; nothing is asked of it */
    bool starved;  /* somebody found no room: tell him when there is */
    send_queue out;
    int64_t moved_us; /* when something was written last, or there was nothing to write */
    net_exchange *exchange;

    /* A WebSocket, or TCP. */
    const net_peer_handlers *handlers;
    void *state;
    bool opened;
    bool closing; /* behind what is queued */
    bool left;    /* the client has closed it */
    int close_code;
    char close_reason[124];
    char *message; /* what has come of the message under way */
    size_t message_size, message_cap;
    double credit; /* messages that may come at once */
    int64_t credit_us, message_us;
};

/* net.c */
void net_want_write(net_peer *p); /* writable comes soon */
void net_kill(net_peer *p);       /* the connection ends at once; gone comes later */
void net_set_hold(net_peer *p, bool hold);
void net_set_timer(net_peer *p, int64_t at_us);

/* net_exchange.c */
net_exchange *net_exchange_make(net_peer *p, int64_t now_us); /* NULL: no memory */
void net_exchange_free(net_exchange **x);                     /* after its gone() */
/* What the request says of its body; length NULL: nothing. */
bool net_exchange_set_length(net_exchange *x, const char *length, bool chunks, api_error *e);
/* The whole answer to an upgrade that is refused, as text; returns its size. */
enum { NET_REFUSAL_CAP = HTTP_HEAD_CAP + API_BODY_CAP };
size_t net_refusal(net_exchange *x, const api_error *e, char text[NET_REFUSAL_CAP]);

/* net_bind.c */
/* Whether the address can be bound, for a sentence that says why not. RNL_ERR_IO. */
rnl_status net_try_bind(const char *host, int port, rnl_error *error);

/* net_peer.c */
/* Once a second: who takes nothing, or gives nothing, goes. True: he was too slow. */
bool net_peer_look(net_peer *p, int slow_seconds, int64_t now_us);
/* Whether one more connection of this address may be taken beside these. */
bool net_has_room_for(const net_peer *peers, const char *address);
/* A piece of a WebSocket message, as it came: of a frame `left` bytes are still to come. */
typedef struct net_piece {
    const char *bytes;
    size_t size, left;
    bool first, last; /* frame of its message */
} net_piece;
/* Gathers messages and hands them on. 0, or the code to close with, and why. */
int net_peer_take(net_peer *p, const net_piece *piece, size_t message_max, int64_t now_us,
                  const char **why);
/* There is room again for somebody who found none. */
bool net_peer_feeds(net_peer *p);
/* A comment in a stream of events in which nothing was said for long. */
void net_peer_stay_awake(net_peer *p, int64_t now_us);
/* It takes nothing for too long, or gives nothing of a body. */
bool net_peer_is_stuck(const net_peer *p, int slow_seconds, int64_t now_us);

#endif
