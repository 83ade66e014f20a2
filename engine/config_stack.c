/* The keys of a stack of layers in GGUF files, read and written: those of "lfm2" (backbone.md 5.2)
 * and of "lfm2moe" (family.md 1.5). */
#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "engine/config.h"
#include "stack/kind.h"

/* Where the keys of a stack stand: "lfm2." or "lfm2moe." behind a prefix. */
typedef struct key_source {
    const gguf *g;
    const char *prefix, *architecture;
    rnl_status status; /* sticky */
    rnl_error *error;
} key_source;

enum { KEY_CAP = 128 };

static void stack_key(const key_source *s, const char *name, char key[KEY_CAP]) {
    (void)snprintf(key, KEY_CAP, "%s%s.%s", s->prefix, s->architecture, name);
}

static void need_int(key_source *s, const char *name, int64_t min, int64_t max, int *out) {
    if (s->status != RNL_OK) return;
    char key[KEY_CAP];
    int64_t value;
    stack_key(s, name, key);
    if (gguf_int(s->g, key, min, max, &value))
        *out = (int)value;
    else
        s->status =
            status_fail(s->error, RNL_ERR_FORMAT,
                        "%s: key %s is missing or not a number from %lld to %lld; the file is "
                        "damaged or no LFM2 model",
                        gguf_path(s->g), key, (long long)min, (long long)max);
}

/* One number, or an array that repeats it, as other converters write it. */
static void need_int_of_layers(key_source *s, const char *name, int64_t max, int *out) {
    char key[KEY_CAP];
    size_t count;
    stack_key(s, name, key);
    if (s->status != RNL_OK || !gguf_array_count(s->g, key, &count)) {
        need_int(s, name, 1, max, out);
        return;
    }
    int64_t first = 0, value = 0;
    for (size_t i = 0; i < count; i++) {
        if (!gguf_array_int(s->g, key, i, &value) || value < 0 || value > max) value = -1;
        if (first == 0) first = value; /* 0: a layer without experts */
        if (value == first || value == 0) continue;
        s->status = status_fail(s->error, RNL_ERR_UNSUPPORTED,
                                "%s: key %s differs between layers; take a file whose experts are "
                                "all alike",
                                gguf_path(s->g), key);
        return;
    }
    if (first < 1)
        s->status = status_fail(s->error, RNL_ERR_FORMAT,
                                "%s: key %s holds no number from 1 to %lld; the file is damaged",
                                gguf_path(s->g), key, (long long)max);
    *out = (int)first;
}

/* The layer pattern: an array with 0 for convolutions (backbone.md 5.2). */
static void read_pattern(key_source *s, stack_config *c) {
    char key[KEY_CAP];
    size_t count;
    if (s->status != RNL_OK) return;
    stack_key(s, "attention.head_count_kv", key);
    if (!gguf_array_count(s->g, key, &count) || count != (size_t)c->layer_count) {
        s->status = status_fail(s->error, RNL_ERR_FORMAT,
                                "%s: key %s is not an array of %d numbers, one per layer; the file "
                                "is damaged",
                                gguf_path(s->g), key, c->layer_count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        stack_layer_config *layer = &c->layers[i];
        int64_t heads;
        if (!gguf_array_int(s->g, key, i, &heads) || heads < 0 || heads > layer->head_count) {
            s->status =
                status_fail(s->error, RNL_ERR_FORMAT,
                            "%s: key %s holds a number outside 0 to %d; the file is damaged",
                            gguf_path(s->g), key, layer->head_count);
            return;
        }
        layer->kinds[STACK_OPERATOR] = heads > 0 ? &stack_attention : &stack_convolution;
        layer->kv_head_count = (int)heads;
    }
}

/* Layers of experts behind the dense ones (family.md 1.5). */
static void read_experts(key_source *s, stack_config *c) {
    stack_layer_config all = {.kinds = {NULL, &stack_experts}};
    int dense = 0, gating = 0, width = 0;
    char key[KEY_CAP];
    double real;
    need_int(s, "expert_count", 1, 4096, &all.expert_count);
    need_int(s, "expert_used_count", 1, 64, &all.expert_used);
    need_int_of_layers(s, "expert_feed_forward_length", 1 << 20, &width);
    need_int(s, "expert_gating_func", 0, 1 << 16, &gating);
    stack_key(s, "leading_dense_block_count", key);
    if (gguf_has(s->g, key)) need_int(s, "leading_dense_block_count", 0, c->layer_count, &dense);
    if (s->status == RNL_OK && gating != 2)
        s->status = status_fail(s->error, RNL_ERR_UNSUPPORTED,
                                "%s: its experts are scored by function %d%s; Runnel knows 2, the "
                                "sigmoid of LFM2",
                                gguf_path(s->g), gating, gating == 1 ? " (softmax)" : "");
    stack_key(s, "expert_weights_norm", key);
    all.expert_norm = true;
    (void)gguf_bool(s->g, key, &all.expert_norm);
    stack_key(s, "expert_weights_scale", key);
    all.expert_scale = gguf_float(s->g, key, &real) ? (float)real : 1.0f;
    all.ff_width = width;
    for (int i = dense; i < c->layer_count && s->status == RNL_OK; i++)
        config_set_experts(&c->layers[i], &all);
}

void config_set_experts(stack_layer_config *layer, const stack_layer_config *from) {
    layer->kinds[STACK_FEED_FORWARD] = &stack_experts;
    layer->ff_width = from->ff_width;
    layer->expert_count = from->expert_count;
    layer->expert_used = from->expert_used;
    layer->expert_norm = from->expert_norm;
    layer->expert_scale = from->expert_scale;
}

const char *config_architecture(const stack_config *c) {
    return stack_layers_of(c, &stack_experts) > 0 ? "lfm2moe" : "lfm2";
}

rnl_status config_read_lfm2(stack_config *c, const gguf *g, const char *prefix, rnl_error *error) {
    stack_layer_config all = {.kinds = {NULL, &stack_dense}, .rotary = {.base = 1e6}};
    key_source s = {.g = g, .prefix = prefix, .architecture = "lfm2moe", .error = error};
    char key[KEY_CAP];
    int64_t number;
    double real;
    stack_key(&s, "block_count", key);
    const bool experts = gguf_has(g, key);
    if (!experts) s.architecture = "lfm2";
    memset(c, 0, sizeof *c);
    need_int(&s, "block_count", 1, STACK_LAYER_CAP, &c->layer_count);
    need_int(&s, "embedding_length", 1, 1 << 20, &c->width);
    need_int(&s, "attention.head_count", 1, 4096, &all.head_count);
    need_int(&s, "shortconv.l_cache", 1, 64, &all.taps);
    if (s.status != RNL_OK) return s.status;
    stack_key(&s, "attention.key_length", key);
    all.head_width = gguf_int(g, key, 2, 4096, &number) ? (int)number : c->width / all.head_count;
    all.rotary.pair_count = all.head_width / 2;
    stack_key(&s, "attention.sliding_window", key);
    if (gguf_int(g, key, 0, 1 << 20, &number)) all.window = (int)number;
    stack_key(&s, "attention.layer_norm_rms_epsilon", key);
    c->eps = gguf_float(g, key, &real) ? (float)real : 1e-5f;
    stack_key(&s, "rope.freq_base", key);
    if (gguf_float(g, key, &real)) all.rotary.base = real;
    stack_config_fill(c, &all);
    read_pattern(&s, c);
    if (experts) read_experts(&s, c);
    return s.status == RNL_OK ? stack_check(c, gguf_path(g), error) : s.status;
}

int config_read_context(const gguf *g) {
    int64_t number;
    if (gguf_int(g, "lfm2.context_length", 1, INT32_MAX, &number)) return (int)number;
    if (gguf_int(g, "lfm2moe.context_length", 1, INT32_MAX, &number)) return (int)number;
    return 128000;
}

/* Where keys are written to. */
typedef struct key_target {
    gguf_writer *w;
    const char *prefix, *architecture;
} key_target;

static const char *target_key(const key_target *t, const char *name, char key[KEY_CAP]) {
    (void)snprintf(key, KEY_CAP, "%s%s.%s", t->prefix, t->architecture, name);
    return key;
}

static void put_int(const key_target *t, const char *name, int64_t value) {
    char key[KEY_CAP];
    gguf_put_u32(t->w, target_key(t, name, key), (uint32_t)value);
}

static void put_float(const key_target *t, const char *name, float value) {
    char key[KEY_CAP];
    gguf_put_f32(t->w, target_key(t, name, key), value);
}

/* As llama.cpp's converter writes them; what it takes for granted only where it differs. */
static void put_experts(const key_target *t, const stack_config *c) {
    int dense = 0;
    while (c->layers[dense].kinds[STACK_FEED_FORWARD] != &stack_experts) dense++;
    const stack_layer_config *l = &c->layers[dense];
    char key[KEY_CAP];
    put_int(t, "leading_dense_block_count", dense);
    put_int(t, "expert_count", l->expert_count);
    put_int(t, "expert_used_count", l->expert_used);
    put_int(t, "expert_feed_forward_length", l->ff_width);
    put_int(t, "expert_gating_func", 2); /* sigmoid */
    if (!l->expert_norm) gguf_put_bool(t->w, target_key(t, "expert_weights_norm", key), false);
    if (l->expert_scale != 1.0f) put_float(t, "expert_weights_scale", l->expert_scale);
}

/* The one number for all layers, as every reader of these files has it; the others are those of
 * layers that they do not concern. */
void config_write_lfm2(const stack_config *c, gguf_writer *w, const char *prefix, int64_t ff_width,
                       int64_t vocab_count, int context) {
    const key_target t = {.w = w, .prefix = prefix, .architecture = config_architecture(c)};
    const stack_layer_config *all = &c->layers[0];
    int32_t heads[STACK_LAYER_CAP];
    for (int i = 0; i < c->layer_count; i++)
        heads[i] =
            c->layers[i].kinds[STACK_OPERATOR] == &stack_attention ? c->layers[i].kv_head_count : 0;
    put_int(&t, "block_count", c->layer_count);
    put_int(&t, "context_length", context);
    put_int(&t, "embedding_length", c->width);
    put_int(&t, "feed_forward_length", ff_width);
    put_int(&t, "attention.head_count", all->head_count);
    char key[KEY_CAP];
    gguf_put_i32_array(w, target_key(&t, "attention.head_count_kv", key), heads,
                       (size_t)c->layer_count);
    if (all->head_width * all->head_count != c->width) {
        put_int(&t, "attention.key_length", all->head_width);
        put_int(&t, "attention.value_length", all->head_width);
    }
    put_float(&t, "attention.layer_norm_rms_epsilon", c->eps);
    put_float(&t, "rope.freq_base", (float)all->rotary.base);
    put_int(&t, "shortconv.l_cache", all->taps);
    if (all->window > 0) put_int(&t, "attention.sliding_window", all->window);
    if (vocab_count > 0) put_int(&t, "vocab_size", vocab_count);
    if (stack_layers_of(c, &stack_experts) > 0) put_experts(&t, c);
}
