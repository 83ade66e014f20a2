/* Telephone calls of Asterisk (AudioSocket): a call (telephone.h) between a TCP connection (net.h)
 * and the engine (realtime_model.h). */
#include <stdlib.h>

#include "core/clock.h"
#include "serve/limits.h"
#include "serve/realtime_model.h"
#include "serve/server_inner.h"
#include "serve/telephone.h"

enum { LOOK_US = 500000 /* how often a call is looked at that gives no sound */ };

typedef struct phone {
    server *server;
    net_peer *peer;
    telephone *call;
    realtime_model *model;
    int64_t begun_us, came_us; /* when the last bytes came */
    uint64_t bytes_in, bytes_out;
    bool starved; /* the queue was full: what was written is not whole */
} phone;

static void on_write(void *context, const char *bytes, size_t size) {
    phone *p = context;
    p->bytes_out += size;
    if (!p->starved && !net_peer_send(p->peer, bytes, size)) p->starved = true;
}

static void look_at_trouble(phone *p, int64_t now_us) {
    work_facts f;
    api_error e;
    work_get_facts(p->server->work, &f);
    if (realtime_model_is_lost(p->model, &e))
        telephone_fail(p->call, e.message);
    else if (now_us - p->came_us > LIMIT_CALL_IDLE_SECONDS * INT64_C(1000000) ||
             (f.draining && !telephone_is_talking(p->call, now_us)))
        telephone_hang_up(p->call);
}

/* All that can be done now; then the next 20 ms are waited for. */
static void pump(phone *p) {
    realtime_news_item news;
    while (!telephone_is_over(p->call) && realtime_model_next(p->model, &news))
        telephone_news(p->call, &news, clock_us());
    const int64_t now_us = clock_us(), due_us = telephone_tick(p->call, now_us);
    if (!telephone_is_over(p->call)) look_at_trouble(p, now_us);
    if (telephone_is_over(p->call) || p->starved) {
        net_peer_close(p->peer, 1000, "");
        return;
    }
    net_peer_hold(p->peer, telephone_is_full(p->call));
    net_peer_wake_at(p->peer, due_us < now_us + LOOK_US ? due_us : now_us + LOOK_US);
}

static void on_ready(void *context) {
    pump(context);
}

static void on_bytes(void *state, net_peer *peer, const char *bytes, size_t size) {
    phone *p = state;
    (void)peer;
    p->bytes_in += size;
    p->came_us = clock_us();
    telephone_push(p->call, bytes, size, p->came_us);
    pump(p);
}

static void on_writable(void *state, net_peer *peer) {
    (void)peer;
    pump(state);
}

static void on_tick(void *state, net_peer *peer) {
    phone *p = state;
    (void)peer;
    realtime_model_tick(p->model);
    pump(p);
}

static void end(phone *p) {
    telephone_destroy(&p->call);
    realtime_model_close(&p->model);
    free(p);
}

static void on_gone(void *state) {
    phone *p = state;
    server *s = p->server;
    const log_entry entry = {.what = "audiosocket",
                             .id = telephone_id(p->call),
                             .method = "",
                             .path = "",
                             .duration_us = clock_us() - p->begun_us,
                             .bytes_in = p->bytes_in,
                             .bytes_out = p->bytes_out,
                             .model_us = realtime_model_worked_us(p->model),
                             .address = net_peer_address(p->peer),
                             .why = p->starved ? "slow_reader" : "",
                             .file = ""};
    book_connection(s->book, &entry);
    s->call_count--;
    s->phone_count--;
    end(p);
}

static bool fill(phone *p) {
    server *s = p->server;
    api_error e;
    rnl_error error;
    const realtime_model_config m = {.work = s->work, .ready = on_ready, .context = p};
    p->model = realtime_model_open(&m, &e);
    if (p->model == NULL) return false;
    realtime_ops ops = {.wire = NULL};
    realtime_model_ops(p->model, &ops);
    const realtime_config settings = realtime_config_of(s, s->config.name, false, false);
    const telephone_config config = {
        .realtime = &settings, .model = &ops, .write = on_write, .context = p};
    return telephone_create(&config, p->begun_us, &p->call, &error) == RNL_OK;
}

bool audiosocket_adopt(server *s, const char *address, net_peer *peer,
                       const net_peer_handlers **handlers, void **state) {
    static const net_peer_handlers these = {
        .message = on_bytes, .writable = on_writable, .tick = on_tick, .gone = on_gone};
    const server_config *c = &s->config;
    if (!cidr_allows(c->audiosocket.ranges, c->audiosocket.range_count, address)) return false;
    phone *p = calloc(1, sizeof *p);
    if (p == NULL) return false;
    p->server = s;
    p->peer = peer;
    p->begun_us = p->came_us = clock_us();
    if (!fill(p)) { /* there is no room for one more, or it is draining */
        end(p);
        return false;
    }
    s->call_count++;
    s->phone_count++;
    net_peer_wake_at(peer, p->begun_us + LOOK_US);
    *handlers = &these;
    *state = p;
    return true;
}
