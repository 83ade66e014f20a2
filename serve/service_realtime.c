/* /v1/realtime: a machine (realtime.h) between a WebSocket (net.h) and the engine
 * (realtime_model.h). Events that the socket's queue does not take wait here, and while they do
 * nothing is read and nothing of the model taken: so a slow reader slows only itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <runnel/runnel_chat.h>

#include "core/clock.h"
#include "core/utf8.h"
#include "engine/model.h"
#include "serve/limits.h"
#include "serve/realtime_model.h"
#include "serve/server_inner.h"
#include "text/voices.h"

enum {
    WAITING_MAX = 64 << 20, /* bytes of events, and of messages */
    ROOM = 96 << 10,        /* of the queue, before more of the model is taken */
    TICK_US = 500000
};

/* A text on its way. */
typedef struct letter {
    struct letter *next;
    size_t size;
    char text[];
} letter;

typedef struct letters {
    letter *first, *last;
    size_t size;
} letters;

typedef struct realtime_talk {
    server *server;
    net_peer *peer; /* NULL: not opened yet */
    realtime *rt;
    realtime_model *model;
    letters out, in; /* what the queue did not take; messages that came meanwhile */
    bool closed;
    int close_code; /* of ours; 0: the client went */
    const char *why;
    int64_t begun_us;
    int owner;
    int64_t secret;        /* number of the client secret that it came with; 0: none */
    bool taken;            /* an upgrade is under way that leads to it */
    int64_t kept_until_us; /* the connection broke off: so long it is kept; 0: it did not */
    uint64_t bytes_in, bytes_out;
    struct realtime_talk *next, *before; /* of the server's */
} talk;

/* ---- Letters ---- */

static bool add_letter(letters *l, const char *text, size_t size) {
    letter *made = size <= WAITING_MAX - l->size ? malloc(sizeof *made + size) : NULL;
    if (made == NULL) return false;
    made->next = NULL;
    made->size = size;
    memcpy(made->text, text, size);
    if (l->first == NULL)
        l->first = made;
    else
        l->last->next = made;
    l->last = made;
    l->size += size;
    return true;
}

static void drop_letter(letters *l) {
    letter *first = l->first;
    l->first = first->next;
    l->size -= first->size;
    free(first);
}

static void drop_letters(letters *l) {
    while (l->first != NULL) drop_letter(l);
}

/* ---- Between socket and machine ---- */

/* why: a word for the log; "": it ends as it should. */
static void close_peer(talk *t, int code, const char *reason, const char *why) {
    if (t->closed || t->peer == NULL) return;
    t->closed = true;
    t->close_code = code;
    t->why = why;
    net_peer_close(t->peer, code, reason);
}

/* An event in the log, where it may have what was said. way: "in" or "out". */
static void note_event(const talk *t, const char *way, const char *text, size_t size) {
    if (!book_takes_content(t->server->book)) return;
    const log_entry entry = {.what = "event",
                             .id = realtime_id(t->rt),
                             .method = "",
                             .path = "/v1/realtime",
                             .bytes_in = way[0] == 'i' ? size : 0,
                             .bytes_out = way[0] == 'o' ? size : 0,
                             .model_us = -1,
                             .address = net_peer_address(t->peer),
                             .why = way,
                             .file = "",
                             .content = text,
                             .content_size = size};
    book_connection(t->server->book, &entry);
}

static bool send_now(talk *t, const char *text, size_t size) {
    if (!net_peer_send(t->peer, text, size)) return false;
    t->bytes_out += size;
    note_event(t, "out", text, size);
    return true;
}

static void on_send(void *context, const char *text, size_t size) {
    talk *t = context;
    if (t->closed || t->peer == NULL) return;
    if (t->out.first == NULL && send_now(t, text, size)) return;
    if (!add_letter(&t->out, text, size)) close_peer(t, 1008, "events are not read", "slow_reader");
}

static void on_close(void *context, int code, const char *reason) {
    talk *t = context;
    /* What waits goes first, as far as there is room. */
    while (t->out.first != NULL && send_now(t, t->out.first->text, t->out.first->size))
        drop_letter(&t->out);
    close_peer(t, code, reason, code == 1008 ? "policy" : code == 1011 ? "failed" : "");
}

static void send_waiting(talk *t) {
    while (!t->closed && t->out.first != NULL &&
           send_now(t, t->out.first->text, t->out.first->size))
        drop_letter(&t->out);
}

static bool may_go_on(const talk *t) {
    return !t->closed && !realtime_is_over(t->rt) && t->out.first == NULL;
}

static void look_at_trouble(talk *t) {
    api_error e;
    if (!realtime_is_over(t->rt) && realtime_model_is_lost(t->model, &e))
        realtime_end(t->rt, API_ENGINE_FAILURE, e.message, 1011);
    work_facts f;
    work_get_facts(t->server->work, &f);
    if (f.draining && !realtime_is_talking(t->rt, clock_us()) &&
        !realtime_model_is_hearing(t->model))
        close_peer(t, 1001, "the server is ending", "draining");
}

/* All that can be done now; then reading goes on or waits, and the next tick is set. */
static void pump(talk *t) {
    realtime_news_item news;
    if (t->peer == NULL) return;
    send_waiting(t);
    while (may_go_on(t) && net_peer_room(t->peer) >= ROOM && realtime_model_next(t->model, &news))
        realtime_news(t->rt, &news, clock_us());
    while (may_go_on(t) && t->in.first != NULL && !realtime_is_busy(t->rt)) {
        realtime_message(t->rt, t->in.first->text, t->in.first->size, clock_us());
        drop_letter(&t->in);
    }
    look_at_trouble(t);
    if (t->closed) return;
    const bool holds = t->in.first != NULL || t->out.first != NULL || realtime_is_busy(t->rt);
    const int64_t now_us = clock_us(), due_us = realtime_due_us(t->rt);
    net_peer_hold(t->peer, holds);
    net_peer_wake_at(t->peer, due_us < now_us + TICK_US ? due_us : now_us + TICK_US);
}

static void on_ready(void *context) {
    pump(context);
}

static void on_message(void *state, net_peer *p, const char *bytes, size_t size) {
    talk *t = state;
    (void)p;
    t->bytes_in += size;
    note_event(t, "in", bytes, size);
    if (!utf8_is_valid(bytes, size))
        close_peer(t, 1007, "text is UTF-8", "wrong");
    else if (may_go_on(t) && t->in.first == NULL && !realtime_is_busy(t->rt))
        realtime_message(t->rt, bytes, size, clock_us());
    else if (!t->closed && !add_letter(&t->in, bytes, size))
        close_peer(t, 1008, "events come faster than they are read", "flood");
    pump(t);
}

static void on_writable(void *state, net_peer *p) {
    (void)p;
    pump(state);
}

static void on_tick(void *state, net_peer *p) {
    talk *t = state;
    (void)p;
    realtime_tick(t->rt, clock_us());
    realtime_model_tick(t->model);
    pump(t);
}

static void write_log(const talk *t) {
    const log_entry entry = {.what = "realtime",
                             .id = realtime_id(t->rt),
                             .method = "",
                             .path = "/v1/realtime",
                             .code = t->close_code,
                             .duration_us = clock_us() - t->begun_us,
                             .bytes_in = t->bytes_in,
                             .bytes_out = t->bytes_out,
                             .model_us = realtime_model_worked_us(t->model),
                             .address = net_peer_address(t->peer),
                             .why = t->why,
                             .file = ""};
    book_connection(t->server->book, &entry);
}

static void join(server *s, talk *t) {
    t->next = s->talks;
    if (t->next != NULL) t->next->before = t;
    s->talks = t;
    s->call_count++;
}

static void leave(talk *t) {
    server *s = t->server;
    if (t->before != NULL)
        t->before->next = t->next;
    else
        s->talks = t->next;
    if (t->next != NULL) t->next->before = t->before;
    s->call_count--;
}

void realtime_count_states(const server *s, int counts[METRIC_STATE_COUNT]) {
    memset(counts, 0, METRIC_STATE_COUNT * sizeof *counts);
    for (const talk *t = s->talks; t != NULL; t = t->next)
        if (t->peer != NULL) counts[realtime_state(t->rt, clock_us())]++;
}

static void end(talk *t) {
    leave(t);
    realtime_model_close(&t->model);
    realtime_destroy(&t->rt);
    drop_letters(&t->out);
    drop_letters(&t->in);
    free(t);
}

/* ---- Connections that break off ---- */

/* It waits for its client to come back, silent, and counts as a conversation. */
static bool keep(talk *t) {
    const int seconds = t->server->config.realtime.resume_seconds;
    work_facts f;
    work_get_facts(t->server->work, &f);
    if (seconds == 0 || f.draining || realtime_is_over(t->rt) || !net_peer_is_lost(t->peer))
        return false;
    const int64_t now_us = clock_us();
    realtime_leave(t->rt, now_us);
    drop_letters(&t->out);
    drop_letters(&t->in);
    t->kept_until_us = now_us + seconds * INT64_C(1000000);
    return true;
}

static void on_gone(void *state) {
    talk *t = state;
    if (t->peer != NULL) {
        t->why = net_peer_is_lost(t->peer) ? "lost" : t->why;
        write_log(t);
        if (!keep(t)) t->kept_until_us = 0;
    }
    t->peer = NULL; /* an upgrade that came to nothing leaves what was kept */
    t->taken = false;
    if (t->kept_until_us == 0) end(t);
}

void realtime_drop_kept(server *s, bool all) {
    const int64_t now_us = clock_us();
    for (talk *t = s->talks, *next; t != NULL; t = next) {
        next = t->next;
        if (t->kept_until_us == 0 || t->taken) continue;
        realtime_tick(t->rt, now_us); /* it may have become too old */
        if (all || now_us >= t->kept_until_us || realtime_is_over(t->rt)) end(t);
    }
}

/* The conversation that a client of the same key comes back to; NULL: there is none. */
static talk *find_kept(const call *c) {
    const char *id = net_exchange_parameter(c->exchange, "session_id");
    for (talk *t = c->server->talks; t != NULL && id != NULL; t = t->next) {
        const bool his = t->owner == c->owner && (!c->has_secret || t->secret == c->secret.number);
        if (t->kept_until_us > 0 && !t->taken && his && strcmp(realtime_id(t->rt), id) == 0)
            return t;
    }
    return NULL;
}

/* ---- The upgrade ---- */

/* Whether a client speaks the older dialect: by its header, or by a sub-protocol. */
static bool is_beta(const server *s, const net_exchange *x) {
    const char *header = net_exchange_header(x, NET_OPENAI_BETA);
    const char *protocols = net_exchange_header(x, NET_SUBPROTOCOL);
    return s->config.realtime.beta || (header != NULL && strstr(header, "realtime=v1") != NULL) ||
           (protocols != NULL && strstr(protocols, "openai-beta.realtime-v1") != NULL);
}

/* A speaker takes 12.5 frames and half as many tokens a second. */
static double tokens_per_minute(const server *s) {
    work_facts f;
    work_get_facts(s->work, &f);
    return 60 * 18.75 * (f.speaking_max > 1 ? f.speaking_max : 1);
}

realtime_config realtime_config_of(const server *s, const char *name, bool beta,
                                   bool transcribes_only) {
    const rnl_model *model = work_model(s->work);
    const realtime_options *o = &s->config.realtime;
    realtime_config c = realtime_config_default();
    c.model = name;
    c.instructions[0] = rnl_model_system_prompt(model, RNL_MODE_INTERLEAVED);
    c.instructions[1] = rnl_model_system_prompt(model, RNL_MODE_TEXT);
    c.kernels = &model->kernels;
    c.metrics = book_metrics(s->book);
    c.voices = voice_names();
    c.calls = rnl_model_can_call(model);
    rnl_model_info info;
    rnl_model_get_info(model, &info);
    c.sees = info.takes_images;
    c.gives_audio = rnl_model_can(model, RNL_MODE_INTERLEAVED);
    c.beta = beta;
    c.transcribes_only = transcribes_only;
    c.speculates = o->speculates;
    c.half_duplex = o->half_duplex;
    c.unix_seconds = (int64_t)time(NULL);
    c.session_seconds = o->session_seconds;
    c.truncate_wait_ms = o->truncate_wait_ms;
    c.tokens_per_minute = tokens_per_minute(s);
    /* A clip of the engine may be shorter, in a test say. */
    if (s->config.work.clip_seconds_max < c.clip_seconds_max)
        c.clip_seconds_max = s->config.work.clip_seconds_max;
    return c;
}

static bool fill(talk *t, const call *c, const served_model *model, api_error *e) {
    server *s = c->server;
    const realtime_model_config m = {.work = s->work,
                                     .owner = c->owner,
                                     .adapter = model->adapter,
                                     .ready = on_ready,
                                     .context = t};
    t->model = realtime_model_open(&m, e);
    if (t->model == NULL) return false;
    const char *intent = net_exchange_parameter(c->exchange, "intent");
    const bool transcribes = c->has_secret ? c->secret.transcribes
                                           : intent != NULL && strcmp(intent, "transcription") == 0;
    const realtime_config config =
        realtime_config_of(s, model->name, is_beta(s, c->exchange), transcribes);
    realtime_ops ops = {.wire = t, .send = on_send, .close = on_close};
    realtime_model_ops(t->model, &ops);
    rnl_error error;
    if (realtime_create(&config, &ops, c->secret.session, c->secret.size, &t->rt, &error) == RNL_OK)
        return true;
    return api_fail_library(e, &error, NULL, false);
}

/* NULL: refused. */
static talk *begin_talk(const call *c, const served_model *model, api_error *e) {
    talk *t = calloc(1, sizeof *t);
    if (t == NULL) {
        (void)api_fail(e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
        return NULL;
    }
    t->server = c->server;
    t->why = "";
    t->begun_us = clock_us();
    t->owner = c->owner;
    t->secret = c->has_secret ? c->secret.number : 0;
    join(c->server, t);
    if (fill(t, c, model, e)) return t;
    end(t);
    return NULL;
}

bool realtime_accept(call *c, const net_peer_handlers **handlers, void **state, api_error *e) {
    static const net_peer_handlers these = {
        .message = on_message, .writable = on_writable, .tick = on_tick, .gone = on_gone};
    served_model model;
    if (!server_find_model(c->server, net_exchange_parameter(c->exchange, "model"), &model, e))
        return false;
    /* A secret is for what it was made for. */
    if (c->secret.model != NULL && !server_find_model(c->server, c->secret.model, &model, e))
        return false;
    if (net_exchange_parameter(c->exchange, "call_id") != NULL)
        return api_fail(e, API_INVALID_VALUE, "call_id", "there are no telephone calls here");
    talk *t = find_kept(c);
    if (t == NULL) t = begin_talk(c, &model, e);
    if (t == NULL) return false;
    t->taken = true;
    *handlers = &these;
    *state = t;
    return true;
}

static void come_back(talk *t) {
    t->closed = false;
    t->close_code = 0;
    t->why = "";
    t->begun_us = clock_us();
    t->bytes_in = t->bytes_out = 0;
    realtime_resume(t->rt, clock_us());
}

void realtime_opened(net_peer *p, void *state) {
    talk *t = state;
    const bool again = t->kept_until_us > 0;
    t->peer = p;
    t->taken = false;
    t->kept_until_us = 0;
    if (again)
        come_back(t);
    else
        realtime_open(t->rt, clock_us());
    pump(t);
}
