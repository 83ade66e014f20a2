#include "stack/stack_json.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "stack/kind.h"
#include "stack/stack_lists.h"

enum { FILE_CAP = 4 << 20 };

/* ---- Reading ---- */

/* layer_types, or the older full_attn_idxs, or attention everywhere (backbone.md 1.6). */
static void read_pattern(json_fields *f, stack_config *c) {
    const json *types = json_fields_find(f, JSON_KEYS(STACK_LISTS_TYPES));
    const json *indices = json_fields_find(f, JSON_KEYS("full_attn_idxs"));
    const stack_kind *others =
        types == NULL && indices == NULL ? &stack_attention : &stack_convolution;
    for (int i = 0; i < c->layer_count; i++) c->layers[i].kinds[STACK_OPERATOR] = others;
    if (types != NULL) {
        if (json_count(types) != (size_t)c->layer_count)
            json_fields_fail(f, STACK_LISTS_TYPES, "a list with one entry per layer");
        for (int i = 0; i < c->layer_count && f->status == RNL_OK; i++) {
            const json *type = json_at(types, (size_t)i);
            if (json_is_text(type, "full_attention") || json_is_text(type, "sliding_attention"))
                c->layers[i].kinds[STACK_OPERATOR] = &stack_attention;
            else if (!json_is_text(type, "conv"))
                json_fields_fail(f, STACK_LISTS_TYPES,
                                 "a list of 'conv', 'full_attention', 'sliding_attention'");
        }
        return;
    }
    for (size_t i = 0; i < json_count(indices); i++) {
        int64_t index;
        if (!json_whole(json_at(indices, i), 0, c->layer_count - 1, &index)) {
            json_fields_fail(f, "full_attn_idxs", "a list of layer numbers");
            return;
        }
        c->layers[index].kinds[STACK_OPERATOR] = &stack_attention;
    }
}

/* The entry of a layer: of a list, or the one number for all. */
static bool entry_of(const stack_list *list, const json *values, int layer, int64_t *out) {
    const json *v = json_is_array(values) ? json_at(values, (size_t)layer) : values;
    for (int i = 0; list->values != NULL && list->values[i] != NULL; i++)
        if (json_is_text(v, list->values[i])) {
            *out = i;
            return true;
        }
    return json_whole(v, list->min, list->max, out);
}

static void fail_entry(json_fields *f, const stack_list *list, int layer) {
    char expected[160];
    (void)snprintf(expected, sizeof expected,
                   "a list with one entry per layer, for layer %d %s from %d to %d that fits it",
                   layer, list->values != NULL ? "a name or a number" : "a whole number", list->min,
                   list->max);
    json_fields_fail(f, list->name, expected);
}

static void read_list(json_fields *f, stack_config *c, const stack_type *types,
                      const stack_list *list) {
    const json *values = json_fields_find(f, (const char *const[]){list->name, NULL});
    if (values == NULL && list->has_default) return;
    for (int i = 0; i < c->layer_count && f->status == RNL_OK; i++) {
        int64_t value;
        if (!stack_list_concerns(list, types[i])) continue;
        if (!entry_of(list, values, i, &value) ||
            (json_is_array(values) && json_count(values) != (size_t)c->layer_count) ||
            !list->set(c, i, (int)value))
            fail_entry(f, list, i);
    }
}

static void read_lists(json_fields *f, stack_config *c, const stack_layer_config *all) {
    stack_type types[STACK_LAYER_CAP];
    const json *names = json_fields_find(f, JSON_KEYS(STACK_LISTS_TYPES));
    if (json_count(names) != (size_t)c->layer_count)
        json_fields_fail(f, STACK_LISTS_TYPES, "a list with one entry per layer");
    for (int i = 0; i < c->layer_count && f->status == RNL_OK; i++) {
        size_t size;
        const char *name = json_chars(json_at(names, (size_t)i), &size);
        types[i] = name != NULL ? stack_type_find(name, size) : STACK_TYPE_COUNT;
        if (types[i] == STACK_TYPE_COUNT)
            json_fields_fail(f, STACK_LISTS_TYPES,
                             "a list of 'conv', 'full_attention', 'sliding_attention', "
                             "'linear_attention', 'ssd'");
        else
            stack_type_set(c, i, types[i], all);
    }
    for (int i = 0; i < STACK_LIST_COUNT; i++) read_list(f, c, types, &stack_lists[i]);
}

static bool has_lists(const json *object) {
    return json_is_text(json_get(object, "model_type"), "runnel_stack");
}

void stack_json_read(json_fields *f, stack_config *c, bool has_window) {
    const bool lists = has_lists(f->object);
    stack_layer_config all = {.kinds = {NULL, &stack_dense}};
    memset(c, 0, sizeof *c);
    c->width = json_fields_int(f, JSON_KEYS("hidden_size"), 1, 1 << 20, -1);
    c->layer_count = json_fields_int(f, JSON_KEYS("num_hidden_layers"), 1, STACK_LAYER_CAP, -1);
    all.head_count = json_fields_int(f, JSON_KEYS("num_attention_heads"), 1, 4096, -1);
    if (f->status != RNL_OK) return;
    if (!lists)
        all.kv_head_count = json_fields_int(f, JSON_KEYS("num_key_value_heads"), 1, 4096, -1);
    all.head_width = json_fields_int(f, JSON_KEYS("head_dim"), 2, 4096, c->width / all.head_count);
    if (!lists) all.taps = json_fields_int(f, JSON_KEYS("conv_L_cache"), 1, 64, 3);
    c->eps = (float)json_fields_number(f, JSON_KEYS("norm_eps"), 1e-12, 1, 1e-5);
    const json *rope = json_get(f->object, "rope_parameters");
    double base = 1e6;
    if (!json_number(json_get(rope, "rope_theta"), &base)) base = 1e6;
    all.rotary.base = json_fields_number(f, JSON_KEYS("theta", "rope_theta"), 1, 1e12, base);
    all.rotary.pair_count = all.head_width / 2;
    if (has_window && !lists)
        all.window = json_fields_int(f, JSON_KEYS("sliding_window"), 1, 1 << 20, -1);
    const int conv_dim = json_fields_int(f, JSON_KEYS("conv_dim"), 1, 1 << 20, c->width);
    if (conv_dim != c->width) json_fields_fail(f, "conv_dim", "equal to hidden_size");
    if (f->status != RNL_OK) return;
    stack_config_fill(c, &all);
    if (lists)
        read_lists(f, c, &all);
    else
        read_pattern(f, c);
    if (f->status == RNL_OK) f->status = stack_check(c, f->path, f->error);
}

int64_t stack_json_ff_width(json_fields *f) {
    int64_t ff = json_fields_int(f, JSON_KEYS("intermediate_size", "block_ff_dim"), 1, 1 << 20, -1);
    const bool adjusts = json_fields_bool(f, JSON_KEYS("block_auto_adjust_ff_dim"), true);
    const int multiple = json_fields_int(f, JSON_KEYS("block_multiple_of"), 1, 1 << 16, 256);
    const double factor =
        json_fields_number(f, JSON_KEYS("block_ffn_dim_multiplier"), 1e-6, 1 << 20, 1);
    if (f->status != RNL_OK || !adjusts) return ff;
    ff = (int64_t)(factor * (double)(2 * ff / 3)); /* backbone.md 1.5 */
    ff = (ff + multiple - 1) / multiple * multiple;
    if (ff < 1 || ff > 1 << 20)
        json_fields_fail(f, "intermediate_size", "a width that comes to 1 to 2^20");
    return ff;
}

static rnl_status read_model(const json *root, const char *path, stack_config *c,
                             stack_json_model *model, rnl_error *error) {
    static const char *const others[] = {"lfm", "vision_config", "num_experts",
                                         "num_local_experts"};
    json_fields f = {.object = root, .path = path, .section = "", .error = error};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (json_get(root, others[i]) != NULL)
            return status_fail(error, RNL_ERR_UNSUPPORTED,
                               "%s: it has '%s', so it is not the config of a dense text model; "
                               "take one of model_type lfm2 or runnel_stack",
                               path, others[i]);
    if (!json_is_object(root)) json_fields_fail(&f, "the file", "a JSON object");
    stack_json_read(&f, c, false);
    model->vocab_count = json_fields_int(&f, JSON_KEYS("vocab_size"), 1, 1 << 24, -1);
    model->tied = json_fields_bool(&f, JSON_KEYS("tie_word_embeddings", "tie_embedding"), true);
    if (f.status != RNL_OK || has_lists(root)) return f.status;
    const int64_t ff = stack_json_ff_width(&f);
    for (int i = 0; i < c->layer_count; i++) c->layers[i].ff_width = ff;
    return f.status;
}

rnl_status stack_json_load(const char *path, stack_config *c, stack_json_model *model,
                           rnl_error *error) {
    json *root = NULL;
    rnl_status status = json_read(path, FILE_CAP, &root, error);
    if (status == RNL_OK) status = read_model(root, path, c, model, error);
    json_destroy(&root);
    return status;
}

/* ---- Writing ---- */

bool stack_json_is_plain(const stack_config *c) {
    const stack_layer_config *attention = stack_attention_layer(c);
    if (stack_lists_needed(c)) return false;
    for (int i = 0; i < c->layer_count; i++) {
        const stack_layer_config *l = &c->layers[i];
        if (l->kinds[STACK_OPERATOR] != &stack_attention) continue;
        if (l->window > 0 || l->kv_head_count != attention->kv_head_count) return false;
    }
    return true;
}

/* The shortest decimal that comes back as the same float. */
static void set_float(json_draft *object, const char *key, float value) {
    char text[32];
    int digits = 1;
    do (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
    while (strtof(text, NULL) != value && ++digits <= 9);
    json_set(object, key, json_new_number(strtod(text, NULL)));
}

static void set_text(json_draft *object, const char *key, const char *text) {
    json_set(object, key, json_new_string(text, strlen(text)));
}

static void set_types(json_draft *object, const stack_config *c) {
    json_draft *types = json_new_array();
    for (int i = 0; i < c->layer_count; i++) {
        const char *name = stack_type_names[stack_type_of(&c->layers[i])];
        json_append(types, json_new_string(name, strlen(name)));
    }
    json_set(object, STACK_LISTS_TYPES, types);
}

/* Layers that a list does not concern have 0 in it. */
static void set_list(json_draft *object, const stack_config *c, const stack_list *list) {
    json_draft *values = json_new_array();
    for (int i = 0; i < c->layer_count; i++) {
        const bool concerns = stack_list_concerns(list, stack_type_of(&c->layers[i]));
        const int value = stack_list_entry(list, c, i);
        if (concerns && list->values != NULL)
            json_append(values, json_new_string(list->values[value], strlen(list->values[value])));
        else
            json_append(values, json_new_int(value));
    }
    json_set(object, list->name, values);
}

/* The words of LFM2 for all that is alike. */
static void set_plain(json_draft *object, const stack_config *c) {
    const stack_layer_config *attention = stack_attention_layer(c);
    const int kv = attention->kv_head_count;
    json_set(object, "num_key_value_heads", json_new_int(kv > 0 ? kv : attention->head_count));
    json_set(object, "conv_L_cache", json_new_int(stack_taps(c)));
    json_set(object, "conv_bias", json_new_bool(false));
    json_set(object, "intermediate_size", json_new_int(c->layers[0].ff_width));
    json_set(object, "block_auto_adjust_ff_dim", json_new_bool(false));
}

void stack_json_write(json_draft *object, const stack_config *c) {
    const stack_layer_config *attention = stack_attention_layer(c);
    const bool plain = stack_json_is_plain(c);
    for (int i = 0; i < c->layer_count; i++) assert(c->layers[i].ff_width > 0);
    set_text(object, "model_type", plain ? "lfm2" : "runnel_stack");
    if (plain) {
        json_draft *names = json_new_array();
        json_append(names, json_new_string("Lfm2ForCausalLM", 15));
        json_set(object, "architectures", names);
    }
    json_set(object, "hidden_size", json_new_int(c->width));
    json_set(object, "num_hidden_layers", json_new_int(c->layer_count));
    json_set(object, "num_attention_heads", json_new_int(attention->head_count));
    if (attention->head_width * attention->head_count != c->width)
        json_set(object, "head_dim", json_new_int(attention->head_width));
    set_float(object, "norm_eps", c->eps);
    json_set(object, "rope_theta", json_new_number(attention->rotary.base));
    set_types(object, c);
    if (plain) set_plain(object, c);
    for (int i = 0; i < STACK_LIST_COUNT && !plain; i++) set_list(object, c, &stack_lists[i]);
}
