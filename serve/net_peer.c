/* Connections that send messages or bytes: what waits for them, and how much they may say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "serve/limits.h"
#include "serve/net_inner.h"

bool net_peer_send(net_peer *p, const void *bytes, size_t size) {
    if (p->gone || p->closing) return true;
    if (!send_queue_add(&p->out, bytes, size, NULL, 0)) {
        p->starved = true;
        return false;
    }
    if (p->out.size > p->out.cap / 2) p->starved = true;
    net_want_write(p);
    return true;
}

size_t net_peer_room(const net_peer *p) {
    return send_queue_room(&p->out);
}

void net_peer_close(net_peer *p, int code, const char *reason) {
    if (p->gone || p->closing) return;
    p->closing = true;
    p->close_code = code;
    p->moved_us = clock_us();
    (void)snprintf(p->close_reason, sizeof p->close_reason, "%.120s", reason);
    net_want_write(p);
}

void net_peer_hold(net_peer *p, bool hold) {
    if (!p->gone) net_set_hold(p, hold);
}

void net_peer_wake_at(net_peer *p, int64_t at_us) {
    if (!p->gone) net_set_timer(p, at_us);
}

const char *net_peer_address(const net_peer *p) {
    return p->address;
}

bool net_peer_is_lost(const net_peer *p) {
    return !p->closing && !p->left;
}

bool net_has_room_for(const net_peer *peers, const char *address) {
    int all = 0, his = 0;
    for (const net_peer *p = peers; p != NULL; p = p->next) {
        all++;
        his += strcmp(p->address, address) == 0;
    }
    return all < LIMIT_CONNECTIONS && his < LIMIT_CONNECTIONS_OF_ADDRESS;
}

/* One more frame of a client, whatever is in it. */
static bool may_say(net_peer *p, int64_t now_us) {
    p->credit += (double)(now_us - p->credit_us) * 1e-6 * LIMIT_EVENTS_RATE;
    if (p->credit > LIMIT_EVENTS_BURST) p->credit = LIMIT_EVENTS_BURST;
    p->credit_us = p->message_us = now_us;
    return --p->credit >= 0;
}

static bool keep(net_peer *p, const char *bytes, size_t size) {
    if (p->message_size + size > p->message_cap) {
        size_t cap = p->message_cap < 4096 ? 4096 : p->message_cap;
        while (cap < p->message_size + size) cap *= 2;
        char *more = realloc(p->message, cap);
        if (more == NULL) return false;
        p->message = more;
        p->message_cap = cap;
    }
    if (size > 0) memcpy(p->message + p->message_size, bytes, size);
    p->message_size += size;
    return true;
}

static void forget(net_peer *p) {
    enum { KEPT = 65536 }; /* of the buffer between messages */
    p->message_size = 0;
    if (p->message_cap <= KEPT) return;
    free(p->message);
    p->message = NULL;
    p->message_cap = 0;
}

int net_peer_take(net_peer *p, const net_piece *piece, size_t message_max, int64_t now_us,
                  const char **why) {
    if (p->closing) return 0;
    if (piece->first) p->message_size = 0;
    if (piece->left > message_max || p->message_size + piece->size + piece->left > message_max) {
        *why = "the message is too large";
        return 1009;
    }
    if (piece->left == 0 && !may_say(p, now_us)) {
        *why = "too many messages";
        return 1008;
    }
    if (!keep(p, piece->bytes, piece->size)) {
        *why = "memory is exhausted";
        return 1011;
    }
    if (!piece->last || piece->left > 0) return 0;
    p->handlers->message(p->state, p, p->message, p->message_size);
    forget(p);
    return 0;
}

bool net_peer_feeds(net_peer *p) {
    if (!p->starved || p->out.size > p->out.cap / 2) return false;
    p->starved = false;
    return true;
}

void net_peer_stay_awake(net_peer *p, int64_t now_us) {
    static const char comment[] = ": \n\n";
    net_exchange *x = p->exchange;
    if (x == NULL || !x->events || x->answer != ANSWER_BEGUN || p->out.first != NULL) return;
    if (now_us - p->moved_us < LIMIT_COMMENT_SECONDS * INT64_C(1000000)) return;
    if (net_answer_write(x, comment, sizeof comment - 1)) p->moved_us = now_us;
}

bool net_peer_is_stuck(const net_peer *p, int slow_seconds, int64_t now_us) {
    if ((p->out.first != NULL || p->closing) &&
        now_us - p->moved_us > slow_seconds * INT64_C(1000000))
        return true;
    const net_exchange *x = p->exchange;
    return x != NULL && x->body_got < x->body_size &&
           now_us - x->begun_us > LIMIT_BODY_SECONDS * INT64_C(1000000);
}

bool net_peer_look(net_peer *p, int slow_seconds, int64_t now_us) {
    const int64_t idle_us = now_us - LIMIT_IDLE_SECONDS * INT64_C(1000000);
    if (p->gone) return false;
    net_peer_stay_awake(p, now_us);
    if (net_peer_is_stuck(p, slow_seconds, now_us)) {
        const bool slow = !p->closing;
        send_queue_clear(&p->out);
        if (p->websocket && slow)
            net_peer_close(p, 1008, "the client reads too slowly");
        else
            net_kill(p);
        return slow;
    }
    if (p->websocket && p->message_us < idle_us)
        net_peer_close(p, 1008, "nothing was said for too long");
    return false;
}
