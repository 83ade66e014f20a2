/* NPUs by ONNX Runtime, a row of stack/device.h: graphs of 1, 32 and 128 rows of a stack, made
 * ready by the provider when weights are loaded. A pass takes the pieces one by one, each through
 * the smallest graph that it fits in, or the largest several times. */
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "devices/onnx.h"
#include "devices/onnx_feed.h"
#include "devices/onnx_ops.h"
#include "devices/onnx_runner.h"

/* A graph with the memory of its inputs and outputs. */
typedef struct ready {
    onnx_feed feed;
    onnx_runner runner;
} ready;

typedef struct placed {
    onnx_device *d;
    const stack_weights *w;
    int row_cap, past_count;
    bool half;
    ready graphs[ONNX_SIZE_CAP];
    int graph_count;
    float *hidden;      /* [row_cap, width] of the last forward */
    atomic_size_t size; /* bytes beyond the host's own */
} placed;

/* A state on this device. */
typedef struct mirror {
    onnx_mirror m;
    onnx_tensor **keys, **values; /* [layer_count] */
} mirror;

/* ---- Devices ---- */

static stack_device_facts facts_of(const onnx_runtime *r, const onnx_provider *p) {
    stack_device_facts facts = {0};
    (void)snprintf(facts.name, sizeof facts.name, "%s on %s", p->name, p->hardware);
    (void)snprintf(facts.driver, sizeof facts.driver, "ONNX Runtime %s, %s",
                   onnx_runtime_version(r), p->vendor);
    return facts;
}

static int list(const rnl_device_config *config, stack_device_entry *entries, int cap) {
    rnl_error error = {0};
    onnx_runtime *r = NULL;
    if (onnx_runtime_open(config, &r, &error) != RNL_OK) {
        if (cap > 0) entries[0] = (stack_device_entry){.refusal = error};
        return 1;
    }
    const int count = onnx_runtime_count(r);
    for (int i = 0; i < count && i < cap; i++) {
        const onnx_provider p = onnx_runtime_provider(r, i);
        entries[i] = (stack_device_entry){.facts = facts_of(r, &p)};
        if (p.is_cpu)
            (void)status_fail(&entries[i].refusal, RNL_ERR_UNSUPPORTED,
                              "%s is this processor, which computes faster without it; it is taken "
                              "only when it is named",
                              p.name);
    }
    onnx_runtime_close(&r);
    return count;
}

static void close_device(void *context) {
    onnx_device *d = context;
    onnx_runtime_close(&d->r);
    free(d);
}

static rnl_status choose(onnx_device *d, const char *name, rnl_error *error) {
    for (d->provider = 0; d->provider < onnx_runtime_count(d->r); d->provider++) {
        const onnx_provider p = onnx_runtime_provider(d->r, d->provider);
        const stack_device_facts facts = facts_of(d->r, &p);
        if (name == NULL ? !p.is_cpu : stack_device_named(&facts, name)) return RNL_OK;
    }
    return status_fail(error, RNL_ERR_UNSUPPORTED,
                       "ONNX Runtime %s has no provider for a device%s%s; name the provider's "
                       "library",
                       onnx_runtime_version(d->r), name != NULL ? " called " : "",
                       name != NULL ? name : "");
}

static rnl_status open_device(const rnl_device_config *config, const char *name, void **out,
                              stack_device_facts *facts, rnl_error *error) {
    onnx_device *d = calloc(1, sizeof *d);
    if (d == NULL) return stack_device_no_memory(error);
    d->cache_path = config->cache_path;
    d->options = config->provider_options;
    rnl_status status = onnx_runtime_open(config, &d->r, error);
    if (status == RNL_OK) status = choose(d, name, error);
    if (status != RNL_OK) {
        close_device(d);
        return status;
    }
    const onnx_provider p = onnx_runtime_provider(d->r, d->provider);
    *facts = facts_of(d->r, &p);
    *out = d;
    return RNL_OK;
}

/* ---- The self-check ---- */

static float bound(const void *context, const matrix *w) {
    (void)context;
    /* Measured on Qualcomm's simulator: 0.007 to 0.014 for whole stacks in FP16; rounded inputs
     * of the CPU's own products take about as much. */
    return onnx_check_matrix(w, "", "", NULL) == RNL_OK ? 0.02f : -1.0f;
}

enum { PRODUCT_ROWS = 8 };

static onnx_graph *make_product(const onnx_set *set, int size, onnx_data *data) {
    const matrix *w = set->weights;
    onnx_graph *g = onnx_graph_create("product", data);
    if (g == NULL) return NULL;
    const onnx_value x = onnx_graph_input(g, "x", ONNX_FLOAT, &ONNX_SHAPE(1, size, w->col_count));
    onnx_graph_output(g, onnx_product(g, x, w, NULL, "w"), "y");
    return g;
}

/* x, y [PRODUCT_ROWS, ...]. */
static rnl_status run_product(const onnx_device *d, const matrix *w, float *x, float *y,
                              rnl_error *error) {
    const onnx_set set = {.weights = w, .count = 1, .sizes = {PRODUCT_ROWS}, .make = make_product};
    const onnx_terminal in = {"x", ONNX_FLOAT, ONNX_SHAPE(1, PRODUCT_ROWS, w->col_count), x};
    const onnx_terminal out = {"y", ONNX_FLOAT, ONNX_SHAPE(1, PRODUCT_ROWS, w->row_count), y};
    onnx_place place;
    onnx_runner runner = {0};
    rnl_status status = onnx_place_enter(&place, NULL, &set, error);
    if (status != RNL_OK) return status;
    status = onnx_runner_open(&runner, d, &place, PRODUCT_ROWS, &in, 1, &out, 1, error);
    if (status == RNL_OK) status = onnx_runner_run(&runner, error);
    onnx_runner_close(&runner);
    onnx_place_leave(&place);
    return status;
}

static rnl_status product(void *context, const matrix *w, bool exact, const float *x, int count,
                          float *y, rnl_error *error) {
    const size_t cols = (size_t)w->col_count, rows = (size_t)w->row_count;
    (void)exact; /* inputs are never rounded to integers */
    assert(count >= 1 && count <= PRODUCT_ROWS);
    float *all = calloc(PRODUCT_ROWS * (cols + rows), sizeof *all);
    if (all == NULL) return stack_device_no_memory(error);
    float *outputs = all + PRODUCT_ROWS * cols;
    memcpy(all, x, (size_t)count * cols * sizeof *all);
    const rnl_status status = run_product(context, w, all, outputs, error);
    if (status == RNL_OK) memcpy(y, outputs, (size_t)count * rows * sizeof *y);
    free(all);
    return status;
}

/* ---- Loading ---- */

/* What goes in, or comes out, with its memory. NULL: memory is exhausted. */
static onnx_terminal *terminals(const onnx_port *ports, int count, void **memory) {
    onnx_terminal *all = calloc((size_t)count, sizeof *all);
    for (int i = 0; i < count && all != NULL; i++)
        all[i] = (onnx_terminal){.name = ports[i].name,
                                 .type = ports[i].type,
                                 .shape = ports[i].shape,
                                 .memory = memory[i]};
    return all;
}

static rnl_status open_graph(ready *g, const placed *s, const onnx_stack_config *c,
                             const onnx_place *place, rnl_error *error) {
    if (onnx_feed_create(s->w, c, &g->feed) != RNL_OK) return stack_device_no_memory(error);
    const onnx_ports *p = &g->feed.ports;
    onnx_terminal *inputs = terminals(p->inputs, p->input_count, g->feed.inputs);
    onnx_terminal *outputs = terminals(p->outputs, p->output_count, g->feed.outputs);
    const rnl_status status =
        inputs != NULL && outputs != NULL
            ? onnx_runner_open(&g->runner, s->d, place, c->row_count, inputs,
                               (size_t)p->input_count, outputs, (size_t)p->output_count, error)
            : stack_device_no_memory(error);
    free(inputs);
    free(outputs);
    return status;
}

static void unload(void *context) {
    placed *s = context;
    for (int i = 0; i < s->graph_count; i++) {
        onnx_runner_close(&s->graphs[i].runner);
        onnx_feed_free(&s->graphs[i].feed);
    }
    free(s->hidden);
    free(s);
}

static rnl_status open_graphs(placed *s, const onnx_set *set, rnl_error *error) {
    onnx_place place;
    rnl_status status = onnx_place_enter(&place, s->d->cache_path, set, error);
    if (status != RNL_OK) return status;
    for (int i = 0; i < set->count && status == RNL_OK; i++) {
        ready *g = &s->graphs[s->graph_count++];
        const onnx_stack_config c = onnx_set_config(set, set->sizes[i]);
        status = open_graph(g, s, &c, &place, error);
        (void)atomic_fetch_add(&s->size, g->feed.size + onnx_runner_weights_size(&place));
    }
    onnx_place_leave(&place);
    return status;
}

static rnl_status load(void *context, const stack_weights *w, const stack_device_room *room,
                       void **out, rnl_error *error) {
    rnl_status status = onnx_stack_check(w, "the model", error);
    if (status != RNL_OK) return status;
    if (room->position_cap < 1)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "keys and values in rings are not what graphs of ONNX take");
    placed *s = calloc(1, sizeof *s);
    if (s == NULL) return stack_device_no_memory(error);
    *s = (placed){.d = context,
                  .w = w,
                  .row_cap = room->row_cap,
                  .past_count = room->position_cap,
                  .half = room->cache != KERNELS_CACHE_F32};
    s->hidden = malloc((size_t)room->row_cap * (size_t)w->config.width * sizeof *s->hidden);
    const onnx_set set = onnx_set_of_stack(w, room->row_cap, s->past_count, s->half);
    status = s->hidden != NULL ? open_graphs(s, &set, error) : stack_device_no_memory(error);
    if (status != RNL_OK) {
        unload(s);
        return status;
    }
    *out = s;
    return RNL_OK;
}

static size_t memory(const void *context) {
    return atomic_load(&((const placed *)context)->size);
}

/* ---- States ---- */

static void detach(void *context, void *of) {
    placed *s = context;
    mirror *m = of;
    for (int i = 0; i < s->w->config.layer_count; i++) {
        if (m->keys != NULL) onnx_tensor_destroy(s->d->r, &m->keys[i]);
        if (m->values != NULL) onnx_tensor_destroy(s->d->r, &m->values[i]);
    }
    free(m->keys);
    free(m->values);
    (void)atomic_fetch_sub(&s->size, m->m.size);
    onnx_mirror_free(&m->m);
    free(m);
}

static rnl_status make_mirror(const placed *s, mirror *m, rnl_error *error) {
    const size_t layers = (size_t)s->w->config.layer_count;
    const onnx_type type = s->half ? ONNX_FLOAT16 : ONNX_FLOAT;
    m->keys = calloc(layers, sizeof *m->keys);
    m->values = calloc(layers, sizeof *m->values);
    rnl_status status = RNL_OK;
    if (m->keys == NULL || m->values == NULL ||
        onnx_mirror_create(s->w, s->past_count, s->half, &m->m) != RNL_OK)
        return stack_device_no_memory(error);
    for (size_t i = 0; i < layers && status == RNL_OK; i++) {
        const stack_layer_config *l = &s->w->config.layers[i];
        const onnx_shape shape = ONNX_SHAPE(l->kv_head_count, s->past_count, l->head_width);
        if (m->m.keys[i] == NULL) continue;
        status = onnx_tensor_create(s->d->r, type, &shape, m->m.keys[i], &m->keys[i], error);
        if (status == RNL_OK)
            status =
                onnx_tensor_create(s->d->r, type, &shape, m->m.values[i], &m->values[i], error);
    }
    return status;
}

static rnl_status attach(void *context, const stack_state *state, void **out, rnl_error *error) {
    placed *s = context;
    if (state->position_cap < 1 || state->position_cap > s->past_count)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "the graphs have room for %d positions; this conversation has %d",
                           s->past_count, state->position_cap);
    mirror *m = calloc(1, sizeof *m);
    if (m == NULL) return stack_device_no_memory(error);
    const rnl_status status = make_mirror(s, m, error);
    (void)atomic_fetch_add(&s->size, m->m.size);
    if (status != RNL_OK)
        detach(s, m);
    else
        *out = m;
    return status;
}

/* ---- Passes ---- */

/* The smallest graph that count rows fit in, or the largest. */
static ready *graph_for(placed *s, int count) {
    int i = 0;
    while (i < s->graph_count - 1 && s->graphs[i].feed.c.row_count < count) i++;
    return &s->graphs[i];
}

static rnl_status run(ready *g, const stack_pass *p, mirror *m, const onnx_run_rows *rows,
                      float *out, rnl_error *error) {
    const onnx_ports *ports = &g->feed.ports;
    onnx_feed_fill(&g->feed, p, &m->m, rows);
    for (int i = 0; i < ports->input_count; i++) {
        const onnx_port *port = &ports->inputs[i];
        if (port->role == ONNX_KEYS) g->runner.bound[i] = m->keys[port->layer];
        if (port->role == ONNX_VALUES) g->runner.bound[i] = m->values[port->layer];
    }
    const rnl_status status = onnx_runner_run(&g->runner, error);
    if (status == RNL_OK) onnx_feed_keep(&g->feed, &m->m, rows, out);
    return status;
}

static rnl_status forward(void *context, const stack_pass *p, float *x, rnl_error *error) {
    placed *s = context;
    const size_t width = (size_t)s->w->config.width;
    rnl_status status = RNL_OK;
    int first = 0;
    assert(p->row_count <= s->row_cap);
    for (int i = 0; i < p->piece_count && status == RNL_OK; i++) {
        const stack_state *state = p->pieces[i].state;
        mirror *m = state->mirror;
        onnx_mirror_begin(&m->m, state);
        for (int at = 0, left = p->pieces[i].count; left > 0 && status == RNL_OK;) {
            ready *g = graph_for(s, left);
            const int count = left < g->feed.c.row_count ? left : g->feed.c.row_count;
            const onnx_run_rows rows = {.x = x + (size_t)first * width,
                                        .first = first,
                                        .count = count,
                                        .position = state->position + at};
            status = run(g, p, m, &rows, s->hidden + (size_t)first * width, error);
            at += count, left -= count, first += count;
        }
    }
    return status == RNL_OK ? RNL_DONE : status;
}

static void take(void *context, const stack_pass *p, float *x) {
    const placed *s = context;
    memcpy(x, s->hidden, (size_t)p->row_count * (size_t)s->w->config.width * sizeof *x);
    for (int i = 0; i < p->piece_count; i++) {
        const mirror *m = p->pieces[i].state->mirror;
        onnx_mirror_take(&m->m, p->pieces[i].state, p->c->k, p->pieces[i].count);
    }
}

const stack_device_ops onnx_device_ops = {.kind = "npu",
                                          .list = list,
                                          .open = open_device,
                                          .close = close_device,
                                          .bound = bound,
                                          .product = product,
                                          .load = load,
                                          .unload = unload,
                                          .memory = memory,
                                          .attach = attach,
                                          .detach = detach,
                                          .forward = forward,
                                          .take = take};

const device_kind onnx_kind = {.ops = &onnx_device_ops, .encoder = &onnx_encoder_ops};
