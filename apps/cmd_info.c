/* runnel info: what a model is, where its bytes go, what a session on it needs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "core/json.h"
#include "engine/model.h"
#include "engine/model_part.h"
#include "stack/kind.h"
#include "stack/stack_json.h"
#include "stack/stack_lists.h"

typedef struct part {
    const char *name;
    size_t size, count;
    size_t by_type[QUANT_TYPE_CAP]; /* bytes */
} part;

/* parts [PART_COUNT]: what is computed with. unused: what the files hold besides. */
static void gather(const rnl_model *m, part *parts, part *unused) {
    *unused = (part){.name = "not used"};
    for (int i = 0; i < PART_COUNT; i++) parts[i] = (part){.name = part_name((model_part)i)};
    for (size_t i = 0; i < weights_count(m->source.w); i++) {
        const tensor *t = weights_at(m->source.w, i);
        part *p = weights_is_used(m->source.w, i) ? &parts[part_of(t->name)] : unused;
        p->size += t->size;
        p->count++;
        p->by_type[t->type] += t->size;
    }
}

static double mib(size_t size) {
    return (double)size / (1 << 20);
}

/* Layers, how many of each kind of operator, in the order of their first appearance. */
static void print_kinds(const stack_config *c) {
    const char *before = "";
    printf("%d layers (", c->layer_count);
    for (int i = 0; i < c->layer_count; i++) {
        const stack_kind *kind = c->layers[i].kinds[STACK_OPERATOR];
        bool seen = false;
        for (int k = 0; k < i; k++) seen = seen || c->layers[k].kinds[STACK_OPERATOR] == kind;
        if (seen) continue;
        printf("%s%d %s", before, stack_layers_of(c, kind), kind->name);
        before = ", ";
    }
    printf(")");
}

/* The first layer with a part of that kind, for what all have alike. NULL: there is none. */
static const stack_layer_config *layer_of(const stack_config *c, const stack_kind *kind) {
    for (int i = 0; i < c->layer_count; i++)
        if (c->layers[i].kinds[kind->place] == kind) return &c->layers[i];
    return NULL;
}

static void print_experts(const stack_weights *w) {
    const stack_config *c = &w->config;
    const stack_layer_config *l = layer_of(c, &stack_experts);
    if (l == NULL) return;
    /* Of the bytes of a pass, those of one row. */
    const double all = stack_cost_of(w, w->cache, 0, 1 << 20).byte_count;
    const double read = stack_cost_of(w, w->cache, 0, 1).byte_count;
    printf("%-12s %d in each of %d layers, of width %lld, %d for a token, which reads %.1f of %.1f "
           "MiB\n",
           "experts", l->expert_count, stack_layers_of(c, &stack_experts), (long long)l->ff_width,
           l->expert_used, read / (1 << 20), all / (1 << 20));
}

/* ", BEFORE3 to 7AFTER" of a number of the layers that have one (of 0 is none). */
static void print_span(const stack_config *c, int (*of)(const stack_layer_config *l),
                       const char *before, const char *after) {
    int least = 0, most = 0;
    for (int i = 0; i < c->layer_count; i++) {
        const int value = of(&c->layers[i]);
        if (value == 0) continue;
        if (least == 0 || value < least) least = value;
        if (value > most) most = value;
    }
    if (most == 0) return;
    printf(", %s%d", before, least);
    if (most > least) printf(" to %d", most);
    printf("%s", after);
}

static int taps_of(const stack_layer_config *l) {
    return l->kinds[STACK_OPERATOR] == &stack_convolution ? l->taps : 0;
}
static int window_of(const stack_layer_config *l) {
    return l->kinds[STACK_OPERATOR] == &stack_attention ? l->window : 0;
}
static int linear_heads_of(const stack_layer_config *l) {
    return l->kinds[STACK_OPERATOR] == &stack_linear_attention ? l->head_count : 0;
}
static int state_of(const stack_layer_config *l) {
    return l->kinds[STACK_OPERATOR] == &stack_state_space ? l->state_width : 0;
}
static int ff_of(const stack_layer_config *l) {
    return l->kinds[STACK_FEED_FORWARD] == &stack_dense ? (int)l->ff_width : 0;
}

/* Layers that take a part of one above. */
static void print_shared(const stack_config *c) {
    int ff = 0, kv = 0;
    for (int i = 0; i < c->layer_count; i++) {
        ff += c->layers[i].ff_above > 0;
        kv += c->layers[i].kv_above > 0;
    }
    if (ff > 0) printf(", %d with the feed-forward weights of another", ff);
    if (kv > 0) printf(", %d with the keys of another", kv);
}

static void print_stack(const char *name, const stack_weights *w) {
    const stack_config *c = &w->config;
    const stack_layer_config *attention = layer_of(c, &stack_attention);
    const int dense = stack_layers_of(c, &stack_dense);
    printf("%-12s ", name);
    print_kinds(c);
    printf(", width %d", c->width);
    if (attention != NULL) printf(", %d heads of %d", attention->head_count, attention->head_width);
    print_span(c, ff_of, "feed-forward ", "");
    if (dense > 0 && dense < c->layer_count) printf(" in %d layers", dense);
    print_span(c, taps_of, "", " taps");
    print_span(c, window_of, "window ", "");
    print_span(c, linear_heads_of, "", " heads of linear attention");
    print_span(c, state_of, "state ", "");
    print_shared(c);
    printf("\n");
}

static void print_shapes(const rnl_model *m) {
    const model_config *c = &m->source.config;
    print_stack("backbone", &m->backbone.stack);
    print_experts(&m->backbone.stack);
    printf("%-12s %d rows, context %d (as the file says)%s\n", "vocabulary", c->vocab_count,
           c->context_trained,
           m->backbone.head.data != m->backbone.text_embedding.data ? ", head of its own" : "");
    if (c->has_encoder)
        printf("%-12s %d layers, width %d, %d heads, %d taps, %d mel bands\n", "encoder",
               m->encoder.layer_count, m->encoder.width, m->encoder.head_count, m->encoder.taps,
               c->feature_count);
    if (c->has_tower)
        printf("%-12s %d layers, width %d, %d heads of %d, views of %d to %d positions, %s%d to %d "
               "tiles of %d\n",
               "tower", m->tower.layer_count, m->tower.width, m->tower.head_count,
               m->tower.head_width, c->views.token_min, c->views.token_max,
               c->views.splits ? "" : "not split; ", c->views.tile_min, c->views.tile_max,
               c->views.tile);
    if (c->codebook_count > 0) {
        print_stack("depthformer", &m->depth.stack);
        printf("%-12s %d codebooks of %d, %d text tokens and %d frames in turn\n", "codes",
               c->codebook_count, m->depth.code_count, c->text_run, c->audio_run);
    }
    if (c->codec == CODEC_LFM) print_stack("detokenizer", &m->codec.lfm.stack);
}

static void print_parts(const rnl_model *m) {
    part parts[PART_COUNT], unused;
    gather(m, parts, &unused);
    printf("\n%-12s %9s %8s  types\n", "weights", "MiB", "tensors");
    for (int i = 0; i < PART_COUNT; i++) {
        if (parts[i].count == 0) continue;
        printf("%-12s %9.1f %8zu ", parts[i].name, mib(parts[i].size), parts[i].count);
        for (int t = 0; t < QUANT_TYPE_CAP; t++)
            if (parts[i].by_type[t] > 0)
                printf(" %s %.1f", quant_describe((uint32_t)t)->name, mib(parts[i].by_type[t]));
        printf("\n");
    }
    printf("%-12s %9.1f\n", "total", mib(m->weight_size));
    if (unused.count > 0) printf("%-12s %9.1f %8zu\n", unused.name, mib(unused.size), unused.count);
}

/* ---- Adapters ---- */

typedef struct adapter_sums {
    size_t matrices, bytes;
    int64_t rank_min, rank_max;
} adapter_sums;

static adapter_sums sums_of(const lora *l) {
    adapter_sums s = {.matrices = l->count, .rank_min = INT64_MAX};
    for (size_t i = 0; i < l->count; i++) {
        const int64_t rank = lora_rank(&l->tensors[i]);
        s.bytes += l->tensors[i].down.size + l->tensors[i].up.size;
        if (rank < s.rank_min) s.rank_min = rank;
        if (rank > s.rank_max) s.rank_max = rank;
    }
    return s;
}

static void print_adapters(const rnl_model *m) {
    if (m->adapters == NULL) return;
    printf("\n%-12s %9s %8s  rank\n", "adapters", "MiB", "matrices");
    for (int i = 0; i < m->adapters->file_count; i++) {
        const adapter_sums s = sums_of(&m->adapters->files[i].lora);
        printf("%-12s %9.1f %8zu  %lld", "", mib(s.bytes), s.matrices, (long long)s.rank_min);
        if (s.rank_max != s.rank_min) printf(" to %lld", (long long)s.rank_max);
        printf(", ");
        put_name(stdout, m->adapters->files[i].lora.path);
        printf("\n");
    }
}

/* The memory of a session as the options would make it; EXIT_OK or the code of a complaint. */
static int plan_session(const options *o, const rnl_model *m, rnl_session_config *config,
                        rnl_memory_plan *plan) {
    *config = rnl_session_config_for(m);
    rnl_error error = {0};
    if (!session_options(o, config)) return EXIT_USAGE;
    config->image_views_max = rnl_image_views_max(m);
    if (rnl_session_plan(m, config, plan, &error) == RNL_OK) return EXIT_OK;
    return complain(exit_code(&error), "%s", error.text);
}

static int print_plan(const options *o, const rnl_model *m) {
    rnl_session_config config;
    rnl_memory_plan p;
    const int code = plan_session(o, m, &config, &p);
    if (code != EXIT_OK) return code;
    printf("\na session with a context of %d positions and clips of %.0f s needs %.1f MiB:\n"
           "  KV cache %.1f, history %.1f, tokenizer %.1f, vision %.1f, backbone %.1f, "
           "detokenizer %.1f, snapshots %.1f, rest %.1f\n",
           config.context_cap, config.clip_seconds_max, mib(p.total), mib(p.kv_cache),
           mib(p.history), mib(p.tokenizer), mib(p.vision), mib(p.backbone), mib(p.detokenizer),
           mib(p.snapshots), mib(p.scratch));
    return EXIT_OK;
}

/* What is missing or odd, one line each. */
static void print_remarks(const rnl_model *m) {
    const model_config *c = &m->source.config;
    printf("\n");
    if (m->source.text == NULL) printf("missing: a vocabulary (tokenizer.json)\n");
    if (c->codec == CODEC_NONE && m->source.sound_remark[0] != '\0')
        printf("missing: %s\n", m->source.sound_remark);
    else if (c->codebook_count == 0)
        printf("no audio out: there is no depthformer\n");
    else if (c->codec == CODEC_NONE)
        printf("missing: the detokenizer (tokenizer-*.gguf)\n");
    if (m->source.encoder_remark[0] != '\0')
        printf("missing: %s\n", m->source.encoder_remark);
    else if (!c->has_encoder)
        printf("no audio in: there is no encoder\n");
    if (c->has_tower) printf("it takes pictures\n");
    if (c->context_trained > 32768 && c->vocab_count == 65536)
        printf("odd: the file claims %d positions of context; LFM2 models were trained to 32768\n",
               c->context_trained);
    const char *const names[] = {"spoken conversation", "transcription", "speaking", "text"};
    printf("it can do:");
    for (int i = 0; i < RNL_MODE_COUNT; i++)
        if (rnl_model_can(m, (rnl_mode)i)) printf(" %s%s", names[i], i < RNL_MODE_TEXT ? "," : "");
    printf("\n");
}

/* ---- The same for programs ---- */

static void set_text(json_draft *object, const char *key, const char *text) {
    json_set(object, key, json_new_string(text, strlen(text)));
}

static void set_size(json_draft *object, const char *key, size_t size) {
    json_set(object, key, json_new_int((int64_t)size));
}

static json_draft *parts_of(const rnl_model *m) {
    part parts[PART_COUNT], unused;
    json_draft *all = json_new_object();
    gather(m, parts, &unused);
    for (int i = 0; i < PART_COUNT; i++) {
        if (parts[i].count == 0) continue;
        json_draft *one = json_new_object(), *types = json_new_object();
        set_size(one, "bytes", parts[i].size);
        set_size(one, "tensors", parts[i].count);
        for (int t = 0; t < QUANT_TYPE_CAP; t++)
            if (parts[i].by_type[t] > 0)
                set_size(types, quant_describe((uint32_t)t)->name, parts[i].by_type[t]);
        json_set(one, "types", types);
        json_set(all, parts[i].name, one);
    }
    return all;
}

/* Of a model that has some. */
static void set_experts(json_draft *object, const stack_config *c) {
    const stack_layer_config *l = layer_of(c, &stack_experts);
    if (l == NULL) return;
    json_draft *experts = json_new_object();
    set_size(experts, "count", (size_t)l->expert_count);
    set_size(experts, "used", (size_t)l->expert_used);
    set_size(experts, "width", (size_t)l->ff_width);
    set_size(experts, "layers", (size_t)stack_layers_of(c, &stack_experts));
    json_set(object, "experts", experts);
}

static json_draft *modes_of(const rnl_model *m) {
    const char *const names[] = {"interleaved", "transcribe", "speak", "text"};
    json_draft *modes = json_new_array();
    for (int i = 0; i < RNL_MODE_COUNT; i++)
        if (rnl_model_can(m, (rnl_mode)i))
            json_append(modes, json_new_string(names[i], strlen(names[i])));
    return modes;
}

static json_draft *adapters_of(const rnl_model *m) {
    json_draft *all = json_new_array();
    for (int i = 0; i < m->adapters->file_count; i++) {
        const lora *l = &m->adapters->files[i].lora;
        const adapter_sums s = sums_of(l);
        json_draft *one = json_new_object();
        set_text(one, "path", l->path);
        set_text(one, "base", l->base);
        set_size(one, "matrices", s.matrices);
        set_size(one, "rank", (size_t)s.rank_max);
        set_size(one, "bytes", s.bytes);
        json_append(all, one);
    }
    return all;
}

static int json_all(const options *o, const rnl_model *m) {
    rnl_session_config config;
    rnl_memory_plan p;
    rnl_model_info info;
    const int code = plan_session(o, m, &config, &p);
    if (code != EXIT_OK) return code;
    rnl_model_get_info(m, &info);
    json_draft *object = json_new_object(), *session = json_new_object();
    set_text(object, "path", m->path);
    set_text(object, "name", info.name);
    set_text(object, "kind", m->source.kind);
    set_text(object, "codec", info.codec);
    json_set(object, "modes", modes_of(m));
    set_size(object, "layers", (size_t)info.layer_count);
    set_size(object, "width", (size_t)info.width);
    set_size(object, "vocabulary", (size_t)info.vocab_count);
    set_size(object, "codebooks", (size_t)info.codebook_count);
    set_size(object, "context", (size_t)info.context_trained);
    set_size(object, "bytes", info.weight_size);
    set_experts(object, &m->backbone.stack.config);
    if (stack_lists_needed(&m->backbone.stack.config)) {
        json_draft *stack = json_new_object();
        stack_json_write(stack, &m->backbone.stack.config);
        json_set(object, "stack", stack);
    }
    json_set(object, "parts", parts_of(m));
    if (m->adapters != NULL) json_set(object, "adapters", adapters_of(m));
    set_size(session, "context", (size_t)config.context_cap);
    set_size(session, "bytes", p.total);
    set_size(session, "kv_cache", p.kv_cache);
    json_set(object, "session", session);
    return print_json(object);
}

static int print_all(const options *o, const rnl_model *m) {
    const char *name = m->source.config.name;
    put_name(stdout, m->path);
    printf("\n%s%s%s, kernels %s\n\n", name, *name != '\0' ? ": " : "", m->source.kind,
           m->kernels.name);
    print_shapes(m);
    print_parts(m);
    print_adapters(m);
    const int code = print_plan(o, m);
    if (code == EXIT_OK) print_remarks(m);
    return code;
}

static int run(const options *o) {
    if (o->argument_count > 1) return complain(EXIT_USAGE, "info: name one model");
    options with_path = *o;
    if (o->argument_count == 1) with_path.model = o->arguments[0];
    int code;
    with_path.exact = true; /* weights as stored */
    rnl_model *model = open_model(&with_path, &code);
    if (model == NULL) return code;
    code = o->json ? json_all(o, model) : print_all(o, model);
    rnl_model_close(&model);
    return code;
}

const command command_info = {
    .name = "info",
    .summary = "what a model is and needs",
    .synopsis = "[options] [PATH]",
    .about =
        "Shapes, types, bytes of each part, memory of a session at --context, what is missing.",
    .options = {&options_json, &options_lora, &options_cache},
    .run = run,
};
