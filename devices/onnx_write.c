/* Protocol buffers, as far as ONNX's files need them: a message is fields, each a tag (number and
 * wire kind) and a varint, or a length and bytes; messages within messages are such bytes. Fields
 * may come in any order, so nodes, initialisers, inputs and outputs grow apart and are joined at
 * the end. Numbers of fields: onnx.proto of ONNX 1.17. */
#include "devices/onnx_write.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/hash_table.h"
#include "core/status.h"

enum { IR_VERSION = 8, OPSET = 18, OPSET_MICROSOFT = 1 };
enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };
enum { MODEL_IR = 1, MODEL_PRODUCER = 2, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum { NODE_DOMAIN = 7 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_INT = 3, ATTRIBUTE_INTS = 8, ATTRIBUTE_TYPE = 20 };
enum { ATTRIBUTE_IS_INT = 2, ATTRIBUTE_IS_INTS = 7 };
enum { TENSOR_DIM = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9, TENSOR_EXTERNAL = 13 };
enum { TENSOR_PLACE = 14, PLACE_EXTERNAL = 1, PAIR_KEY = 1, PAIR_VALUE = 2 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1 };

bool onnx_size(onnx_type type, const onnx_shape *shape, size_t *out) {
    size_t size = type == ONNX_FLOAT ? 4 : type == ONNX_INT64 ? 8 : type == ONNX_FLOAT16 ? 2 : 1;
    for (int i = 0; i < shape->rank; i++)
        if (shape->dims[i] < 0 || !checked_mul(size, (size_t)shape->dims[i], &size)) return false;
    *out = size;
    return true;
}

size_t onnx_size_of(onnx_type type, onnx_shape shape) {
    size_t size = 0;
    const bool fits = onnx_size(type, &shape, &size);
    assert(fits);
    (void)fits;
    return size;
}

/* ---- Weights ---- */

typedef struct entry {
    char name[ONNX_NAME_CAP];
    onnx_type type;
    onnx_shape shape;
    uint64_t offset;
    size_t size;
} entry;

struct onnx_data {
    staged_file *file;
    FILE *stream;
    const char *location; /* what graphs call it: the name behind the folders */
    entry *entries;
    size_t count, cap;
    hash_table by_name;
    uint64_t size; /* bytes written */
    bool lasts;
    rnl_error error;
};

static void name_copy(char out[ONNX_NAME_CAP], const char *name) {
    (void)snprintf(out, ONNX_NAME_CAP, "%s", name);
}

static bool same_name(const void *things, size_t index, const void *key) {
    return strcmp(((const entry *)things)[index].name, key) == 0;
}

static const entry *entry_find(const onnx_data *d, const char *name) {
    char cut[ONNX_NAME_CAP];
    name_copy(cut, name);
    const size_t at = hash_table_find(&d->by_name, hash_bytes(HASH_START, cut, strlen(cut)),
                                      same_name, d->entries, cut);
    return at != HASH_NONE ? &d->entries[at] : NULL;
}

rnl_status onnx_data_create(const char *path, bool lasts, onnx_data **out, rnl_error *error) {
    onnx_data *d = *out = calloc(1, sizeof *d);
    if (d == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    d->lasts = lasts;
    rnl_status status = staged_open(path, &d->file, error);
    if (status == RNL_OK && !lasts) staged_passes(d->file);
    if (status == RNL_OK && (d->stream = staged_stream(d->file)) == NULL)
        status = status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    if (status != RNL_OK) {
        onnx_data_abort(out);
        return status;
    }
    const char *slash = strrchr(staged_path(d->file), '/');
    d->location = slash != NULL ? slash + 1 : staged_path(d->file);
    return RNL_OK;
}

void onnx_data_abort(onnx_data **out) {
    onnx_data *d = *out;
    if (d == NULL) return;
    *out = NULL;
    staged_abort(&d->file);
    hash_table_free(&d->by_name);
    free(d->entries);
    free(d);
}

bool onnx_data_has(const onnx_data *d, const char *name) {
    return entry_find(d, name) != NULL;
}

bool onnx_data_failed(const onnx_data *d) {
    return d->error.status != RNL_OK;
}

void onnx_data_exhausted(onnx_data *d, const char *name) {
    if (!onnx_data_failed(d))
        (void)status_fail(&d->error, RNL_ERR_MEMORY, "%s: memory for '%s' is exhausted",
                          staged_path(d->file), name);
}

const char *onnx_data_temporary(const onnx_data *d) {
    return staged_temporary(d->file);
}

/* An entry at the end of the data. */
static entry *entry_add(onnx_data *d, const char *name) {
    if (d->count == d->cap) {
        const size_t cap = d->cap == 0 ? 256 : 2 * d->cap;
        entry *grown = realloc(d->entries, cap * sizeof *grown);
        if (grown == NULL) return NULL;
        d->entries = grown;
        d->cap = cap;
    }
    entry *e = &d->entries[d->count];
    *e = (entry){.offset = (d->size + ONNX_DATA_ALIGN - 1) / ONNX_DATA_ALIGN * ONNX_DATA_ALIGN};
    name_copy(e->name, name);
    if (!hash_table_add(&d->by_name, hash_bytes(HASH_START, e->name, strlen(e->name)), d->count))
        return NULL;
    d->count++;
    return e;
}

void onnx_data_add(onnx_data *d, const char *name, onnx_type type, const onnx_shape *shape,
                   const void *bytes) {
    static const unsigned char zeros[ONNX_DATA_ALIGN];
    if (onnx_data_failed(d)) return;
    assert(!onnx_data_has(d, name));
    entry *e = entry_add(d, name);
    if (e == NULL || !onnx_size(type, shape, &e->size)) {
        onnx_data_exhausted(d, name);
        return;
    }
    e->type = type;
    e->shape = *shape;
    const size_t padding = (size_t)(e->offset - d->size);
    errno = 0;
    if (fwrite(zeros, 1, padding, d->stream) == padding &&
        fwrite(bytes, 1, e->size, d->stream) == e->size) {
        d->size = e->offset + e->size;
        return;
    }
    (void)status_fail(&d->error, RNL_ERR_IO, "%s: cannot be written: %s; free some space",
                      staged_path(d->file), strerror(errno));
}

/* What failed first, if anything did. */
static rnl_status outcome(const onnx_data *d, rnl_error *error) {
    if (onnx_data_failed(d) && error != NULL) *error = d->error;
    return d->error.status;
}

rnl_status onnx_data_complete(onnx_data *d, rnl_error *error) {
    const rnl_status status = outcome(d, error);
    return status == RNL_OK ? staged_sync(d->file, error) : status;
}

rnl_status onnx_data_commit(onnx_data **out, rnl_error *error) {
    rnl_status status = outcome(*out, error);
    if (status == RNL_OK) status = staged_commit(&(*out)->file, error);
    onnx_data_abort(out);
    return status;
}

/* ---- Messages ---- */

typedef struct buffer {
    unsigned char *data;
    size_t size, cap;
} buffer;

typedef struct value {
    char name[ONNX_NAME_CAP];
    onnx_type type;
    onnx_shape shape;
} value;

struct onnx_graph {
    onnx_data *data;
    char name[ONNX_NAME_CAP];
    buffer nodes, initializers, inputs, outputs;
    buffer message, inner; /* under way */
    value *values;
    int count, cap;
    hash_table weights; /* of values that are weights, by name */
    bool exhausted;
};

static void put_bytes(onnx_graph *g, buffer *b, const void *bytes, size_t size) {
    if (b->cap - b->size < size) {
        size_t cap = b->cap < 256 ? 256 : b->cap;
        while (cap - b->size < size && cap <= SIZE_MAX / 4) cap *= 2;
        unsigned char *grown = g->exhausted ? NULL : realloc(b->data, cap);
        if (grown == NULL) {
            g->exhausted = true;
            return;
        }
        b->data = grown;
        b->cap = cap;
    }
    if (size > 0) memcpy(b->data + b->size, bytes, size);
    b->size += size;
}

static void put_varint(onnx_graph *g, buffer *b, uint64_t number) {
    unsigned char bytes[10];
    size_t size = 0;
    while (number >= 0x80) {
        bytes[size++] = (unsigned char)((number & 0x7f) | 0x80);
        number >>= 7;
    }
    bytes[size++] = (unsigned char)number;
    put_bytes(g, b, bytes, size);
}

static void put_number(onnx_graph *g, buffer *b, int field, int64_t number) {
    put_varint(g, b, (uint64_t)field << 3 | WIRE_VARINT);
    put_varint(g, b, (uint64_t)number);
}

static void put_field(onnx_graph *g, buffer *b, int field, const void *bytes, size_t size) {
    put_varint(g, b, (uint64_t)field << 3 | WIRE_BYTES);
    put_varint(g, b, size);
    put_bytes(g, b, bytes, size);
}

static void put_text(onnx_graph *g, buffer *b, int field, const char *text) {
    put_field(g, b, field, text, strlen(text));
}

/* A message that was gathered goes into a field of another, and is empty again. */
static void put_message(onnx_graph *g, buffer *b, int field, buffer *message) {
    put_field(g, b, field, message->data, message->size);
    message->size = 0;
}

/* ---- Graphs ---- */

onnx_graph *onnx_graph_create(const char *name, onnx_data *data) {
    onnx_graph *g = calloc(1, sizeof *g);
    if (g == NULL) return NULL;
    g->data = data;
    name_copy(g->name, name);
    return g;
}

onnx_data *onnx_graph_data(const onnx_graph *g) {
    return g->data;
}

void onnx_graph_destroy(onnx_graph **out) {
    onnx_graph *g = *out;
    if (g == NULL) return;
    *out = NULL;
    buffer *const all[] = {&g->nodes,   &g->initializers, &g->inputs,
                           &g->outputs, &g->message,      &g->inner};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]->data);
    hash_table_free(&g->weights);
    free(g->values);
    free(g);
}

/* Value 0 stands for all that there is no memory for: its name and shape are not looked at again.
 */
static onnx_value value_add(onnx_graph *g, const char *name, onnx_type type,
                            const onnx_shape *shape) {
    if (g->count == g->cap) {
        const int cap = g->cap == 0 ? 256 : 2 * g->cap;
        value *grown = realloc(g->values, (size_t)cap * sizeof *grown);
        if (grown == NULL) {
            g->exhausted = true;
            return 0;
        }
        g->values = grown;
        g->cap = cap;
    }
    value *v = &g->values[g->count];
    *v = (value){.type = type, .shape = *shape};
    if (name != NULL)
        name_copy(v->name, name);
    else
        (void)snprintf(v->name, sizeof v->name, "v%d", g->count);
    return g->count++;
}

static void put_value_info(onnx_graph *g, buffer *to, int field, const value *v, const char *name) {
    buffer dims = {0}, tensor = {0}, type = {0};
    for (int i = 0; i < v->shape.rank; i++) {
        put_number(g, &g->inner, DIM_VALUE, v->shape.dims[i]);
        put_message(g, &dims, SHAPE_DIM, &g->inner);
    }
    put_number(g, &tensor, TENSOR_ELEMENT, v->type);
    put_message(g, &tensor, TENSOR_SHAPE, &dims);
    put_message(g, &type, TYPE_TENSOR, &tensor);
    put_text(g, &g->message, VALUE_NAME, name);
    put_message(g, &g->message, VALUE_TYPE, &type);
    put_message(g, to, field, &g->message);
    free(dims.data);
    free(tensor.data);
    free(type.data);
}

onnx_value onnx_graph_input(onnx_graph *g, const char *name, onnx_type type,
                            const onnx_shape *shape) {
    const onnx_value v = value_add(g, name, type, shape);
    if (!g->exhausted) put_value_info(g, &g->inputs, GRAPH_INPUT, &g->values[v], g->values[v].name);
    return v;
}

static void put_tensor_head(onnx_graph *g, const char *name, onnx_type type,
                            const onnx_shape *shape) {
    for (int i = 0; i < shape->rank; i++) put_number(g, &g->message, TENSOR_DIM, shape->dims[i]);
    put_number(g, &g->message, TENSOR_TYPE, type);
    put_text(g, &g->message, TENSOR_NAME, name);
}

static void put_pair(onnx_graph *g, const char *key, const char *text) {
    put_text(g, &g->inner, PAIR_KEY, key);
    put_text(g, &g->inner, PAIR_VALUE, text);
    put_message(g, &g->message, TENSOR_EXTERNAL, &g->inner);
}

static void put_external(onnx_graph *g, const entry *e) {
    char number[32];
    put_tensor_head(g, e->name, e->type, &e->shape);
    put_pair(g, "location", g->data->location);
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)e->offset);
    put_pair(g, "offset", number);
    (void)snprintf(number, sizeof number, "%zu", e->size);
    put_pair(g, "length", number);
    put_number(g, &g->message, TENSOR_PLACE, PLACE_EXTERNAL);
    put_message(g, &g->initializers, GRAPH_INITIALIZER, &g->message);
}

static bool same_value(const void *things, size_t index, const void *key) {
    return strcmp(((const value *)things)[index].name, key) == 0;
}

onnx_value onnx_graph_weight(onnx_graph *g, const char *name) {
    const entry *e = entry_find(g->data, name);
    if (e == NULL) {
        assert(onnx_data_failed(g->data));
        g->exhausted = true; /* the data tells why */
        return 0;
    }
    const uint64_t hash = hash_bytes(HASH_START, e->name, strlen(e->name));
    const size_t known = hash_table_find(&g->weights, hash, same_value, g->values, e->name);
    if (known != HASH_NONE) return (onnx_value)known;
    const onnx_value v = value_add(g, e->name, e->type, &e->shape);
    if (g->exhausted) return 0;
    if (!hash_table_add(&g->weights, hash, (size_t)v)) g->exhausted = true;
    put_external(g, e);
    return v;
}

onnx_value onnx_graph_constant(onnx_graph *g, onnx_type type, const onnx_shape *shape,
                               const void *bytes) {
    if (bytes == NULL) g->exhausted = true;
    const onnx_value v = value_add(g, NULL, type, shape);
    if (g->exhausted) return 0;
    put_tensor_head(g, g->values[v].name, type, shape);
    put_field(g, &g->message, TENSOR_RAW, bytes, onnx_size_of(type, *shape));
    put_message(g, &g->initializers, GRAPH_INITIALIZER, &g->message);
    return v;
}

static void put_attribute(onnx_graph *g, const onnx_attribute *a) {
    put_text(g, &g->inner, ATTRIBUTE_NAME, a->name);
    if (a->count == 0) put_number(g, &g->inner, ATTRIBUTE_INT, a->values[0]);
    for (int i = 0; i < a->count; i++) put_number(g, &g->inner, ATTRIBUTE_INTS, a->values[i]);
    put_number(g, &g->inner, ATTRIBUTE_TYPE, a->count == 0 ? ATTRIBUTE_IS_INT : ATTRIBUTE_IS_INTS);
    put_message(g, &g->message, NODE_ATTRIBUTE, &g->inner);
}

static void put_node(onnx_graph *g, const onnx_node *node, const char *name) {
    for (int i = 0; i < node->input_count; i++)
        put_text(g, &g->message, NODE_INPUT, g->values[node->inputs[i]].name);
    put_text(g, &g->message, NODE_OUTPUT, name);
    put_text(g, &g->message, NODE_NAME, name);
    put_text(g, &g->message, NODE_OP, node->op);
    for (int i = 0; i < node->attribute_count; i++) put_attribute(g, &node->attributes[i]);
    if (node->domain != NULL) put_text(g, &g->message, NODE_DOMAIN, node->domain);
    put_message(g, &g->nodes, GRAPH_NODE, &g->message);
}

onnx_value onnx_graph_node(onnx_graph *g, const onnx_node *node) {
    const onnx_value v = value_add(g, NULL, node->type, &node->shape);
    if (g->exhausted) return 0;
    put_node(g, node, g->values[v].name);
    return v;
}

void onnx_graph_output(onnx_graph *g, onnx_value v, const char *name) {
    if (g->exhausted) return;
    put_node(g, &(onnx_node){.op = "Identity", .inputs = {v}, .input_count = 1}, name);
    put_value_info(g, &g->outputs, GRAPH_OUTPUT, &g->values[v], name);
}

bool onnx_graph_failed(const onnx_graph *g) {
    return g->exhausted;
}

const onnx_shape *onnx_graph_shape(const onnx_graph *g, onnx_value v) {
    static const onnx_shape none = {0};
    return g->exhausted ? &none : &g->values[v].shape;
}

onnx_type onnx_graph_type(const onnx_graph *g, onnx_value v) {
    return g->exhausted ? ONNX_FLOAT : g->values[v].type;
}

/* ---- Files ---- */

static void put_opset(onnx_graph *g, buffer *model, const char *domain, int version) {
    put_text(g, &g->message, OPSET_DOMAIN, domain);
    put_number(g, &g->message, OPSET_VERSION, version);
    put_message(g, model, MODEL_OPSET, &g->message);
}

/* The whole file. */
static void put_model(onnx_graph *g, buffer *model) {
    const buffer *const parts[] = {&g->nodes, &g->initializers, &g->inputs, &g->outputs};
    buffer graph = {0};
    put_text(g, &graph, GRAPH_NAME, g->name);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        put_bytes(g, &graph, parts[i]->data, parts[i]->size);
    put_number(g, model, MODEL_IR, IR_VERSION);
    put_text(g, model, MODEL_PRODUCER, "runnel");
    put_opset(g, model, "", OPSET);
    put_opset(g, model, "com.microsoft", OPSET_MICROSOFT);
    put_message(g, model, MODEL_GRAPH, &graph);
    free(graph.data);
}

static rnl_status write_model(const buffer *model, staged_file *file, rnl_error *error) {
    FILE *stream = staged_stream(file);
    if (stream == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", staged_path(file));
    errno = 0;
    if (fwrite(model->data, 1, model->size, stream) != model->size)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s; free some space",
                           staged_path(file), strerror(errno));
    return staged_sync(file, error);
}

rnl_status onnx_graph_stage(onnx_graph *g, const char *path, staged_file **out, rnl_error *error) {
    *out = NULL;
    if (onnx_data_failed(g->data)) return onnx_data_complete(g->data, error);
    buffer model = {0};
    put_model(g, &model);
    rnl_status status = g->exhausted ? status_fail(error, RNL_ERR_MEMORY,
                                                   "%s: memory for the graph is exhausted", path)
                                     : staged_open(path, out, error);
    if (status == RNL_OK && !g->data->lasts) staged_passes(*out);
    if (status == RNL_OK) status = write_model(&model, *out, error);
    if (status != RNL_OK) staged_abort(out);
    free(model.data);
    return status;
}
