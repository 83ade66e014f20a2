/* The keys of a stack of layers in GGUF files, read and written: those of "lfm2" (backbone.md 5.2),
 * of "lfm2moe" (family.md 1.5), and of "runnel", which no other program knows: the lists of layers
 * that differ (stack/stack_lists.h). */
#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "engine/config.h"
#include "stack/kind.h"
#include "stack/stack_lists.h"

/* Where the keys of a stack stand: "lfm2.", "lfm2moe." or "runnel." behind a prefix. */
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

/* ---- Lists ---- */

static void fail_list(key_source *s, const char *name, int layer) {
    char key[KEY_CAP];
    stack_key(s, name, key);
    if (s->status == RNL_OK)
        s->status = status_fail(s->error, RNL_ERR_FORMAT,
                                "%s: key %s is not an array with an entry for each layer that fits "
                                "it (layer %d); the file is damaged",
                                gguf_path(s->g), key, layer);
}

typedef struct type_reader {
    key_source *s;
    stack_config *c;
    const stack_layer_config *all;
    stack_type *types;
} type_reader;

static bool take_type(void *context, size_t index, const char *text, size_t size) {
    const type_reader *r = context;
    if (index >= (size_t)r->c->layer_count) return false;
    r->types[index] = stack_type_find(text, size);
    if (r->types[index] == STACK_TYPE_COUNT) return false;
    stack_type_set(r->c, (int)index, r->types[index], r->all);
    return true;
}

static void read_list(key_source *s, stack_config *c, const stack_type *types,
                      const stack_list *list) {
    char key[KEY_CAP];
    size_t count = 0;
    int64_t value;
    stack_key(s, list->name, key);
    const bool is_there = gguf_array_count(s->g, key, &count);
    if (!is_there && list->has_default) return;
    for (int i = 0; i < c->layer_count && s->status == RNL_OK; i++)
        if (stack_list_concerns(list, types[i]) &&
            (count != (size_t)c->layer_count || !gguf_array_int(s->g, key, (size_t)i, &value) ||
             value < list->min || value > list->max || !list->set(c, i, (int)value)))
            fail_list(s, list->name, i);
}

static void read_lists(key_source *s, stack_config *c, const stack_layer_config *all) {
    stack_type types[STACK_LAYER_CAP];
    type_reader r = {.s = s, .c = c, .all = all, .types = types};
    char key[KEY_CAP];
    size_t count = 0;
    stack_key(s, STACK_LISTS_TYPES, key);
    if (!gguf_array_count(s->g, key, &count) || count != (size_t)c->layer_count ||
        !gguf_each_string(s->g, key, take_type, &r)) {
        fail_list(s, STACK_LISTS_TYPES, 0);
        return;
    }
    for (int i = 0; i < STACK_LIST_COUNT; i++) read_list(s, c, types, &stack_lists[i]);
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
    if (stack_lists_needed(c)) return "runnel";
    return stack_layers_of(c, &stack_experts) > 0 ? "lfm2moe" : "lfm2";
}

/* The one whose keys are there; LFM2's when none are. */
static const char *architecture_of(const gguf *g, const char *prefix) {
    static const char *const others[] = {"runnel", "lfm2moe"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const key_source s = {.g = g, .prefix = prefix, .architecture = others[i]};
        char key[KEY_CAP];
        stack_key(&s, "block_count", key);
        if (gguf_has(g, key)) return others[i];
    }
    return "lfm2";
}

rnl_status config_read_lfm2(stack_config *c, const gguf *g, const char *prefix, rnl_error *error) {
    stack_layer_config all = {.kinds = {NULL, &stack_dense}, .rotary = {.base = 1e6}};
    key_source s = {
        .g = g, .prefix = prefix, .architecture = architecture_of(g, prefix), .error = error};
    const bool lists = strcmp(s.architecture, "runnel") == 0;
    char key[KEY_CAP];
    int64_t number;
    double real;
    memset(c, 0, sizeof *c);
    need_int(&s, "block_count", 1, STACK_LAYER_CAP, &c->layer_count);
    need_int(&s, "embedding_length", 1, 1 << 20, &c->width);
    need_int(&s, "attention.head_count", 1, 4096, &all.head_count);
    if (!lists) need_int(&s, "shortconv.l_cache", 1, 64, &all.taps);
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
    if (lists)
        read_lists(&s, c, &all);
    else
        read_pattern(&s, c);
    if (strcmp(s.architecture, "lfm2moe") == 0) read_experts(&s, c);
    return s.status == RNL_OK ? stack_check(c, gguf_path(g), error) : s.status;
}

int config_read_context(const gguf *g) {
    int64_t number;
    static const char *const keys[] = {"lfm2.context_length", "lfm2moe.context_length",
                                       "runnel.context_length"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (gguf_int(g, keys[i], 1, INT32_MAX, &number)) return (int)number;
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

/* The lists, with 0 for layers that one does not concern. */
static void put_lists(const key_target *t, const stack_config *c) {
    const char *names[STACK_LAYER_CAP];
    size_t sizes[STACK_LAYER_CAP];
    int32_t values[STACK_LAYER_CAP];
    char key[KEY_CAP];
    for (int i = 0; i < c->layer_count; i++) {
        names[i] = stack_type_names[stack_type_of(&c->layers[i])];
        sizes[i] = strlen(names[i]);
    }
    gguf_put_string_array(t->w, target_key(t, STACK_LISTS_TYPES, key), names, sizes,
                          (size_t)c->layer_count);
    for (int n = 0; n < STACK_LIST_COUNT; n++) {
        const stack_list *list = &stack_lists[n];
        for (int i = 0; i < c->layer_count; i++) values[i] = stack_list_entry(list, c, i);
        gguf_put_i32_array(t->w, target_key(t, list->name, key), values, (size_t)c->layer_count);
    }
}

static void put_pattern(const key_target *t, const stack_config *c) {
    int32_t heads[STACK_LAYER_CAP];
    char key[KEY_CAP];
    for (int i = 0; i < c->layer_count; i++)
        heads[i] =
            c->layers[i].kinds[STACK_OPERATOR] == &stack_attention ? c->layers[i].kv_head_count : 0;
    gguf_put_i32_array(t->w, target_key(t, "attention.head_count_kv", key), heads,
                       (size_t)c->layer_count);
}

/* The one number for all layers, as every reader of these files has it; the others are those of
 * layers that they do not concern. */
void config_write_lfm2(const stack_config *c, gguf_writer *w, const char *prefix, int64_t ff_width,
                       int64_t vocab_count, int context) {
    const key_target t = {.w = w, .prefix = prefix, .architecture = config_architecture(c)};
    const bool lists = stack_lists_needed(c);
    const stack_layer_config *all = stack_attention_layer(c);
    put_int(&t, "block_count", c->layer_count);
    put_int(&t, "context_length", context);
    put_int(&t, "embedding_length", c->width);
    if (!lists) put_int(&t, "feed_forward_length", ff_width);
    put_int(&t, "attention.head_count", all->head_count);
    if (!lists) put_pattern(&t, c);
    if (all->head_width * all->head_count != c->width) {
        put_int(&t, "attention.key_length", all->head_width);
        put_int(&t, "attention.value_length", all->head_width);
    }
    put_float(&t, "attention.layer_norm_rms_epsilon", c->eps);
    put_float(&t, "rope.freq_base", (float)all->rotary.base);
    if (!lists) put_int(&t, "shortconv.l_cache", stack_taps(c));
    if (!lists && all->window > 0) put_int(&t, "attention.sliding_window", all->window);
    if (vocab_count > 0) put_int(&t, "vocab_size", vocab_count);
    if (lists) put_lists(&t, c);
    if (stack_layers_of(c, &stack_experts) > 0) put_experts(&t, c);
}
