#include "devices/onnx_stack.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "devices/onnx_ops.h"
#include "stack/kind.h"

typedef struct builder {
    const stack_weights *w;
    const onnx_stack_config *c;
    onnx_graph *g;
    onnx_ports ports;
    onnx_value *inputs; /* [ports.input_count] */
    onnx_value *keys; /* [layer_count] of those before and those of the pass: of layers with keys */
    onnx_value *values; /* likewise */
} builder;

static const stack_layer_config *config_of(const stack_weights *w, int layer) {
    return &w->config.layers[layer];
}

static bool is_attention(const stack_weights *w, int layer) {
    return config_of(w, layer)->kinds[STACK_OPERATOR] == &stack_attention;
}

/* ---- Checks ---- */

/* Every matrix of the part. */
static rnl_status check_part(const stack_weights *w, int layer, stack_place place, const char *file,
                             rnl_error *error) {
    const stack_part *part = stack_part_at(w, layer, place);
    rnl_status status = RNL_OK;
    for (int i = 0; i < part->kind->tensor_count && status == RNL_OK; i++) {
        const stack_tensor *t = &part->kind->tensors[i];
        const matrix *m = (const void *)((const unsigned char *)part->weights + t->at);
        char name[128];
        (void)snprintf(name, sizeof name, "blk.%d.%s", layer, t->name);
        if (t->form == STACK_MATRIX || (t->form == STACK_MATRIX_IF && m->row_count > 0))
            if (stack_has_tensor(config_of(w, layer), place, t))
                status = onnx_check_matrix(m, name, file, error);
    }
    return status;
}

static rnl_status check_layer(const stack_weights *w, int layer, const char *file,
                              rnl_error *error) {
    const stack_layer_config *l = config_of(w, layer);
    const stack_kind *mixer = l->kinds[STACK_OPERATOR], *ff = l->kinds[STACK_FEED_FORWARD];
    if (mixer != &stack_convolution && mixer != &stack_attention)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: layer %d is %s; the graphs of ONNX have convolutions and attention",
                           file, layer, mixer->name);
    if (ff != &stack_dense)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: the feed-forward part of layer %d is %s; the graphs of ONNX have "
                           "dense ones",
                           file, layer, ff->name);
    if (mixer == &stack_attention && l->mask != STACK_CAUSAL)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: layer %d sees what comes later, which a graph for passes of some "
                           "rows cannot",
                           file, layer);
    const rnl_status status = check_part(w, layer, STACK_OPERATOR, file, error);
    return status == RNL_OK ? check_part(w, layer, STACK_FEED_FORWARD, file, error) : status;
}

rnl_status onnx_stack_check(const stack_weights *w, const char *file, rnl_error *error) {
    rnl_status status = RNL_OK;
    for (int i = 0; i < w->config.layer_count && status == RNL_OK; i++)
        status = check_layer(w, i, file, error);
    return status;
}

/* ---- Ports ---- */

/* Whether an input is the layer's in that role: its own, or one of a layer that is alike in it. */
static bool serves(const onnx_port *port, onnx_role role, const stack_weights *w, int layer) {
    const stack_layer_config *l = config_of(w, layer), *o = config_of(w, port->layer);
    if (port->role != role) return false;
    switch (role) {
    case ONNX_ROWS:
        return true;
    case ONNX_MASK:
        return o->window == l->window;
    case ONNX_LAST:
        return o->taps == l->taps;
    case ONNX_COS:
    case ONNX_SIN:
        return o->rotary.base == l->rotary.base && o->head_width == l->head_width &&
               o->rotary.pair_count == l->rotary.pair_count &&
               o->rotary.adjacent == l->rotary.adjacent;
    default:
        return port->layer == layer;
    }
}

/* The input that serves a layer in a role; -1: there is none yet. */
static int input_at(const onnx_ports *p, onnx_role role, const stack_weights *w, int layer) {
    for (int i = 0; i < p->input_count; i++)
        if (serves(&p->inputs[i], role, w, layer)) return i;
    return -1;
}

static void add_port(onnx_port *ports, int *count, onnx_role role, int layer, const char *name,
                     onnx_type type, onnx_shape shape) {
    onnx_port *p = &ports[(*count)++];
    *p = (onnx_port){.role = role, .layer = layer, .type = type, .shape = shape};
    if (role == ONNX_ROWS)
        (void)snprintf(p->name, sizeof p->name, "%s", name);
    else
        (void)snprintf(p->name, sizeof p->name, "%s.%d", name, layer);
    p->size = onnx_size_of(type, shape); /* the states were measured with checked sizes */
}

static void add_input(onnx_ports *p, onnx_role role, int layer, const char *name, onnx_type type,
                      onnx_shape shape) {
    add_port(p->inputs, &p->input_count, role, layer, name, type, shape);
}

static void add_attention_ports(const stack_weights *w, const onnx_stack_config *c, int layer,
                                onnx_ports *p) {
    const stack_layer_config *l = config_of(w, layer);
    const int64_t rows = c->row_count, past = c->past_count, width = l->head_width;
    const onnx_type kept = c->half ? ONNX_FLOAT16 : ONNX_FLOAT;
    const onnx_shape cache = ONNX_SHAPE(l->kv_head_count, past, width);
    const onnx_shape fresh = ONNX_SHAPE(l->kv_head_count, rows, width);
    if (input_at(p, ONNX_MASK, w, layer) < 0)
        add_input(p, ONNX_MASK, layer, "mask", ONNX_FLOAT, ONNX_SHAPE(rows, past + rows));
    if (input_at(p, ONNX_COS, w, layer) < 0) {
        add_input(p, ONNX_COS, layer, "cos", ONNX_FLOAT, ONNX_SHAPE(rows, 1, width));
        add_input(p, ONNX_SIN, layer, "sin", ONNX_FLOAT, ONNX_SHAPE(rows, 1, width));
    }
    if (l->kv_above > 0) return;
    add_input(p, ONNX_KEYS, layer, "keys", kept, cache);
    add_input(p, ONNX_VALUES, layer, "values", kept, cache);
    add_port(p->outputs, &p->output_count, ONNX_KEYS, layer, "new_keys", ONNX_FLOAT, fresh);
    add_port(p->outputs, &p->output_count, ONNX_VALUES, layer, "new_values", ONNX_FLOAT, fresh);
}

static void add_convolution_ports(const stack_weights *w, const onnx_stack_config *c, int layer,
                                  onnx_ports *p) {
    const int64_t kept = config_of(w, layer)->taps - 1;
    const onnx_shape tail = ONNX_SHAPE(1, kept, w->config.width);
    if (kept == 0) return;
    if (input_at(p, ONNX_LAST, w, layer) < 0)
        add_input(p, ONNX_LAST, layer, "last", ONNX_FLOAT,
                  ONNX_SHAPE(1, kept, kept + c->row_count));
    add_input(p, ONNX_TAIL, layer, "tail", ONNX_FLOAT, tail);
    add_port(p->outputs, &p->output_count, ONNX_TAIL, layer, "new_tail", ONNX_FLOAT, tail);
}

rnl_status onnx_ports_make(const stack_weights *w, const onnx_stack_config *c, onnx_ports *out) {
    enum { LAYER_INPUTS = 6, LAYER_OUTPUTS = 2 }; /* most of one layer */
    const size_t layers = (size_t)w->config.layer_count;
    *out = (onnx_ports){.inputs = calloc(layers * LAYER_INPUTS + 1, sizeof *out->inputs),
                        .outputs = calloc(layers * LAYER_OUTPUTS + 1, sizeof *out->outputs)};
    if (out->inputs == NULL || out->outputs == NULL) {
        onnx_ports_free(out);
        return RNL_ERR_MEMORY;
    }
    const onnx_shape x = ONNX_SHAPE(1, c->row_count, w->config.width);
    add_input(out, ONNX_ROWS, 0, "x", ONNX_FLOAT, x);
    add_port(out->outputs, &out->output_count, ONNX_ROWS, 0, "hidden", ONNX_FLOAT, x);
    for (int i = 0; i < w->config.layer_count; i++)
        if (is_attention(w, i))
            add_attention_ports(w, c, i, out);
        else
            add_convolution_ports(w, c, i, out);
    return RNL_OK;
}

void onnx_ports_free(onnx_ports *p) {
    free(p->inputs);
    free(p->outputs);
    *p = (onnx_ports){0};
}

static onnx_value input_of(const builder *b, onnx_role role, int layer) {
    const int at = input_at(&b->ports, role, b->w, layer);
    assert(at >= 0);
    return b->inputs[at];
}

static void put_output(const builder *b, onnx_role role, int layer, onnx_value v) {
    for (int i = 0; i < b->ports.output_count; i++) {
        const onnx_port *p = &b->ports.outputs[i];
        if (p->role == role && p->layer == layer) onnx_graph_output(b->g, v, p->name);
    }
}

/* ---- Parts ---- */

/* "blk.3.attn_q": the names of tensors without their ending. */
static const char *name_of(char out[ONNX_NAME_CAP], int layer, const char *name) {
    (void)snprintf(out, ONNX_NAME_CAP, "blk.%d.%s", layer, name);
    return out;
}

static onnx_value product(const builder *b, onnx_value x, const matrix *w, const float *bias,
                          int layer, const char *name) {
    char full[ONNX_NAME_CAP];
    return onnx_product(b->g, x, w, bias, name_of(full, layer, name));
}

static onnx_value norm(const builder *b, onnx_value x, const float *gain, int layer,
                       const char *name) {
    char full[ONNX_NAME_CAP];
    return onnx_rms_norm(b->g, x, gain, b->w->config.eps, name_of(full, layer, name));
}

/* [1, rows, width] of taps over the rows and the tail before them, oldest first. */
static onnx_value convolve(const builder *b, onnx_value full, int layer) {
    const stack_convolution_weights *own = stack_part_at(b->w, layer, STACK_OPERATOR)->weights;
    const int taps = config_of(b->w, layer)->taps;
    const int64_t width = b->w->config.width;
    char name[ONNX_NAME_CAP];
    onnx_value sum = 0;
    for (int j = 0; j < taps; j++) {
        char tap[32];
        (void)snprintf(tap, sizeof tap, "shortconv.tap%d", j);
        const onnx_value w =
            onnx_vector(b->g, name_of(name, layer, tap), own->taps + (int64_t)j * width, width);
        const onnx_value part =
            onnx_binary(b->g, "Mul", onnx_slice(b->g, full, 1, j, b->c->row_count), w);
        sum = j == 0 ? part : onnx_binary(b->g, "Add", sum, part);
    }
    if (own->bias == NULL) return sum;
    return onnx_binary(
        b->g, "Add", sum,
        onnx_vector(b->g, name_of(name, layer, "shortconv.conv.bias"), own->bias, width));
}

static onnx_value convolution(const builder *b, onnx_value normed, int layer) {
    const stack_convolution_weights *own = stack_part_at(b->w, layer, STACK_OPERATOR)->weights;
    const int64_t width = b->w->config.width, kept = config_of(b->w, layer)->taps - 1;
    const onnx_value all = product(b, normed, &own->in, own->in_bias, layer, "shortconv.in_proj");
    const onnx_value before = onnx_slice(b->g, all, 2, 0, width);
    const onnx_value behind = onnx_slice(b->g, all, 2, width, width);
    const onnx_value x = onnx_slice(b->g, all, 2, 2 * width, width);
    onnx_value full = onnx_binary(b->g, "Mul", before, x);
    if (kept > 0) {
        full = onnx_concat(b->g, input_of(b, ONNX_TAIL, layer), full, 1);
        put_output(b, ONNX_TAIL, layer, onnx_matmul(b->g, input_of(b, ONNX_LAST, layer), full));
    }
    const onnx_value mixed = onnx_binary(b->g, "Mul", behind, convolve(b, full, layer));
    return product(b, mixed, &own->out, own->out_bias, layer, "shortconv.out_proj");
}

/* [head width, head width]: what the sines are multiplied by is x times it, for each pair (a, b)
 * that turns (-b, a). */
static onnx_value turning(const builder *b, int layer) {
    const stack_layer_config *l = config_of(b->w, layer);
    const size_t width = (size_t)l->head_width;
    char name[ONNX_NAME_CAP];
    (void)snprintf(name, sizeof name, "turn.%d.%d.%s", l->head_width, l->rotary.pair_count,
                   l->rotary.adjacent ? "adjacent" : "halves");
    if (!onnx_data_has(onnx_graph_data(b->g), name)) {
        float *turn = calloc(width * width, sizeof *turn);
        for (int i = 0; i < l->rotary.pair_count && turn != NULL; i++) {
            const size_t from = (size_t)i * (l->rotary.adjacent ? 2 : 1);
            const size_t to = from + (l->rotary.adjacent ? 1 : width / 2);
            turn[to * width + from] = -1;
            turn[from * width + to] = 1;
        }
        if (turn != NULL)
            onnx_data_add(onnx_graph_data(b->g), name, ONNX_FLOAT,
                          &ONNX_SHAPE(l->head_width, l->head_width), turn);
        else
            onnx_data_exhausted(onnx_graph_data(b->g), name);
        free(turn);
    }
    return onnx_graph_weight(b->g, name);
}

/* x [1, rows, heads * head width] -> normed by heads and turned, [rows, heads, head width]. */
static onnx_value turned_heads(const builder *b, onnx_value x, const float *gain, int head_count,
                               int layer, const char *name) {
    const int64_t width = config_of(b->w, layer)->head_width;
    const onnx_value heads = onnx_reshape(b->g, x, ONNX_SHAPE(b->c->row_count, head_count, width));
    const onnx_value y = norm(b, heads, gain, layer, name);
    const onnx_value across = onnx_matmul(b->g, y, turning(b, layer));
    return onnx_binary(b->g, "Add", onnx_binary(b->g, "Mul", y, input_of(b, ONNX_COS, layer)),
                       onnx_binary(b->g, "Mul", across, input_of(b, ONNX_SIN, layer)));
}

/* Keys and values of the pass go out, and behind those before it. */
static void extend_keys(builder *b, onnx_value normed, int layer) {
    static const int by_head[] = {1, 0, 2};
    const stack_attention_weights *own = stack_part_at(b->w, layer, STACK_OPERATOR)->weights;
    const stack_layer_config *l = config_of(b->w, layer);
    const onnx_value k = product(b, normed, &own->k, own->k_bias, layer, "attn_k");
    const onnx_value v = product(b, normed, &own->v, own->v_bias, layer, "attn_v");
    const onnx_value keys = onnx_transpose(
        b->g, turned_heads(b, k, own->k_norm, l->kv_head_count, layer, "attn_k_norm"), by_head);
    const onnx_value values = onnx_transpose(
        b->g, onnx_reshape(b->g, v, ONNX_SHAPE(b->c->row_count, l->kv_head_count, l->head_width)),
        by_head);
    put_output(b, ONNX_KEYS, layer, keys);
    put_output(b, ONNX_VALUES, layer, values);
    b->keys[layer] =
        onnx_concat(b->g, onnx_cast(b->g, input_of(b, ONNX_KEYS, layer), ONNX_FLOAT), keys, 1);
    b->values[layer] =
        onnx_concat(b->g, onnx_cast(b->g, input_of(b, ONNX_VALUES, layer), ONNX_FLOAT), values, 1);
}

/* q [rows, heads, head width] -> [rows, heads, head width]. */
static onnx_value attend(const builder *b, onnx_value q, int layer) {
    static const int by_group[] = {1, 2, 0, 3}, back[] = {2, 0, 1, 3}, across[] = {0, 2, 1};
    const stack_layer_config *l = config_of(b->w, layer);
    const int owner = layer - l->kv_above;
    const int64_t rows = b->c->row_count, kv = l->kv_head_count, width = l->head_width;
    const int64_t group = l->head_count / l->kv_head_count, seen = b->c->past_count + rows;
    const onnx_value scaled =
        onnx_binary(b->g, "Mul", q, onnx_number(b->g, 1.0f / sqrtf((float)width)));
    const onnx_value by_heads = onnx_transpose(
        b->g, onnx_reshape(b->g, scaled, ONNX_SHAPE(rows, kv, group, width)), by_group);
    const onnx_value scores =
        onnx_matmul(b->g, onnx_reshape(b->g, by_heads, ONNX_SHAPE(kv, group * rows, width)),
                    onnx_transpose(b->g, b->keys[owner], across));
    const onnx_value open =
        onnx_binary(b->g, "Add", onnx_reshape(b->g, scores, ONNX_SHAPE(kv, group, rows, seen)),
                    input_of(b, ONNX_MASK, layer));
    const onnx_value shares =
        onnx_reshape(b->g, onnx_softmax(b->g, open), ONNX_SHAPE(kv, group * rows, seen));
    const onnx_value mixed = onnx_matmul(b->g, shares, b->values[owner]);
    const onnx_value by_rows =
        onnx_transpose(b->g, onnx_reshape(b->g, mixed, ONNX_SHAPE(kv, group, rows, width)), back);
    return onnx_reshape(b->g, by_rows, ONNX_SHAPE(rows, l->head_count, width));
}

static onnx_value attention(builder *b, onnx_value normed, int layer) {
    const stack_attention_weights *own = stack_part_at(b->w, layer, STACK_OPERATOR)->weights;
    const stack_layer_config *l = config_of(b->w, layer);
    const int64_t rows = b->c->row_count;
    const onnx_value q = product(b, normed, &own->q, own->q_bias, layer, "attn_q");
    if (l->kv_above == 0) extend_keys(b, normed, layer);
    onnx_value mixed =
        attend(b, turned_heads(b, q, own->q_norm, l->head_count, layer, "attn_q_norm"), layer);
    if (own->gate.row_count > 0) {
        const onnx_value gates =
            onnx_unary(b->g, "Sigmoid", product(b, normed, &own->gate, NULL, layer, "attn_gate"));
        mixed = onnx_binary(b->g, "Mul", mixed,
                            onnx_reshape(b->g, gates, ONNX_SHAPE(rows, l->head_count, 1)));
    }
    const onnx_value all =
        onnx_reshape(b->g, mixed, ONNX_SHAPE(1, rows, (int64_t)l->head_count * l->head_width));
    return product(b, all, &own->out, own->out_bias, layer, "attn_output");
}

/* A layer may use the matrices of one above: then those lie in the data once. */
static onnx_value dense(const builder *b, onnx_value normed, int layer) {
    const stack_dense_weights *own = stack_part_at(b->w, layer, STACK_FEED_FORWARD)->weights;
    const int owner = layer - config_of(b->w, layer)->ff_above;
    const onnx_value gate = product(b, normed, &own->gate, NULL, owner, "ffn_gate");
    const onnx_value up = product(b, normed, &own->up, NULL, owner, "ffn_up");
    const onnx_value silu = onnx_binary(b->g, "Mul", gate, onnx_unary(b->g, "Sigmoid", gate));
    return product(b, onnx_binary(b->g, "Mul", silu, up), &own->down, NULL, owner, "ffn_down");
}

static onnx_value add_part(builder *b, onnx_value x, int layer, stack_place place) {
    const stack_part *part = stack_part_at(b->w, layer, place);
    const bool first = place == STACK_OPERATOR;
    const onnx_value normed = norm(b, x, part->norm, layer, first ? "attn_norm" : "ffn_norm");
    onnx_value added;
    if (place == STACK_FEED_FORWARD)
        added = dense(b, normed, layer);
    else if (is_attention(b->w, layer))
        added = attention(b, normed, layer);
    else
        added = convolution(b, normed, layer);
    if (part->post_norm != NULL)
        added =
            norm(b, added, part->post_norm, layer, first ? "post_attention_norm" : "post_ffw_norm");
    return onnx_binary(b->g, "Add", x, added);
}

/* ---- The graph ---- */

static bool builder_begin(builder *b) {
    const size_t layers = (size_t)b->w->config.layer_count;
    if (onnx_ports_make(b->w, b->c, &b->ports) != RNL_OK) return false;
    b->inputs = calloc((size_t)b->ports.input_count, sizeof *b->inputs);
    b->keys = calloc(layers, sizeof *b->keys);
    b->values = calloc(layers, sizeof *b->values);
    if (b->inputs == NULL || b->keys == NULL || b->values == NULL) return false;
    for (int i = 0; i < b->ports.input_count; i++) {
        const onnx_port *p = &b->ports.inputs[i];
        b->inputs[i] = onnx_graph_input(b->g, p->name, p->type, &p->shape);
    }
    return true;
}

onnx_graph *onnx_stack_graph(const stack_weights *w, const onnx_stack_config *c, onnx_data *data) {
    builder b = {.w = w, .c = c, .g = onnx_graph_create("stack", data)};
    if (b.g != NULL && builder_begin(&b)) {
        onnx_value x = input_of(&b, ONNX_ROWS, 0);
        for (int i = 0; i < w->config.layer_count; i++)
            for (int place = 0; place < STACK_PLACE_COUNT; place++)
                x = add_part(&b, x, i, (stack_place)place);
        if (w->final_norm != NULL)
            x = onnx_rms_norm(b.g, x, w->final_norm, w->config.eps, "output_norm");
        put_output(&b, ONNX_ROWS, 0, x);
    } else {
        onnx_graph_destroy(&b.g);
    }
    onnx_ports_free(&b.ports);
    free(b.inputs);
    free(b.keys);
    free(b.values);
    return b.g;
}
