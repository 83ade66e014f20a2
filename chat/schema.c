/* A JSON schema -> nodes. A node stands for the values that fit several schemas at once: one that
 * refers to another, or has choices beside other keywords, adds to the list, and lists of
 * properties and items are lists again. Lists that were met before have their node, which is how
 * schemas that refer to themselves come to an end. */
#include <stdlib.h>
#include <string.h>

#include "chat/build.h"
#include "core/json.h"
#include "core/status.h"

enum { LIST_CAP = 24, NODE_CAP = 4096, DEPTH_CAP = 100, LITERAL_CAP = 4096 };
enum { ANY_OF_DONE = 1, ONE_OF_DONE = 2 };
enum {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_NUMBER = 8,
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
    TYPE_ALL = 127
};

typedef struct schema_list {
    const json *schemas[LIST_CAP];
    uint8_t done[LIST_CAP];
    int count;
    bool impossible; /* one of them is false */
} schema_list;

struct schema_memo {
    schema_list list;
    bool arguments;
    int32_t node;
};

static void fail(builder *b, const char *fault, const char *detail) {
    if (b->status == RNL_OK)
        b->status = status_fail(b->error, RNL_ERR_DATA, "%s: %s%s", b->name, fault, detail);
}

static void no_memory(builder *b) {
    if (b->status == RNL_OK)
        b->status = status_fail(b->error, RNL_ERR_MEMORY, "%s: memory is exhausted", b->name);
}

/* ---- What is not held ---- */

static const char *const narrowing[] = {"pattern",
                                        "format",
                                        "minLength",
                                        "maxLength",
                                        "minimum",
                                        "maximum",
                                        "multipleOf",
                                        "exclusiveMinimum",
                                        "exclusiveMaximum",
                                        "uniqueItems",
                                        "minProperties",
                                        "maxProperties",
                                        "patternProperties",
                                        "propertyNames",
                                        "dependencies",
                                        "dependentRequired",
                                        "not",
                                        "dependentSchemas",
                                        "if",
                                        "then",
                                        "else",
                                        "prefixItems",
                                        "contains",
                                        "minContains",
                                        "maxContains",
                                        "oneOf",
                                        "unevaluatedItems",
                                        "additionalItems",
                                        "unevaluatedProperties"};
enum { NARROWING_COUNT = sizeof narrowing / sizeof *narrowing };

static void warn_of(builder *b, const char *keyword, int index) {
    chat_text t = {0};
    if (b->warn == NULL || (b->warned >> index & 1) != 0) return;
    b->warned |= UINT64_C(1) << index;
    chat_puts(&t, b->name);
    chat_puts(&t, ": \"");
    chat_puts(&t, keyword);
    chat_puts(&t, strcmp(keyword, "oneOf") == 0
                      ? "\" is taken as \"anyOf\": a value may fit several of its schemas"
                      : "\" is not held: values may break it");
    if (!t.failed) b->warn(b->context, t.data);
    chat_text_free(&t);
}

static void warn_of_all(builder *b, const json *schema) {
    for (int i = 0; i < NARROWING_COUNT; i++)
        if (json_get(schema, narrowing[i]) != NULL) warn_of(b, narrowing[i], i);
    if (json_is_array(json_get(schema, "items"))) warn_of(b, "items", NARROWING_COUNT);
}

/* ---- Lists ---- */

static void add_schema(builder *b, schema_list *l, const json *schema) {
    bool yes;
    if (schema == NULL || (json_is_object(schema) && json_count(schema) == 0)) return;
    if (json_bool(schema, &yes)) {
        l->impossible = l->impossible || !yes;
        return;
    }
    if (!json_is_object(schema)) {
        fail(b, "a schema in it is neither an object nor true or false", "");
        return;
    }
    for (int i = 0; i < l->count; i++)
        if (l->schemas[i] == schema) return;
    if (l->count == LIST_CAP) {
        fail(b, "too many schemas hold for one value ($ref, allOf, anyOf)", "");
        return;
    }
    l->done[l->count] = 0;
    l->schemas[l->count++] = schema;
}

/* Adds what the schemas of the list refer to. */
static void complete(builder *b, schema_list *l) {
    for (int i = 0; i < l->count && b->status == RNL_OK; i++) {
        const json *all = json_get(l->schemas[i], "allOf"), *ref = json_get(l->schemas[i], "$ref");
        size_t size;
        const char *reference = json_chars(ref, &size);
        if (b->warned != UINT64_MAX) warn_of_all(b, l->schemas[i]);
        for (size_t k = 0; k < json_count(all); k++) add_schema(b, l, json_at(all, k));
        if (ref == NULL) continue;
        const json *target = reference != NULL ? schema_find(b->root, reference, size) : NULL;
        if (target == NULL)
            fail(b, "$ref points to nothing in the file: ", reference != NULL ? reference : "");
        add_schema(b, l, target);
    }
}

static bool same_list(const schema_list *a, const schema_list *b) {
    return a->count == b->count && a->impossible == b->impossible &&
           memcmp(a->schemas, b->schemas, (size_t)a->count * sizeof *a->schemas) == 0 &&
           memcmp(a->done, b->done, (size_t)a->count) == 0;
}

static int32_t compile(builder *b, const schema_list *l, bool arguments);

/* ---- Choices ---- */

static void fill_choices(builder *b, int32_t node, const schema_list *l, int index,
                         const char *keyword, uint8_t done, bool arguments) {
    const json *choices = json_get(l->schemas[index], keyword);
    int32_t nodes[64];
    int count = 0;
    if (!json_is_array(choices) || json_count(choices) == 0 || json_count(choices) > 64) {
        fail(b, keyword, " is no list of 1 to 64 schemas");
        return;
    }
    for (size_t i = 0; i < json_count(choices) && b->status == RNL_OK; i++) {
        schema_list inner = *l;
        inner.done[index] |= done;
        add_schema(b, &inner, json_at(choices, i));
        nodes[count++] = compile(b, &inner, arguments);
    }
    build_any_of(b, node, nodes, count);
}

/* ---- Given values ---- */

static void fill_values(builder *b, int32_t node, const schema_list *l, const json *constant,
                        const json *values) {
    const size_t count = constant != NULL ? 1 : json_count(values);
    if (count == 0 || count > LITERAL_CAP) {
        fail(b, "enum is no list of 1 to 4096 values", "");
        return;
    }
    build_literals_begin(b, node);
    for (size_t i = 0; i < count && b->status == RNL_OK; i++) {
        const json *value = constant != NULL ? constant : json_at(values, i);
        bool fits = true;
        for (int k = 0; k < l->count && fits; k++)
            fits = schema_accepts(b->root, l->schemas[k], value);
        if (fits) build_value(b, value);
    }
    build_literals_end(b, node);
}

/* ---- Types ---- */

static int type_bit(builder *b, const json *name) {
    static const struct {
        const char *name;
        int bits;
    } rows[] = {{"null", TYPE_NULL},       {"boolean", TYPE_BOOLEAN},
                {"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER | TYPE_INTEGER},
                {"string", TYPE_STRING},   {"array", TYPE_ARRAY},
                {"object", TYPE_OBJECT}};
    const char *text = json_chars(name, NULL);
    for (size_t i = 0; text != NULL && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, text) == 0) return rows[i].bits;
    fail(b, "\"type\" is none of JSON's: ", text != NULL ? text : "(no text)");
    return 0;
}

static int types_of(builder *b, const schema_list *l) {
    int types = TYPE_ALL;
    for (int i = 0; i < l->count; i++) {
        const json *type = json_get(l->schemas[i], "type");
        if (type == NULL) continue;
        int own = json_is_array(type) ? 0 : type_bit(b, type);
        for (size_t k = 0; json_is_array(type) && k < json_count(type); k++)
            own |= type_bit(b, json_at(type, k));
        types &= own;
    }
    return l->impossible ? 0 : types;
}

static void fill_array(builder *b, int32_t node, const schema_list *l) {
    schema_list items = {.count = 0};
    int64_t min = 0, max = UINT32_MAX, limit;
    for (int i = 0; i < l->count; i++) {
        const json *schema = l->schemas[i], *low = json_get(schema, "minItems"),
                   *high = json_get(schema, "maxItems");
        if (low != NULL && !json_int(low, 0, GRAMMAR_NEED_CAP, &limit))
            fail(b, "minItems is no count up to 1048576", "");
        if (low != NULL && limit > min) min = limit;
        if (high != NULL && !json_int(high, 0, INT64_MAX, &limit))
            fail(b, "maxItems is no count", "");
        if (high != NULL && limit < max) max = limit;
        const json *each = json_get(schema, "items");
        if (!json_is_array(each)) add_schema(b, &items, each);
    }
    if (b->status != RNL_OK) return;
    const int32_t item = items.impossible || max == 0 ? -1 : compile(b, &items, false);
    if (b->status != RNL_OK) return;
    if (item < 0) max = 0;
    grammar_node *n = &b->g->nodes[node];
    n->kind = min > max ? NODE_IMPOSSIBLE : NODE_ARRAY;
    n->item = item;
    n->min = (uint32_t)min;
    n->max = (uint32_t)max;
}

/* The schemas that hold for the value of a key. */
static schema_list schemas_of_key(builder *b, const schema_list *l, const char *key) {
    schema_list inner = {.count = 0};
    for (int i = 0; i < l->count; i++) {
        const json *own = key != NULL ? json_get(json_get(l->schemas[i], "properties"), key) : NULL;
        add_schema(b, &inner, own != NULL ? own : json_get(l->schemas[i], "additionalProperties"));
    }
    complete(b, &inner);
    return inner;
}

static bool is_required(const schema_list *l, const char *key) {
    for (int i = 0; i < l->count; i++) {
        const json *required = json_get(l->schemas[i], "required");
        for (size_t k = 0; k < json_count(required); k++) {
            const char *name = json_chars(json_at(required, k), NULL);
            if (name != NULL && strcmp(name, key) == 0) return true;
        }
    }
    return false;
}

/* Names of keys, each once, in the order of the schemas; then those that are only required. */
typedef struct key_list {
    const char **keys;
    size_t count, cap;
    bool failed;
} key_list;

static bool add_key(void *context, const char *key, size_t size, const json *value) {
    key_list *k = context;
    (void)size, (void)value;
    for (size_t i = 0; i < k->count; i++)
        if (strcmp(k->keys[i], key) == 0) return true;
    if (k->count == k->cap) {
        const char **grown = realloc(k->keys, (2 * k->cap + 16) * sizeof *grown);
        k->failed = grown == NULL;
        if (grown == NULL) return false;
        k->keys = grown;
        k->cap = 2 * k->cap + 16;
    }
    k->keys[k->count++] = key;
    return true;
}

static void collect_keys(builder *b, const schema_list *l, key_list *k) {
    for (int i = 0; i < l->count; i++)
        (void)json_each(json_get(l->schemas[i], "properties"), add_key, k);
    for (int i = 0; i < l->count; i++) {
        const json *required = json_get(l->schemas[i], "required");
        for (size_t r = 0; r < json_count(required); r++) {
            const char *key = json_chars(json_at(required, r), NULL);
            if (key != NULL) (void)add_key(k, key, 0, NULL);
        }
    }
    if (k->failed) no_memory(b);
    if (k->count > NODE_CAP) fail(b, "an object in it has more than 4096 keys", "");
}

/* Keys that no schema names are for objects whose schemas ask for them, or name none at all. */
static bool wants_others(const schema_list *l, size_t key_count) {
    for (int i = 0; i < l->count; i++)
        if (json_get(l->schemas[i], "additionalProperties") != NULL) return true;
    return key_count == 0;
}

static void fill_object(builder *b, int32_t node, const schema_list *l, bool arguments) {
    key_list keys = {0};
    collect_keys(b, l, &keys);
    /* Nodes first: the properties of one object lie side by side. */
    int32_t *nodes = calloc(keys.count + 1, sizeof *nodes);
    if (nodes == NULL) no_memory(b);
    for (size_t i = 0; i < keys.count && b->status == RNL_OK; i++) {
        const schema_list inner = schemas_of_key(b, l, keys.keys[i]);
        nodes[i] = compile(b, &inner, false);
    }
    const schema_list others = schemas_of_key(b, l, NULL);
    const bool free_keys = wants_others(l, keys.count) && !others.impossible;
    const int32_t item = b->status == RNL_OK && free_keys ? compile(b, &others, false) : -1;
    if (b->status == RNL_OK) {
        b->g->has_free_keys = b->g->has_free_keys || item >= 0;
        grammar_node *n = &b->g->nodes[node];
        n->kind = NODE_OBJECT;
        n->arguments = arguments;
        n->item = item;
        n->begin = (int32_t)b->g->property_count;
        for (size_t i = 0; i < keys.count; i++)
            build_property(b, keys.keys[i], nodes[i], is_required(l, keys.keys[i]), arguments);
        b->g->nodes[node].end = (int32_t)b->g->property_count;
    }
    free(nodes);
    free(keys.keys);
}

static void fill_type(builder *b, int32_t node, const schema_list *l, int type, bool arguments) {
    switch (type) {
    case TYPE_NULL:
    case TYPE_BOOLEAN:
        build_literals_begin(b, node);
        build_word(b, type == TYPE_NULL ? "null" : "true", type == TYPE_NULL ? "None" : "True");
        if (type == TYPE_BOOLEAN) build_word(b, "false", "False");
        build_literals_end(b, node);
        break;
    case TYPE_ARRAY:
        fill_array(b, node, l);
        break;
    case TYPE_OBJECT:
        fill_object(b, node, l, arguments);
        break;
    default:
        b->g->nodes[node].kind = type == TYPE_STRING   ? NODE_STRING
                                 : type == TYPE_NUMBER ? NODE_NUMBER
                                                       : NODE_INTEGER;
        break;
    }
}

static void fill_types(builder *b, int32_t node, const schema_list *l, bool arguments) {
    int types = types_of(b, l), count = 0;
    int32_t nodes[8];
    if (arguments) types &= TYPE_OBJECT;
    if ((types & TYPE_NUMBER) != 0) types &= ~TYPE_INTEGER; /* of which it is one */
    if (types == 0 || b->status != RNL_OK) return;          /* stays impossible */
    if ((types & (types - 1)) == 0) {
        fill_type(b, node, l, types, arguments);
        return;
    }
    for (int bit = 1; bit <= TYPE_OBJECT && b->status == RNL_OK; bit <<= 1) {
        if ((types & bit) == 0) continue;
        nodes[count] = build_node(b);
        if (b->status == RNL_OK) fill_type(b, nodes[count++], l, bit, arguments);
    }
    build_any_of(b, node, nodes, count);
}

static void fill(builder *b, int32_t node, const schema_list *l, bool arguments) {
    const json *constant = NULL, *values = NULL;
    for (int i = 0; i < l->count; i++) {
        if (json_get(l->schemas[i], "anyOf") != NULL && (l->done[i] & ANY_OF_DONE) == 0) {
            fill_choices(b, node, l, i, "anyOf", ANY_OF_DONE, arguments);
            return;
        }
        if (json_get(l->schemas[i], "oneOf") != NULL && (l->done[i] & ONE_OF_DONE) == 0) {
            fill_choices(b, node, l, i, "oneOf", ONE_OF_DONE, arguments);
            return;
        }
        if (constant == NULL) constant = json_get(l->schemas[i], "const");
        if (values == NULL) values = json_get(l->schemas[i], "enum");
    }
    (void)types_of(b, l); /* for what is wrong with them */
    if (l->impossible || b->status != RNL_OK) return;
    if ((constant != NULL || values != NULL) && !arguments)
        fill_values(b, node, l, constant, values);
    else
        fill_types(b, node, l, arguments);
}

static bool remember(builder *b, const schema_list *l, bool arguments, int32_t node) {
    if (b->memo_count == b->memo_cap) {
        const size_t cap = 2 * b->memo_cap + 64;
        struct schema_memo *grown = realloc(b->memo, cap * sizeof *grown);
        if (grown == NULL) no_memory(b);
        if (grown == NULL) return false;
        b->memo = grown;
        b->memo_cap = cap;
    }
    b->memo[b->memo_count++] = (struct schema_memo){*l, arguments, node};
    return true;
}

/* The node of what fits all schemas of the list; -1 after a failure. */
static int32_t compile(builder *b, const schema_list *l, bool arguments) {
    schema_list list = *l;
    complete(b, &list);
    if (b->status != RNL_OK) return -1;
    for (size_t i = 0; i < b->memo_count; i++)
        if (b->memo[i].arguments == arguments && same_list(&b->memo[i].list, &list))
            return b->memo[i].node;
    if (b->depth >= DEPTH_CAP) fail(b, "its schemas are nested too deeply", "");
    if (b->g->node_count >= NODE_CAP) fail(b, "it is too large", "");
    const int32_t node = build_node(b);
    if (b->status != RNL_OK || !remember(b, &list, arguments, node)) return -1;
    b->depth++;
    fill(b, node, &list, arguments);
    b->depth--;
    return b->status == RNL_OK ? node : -1;
}

int32_t build_schema(builder *b, const json *schema, bool arguments) {
    schema_list l = {.count = 0};
    add_schema(b, &l, schema);
    return b->status == RNL_OK ? compile(b, &l, arguments) : -1;
}

void builder_end(builder *b) {
    free(b->memo);
    if (b->status != RNL_OK) grammar_free(b->g);
}
