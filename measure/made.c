/* All matrices are the same few thousand blocks over and over: values do not matter for times, only
 * that none is out of the ordinary. A matrix that is packed is a copy of its own, and what it was
 * packed from can be one memory for all; one that is multiplied as stored needs its own. */
#include "measure/made.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"
#include "core/random.h"
#include "core/status.h"
#include "stack/kind.h"

enum {
    PATTERN = 1 << 16, /* values, whole blocks of every type */
    BLOCK = 32,
    NAME_CAP = 128
};

typedef struct maker {
    measure_made *m;
    const measure_shape *shape;
    const char *name; /* of the configuration */
    quant_type type;
    bool shared;    /* matrices lie in m->blocks, one over the other */
    size_t largest; /* bytes of a tensor of matrices */
    random_state random;
    unsigned char *pattern; /* [pattern_size] PATTERN values in that type */
    size_t pattern_size;
    float *values; /* [PATTERN] the same as float32 */
    rnl_status status;
    rnl_error *error;
} maker;

static void exhausted(maker *k) {
    if (k->status == RNL_OK)
        k->status = status_fail(k->error, RNL_ERR_MEMORY, "%s: memory for its weights is exhausted",
                                k->name);
}

/* Blocks as Q4_0 has them: codes from -8 to 7, one of them -8, scales from 0.01 to 0.03. */
static void make_pattern(maker *k) {
    for (int i = 0; i < PATTERN; i += BLOCK) {
        const double scale = 0.01 + 0.02 * random_unit(&k->random);
        const int lowest = (int)(random_u64(&k->random) % BLOCK);
        for (int j = 0; j < BLOCK; j++) {
            const int code = j == lowest ? -8 : (int)(random_u64(&k->random) % 16) - 8;
            k->values[i + j] = (float)(scale * code);
        }
    }
}

static void fill(const maker *k, unsigned char *at, size_t size) {
    for (size_t done = 0; done < size; done += k->pattern_size)
        memcpy(at + done, k->pattern,
               size - done < k->pattern_size ? size - done : k->pattern_size);
}

/* ---- Tensors ---- */

static void close_memory(void *object) {
    mapped_close(object);
    free(object);
}

/* Memory of its own for a matrix, owned by the set. */
static const unsigned char *own_memory(maker *k, size_t size) {
    mapped *memory = calloc(1, sizeof *memory);
    if (memory == NULL || mapped_memory(size, true, memory) != RNL_OK ||
        weights_own(k->m->set, memory, close_memory) != RNL_OK) {
        free(memory);
        exhausted(k);
        return NULL;
    }
    fill(k, (unsigned char *)memory->data, size);
    return memory->data;
}

static size_t matrix_size(const maker *k, int64_t rows, int64_t cols) {
    const quant_info *info = quant_describe((uint32_t)k->type);
    return (size_t)rows * ((size_t)cols / info->block_len) * info->block_size;
}

/* count 0: one matrix, else a stack of so many. */
static void add_matrix(maker *k, const char *name, int64_t count, int64_t rows, int64_t cols) {
    if (k->status != RNL_OK) return;
    const int64_t all_rows = rows * (count > 0 ? count : 1);
    tensor t = {.name = name,
                .type = k->type,
                .rank = count > 0 ? 3 : 2,
                .shape = {rows, cols, 1, 1},
                .size = matrix_size(k, all_rows, cols)};
    if (count > 0) t.shape[0] = count, t.shape[1] = rows, t.shape[2] = cols;
    t.data = k->shared ? k->m->blocks.data : own_memory(k, t.size);
    k->m->parameter_count += all_rows * cols;
    k->m->weight_size += t.size;
    if (k->status == RNL_OK) k->status = weights_add(k->m->set, &t, k->name, k->error);
}

/* Gains of norms are 1. */
static void add_vector(maker *k, const char *name, int64_t rows, int64_t cols, bool gain) {
    if (k->status != RNL_OK) return;
    const size_t count = (size_t)rows * (size_t)cols;
    float *values = malloc(count * sizeof *values);
    if (values == NULL || weights_own(k->m->set, values, free) != RNL_OK) {
        exhausted(k);
        return;
    }
    for (size_t i = 0; i < count; i++) values[i] = gain ? 1 : k->values[i % PATTERN];
    const tensor t = {.name = name,
                      .data = (const unsigned char *)values,
                      .type = QUANT_F32,
                      .rank = cols > 1 ? 2 : 1,
                      .shape = {rows, cols, 1, 1},
                      .size = count * sizeof *values};
    k->m->parameter_count += (int64_t)count;
    k->m->weight_size += t.size;
    k->status = weights_add(k->m->set, &t, k->name, k->error);
}

static bool is_gain(const char *name) {
    static const char tail[] = "norm.weight";
    const size_t size = strlen(name);
    return size >= sizeof tail - 1 && strcmp(name + size - (sizeof tail - 1), tail) == 0;
}

/* What becomes of a tensor; of a stack of matrices count > 0. */
typedef void (*tensor_fn)(maker *k, const char *name, bool is_vector, int64_t count, int64_t rows,
                          int64_t cols);

static void take_size(maker *k, const char *name, bool is_vector, int64_t count, int64_t rows,
                      int64_t cols) {
    const quant_info *info = quant_describe((uint32_t)k->type);
    const size_t size = matrix_size(k, count > 0 ? count * rows : rows, cols);
    if (is_vector || k->status != RNL_OK) return;
    if (size > k->largest) k->largest = size;
    if (cols % info->block_len == 0) return;
    k->status = status_fail(k->error, RNL_ERR_ARGUMENT,
                            "%s: %s has rows of %lld values, no whole number of blocks of %s; take "
                            "another --type",
                            k->name, name, (long long)cols, info->name);
}

static void add_tensor(maker *k, const char *name, bool is_vector, int64_t count, int64_t rows,
                       int64_t cols) {
    if (is_vector)
        add_vector(k, name, rows, cols, is_gain(name));
    else
        add_matrix(k, name, count, rows, cols);
}

static void each_of_part(maker *k, const stack_weights *w, int layer, stack_place place,
                         tensor_fn fn) {
    const stack_layer_config *l = &w->config.layers[layer];
    char name[NAME_CAP];
    for (int i = 0; i < l->kinds[place]->tensor_count; i++) {
        const stack_tensor *t = &l->kinds[place]->tensors[i];
        if (t->form == STACK_MATRIX_IF || t->form == STACK_VECTOR_IF) continue;
        if (!stack_has_tensor(l, place, t)) continue;
        (void)snprintf(name, sizeof name, "blk.%d.%s", layer, t->name);
        fn(k, name, t->form == STACK_VECTOR, t->form == STACK_MATRICES ? l->expert_count : 0,
           t->rows(w, layer), t->cols(w, layer));
    }
}

static void each_tensor(maker *k, tensor_fn fn) {
    const stack_config *c = &k->shape->stack;
    const int64_t width = c->width;
    /* All that rows and columns of tensors are made of. */
    const stack_weights *w = &k->m->backbone.stack;
    char name[NAME_CAP];
    fn(k, "token_embd.weight", false, 0, k->shape->vocab_count, width);
    if (!k->shape->tied) fn(k, "output.weight", false, 0, k->shape->vocab_count, width);
    for (int i = 0; i < c->layer_count; i++) {
        (void)snprintf(name, sizeof name, "blk.%d.attn_norm.weight", i);
        fn(k, name, true, 0, width, 1);
        (void)snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", i);
        fn(k, name, true, 0, width, 1);
        for (int p = 0; p < STACK_PLACE_COUNT; p++) each_of_part(k, w, i, p, fn);
    }
    fn(k, "output_norm.weight", true, 0, width, 1);
}

/* ---- Making ---- */

static void make(maker *k, bool exact, pool *p) {
    measure_made *m = k->m;
    m->backbone.stack.config = k->shape->stack;
    make_pattern(k);
    if (!quant_quantise(k->type, k->values, k->pattern, PATTERN)) {
        k->status =
            status_fail(k->error, RNL_ERR_ARGUMENT, "weights of type %s are not written here",
                        quant_describe((uint32_t)k->type)->name);
        return;
    }
    k->shared = !exact && packed_describe(k->type)->low_bits > 0;
    each_tensor(k, take_size);
    if (k->shared && k->status == RNL_OK) {
        if (mapped_lasting(k->largest, &m->blocks) != RNL_OK) {
            exhausted(k);
            return;
        }
        fill(k, (unsigned char *)m->blocks.data, m->blocks.size);
    }
    each_tensor(k, add_tensor);
    if (k->status != RNL_OK) return;
    loader l = {.w = m->set, .prefix = "", .file = k->name, .error = k->error, .pack = !exact};
    backbone_load(&l, &k->shape->stack, 0, &m->backbone);
    k->status = l.status;
    if (k->status == RNL_OK && !exact && weights_pack(m->set, p, true, NULL, NULL) != RNL_OK)
        exhausted(k);
}

rnl_status measure_make(const measure_shape *shape, const char *name, quant_type type, bool exact,
                        pool *p, measure_made *out, rnl_error *error) {
    const quant_info *info = quant_describe((uint32_t)type);
    *out = (measure_made){0};
    maker k = {.m = out, .shape = shape, .name = name, .type = type, .error = error};
    k.pattern_size = (size_t)PATTERN / info->block_len * info->block_size;
    k.pattern = malloc(k.pattern_size);
    k.values = malloc(PATTERN * sizeof *k.values);
    random_seed(&k.random, 1);
    if (k.pattern == NULL || k.values == NULL || weights_create(&out->set) != RNL_OK)
        exhausted(&k);
    else
        make(&k, exact, p);
    free(k.pattern);
    free(k.values);
    return k.status;
}

void measure_made_free(measure_made *m) {
    weights_destroy(&m->set);
    mapped_close(&m->blocks);
    *m = (measure_made){0};
}

void measure_reference_shape(measure_shape *shape, int layer_count) {
    const stack_layer_config all = {.kinds = {&stack_convolution, &stack_dense},
                                    .head_count = 16,
                                    .kv_head_count = 8,
                                    .head_width = 64,
                                    .rotary = {.base = 1e6, .pair_count = 32},
                                    .taps = 3,
                                    .ff_width = 4608};
    memset(shape, 0, sizeof *shape);
    shape->vocab_count = 65536;
    shape->tied = true;
    shape->stack.width = 1024;
    shape->stack.eps = 1e-5f;
    shape->stack.layer_count = layer_count;
    stack_config_fill(&shape->stack, &all);
    for (int i = 2; i < layer_count - 1; i += 3)
        shape->stack.layers[i].kinds[STACK_OPERATOR] = &stack_attention;
}
