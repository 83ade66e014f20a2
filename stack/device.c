/* An open device: its thread, its turn, what is loaded on it, and the way of a pass through it.
 *
 *     stack_device_step ─► fits? ─► turn ─► forward (its thread, a deadline) ─► take ─► position
 *                           │no                  │failed: given up, told once
 *                           └────────────────────┴─► the CPU's row
 *
 * What a call works with lies in the device itself, not on the caller's stack, because a thread
 * that hangs may be using it for good. */
#include "stack/device.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/status.h"
#include "core/watched.h"

struct stack_device {
    const stack_device_ops *ops;
    rnl_device_config config; /* its strings in `strings` */
    char *strings;
    char *name; /* or NULL */
    int64_t deadline_us;
    stack_device_lost_fn lost;
    void *lost_context;
    watched *thread;
    pthread_mutex_t turn; /* one call at a time, until what it made has been taken */
    void *own;            /* the row's; NULL: not open */
    stack_device_facts facts;
    atomic_bool given_up, hangs, told;

    /* The call under way, under `turn`. */
    stack_device_fn fn;
    void *context;
    rnl_status status;
    rnl_error error;
};

struct stack_placed {
    stack_device *device;
    const stack_weights *w;
    stack_device_room room;
    void *own;
    atomic_int_least64_t count;

    /* The pass under way: copies of what the caller has on its stack. */
    stack_pass pass;
    compute c;
    stack_piece *pieces; /* [room.row_cap] */
    float *x;
    const stack_state *attaching;
    void *mirror;
};

rnl_status stack_device_no_memory(rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "memory for a device is exhausted");
}

/* ---- Calls ---- */

static void run(void *context) {
    stack_device *d = context;
    d->error.text[0] = '\0';
    d->status = d->fn(d->own, d->context, &d->error);
}

static rnl_status fail_given_up(const stack_device *d, rnl_error *error) {
    return status_fail(error, RNL_ERR_IO, "%s %s was given up", d->ops->kind, d->facts.name);
}

/* In one's turn. Also of one that was given up, but for one that hangs. */
static rnl_status call_anyway(stack_device *d, stack_device_fn fn, void *context, int patience,
                              rnl_error *error) {
    const int64_t deadline_us = d->deadline_us * patience;
    if (atomic_load(&d->hangs)) return fail_given_up(d, error);
    d->fn = fn;
    d->context = context;
    if (watched_call(d->thread, run, d, deadline_us) != RNL_OK) {
        atomic_store(&d->given_up, true);
        atomic_store(&d->hangs, true);
        return status_fail(error, RNL_ERR_IO, "it did not answer within %.3g s",
                           (double)deadline_us / 1e6);
    }
    if (d->status < 0 && error != NULL) *error = d->error;
    return d->status;
}

rnl_status stack_device_call(stack_device *d, stack_device_fn fn, void *context, int patience,
                             rnl_error *error) {
    if (atomic_load(&d->given_up)) return fail_given_up(d, error);
    return call_anyway(d, fn, context, patience, error);
}

void stack_device_turn(stack_device *d) {
    (void)pthread_mutex_lock(&d->turn);
}

void stack_device_turn_over(stack_device *d) {
    (void)pthread_mutex_unlock(&d->turn);
}

void stack_device_last_call(stack_device *d, stack_device_fn fn, void *context) {
    stack_device_turn(d);
    (void)call_anyway(d, fn, context, STACK_DEVICE_PATIENCE, NULL);
    stack_device_turn_over(d);
}

/* A turn for one call that may be long. */
static rnl_status call_once(stack_device *d, stack_device_fn fn, void *context, rnl_error *error) {
    stack_device_turn(d);
    const rnl_status status = stack_device_call(d, fn, context, STACK_DEVICE_PATIENCE, error);
    stack_device_turn_over(d);
    return status;
}

void stack_device_give_up(stack_device *d, const rnl_error *why) {
    atomic_store(&d->given_up, true);
    if (!atomic_exchange(&d->told, true) && d->lost != NULL) d->lost(d->lost_context, why);
}

/* ---- Opening ---- */

bool stack_device_config_copy(rnl_device_config *out, char **strings,
                              const rnl_device_config *config) {
    const char **const fields[] = {&out->device,        &out->opencl_path, &out->onnx_path,
                                   &out->provider_path, &out->cache_path,  &out->provider_options};
    enum { FIELD_COUNT = sizeof fields / sizeof *fields };
    size_t size = 1;
    *out = *config;
    for (int i = 0; i < FIELD_COUNT; i++) size += *fields[i] != NULL ? strlen(*fields[i]) + 1 : 0;
    char *at = *strings = malloc(size);
    for (int i = 0; i < FIELD_COUNT && at != NULL; i++) {
        if (*fields[i] == NULL) continue;
        const size_t length = strlen(*fields[i]) + 1;
        *fields[i] = memcpy(at, *fields[i], length);
        at += length;
    }
    return *strings != NULL;
}

static rnl_status open_own(void *device, void *context, rnl_error *error) {
    stack_device *d = context;
    (void)device;
    return d->ops->open(&d->config, d->name, &d->own, &d->facts, error);
}

static rnl_status close_own(void *device, void *context, rnl_error *error) {
    const stack_device *d = context;
    (void)error;
    d->ops->close(device);
    return RNL_OK;
}

rnl_status stack_device_open(const stack_device_ops *ops, const rnl_device_config *config,
                             const char *name, stack_device_lost_fn lost, void *context,
                             stack_device **out, rnl_error *error) {
    stack_device *d = *out = calloc(1, sizeof *d);
    if (d == NULL || pthread_mutex_init(&d->turn, NULL) != 0) {
        free(d);
        *out = NULL;
        return stack_device_no_memory(error);
    }
    d->ops = ops;
    d->lost = lost;
    d->lost_context = context;
    d->deadline_us = (int64_t)config->deadline_ms * 1000;
    d->name = name != NULL ? strdup(name) : NULL;
    rnl_status status = RNL_ERR_MEMORY;
    if (stack_device_config_copy(&d->config, &d->strings, config) &&
        (name == NULL) == (d->name == NULL))
        status = watched_create(&d->thread);
    if (status != RNL_OK)
        status = stack_device_no_memory(error);
    else
        status = call_once(d, open_own, d, error);
    if (status != RNL_OK) stack_device_close(out);
    return status;
}

void stack_device_close(stack_device **device) {
    stack_device *d = *device;
    if (d == NULL) return;
    *device = NULL;
    if (!atomic_load(&d->hangs) && d->own != NULL) stack_device_last_call(d, close_own, d);
    watched_destroy(&d->thread);
    if (atomic_load(&d->hangs)) return; /* its thread may be using it */
    (void)pthread_mutex_destroy(&d->turn);
    free(d->strings);
    free(d->name);
    free(d);
}

const stack_device_ops *stack_device_row(const stack_device *d) {
    return d->ops;
}

const stack_device_facts *stack_device_facts_of(const stack_device *d) {
    return &d->facts;
}

bool stack_device_usable(const stack_device *d) {
    return !atomic_load(&d->given_up);
}

bool stack_device_hangs(const stack_device *d) {
    return d != NULL && atomic_load(&d->hangs);
}

/* Letters of ASCII in either case are the same. */
static bool has_text(const char *text, const char *part) {
    const size_t length = strlen(part);
    for (; strlen(text) >= length; text++)
        if (strncasecmp(text, part, length) == 0) return true;
    return false;
}

bool stack_device_named(const stack_device_facts *facts, const char *name) {
    return name == NULL || has_text(facts->name, name) || has_text(facts->driver, name);
}

/* ---- Loading ---- */

static rnl_status load_own(void *device, void *context, rnl_error *error) {
    stack_placed *p = context;
    return p->device->ops->load(device, p->w, &p->room, &p->own, error);
}

static rnl_status unload_own(void *device, void *context, rnl_error *error) {
    const stack_placed *p = context;
    (void)device, (void)error;
    p->device->ops->unload(p->own);
    return RNL_OK;
}

rnl_status stack_device_load(stack_device *d, const stack_weights *w, const stack_device_room *room,
                             stack_placed **out, rnl_error *error) {
    stack_placed *p = *out = calloc(1, sizeof *p);
    if (p != NULL) p->pieces = calloc((size_t)room->row_cap, sizeof *p->pieces);
    if (p == NULL || p->pieces == NULL) {
        free(p);
        *out = NULL;
        return stack_device_no_memory(error);
    }
    p->device = d;
    p->w = w;
    p->room = *room;
    const rnl_status status = call_once(d, load_own, p, error);
    if (status != RNL_OK) stack_device_unload(out);
    return status;
}

void stack_device_unload(stack_placed **placed) {
    stack_placed *p = *placed;
    if (p == NULL) return;
    *placed = NULL;
    if (!atomic_load(&p->device->hangs) && p->own != NULL)
        stack_device_last_call(p->device, unload_own, p);
    if (atomic_load(&p->device->hangs)) return;
    free(p->pieces);
    free(p);
}

size_t stack_placed_size(const stack_placed *p) {
    return p->device->ops->memory(p->own);
}

int64_t stack_placed_count(const stack_placed *p) {
    return atomic_load(&p->count);
}

/* ---- States ---- */

static rnl_status attach_own(void *device, void *context, rnl_error *error) {
    stack_placed *p = context;
    (void)device;
    return p->device->ops->attach(p->own, p->attaching, &p->mirror, error);
}

static rnl_status detach_own(void *device, void *context, rnl_error *error) {
    const stack_placed *p = context;
    (void)device, (void)error;
    p->device->ops->detach(p->own, p->mirror);
    return RNL_OK;
}

rnl_status stack_placed_attach(stack_placed *p, stack_state *s, rnl_error *error) {
    if (p == NULL) return RNL_OK;
    assert(s->w == p->w && s->on == NULL);
    rnl_status status = RNL_OK;
    s->mirror = NULL;
    if (s->cache != p->room.cache)
        return status_fail(
            error, RNL_ERR_UNSUPPORTED,
            "it keeps keys and values in another way than the model does by default");
    if (p->device->ops->attach != NULL) {
        stack_device_turn(p->device);
        if (!atomic_load(&p->device->hangs)) {
            p->attaching = s;
            p->mirror = NULL;
        }
        status = stack_device_call(p->device, attach_own, p, STACK_DEVICE_PATIENCE, error);
        if (status == RNL_OK) s->mirror = p->mirror;
        stack_device_turn_over(p->device);
    }
    if (status != RNL_OK) return status;
    s->on = p;
    s->unseen = 0;
    return RNL_OK;
}

void stack_placed_detach(stack_state *s) {
    stack_placed *p = s->on;
    if (p == NULL) return;
    s->on = NULL;
    if (p->device->ops->detach == NULL) return;
    stack_device_turn(p->device);
    if (!atomic_load(&p->device->hangs)) p->mirror = s->mirror;
    (void)call_anyway(p->device, detach_own, p, STACK_DEVICE_PATIENCE, NULL);
    stack_device_turn_over(p->device);
}

/* ---- A pass ---- */

/* Whether it can go to the device: adapters and whoever looks into layers ask for the CPU. */
static bool fits(const stack_placed *on, const stack_pass *p) {
    const stack_work *k = p->work;
    if (on == NULL || k->layer > 0 || !stack_device_usable(on->device)) return false;
    if (k->tap != NULL || k->tap_experts != NULL || p->row_count > on->room.row_cap) return false;
    for (int i = 0; i < p->c->span_count; i++)
        if (p->c->spans != NULL && p->c->spans[i].adapter != NULL) return false;
    for (int i = 0; i < p->piece_count; i++)
        if (p->pieces[i].state->on != on) return false;
    return true;
}

static rnl_status forward_own(void *device, void *context, rnl_error *error) {
    stack_placed *p = context;
    (void)device;
    const rnl_status status = p->device->ops->forward(p->own, &p->pass, p->x, error);
    assert(status == RNL_DONE || status < 0);
    return status;
}

/* In one's turn. RNL_DONE: it went through and is in place; else nothing was done. */
static rnl_status forward_on(stack_placed *on, const stack_pass *p, float *x, rnl_error *error) {
    stack_device *d = on->device;
    if (atomic_load(&d->hangs)) return fail_given_up(d, error); /* it may be reading all below */
    on->c = *p->c;
    on->x = x;
    memcpy(on->pieces, p->pieces, (size_t)p->piece_count * sizeof *on->pieces);
    on->pass = *p;
    on->pass.c = &on->c;
    on->pass.pieces = on->pieces;
    const rnl_status status = stack_device_call(d, forward_own, on, 1, error);
    if (status == RNL_DONE) d->ops->take(on->own, &on->pass, x);
    return status;
}

rnl_status stack_device_step(const stack_pass *p, float *x) {
    stack_placed *on = p->work->on;
    rnl_error why;
    if (!fits(on, p)) return stack_device_cpu.forward(NULL, p, x, NULL);
    stack_device_turn(on->device);
    const rnl_status status = forward_on(on, p, x, &why);
    stack_device_turn_over(on->device);
    if (status != RNL_DONE) {
        stack_device_give_up(on->device, &why);
        return stack_device_cpu.forward(NULL, p, x, NULL);
    }
    p->work->layer = p->work->w->config.layer_count;
    for (int i = 0; i < p->piece_count; i++) {
        stack_state *s = p->pieces[i].state;
        s->position += p->pieces[i].count;
        s->unseen = s->position;
    }
    (void)atomic_fetch_add(&on->count, 1);
    return RNL_DONE;
}
