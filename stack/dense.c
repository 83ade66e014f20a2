/* The gated feed-forward part: down(silu(gate x) * up x), backbone.md 1.5. A layer may use the
 * matrices of one above (learn.md 6.2), behind a norm of its own. */
#include "core/status.h"
#include "stack/kind.h"

static int64_t ff_width(const stack_weights *w, int layer) {
    const int64_t known = w->config.layers[layer].ff_width;
    if (known > 0) return known;
    const stack_dense_weights *own = stack_part_at(w, layer, STACK_FEED_FORWARD)->weights;
    return own->gate.row_count; /* 0 before it is loaded */
}

#define AT(field) offsetof(stack_dense_weights, field)
static const stack_tensor tensors[] = {
    {"ffn_gate.weight", STACK_MATRIX, STACK_PLAIN, AT(gate), ff_width, stack_width},
    {"ffn_up.weight", STACK_MATRIX, STACK_PLAIN, AT(up), ff_width, stack_width},
    {"ffn_down.weight", STACK_MATRIX, STACK_DOWN, AT(down), stack_width, ff_width},
};
#undef AT

static bool has(const stack_layer_config *l, const stack_tensor *t) {
    (void)t;
    return l->ff_above == 0;
}

static rnl_status check(const stack_config *c, int layer, const char *file, rnl_error *error) {
    const stack_layer_config *l = &c->layers[layer];
    if (l->ff_above == 0) return RNL_OK;
    const int from = layer - l->ff_above;
    const stack_layer_config *o = from >= 0 && from < layer ? &c->layers[from] : NULL;
    if (o != NULL && o->kinds[STACK_FEED_FORWARD] == &stack_dense && o->ff_above == 0 &&
        o->ff_width == l->ff_width)
        return RNL_OK;
    return status_fail(
        error, RNL_ERR_FORMAT,
        "%s: layer %d shares the feed-forward weights of layer %d, which is no layer "
        "above it with such weights of its own and of the same width; name one that "
        "is (share_ffn)",
        file, layer, from);
}

static void prepare(loader *l, stack_weights *w, int layer) {
    stack_layer_config *own = &w->config.layers[layer];
    stack_dense_weights *to = stack_part_at(w, layer, STACK_FEED_FORWARD)->weights;
    (void)l;
    if (own->ff_above > 0) {
        const stack_part *from = stack_part_at(w, layer - own->ff_above, STACK_FEED_FORWARD);
        *to = *(const stack_dense_weights *)from->weights;
    }
    own->ff_width = to->gate.row_count;
}

typedef struct scratch {
    float *gated, *raised; /* [row_cap, ff] */
} scratch;

static scratch take_scratch(const stack_work *k, int layer, arena *a) {
    const size_t cells = (size_t)k->row_cap, width = (size_t)k->w->config.layers[layer].ff_width;
    return (scratch){.gated = arena_take(a, cells, width * sizeof(float)),
                     .raised = arena_take(a, cells, width * sizeof(float))};
}

static void layout(const stack_work *k, int layer, arena *a) {
    (void)take_scratch(k, layer, a);
}

static void forward(const stack_pass *p, int layer, float *x) {
    const stack_part *part = stack_part_at(p->work->w, layer, STACK_FEED_FORWARD);
    const stack_dense_weights *own = part->weights;
    arena a = stack_scratch(p->work);
    const scratch s = take_scratch(p->work, layer, &a);
    linear_gated(p->c, &own->gate, &own->up, p->work->normed, (size_t)p->work->w->config.width,
                 s.gated, s.raised, p->row_count);
    stack_put(p, part, &own->down, NULL, s.gated, (size_t)own->gate.row_count, x);
}

const stack_kind stack_dense = {.name = "dense",
                                .place = STACK_FEED_FORWARD,
                                .weights_size = sizeof(stack_dense_weights),
                                .tensors = tensors,
                                .tensor_count = sizeof tensors / sizeof *tensors,
                                .has = has,
                                .check = check,
                                .prepare = prepare,
                                .layout = layout,
                                .forward = forward};
