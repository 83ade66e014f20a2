/* Rules that every request has to meet, and the way to the service that answers it. */
#include "serve/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/clock.h"
#include "core/status.h"
#include "serve/certificate.h"
#include "serve/limits.h"
#include "serve/server_inner.h"

enum { PORT_WYOMING, PORT_AUDIOSOCKET };                    /* of net.h, beside HTTP's */
static const uint64_t first_connection = UINT64_C(1) << 32; /* a caller, behind all keys */

server_config server_config_default(void) {
    return (server_config){.host = "127.0.0.1",
                           .port = 8080,
                           .wyoming = {.host = "127.0.0.1", .port = -1},
                           .audiosocket = {.host = "127.0.0.1", .port = -1},
                           .drain_seconds = 30,
                           .slow_seconds = LIMIT_SLOW_SECONDS,
                           .message_max = LIMIT_MESSAGE_SIZE,
                           .upload_max = LIMIT_UPLOAD_SIZE,
                           .realtime = realtime_options_default(),
                           .work = work_config_default()};
}

/* ---- Who asks ---- */

static bool comes_by_proxy(const server *s, const char *address) {
    for (int i = 0; i < s->config.proxy_count; i++)
        if (cidr_has(&s->config.proxies[i], address)) return true;
    return false;
}

/* The client's address: what the proxy next to us says of it, else the peer's. */
static void address_of(const server *s, const net_exchange *x, char address[NET_ADDRESS_CAP]) {
    const char *peer = net_exchange_address(x), *said = net_exchange_header(x, NET_FORWARDED_FOR);
    if (said != NULL && comes_by_proxy(s, peer)) {
        const char *comma = strrchr(said, ',');
        peer = comma != NULL ? comma + 1 : said;
        while (*peer == ' ') peer++;
    }
    strncpy(address, peer, NET_ADDRESS_CAP - 1);
    address[NET_ADDRESS_CAP - 1] = '\0';
}

static bool is_https(const server *s, const net_exchange *x) {
    const char *said = net_exchange_header(x, NET_FORWARDED_PROTO);
    if (said != NULL && comes_by_proxy(s, net_exchange_address(x)))
        return strcasecmp(said, "https") == 0;
    return s->config.tls_cert != NULL;
}

/* ---- Host, Origin, key ---- */

static bool host_is_fine(const server *s, const net_exchange *x, api_error *e) {
    if (strncmp(s->config.host, "unix:", 5) == 0) return true;
    if (origin_host_allowed(&s->config.rules, net_exchange_header(x, NET_HOST))) return true;
    return api_fail(e, API_HOST_NOT_ALLOWED, NULL,
                    "the server does not answer to this Host; start it with --name HOST");
}

static void allow_origin(net_exchange *x) {
    net_exchange_add_header(x, "access-control-allow-origin", net_exchange_header(x, NET_ORIGIN));
    net_exchange_add_header(x, "vary", "Origin");
}

/* What is ours is fine; what is listed is told so. */
static bool origin_is_fine(const server *s, net_exchange *x, api_error *e, bool *listed) {
    const origin_verdict v = origin_check(&s->config.rules, net_exchange_header(x, NET_ORIGIN),
                                          net_exchange_header(x, NET_HOST), is_https(s, x));
    *listed = v == ORIGIN_LISTED;
    if (v != ORIGIN_REFUSED) return true;
    return api_fail(e, API_ORIGIN_NOT_ALLOWED, NULL,
                    "pages of this origin may not ask; start the server with --origin ORIGIN");
}

static void answer_preflight(net_exchange *x) {
    allow_origin(x);
    net_exchange_add_header(x, "access-control-allow-methods", "GET, POST");
    net_exchange_add_header(
        x, "access-control-allow-headers",
        "authorization, content-type, openai-beta, x-stainless-arch, x-stainless-async, "
        "x-stainless-lang, x-stainless-os, x-stainless-package-version, x-stainless-retry-count, "
        "x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout, "
        "x-stainless-read-timeout, x-stainless-helper-method");
    net_exchange_add_header(x, "access-control-max-age", "600");
    net_answer(x, 204, NULL, NULL, 0);
}

/* The key of a request; "": none. Of WebSockets also as a sub-protocol. */
static void key_of(const net_exchange *x, char key[NET_VALUE_CAP]) {
    static const char bearer[] = "Bearer ", offered[] = "openai-insecure-api-key.";
    const char *authorization = net_exchange_header(x, NET_AUTHORIZATION);
    const char *plain = net_exchange_header(x, NET_API_KEY);
    const char *protocols = net_exchange_header(x, NET_SUBPROTOCOL);
    key[0] = '\0';
    if (authorization != NULL && strncasecmp(authorization, bearer, sizeof bearer - 1) == 0) {
        strncpy(key, authorization + sizeof bearer - 1, NET_VALUE_CAP - 1);
    } else if (plain != NULL) {
        strncpy(key, plain, NET_VALUE_CAP - 1);
    } else if (net_exchange_is_upgrade(x) && protocols != NULL) {
        const char *at = strstr(protocols, offered);
        if (at != NULL) strncpy(key, at + sizeof offered - 1, NET_VALUE_CAP - 1);
        key[strcspn(key, ", ")] = '\0';
    }
    key[NET_VALUE_CAP - 1] = '\0';
}

/* A client secret opens realtime conversations and nothing else. */
static bool is_secret(const server *s, call *c, const char *key) {
    if (c->route->id != ROUTE_REALTIME) return false;
    c->has_secret = realtime_secrets_find(s->secrets, key, (int64_t)time(NULL), &c->secret);
    if (c->has_secret) c->owner = c->secret.owner;
    return c->has_secret;
}

static bool key_is_right(server *s, call *c, api_error *e) {
    char key[NET_VALUE_CAP], address[NET_ADDRESS_CAP];
    key_of(c->exchange, key);
    address_of(s, c->exchange, address);
    if (is_secret(s, c, key)) return true;
    switch (api_keys_check(s->keys, key[0] != '\0' ? key : NULL, address, clock_us(), &c->owner)) {
    case KEY_RIGHT:
        return true;
    case KEY_LIMITED:
        (void)api_fail(e, API_RATE_LIMIT_EXCEEDED, NULL,
                       "too many wrong keys came from this address; wait a minute");
        e->retry_after = 60;
        return false;
    case KEY_WRONG:
        break;
    }
    return api_fail(e, API_INVALID_API_KEY, NULL,
                    key[0] != '\0' ? "the API key is wrong; see the server's --api-key-file"
                                   : "an API key is needed: Authorization: Bearer KEY");
}

/* ---- Calls ---- */

static bool body_is_fine(const server *s, const net_exchange *x, const route *r, api_error *e) {
    if (r->body == BODY_NONE) return true;
    const int64_t more = r->id == ROUTE_TRANSCRIPTIONS
                             ? (int64_t)s->config.upload_max - LIMIT_UPLOAD_SIZE
                             : 0,
                  most = r->size_max + more, size = net_exchange_body_size(x);
    if (size > most)
        return api_fail(e, API_PAYLOAD_TOO_LARGE, NULL,
                        "a body of %lld bytes is more than the %lld that are taken",
                        (long long)size, (long long)most);
    if (!route_takes_type(r, net_exchange_header(x, NET_CONTENT_TYPE)))
        return api_fail(e, API_UNSUPPORTED_MEDIA_TYPE, NULL, "Content-Type has to be %s",
                        r->body == BODY_JSON ? "application/json" : "multipart/form-data");
    if (s->body_size + (size_t)size > LIMIT_UPLOADS_SIZE)
        return api_fail(e, API_SERVER_OVERLOADED, NULL,
                        "too many requests are being read; ask again");
    return true;
}

/* All rules, in their order. False: refused, or a preflight that is answered (*answered). */
static bool is_allowed(server *s, call *c, api_error *e, bool *answered) {
    net_exchange *x = c->exchange;
    const char *path = net_exchange_path(x), *allow = NULL;
    const net_method method = net_exchange_method(x);
    const bool api = strncmp(path, "/v1/", 4) == 0 || strncmp(path, "/openai/", 8) == 0;
    api_error unknown;
    bool listed = false;
    *answered = false;
    c->route = route_find(method, path, &allow, &unknown);
    if ((c->route == NULL || !c->route->any_host) && !host_is_fine(s, x, e)) return false;
    if (api && !origin_is_fine(s, x, e, &listed)) return false;
    if (api && method == NET_OPTIONS && listed) {
        answer_preflight(x);
        *answered = true;
        return false;
    }
    if (listed) allow_origin(x);
    if (c->route == NULL) {
        if (allow != NULL) net_exchange_add_header(x, "allow", allow);
        *e = unknown;
        return false;
    }
    const bool open = c->route->open || (c->route->id == ROUTE_METRICS && s->config.metrics_open);
    if (!open && !key_is_right(s, c, e)) return false;
    return body_is_fine(s, x, c->route, e);
}

/* A key; without keys a connection, unless it is a proxy's, who brings many. */
static uint64_t caller_of(const server *s, const call *c) {
    if (c->owner > 0) return (uint64_t)c->owner;
    if (comes_by_proxy(s, net_exchange_address(c->exchange))) return 0;
    return first_connection + net_exchange_follow(c->exchange);
}

static bool on_begin(void *context, net_exchange *x) {
    server *s = context;
    call *c = calloc(1, sizeof *c);
    api_error e;
    bool answered = false;
    if (c == NULL) {
        (void)api_fail(&e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
        net_answer_error(x, &e);
        return false;
    }
    c->server = s;
    c->exchange = x;
    c->worked_us = -1;
    net_exchange_set_state(x, c);
    s->call_count++;
    if (!is_allowed(s, c, &e, &answered)) {
        if (!answered) net_answer_error(x, &e);
        return false;
    }
    c->service = service_of(c->route->id);
    if (c->service == NULL) {
        (void)api_fail(&e, API_UNKNOWN_URL, NULL, "%.100s is not served here",
                       net_exchange_path(x));
        net_answer_error(x, &e);
        return false;
    }
    if (c->service == &service_chat) c->caller = caller_of(s, c);
    return c->service->begin == NULL || c->service->begin(c);
}

static bool gather(call *c, const uint8_t *bytes, size_t size) {
    if (c->body == NULL) {
        c->body_cap = (size_t)net_exchange_body_size(c->exchange);
        c->body = malloc(c->body_cap + 1);
        if (c->body == NULL) return false;
        c->server->body_size += c->body_cap;
    }
    if (size > c->body_cap - c->body_size) return false;
    memcpy(c->body + c->body_size, bytes, size);
    c->body_size += size;
    c->body[c->body_size] = '\0';
    return true;
}

static void on_body(void *context, net_exchange *x, const uint8_t *bytes, size_t size) {
    (void)context;
    call *c = net_exchange_state(x);
    if (c->service->body != NULL) {
        (void)c->service->body(c, bytes, size);
    } else if (!gather(c, bytes, size)) {
        api_error e;
        (void)api_fail(&e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
        net_answer_error(x, &e);
    }
}

static void on_complete(void *context, net_exchange *x) {
    (void)context;
    call *c = net_exchange_state(x);
    c->service->complete(c);
}

static void on_writable(void *context, net_exchange *x) {
    (void)context;
    call *c = net_exchange_state(x);
    if (c != NULL && c->service != NULL && c->service->writable != NULL) c->service->writable(c);
}

static void on_gone(void *context, net_exchange *x) {
    server *s = context;
    call *c = net_exchange_state(x);
    char address[NET_ADDRESS_CAP];
    address_of(s, x, address);
    book_entry entry = {.address = address,
                        .status = net_exchange_status(x),
                        .begun_us = net_exchange_begun_us(x),
                        .worked_us = -1};
    if (c == NULL) { /* its head was none */
        book_request(s->book, x, &entry);
        return;
    }
    if (c->service != NULL && c->service->gone != NULL) c->service->gone(c);
    entry.route = c->route;
    entry.worked_us = c->worked_us;
    entry.file = c->file;
    entry.content = c->body;
    entry.content_size = c->body_size;
    book_request(s->book, x, &entry);
    if (c->body != NULL) s->body_size -= c->body_cap;
    free(c->body);
    free(c);
    s->call_count--;
}

/* ---- What services use ---- */

void call_close(call *c, conversation **talk) {
    if (*talk == NULL) return;
    c->worked_us = (c->worked_us > 0 ? c->worked_us : 0) + conversation_worked_us(*talk);
    conversation_close(talk);
}

bool call_send(call *c, const char *type, json_out *out) {
    net_exchange *x = c->exchange;
    if (!net_answer_is_begun(x)) {
        if (strcmp(type, "text/event-stream") == 0)
            net_exchange_add_header(x, "cache-control", "no-cache");
        net_answer_begin(x, 200, type);
    }
    if (!net_answer_write(x, out->text, out->size)) return false;
    json_out_clear(out);
    return true;
}

void call_fail(call *c, const api_error *error, bool events) {
    char text[API_BODY_CAP + 16], body[API_BODY_CAP];
    if (!net_answer_is_begun(c->exchange)) {
        net_answer_error(c->exchange, error);
        return;
    }
    const size_t size = api_error_body(error, body, sizeof body);
    const int event_size = snprintf(text, sizeof text, "data: %.*s\n\n", (int)size, body);
    if (events && net_answer_write(c->exchange, text, (size_t)event_size))
        net_answer_end(c->exchange);
    else
        net_answer_break(c->exchange);
}

const service *service_of(route_id id) {
    switch (id) {
    case ROUTE_LIVE:
    case ROUTE_READY:
    case ROUTE_HEALTH:
        return &service_health;
    case ROUTE_METRICS:
        return &service_metrics;
    case ROUTE_MODELS:
    case ROUTE_MODEL:
        return &service_models;
    case ROUTE_TRANSCRIPTIONS:
        return &service_transcriptions;
    case ROUTE_SPEECH:
        return &service_speech;
    case ROUTE_CHAT:
        return &service_chat;
    case ROUTE_PAGE:
        return &service_page;
    case ROUTE_CLIENT_SECRETS:
    case ROUTE_BETA_SESSIONS:
    case ROUTE_BETA_TRANSCRIPTION_SESSIONS:
        return &service_secrets;
    default:
        return NULL;
    }
}

/* ---- Upgrades and plain TCP ---- */

static bool on_accept(void *context, net_exchange *x, const net_peer_handlers **handlers,
                      void **state, api_error *e) {
    server *s = context;
    call c = {.server = s, .exchange = x};
    bool answered, taken = false;
    char address[NET_ADDRESS_CAP];
    if (is_allowed(s, &c, e, &answered))
        taken = c.route->id == ROUTE_REALTIME
                    ? realtime_accept(&c, handlers, state, e)
                    : api_fail(e, API_UNKNOWN_URL, NULL, "there is no WebSocket here");
    address_of(s, x, address);
    const book_entry entry = {.route = c.route,
                              .address = address,
                              .status = taken ? 101 : api_code_status(e->code),
                              .begun_us = net_exchange_begun_us(x),
                              .worked_us = -1};
    book_request(s->book, x, &entry);
    return taken;
}

static void on_opened(void *context, net_peer *p, void *state) {
    (void)context;
    realtime_opened(p, state);
}

static bool on_adopt(void *context, int listener, const char *address, net_peer *p,
                     const net_peer_handlers **handlers, void **state) {
    server *s = context;
    if (s->drain_until_us != 0) return false;
    if (listener == PORT_AUDIOSOCKET) return audiosocket_adopt(s, address, p, handlers, state);
    return s->wyoming != NULL && wyoming_service_adopt(s->wyoming, address, p, handlers, state);
}

/* ---- Time, and the end ---- */

/* A file that is damaged now leaves what there was, and is told. */
static void reload(server *s) {
    const server_config *c = &s->config;
    api_keys *fresh = NULL;
    rnl_error e = {0};
    if (api_keys_load(c->key_file, c->key, &fresh, &e) == RNL_OK) {
        api_keys_follow(fresh, s->keys);
        api_keys_free(&s->keys);
        s->keys = fresh;
        work_forget_all(s->work); /* a key may be gone */
    } else if (c->trouble != NULL) {
        c->trouble(c->context, e.text);
    }
    if (c->tls_cert == NULL) return;
    if (certificate_check(c->tls_cert, c->tls_key, &e) == RNL_OK)
        net_reload_certificate(s->net);
    else if (c->trouble != NULL)
        c->trouble(c->context, e.text);
}

static void begin_draining(server *s) {
    work_drain(s->work);
    realtime_drop_kept(s, true);
    s->drain_until_us = clock_us() + s->config.drain_seconds * INT64_C(1000000);
}

static void look_at_end(server *s) {
    const int asked = atomic_load(&s->ends_asked);
    if (atomic_exchange(&s->reload_asked, false)) reload(s);
    if (asked > 0 && s->drain_until_us == 0) begin_draining(s);
    if (s->drain_until_us == 0) return;
    const int busy = s->wyoming != NULL ? wyoming_service_busy(s->wyoming) : 0;
    if (asked > 1 || s->call_count + busy == 0 || clock_us() > s->drain_until_us) net_stop(s->net);
}

static void on_left(void *context, uint64_t connection) {
    const server *s = context;
    if (s->work != NULL) work_forget(s->work, first_connection + connection);
}

static void on_woken(void *context) {
    server *s = context;
    if (s->work == NULL) return;
    work_dispatch(s->work);
    if (!s->told_ready) {
        work_facts f;
        work_get_facts(s->work, &f);
        s->told_ready = !f.starting;
        if (s->told_ready && s->ready != NULL) s->ready(s->ready_context, s);
    }
    look_at_end(s);
}

static void on_tick(void *context) {
    server *s = context;
    if (s->work != NULL && s->config.tick != NULL) {
        work_facts f;
        work_get_facts(s->work, &f);
        s->config.tick(s->config.context, &f);
    }
    if (s->wyoming != NULL) wyoming_service_tick(s->wyoming, clock_us());
    realtime_drop_kept(s, s->drain_until_us != 0);
    look_at_end(s);
}

static const net_handlers handlers = {.begin = on_begin,
                                      .body = on_body,
                                      .complete = on_complete,
                                      .writable = on_writable,
                                      .gone = on_gone,
                                      .accept = on_accept,
                                      .opened = on_opened,
                                      .adopt = on_adopt,
                                      .left = on_left,
                                      .woken = on_woken,
                                      .tick = on_tick};

/* ---- Making and ending ---- */

static void wake(void *owner) {
    net_wake(((server *)owner)->net);
}

static rnl_status make(server *s, rnl_model *model, rnl_error *error) {
    server_config *c = &s->config;
    c->rules.loopback = origin_is_loopback(c->host);
    rnl_status status = api_keys_load(c->key_file, c->key, &s->keys, error);
    if (status == RNL_OK) status = server_check(c, s->keys, model, error);
    if (status != RNL_OK) return status;
    const net_config n = {.host = c->host,
                          .port = c->port,
                          .tls_cert = c->tls_cert,
                          .tls_key = c->tls_key,
                          .message_max = c->message_max,
                          .slow_seconds = c->slow_seconds,
                          .raw = {[PORT_WYOMING] = {c->wyoming.host, c->wyoming.port},
                                  [PORT_AUDIOSOCKET] = {c->audiosocket.host, c->audiosocket.port}},
                          .handlers = &handlers,
                          .server = s};
    const book_config b = {.model = model,
                           .name = c->name,
                           .log_form = c->log_form,
                           .log_content = c->log_content,
                           .log = c->log,
                           .context = c->context};
    s->answers = answers_create();
    s->secrets = realtime_secrets_create();
    if (s->answers == NULL || s->secrets == NULL || book_create(&b, &s->book) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    status = net_create(&n, &s->net, error);
    if (status == RNL_OK && c->listening != NULL) status = c->listening(c->context, error);
    if (status != RNL_OK) return status;
    c->work.wake = wake;
    c->work.metrics = book_metrics(s->book);
    c->work.owner = s;
    s->created = (int64_t)time(NULL);
    status = work_create(model, &c->work, &s->work, error);
    if (status != RNL_OK || c->wyoming.port < 0) return status;
    const wyoming_service_config w = {.work = s->work,
                                      .book = s->book,
                                      .name = c->name,
                                      .allowed = c->wyoming.ranges,
                                      .allowed_count = c->wyoming.range_count};
    status = wyoming_service_create(&w, &s->wyoming);
    return status == RNL_OK ? status : status_fail(error, status, "memory is exhausted");
}

rnl_status server_create(const server_config *config, rnl_model *model, server **out,
                         rnl_error *error) {
    server *s = *out = calloc(1, sizeof *s);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    s->config = *config;
    const rnl_status status = make(s, model, error);
    if (status != RNL_OK) server_destroy(out);
    return status;
}

int server_port(const server *s) {
    return net_port(s->net);
}

int server_wyoming_port(const server *s) {
    return net_raw_port(s->net, PORT_WYOMING);
}

int server_audiosocket_port(const server *s) {
    return net_raw_port(s->net, PORT_AUDIOSOCKET);
}

void server_get_facts(const server *s, work_facts *facts) {
    work_get_facts(s->work, facts);
}

void server_when_ready(server *s, void (*ready)(void *context, server *s), void *context) {
    s->ready = ready;
    s->ready_context = context;
}

void server_run(server *s) {
    net_run(s->net);
}

void server_ask_end(server *s) {
    atomic_fetch_add(&s->ends_asked, 1);
    net_wake(s->net);
}

void server_ask_reload(server *s) {
    atomic_store(&s->reload_asked, true);
    net_wake(s->net);
}

void server_destroy(server **out) {
    server *s = out != NULL ? *out : NULL;
    if (s == NULL) return;
    *out = NULL;
    if (s->work != NULL) work_stop(s->work); /* it wakes the net no more */
    net_destroy(&s->net);                    /* calls end, and close their conversations */
    realtime_drop_kept(s, true);
    wyoming_service_destroy(&s->wyoming);
    work_destroy(&s->work);
    api_keys_free(&s->keys);
    answers_destroy(&s->answers);
    book_destroy(&s->book);
    realtime_secrets_destroy(&s->secrets);
    free(s);
}
