/* The only file that knows libwebsockets: its events become calls of net_handlers and of peers.
 *
 *     connection ──► net_peer (made when accepted, freed when the wsi is)
 *     request ─────► net_exchange of the peer, one at a time ──► send_queue ──► writes
 *
 * Everything of libwebsockets happens in the thread of net_run. Answers are written as text of our
 * own, so that whatever is refused has a clean form. */
#include "serve/net_inner.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libwebsockets.h>

#include "core/clock.h"
#include "core/status.h"
#include "serve/limits.h"

enum { RAW_COUNT = 2, PIECE = 32768 };

/* A peer with what libwebsockets wants of it. */
typedef struct held_peer {
    net_peer peer; /* first */
    lws_sorted_usec_list_t timer;
} held_peer;

struct net {
    net_config config;
    struct lws_context *context;
    struct lws_vhost *http, *raw[RAW_COUNT];
    struct lws_protocols protocols[3];
    lws_retry_bo_t pings;
    lws_sorted_usec_list_t second;
    net_peer *peers;
    net_counts counts;
    uint64_t last_number; /* of a connection */
    atomic_bool stopping;
};

static net *net_of(struct lws *wsi) {
    return lws_context_user(lws_get_context(wsi));
}

static net_peer *peer_of(struct lws *wsi) {
    return lws_get_opaque_user_data(wsi);
}

/* ---- What net_exchange.c asks ---- */

void net_want_write(net_peer *p) {
    (void)lws_callback_on_writable(p->wsi);
}

void net_kill(net_peer *p) {
    lws_set_timeout(p->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

void net_set_hold(net_peer *p, bool hold) {
    (void)lws_rx_flow_control(p->wsi, !hold);
}

static void timer_fired(lws_sorted_usec_list_t *timer) {
    net_peer *p = &lws_container_of(timer, held_peer, timer)->peer;
    if (!p->gone && p->handlers != NULL && p->handlers->tick != NULL)
        p->handlers->tick(p->state, p);
}

void net_set_timer(net_peer *p, int64_t at_us) {
    const int64_t wait = at_us - clock_us();
    lws_sul_schedule(p->net->context, 0, &((held_peer *)p)->timer, timer_fired,
                     wait > 1 ? wait : 1);
}

/* ---- Connections ---- */

/* True: the connection may stay. */
static bool peer_make(struct lws *wsi, bool raw) {
    net *n = net_of(wsi);
    held_peer *h = calloc(1, sizeof *h);
    if (h == NULL) return false;
    net_peer *p = &h->peer;
    char address[64] = "";
    (void)lws_get_peer_simple(wsi, address, sizeof address);
    const char *plain = strncasecmp(address, "::ffff:", 7) == 0 ? address + 7 : address;
    (void)snprintf(p->address, sizeof p->address, "%.47s", plain);
    if (!net_has_room_for(n->peers, p->address)) {
        free(h);
        return false;
    }
    p->net = n;
    p->wsi = wsi;
    p->raw = raw;
    p->number = ++n->last_number;
    p->credit = LIMIT_EVENTS_BURST;
    p->credit_us = p->message_us = p->moved_us = clock_us();
    send_queue_init(&p->out, NET_QUEUE_SIZE, LWS_PRE);
    p->next = n->peers;
    if (p->next != NULL) p->next->before = p;
    n->peers = p;
    lws_set_opaque_user_data(wsi, p);
    return true;
}

/* It is no more: the handlers hear of it once. */
static void peer_end(net_peer *p) {
    if (p == NULL || p->gone) return;
    const net_handlers *h = p->net->config.handlers;
    p->gone = true;
    lws_sul_cancel(&((held_peer *)p)->timer);
    send_queue_clear(&p->out);
    if (p->exchange != NULL) {
        h->gone(p->net->config.server, p->exchange);
        net_exchange_free(&p->exchange);
    }
    if (p->followed) h->left(p->net->config.server, p->number);
    if (p->opened && p->websocket) p->net->counts.websockets--;
    if (p->opened && p->raw) p->net->counts.raw--;
    if (p->handlers != NULL) p->handlers->gone(p->state);
    p->handlers = NULL;
}

static void peer_free(struct lws *wsi) {
    net_peer *p = peer_of(wsi);
    if (p == NULL) return;
    peer_end(p);
    if (p->before != NULL)
        p->before->next = p->next;
    else
        p->net->peers = p->next;
    if (p->next != NULL) p->next->before = p->before;
    free(p->message);
    lws_set_opaque_user_data(wsi, NULL);
    free(p);
}

/* One block of the queue. RNL_OK: written; RNL_DONE: none waits; RNL_ERR_IO: the end. */
static rnl_status write_block(net_peer *p, enum lws_write_protocol how) {
    p->moved_us = clock_us();
    send_block *b = send_queue_take(&p->out);
    if (b == NULL) return RNL_DONE;
    const int written = lws_write(p->wsi, b->bytes + b->head, b->size, how);
    free(b);
    return written < 0 ? RNL_ERR_IO : RNL_OK;
}

/* ---- Reading the head of a request ---- */

static const struct {
    enum lws_token_indexes token;
    net_method method;
} methods[] = {{WSI_TOKEN_GET_URI, NET_GET},      {WSI_TOKEN_POST_URI, NET_POST},
               {WSI_TOKEN_HEAD_URI, NET_HEAD},    {WSI_TOKEN_OPTIONS_URI, NET_OPTIONS},
               {WSI_TOKEN_PUT_URI, NET_OTHER},    {WSI_TOKEN_PATCH_URI, NET_OTHER},
               {WSI_TOKEN_DELETE_URI, NET_OTHER}, {WSI_TOKEN_CONNECT, NET_OTHER}};

static bool read_line(net_exchange *x, struct lws *wsi) {
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (lws_hdr_total_length(wsi, methods[i].token) <= 0) continue;
        x->method = methods[i].method;
        x->no_body = x->method == NET_HEAD;
        return lws_hdr_copy(wsi, x->path, sizeof x->path, methods[i].token) > 0 &&
               x->path[0] == '/';
    }
    return false;
}

static bool read_query(net_exchange *x, struct lws *wsi) {
    size_t size = 0;
    for (int i = 0;; i++) {
        const int taken = lws_hdr_copy_fragment(
            wsi, x->query + size, (int)(sizeof x->query - size - 1), WSI_TOKEN_HTTP_URI_ARGS, i);
        if (taken < 0) break;
        if (taken > 0) size += (size_t)taken + 1;
        if (size + 2 >= sizeof x->query) return false;
    }
    return lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS) < (int)sizeof x->query - 64;
}

static const struct {
    int token;          /* of libwebsockets; -1: by its name */
    const char *custom; /* with its ':' */
} headers[NET_HEADER_COUNT] = {
    [NET_HOST] = {WSI_TOKEN_HOST, NULL},
    [NET_ORIGIN] = {WSI_TOKEN_ORIGIN, NULL},
    [NET_AUTHORIZATION] = {WSI_TOKEN_HTTP_AUTHORIZATION, NULL},
    [NET_API_KEY] = {-1, "api-key:"},
    [NET_CONTENT_TYPE] = {WSI_TOKEN_HTTP_CONTENT_TYPE, NULL},
    [NET_OPENAI_BETA] = {-1, "openai-beta:"},
    [NET_SUBPROTOCOL] = {WSI_TOKEN_PROTOCOL, NULL},
    [NET_FORWARDED_FOR] = {WSI_TOKEN_X_FORWARDED_FOR, NULL},
    [NET_FORWARDED_PROTO] = {-1, "x-forwarded-proto:"},
    [NET_PREFLIGHT_METHOD] = {-1, "access-control-request-method:"},
    [NET_IF_NONE_MATCH] = {WSI_TOKEN_HTTP_IF_NONE_MATCH, NULL},
};

/* One header; *value stays NULL when it is not there. False: too long, or no memory. */
static bool read_header(struct lws *wsi, int token, const char *custom, char **value) {
    const int name_size = custom != NULL ? (int)strlen(custom) : 0;
    const int size = custom != NULL ? lws_hdr_custom_length(wsi, custom, name_size)
                                    : lws_hdr_total_length(wsi, (enum lws_token_indexes)token);
    if (size < 0 || (size == 0 && custom == NULL)) return true;
    if (size >= NET_VALUE_CAP) return false;
    char *text = calloc(1, (size_t)size + 1);
    if (text == NULL) return false;
    const int got = custom != NULL
                        ? lws_hdr_custom_copy(wsi, text, size + 1, custom, name_size)
                        : lws_hdr_copy(wsi, text, size + 1, (enum lws_token_indexes)token);
    if (got < 0) {
        free(text);
        return false;
    }
    *value = text;
    return true;
}

static bool read_head(net_exchange *x, struct lws *wsi, api_error *e) {
    char version[16] = "", *length = NULL;
    (void)lws_hdr_copy(wsi, version, sizeof version, WSI_TOKEN_HTTP);
    x->old = strcmp(version, "HTTP/1.0") == 0;
    if (!read_line(x, wsi))
        return api_fail(e, API_BAD_REQUEST, NULL,
                        "the path of the request is no path, or longer than %d bytes",
                        NET_PATH_CAP - 1);
    if (!read_query(x, wsi))
        return api_fail(e, API_BAD_REQUEST, NULL, "the query of the request is too long");
    bool good = read_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, NULL, &length);
    for (int i = 0; i < NET_HEADER_COUNT; i++)
        good = good && read_header(wsi, headers[i].token, headers[i].custom, &x->values[i]);
    if (!good)
        (void)api_fail(e, API_BAD_REQUEST, NULL, "a header of the request is longer than %d bytes",
                       NET_VALUE_CAP - 1);
    const bool chunks = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0;
    good = good && net_exchange_set_length(x, length, chunks, e);
    free(length);
    return good;
}

/* ---- HTTP ---- */

/* The exchange is answered: the next request may come. -1: the connection ends. */
static int exchange_end(net_peer *p) {
    const bool close = p->exchange->close;
    p->net->config.handlers->gone(p->net->config.server, p->exchange);
    net_exchange_free(&p->exchange);
    return close || lws_http_transaction_completed(p->wsi) ? -1 : 0;
}

static int on_request(struct lws *wsi) {
    enum { IGNORED_MAX = 64 << 20 }; /* of a body that nobody wants: read, to keep the connection */
    net_peer *p = peer_of(wsi);
    if (p == NULL || p->exchange != NULL) return -1;
    net *n = p->net;
    net_exchange *x = p->exchange = net_exchange_make(p, clock_us());
    if (x == NULL) return -1;
    api_error e;
    if (!read_head(x, wsi, &e)) {
        x->close = true;
        net_answer_error(x, &e);
        return 0;
    }
    if (x->body_size > IGNORED_MAX) x->close = true;
    x->wanted = n->config.handlers->begin(n->config.server, x);
    if (x->body_size == 0) {
        lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
        if (x->wanted) {
            x->wanted = false;
            n->config.handlers->complete(n->config.server, x);
        }
    } else if (x->wanted && lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_EXPECT) > 0) {
        unsigned char text[LWS_PRE + 32] = "";
        memcpy(text + LWS_PRE, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        if (lws_write(wsi, text + LWS_PRE, 25, LWS_WRITE_RAW) < 0) return -1;
    }
    return 0;
}

static int on_body(struct lws *wsi, const void *in, size_t size) {
    net_peer *p = peer_of(wsi);
    net_exchange *x = p != NULL ? p->exchange : NULL;
    if (x == NULL) return -1;
    x->body_got += (int64_t)size;
    if (x->wanted && !net_answer_is_begun(x))
        p->net->config.handlers->body(p->net->config.server, x, in, size);
    return 0;
}

/* Once for a body. Again when bytes come behind it before it is answered, which libwebsockets would
 * offer for ever and look at nothing else: the connection ends, behind what was answered. */
static int on_body_end(struct lws *wsi) {
    net_peer *p = peer_of(wsi);
    net_exchange *x = p != NULL ? p->exchange : NULL;
    if (x == NULL) return 0;
    if (x->body_done) {
        while (write_block(p, LWS_WRITE_RAW) == RNL_OK) continue;
        return -1;
    }
    x->body_done = true;
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    if (x->wanted && !net_answer_is_begun(x)) {
        x->wanted = false;
        p->net->config.handlers->complete(p->net->config.server, x);
    }
    if (p->exchange == NULL || x->answer != ANSWER_ENDED) return 0;
    if (p->out.first == NULL) return exchange_end(p); /* at once: the next may be here already */
    net_want_write(p);
    return 0;
}

static int on_http_writable(struct lws *wsi) {
    net_peer *p = peer_of(wsi);
    if (p == NULL || p->exchange == NULL) return 0;
    if (write_block(p, LWS_WRITE_RAW) == RNL_ERR_IO) return -1;
    net_exchange *x = p->exchange;
    if (net_peer_feeds(p) && x->answer == ANSWER_BEGUN)
        p->net->config.handlers->writable(p->net->config.server, x);
    if (p->out.first != NULL) net_want_write(p);
    if (p->out.first != NULL || x->answer != ANSWER_ENDED) return 0;
    /* At once, as above. What the system has not taken yet libwebsockets sends first. */
    if (!x->close && x->body_got < x->body_size) return 0;
    return exchange_end(p);
}

/* ---- Upgrades ---- */

/* A request to become a WebSocket. 0: it may; 1: it was refused with an answer; -1: closed. */
static int on_upgrade(struct lws *wsi, const char *what) {
    net_peer *p = peer_of(wsi);
    if (p == NULL || what == NULL || strcasecmp(what, "websocket") != 0) return -1;
    net *n = p->net;
    net_exchange *x = net_exchange_make(p, clock_us());
    if (x == NULL) return -1;
    x->upgrade = true;
    api_error e;
    const bool whole = read_head(x, wsi, &e);
    if (whole && n->config.handlers->accept(n->config.server, x, &p->handlers, &p->state, &e)) {
        net_exchange_free(&x);
        p->websocket = true;
        return 0;
    }
    unsigned char text[LWS_PRE + NET_REFUSAL_CAP];
    const size_t size = net_refusal(x, &e, (char *)text + LWS_PRE);
    if (!whole) n->config.handlers->gone(n->config.server, x);
    net_exchange_free(&x);
    return lws_write(wsi, text + LWS_PRE, size, LWS_WRITE_RAW) < 0 ? -1 : 1;
}

static int refuse(struct lws *wsi, int code, const char *reason) {
    lws_close_reason(wsi, code, (unsigned char *)reason, strlen(reason));
    return -1;
}

static int on_message(struct lws *wsi, const char *bytes, size_t size) {
    net_peer *p = peer_of(wsi);
    if (p == NULL || p->handlers == NULL) return -1;
    if (lws_frame_is_binary(wsi)) return refuse(wsi, 1003, "messages are text");
    const net_piece piece = {.bytes = bytes,
                             .size = size,
                             .left = lws_remaining_packet_payload(wsi),
                             .first = lws_is_first_fragment(wsi),
                             .last = lws_is_final_fragment(wsi)};
    const char *why;
    const int code = net_peer_take(p, &piece, p->net->config.message_max, clock_us(), &why);
    return code != 0 ? refuse(wsi, code, why) : 0;
}

static int on_peer_writable(struct lws *wsi) {
    net_peer *p = peer_of(wsi);
    if (p == NULL || p->gone) return 0;
    const rnl_status status = write_block(p, p->websocket ? LWS_WRITE_TEXT : LWS_WRITE_RAW);
    if (status == RNL_ERR_IO) return -1;
    if (!p->closing && net_peer_feeds(p) && p->handlers != NULL && p->handlers->writable != NULL)
        p->handlers->writable(p->state, p);
    if (p->out.first != NULL || (status == RNL_OK && p->closing)) {
        net_want_write(p);
        return 0;
    }
    if (!p->closing) return 0;
    return p->websocket ? refuse(wsi, p->close_code, p->close_reason) : -1;
}

static int on_raw_adopted(struct lws *wsi) {
    if (peer_of(wsi) == NULL && !peer_make(wsi, true)) return -1;
    net_peer *p = peer_of(wsi);
    net *n = p->net;
    const int listener = lws_get_vhost(wsi) != n->raw[0];
    p->raw = true;
    if (!n->config.handlers->adopt(n->config.server, listener, p->address, p, &p->handlers,
                                   &p->state)) {
        p->handlers = NULL;
        return -1;
    }
    p->opened = true;
    n->counts.raw++;
    return 0;
}

static int on_raw_bytes(struct lws *wsi, const char *bytes, size_t size) {
    net_peer *p = peer_of(wsi);
    if (p == NULL || p->handlers == NULL) return -1;
    p->message_us = clock_us();
    if (!p->closing) p->handlers->message(p->state, p, bytes, size);
    return 0;
}

/* The client closes. libwebsockets gives back what came, also half a code. */
static int on_left(struct lws *wsi, size_t size) {
    if (peer_of(wsi) != NULL) peer_of(wsi)->left = true;
    return size == 1 ? refuse(wsi, 1002, "a close has a code of two bytes, or none") : 0;
}

static void on_opened(net_peer *p) {
    if (p == NULL || p->handlers == NULL) return;
    p->opened = true;
    p->net->counts.websockets++;
    p->net->config.handlers->opened(p->net->config.server, p, p->state);
}

/* ---- Events ---- */

static int on_http_event(struct lws *wsi, enum lws_callback_reasons reason, void *in, size_t size) {
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return on_request(wsi);
    case LWS_CALLBACK_HTTP_BODY:
        return on_body(wsi, in, size);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return on_body_end(wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return on_http_writable(wsi);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return on_upgrade(wsi, in);
    case LWS_CALLBACK_ESTABLISHED:
        on_opened(peer_of(wsi));
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return on_message(wsi, in, size);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return on_left(wsi, size);
    case LWS_CALLBACK_RAW_ADOPT:
        return on_raw_adopted(wsi);
    case LWS_CALLBACK_RAW_RX:
        return on_raw_bytes(wsi, in, size);
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_RAW_WRITEABLE:
        return on_peer_writable(wsi);
    default:
        return 0;
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t size) {
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        return peer_of(wsi) == NULL && !peer_make(wsi, false) ? -1 : 0;
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_RAW_CLOSE:
        peer_end(peer_of(wsi));
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        peer_free(wsi);
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        net_of(wsi)->config.handlers->woken(net_of(wsi)->config.server);
        return 0;
    default:
        return on_http_event(wsi, reason, in, size);
    }
}

static void second_passed(lws_sorted_usec_list_t *timer) {
    net *n = lws_container_of(timer, net, second);
    const int64_t now = clock_us();
    for (net_peer *p = n->peers; p != NULL; p = p->next)
        n->counts.slow += net_peer_look(p, n->config.slow_seconds, now);
    if (n->config.handlers->tick != NULL) n->config.handlers->tick(n->config.server);
    lws_sul_schedule(n->context, 0, &n->second, second_passed, LWS_US_PER_SEC);
}

/* ---- Making and running ---- */

static struct lws_vhost *listen_at(net *n, const char *name, const char *host, int port, bool raw,
                                   rnl_error *error) {
    const bool local = strncmp(host, "unix:", 5) == 0;
    const char *address = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (!local && net_try_bind(address, port, error) != RNL_OK) return NULL;
    struct lws_context_creation_info info = {
        .port = port,
        .iface = local ? host + 5 : address,
        .vhost_name = name,
        .protocols = n->protocols,
        .keepalive_timeout = 60,
        .timeout_secs = LIMIT_BODY_IDLE_SECONDS,
        .retry_and_idle_policy = &n->pings,
        .alpn = "http/1.1",
        .options = LWS_SERVER_OPTION_VALIDATE_UTF8 | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND,
    };
    if (local) info.options |= LWS_SERVER_OPTION_UNIX_SOCK;
    if (!local && strchr(address, ':') == NULL) info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    if (raw) {
        info.options |= LWS_SERVER_OPTION_ADOPT_APPLY_LISTEN_ACCEPT_CONFIG;
        info.listen_accept_role = "raw-skt";
        info.listen_accept_protocol = "raw";
    } else if (n->config.tls_cert != NULL) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = n->config.tls_cert;
        info.ssl_private_key_filepath = n->config.tls_key;
    }
    struct lws_vhost *v = lws_create_vhost(n->context, &info);
    if (v == NULL) (void)status_fail(error, RNL_ERR_IO, "%s port %d cannot be served", host, port);
    return v;
}

static rnl_status make(net *n, rnl_error *error) {
    /* The first one is also for a WebSocket that asks for no protocol; it is answered to one that
     * asks for it by name. */
    n->protocols[0] = (struct lws_protocols){.name = "realtime", .callback = on_event};
    n->protocols[1] = (struct lws_protocols){.name = "raw", .callback = on_event};
    n->pings = (lws_retry_bo_t){.secs_since_valid_ping = LIMIT_PING_SECONDS,
                                .secs_since_valid_hangup = 2 * LIMIT_PING_SECONDS};
    lws_set_log_level(0, NULL);
    const struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .max_http_header_data = LIMIT_HEADER_SIZE,
        .max_http_header_pool = LIMIT_CONNECTIONS,
        .pt_serv_buf_size = PIECE,
        .timeout_secs = LIMIT_HEADER_SECONDS,
        .user = n,
    };
    n->context = lws_create_context(&info);
    if (n->context == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "memory for the sockets is exhausted");
    n->http = listen_at(n, "http", n->config.host, n->config.port, false, error);
    if (n->http == NULL) return RNL_ERR_IO;
    for (int i = 0; i < RAW_COUNT; i++) {
        if (n->config.raw[i].port < 0) continue;
        n->raw[i] = listen_at(n, i == 0 ? "raw0" : "raw1", n->config.raw[i].host,
                              n->config.raw[i].port, true, error);
        if (n->raw[i] == NULL) return RNL_ERR_IO;
    }
    lws_sul_schedule(n->context, 0, &n->second, second_passed, LWS_US_PER_SEC);
    return RNL_OK;
}

rnl_status net_create(const net_config *config, net **out, rnl_error *error) {
    net *n = *out = calloc(1, sizeof *n);
    if (n == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    n->config = *config;
    const rnl_status status = make(n, error);
    if (status != RNL_OK) net_destroy(out);
    return status;
}

int net_port(const net *n) {
    return lws_get_vhost_listen_port(n->http);
}

int net_raw_port(const net *n, int listener) {
    return n->raw[listener] != NULL ? lws_get_vhost_listen_port(n->raw[listener]) : -1;
}

void net_run(net *n) {
    while (!atomic_load(&n->stopping) && lws_service(n->context, 0) >= 0) continue;
}

void net_stop(net *n) {
    atomic_store(&n->stopping, true);
    net_wake(n);
}

void net_wake(net *n) {
    lws_cancel_service(n->context);
}

void net_reload_certificate(net *n) {
    (void)lws_tls_cert_updated(n->context, n->config.tls_cert, n->config.tls_key, NULL, 0, NULL, 0);
}

void net_destroy(net **out) {
    if (out == NULL || *out == NULL) return;
    if ((*out)->context != NULL) lws_context_destroy((*out)->context);
    free(*out);
    *out = NULL;
}

void net_get_counts(const net *n, net_counts *counts) {
    *counts = n->counts;
    for (net_peer *p = n->peers; p != NULL; p = p->next) counts->http += !p->opened;
}
