/* Requests as they are asked about, and answers as they are queued. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "serve/net_inner.h"

net_method net_exchange_method(const net_exchange *x) {
    return x->method;
}

const char *net_exchange_path(const net_exchange *x) {
    return x->path;
}

const char *net_exchange_parameter(const net_exchange *x, const char *name) {
    const size_t size = strlen(name);
    for (const char *q = x->query; *q != '\0'; q += strlen(q) + 1)
        if (strncmp(q, name, size) == 0 && q[size] == '=') return q + size + 1;
    return NULL;
}

const char *net_exchange_header(const net_exchange *x, net_header h) {
    return x->values[h];
}

const char *net_exchange_address(const net_exchange *x) {
    return x->peer->address;
}

int64_t net_exchange_body_size(const net_exchange *x) {
    return x->body_size;
}

bool net_exchange_is_upgrade(const net_exchange *x) {
    return x->upgrade;
}

const char *net_exchange_id(const net_exchange *x) {
    return x->id;
}

int net_exchange_status(const net_exchange *x) {
    return x->status;
}

int64_t net_exchange_sent(const net_exchange *x) {
    return x->sent;
}

int64_t net_exchange_begun_us(const net_exchange *x) {
    return x->begun_us;
}

void *net_exchange_state(const net_exchange *x) {
    return x->state;
}

void net_exchange_set_state(net_exchange *x, void *state) {
    x->state = state;
}

net_exchange *net_exchange_make(net_peer *p, int64_t now_us) {
    net_exchange *x = calloc(1, sizeof *x);
    if (x == NULL) return NULL;
    x->peer = p;
    x->begun_us = now_us;
    id_make(x->id, "req_");
    return x;
}

void net_exchange_free(net_exchange **out) {
    net_exchange *x = *out;
    if (x == NULL) return;
    for (int i = 0; i < NET_HEADER_COUNT; i++) free(x->values[i]);
    free(x);
    *out = NULL;
}

uint64_t net_exchange_follow(net_exchange *x) {
    x->peer->followed = true;
    return x->peer->number;
}

/* Digits and nothing else, so that two of them, or one below 0, are refused. */
static bool parse_length(const char *text, int64_t *size) {
    const size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 15 || text[digits] != '\0') return false;
    *size = strtoll(text, NULL, 10);
    return true;
}

bool net_exchange_set_length(net_exchange *x, const char *length, bool chunks, api_error *e) {
    if (length != NULL && !parse_length(length, &x->body_size))
        return api_fail(e, API_BAD_REQUEST, NULL, "Content-Length is not one number");
    if (chunks || (x->method == NET_POST && length == NULL))
        return api_fail(e, API_LENGTH_REQUIRED, NULL,
                        "a body needs Content-Length; chunks are not taken");
    return true;
}

/* ---- Answers ---- */

void net_exchange_add_header(net_exchange *x, const char *name, const char *value) {
    assert(x->answer == ANSWER_NONE);
    const size_t size = strlen(x->extra), more = strlen(name) + strlen(value) + 4;
    if (!http_value_is_clean(value) || size + more >= sizeof x->extra) return;
    (void)snprintf(x->extra + size, sizeof x->extra - size, "%s: %s\r\n", name, value);
}

static size_t answer_head(const net_exchange *x, int status, const char *content_type, int64_t size,
                          char *text, size_t cap) {
    char extra[NET_EXTRA_CAP + ID_CAP + 32];
    (void)snprintf(extra, sizeof extra, "x-request-id: %s\r\n%s", x->id, x->extra);
    const http_head head = {.status = status,
                            .content_type = content_type,
                            .content_size = size,
                            .chunked = x->chunked,
                            .close = x->close || (x->old && size < 0),
                            .extra = extra};
    const size_t head_size = http_head_write(&head, text, cap);
    assert(head_size > 0);
    return head_size;
}

static bool queue(net_exchange *x, const void *first, size_t first_size, const void *second,
                  size_t second_size) {
    net_peer *p = x->peer;
    if (p->gone || x->answer == ANSWER_BROKEN) return true; /* nobody is there to read it */
    if (!send_queue_add(&p->out, first, first_size, second, second_size)) {
        p->starved = true;
        return false;
    }
    if (p->out.size > p->out.cap / 2) p->starved = true;
    x->sent += (int64_t)(first_size + second_size);
    net_want_write(p);
    return true;
}

void net_answer(net_exchange *x, int status, const char *content_type, const void *body,
                size_t size) {
    assert(x->answer == ANSWER_NONE);
    char head[HTTP_HEAD_CAP];
    x->status = status;
    const size_t head_size = answer_head(x, status, content_type, (int64_t)size, head, sizeof head);
    x->answer = ANSWER_ENDED;
    /* The queue is empty: the answers of a connection follow one another. */
    if (!queue(x, head, head_size, body, x->no_body ? 0 : size)) net_answer_break(x);
}

static void error_headers(net_exchange *x, const api_error *e) {
    char seconds[16];
    if (e->retry_after > 0) {
        (void)snprintf(seconds, sizeof seconds, "%d", e->retry_after);
        net_exchange_add_header(x, "retry-after", seconds);
    }
    if (e->code == API_INVALID_API_KEY) net_exchange_add_header(x, "www-authenticate", "Bearer");
}

void net_answer_error(net_exchange *x, const api_error *e) {
    char body[API_BODY_CAP];
    const size_t size = api_error_body(e, body, sizeof body);
    error_headers(x, e);
    net_answer(x, api_code_status(e->code), "application/json", body, size);
}

size_t net_refusal(net_exchange *x, const api_error *e, char text[NET_REFUSAL_CAP]) {
    char body[API_BODY_CAP];
    const size_t body_size = api_error_body(e, body, sizeof body);
    error_headers(x, e);
    x->status = api_code_status(e->code);
    const size_t head_size =
        answer_head(x, x->status, "application/json", (int64_t)body_size, text, HTTP_HEAD_CAP);
    memcpy(text + head_size, body, body_size);
    return head_size + body_size;
}

void net_answer_begin(net_exchange *x, int status, const char *content_type) {
    assert(x->answer == ANSWER_NONE);
    char head[HTTP_HEAD_CAP];
    x->status = status;
    x->chunked = !x->old;
    x->events = content_type != NULL && strcmp(content_type, "text/event-stream") == 0;
    if (x->old) x->close = true;
    const size_t size = answer_head(x, status, content_type, -1, head, sizeof head);
    x->answer = ANSWER_BEGUN;
    if (!queue(x, head, size, NULL, 0)) net_answer_break(x);
}

bool net_answer_write(net_exchange *x, const void *bytes, size_t size) {
    assert(x->answer == ANSWER_BEGUN || x->answer == ANSWER_BROKEN);
    if (size == 0 || x->no_body) return true;
    if (!x->chunked) return queue(x, bytes, size, NULL, 0);
    /* One block for a chunk: its size, its bytes and its end. */
    char *chunk = malloc(size + 32);
    if (chunk == NULL) return false;
    const int head = snprintf(chunk, 32, "%zx\r\n", size);
    memcpy(chunk + head, bytes, size);
    memcpy(chunk + head + size, "\r\n", 2);
    const bool taken = queue(x, chunk, (size_t)head + size + 2, NULL, 0);
    free(chunk);
    return taken;
}

size_t net_answer_room(const net_exchange *x) {
    enum { CHUNK = 24 }; /* around the bytes of a chunk */
    const size_t room = send_queue_room(&x->peer->out);
    return room > CHUNK ? room - CHUNK : 0;
}

void net_answer_end(net_exchange *x) {
    if (x->answer != ANSWER_BEGUN) return;
    x->answer = ANSWER_ENDED;
    if (x->chunked && !x->no_body) {
        x->peer->out.cap += 8; /* the end always has room */
        if (!queue(x, "0\r\n\r\n", 5, NULL, 0)) net_answer_break(x);
        x->peer->out.cap -= 8;
    }
    net_want_write(x->peer);
}

bool net_answer_is_begun(const net_exchange *x) {
    return x->answer != ANSWER_NONE;
}

void net_answer_break(net_exchange *x) {
    x->answer = ANSWER_BROKEN;
    if (!x->peer->gone) net_kill(x->peer);
}
