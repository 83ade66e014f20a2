#include "chat/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/step.h"
#include "core/json.h"
#include "core/status.h"

enum { TOOL_CAP = 256, TOOL_NAME_CAP = 128, NEED_CAP = GRAMMAR_NEED_MAX, BYTE_CAP = 16 << 20 };
/* Of a value that cannot be: deeper than anything may nest. */
enum { NEST_IMPOSSIBLE = 1000 };

static void no_memory(builder *b) {
    if (b->status == RNL_OK)
        b->status = status_fail(b->error, RNL_ERR_MEMORY, "%s: memory is exhausted", b->name);
}

/* Room for one more. */
static bool grow(builder *b, void **items, size_t *cap, size_t count, size_t size) {
    if (b->status != RNL_OK) return false;
    if (count < *cap) return true;
    const size_t larger = 2 * *cap + 64;
    void *grown = realloc(*items, larger * size);
    if (grown == NULL) no_memory(b);
    if (grown == NULL) return false;
    *items = grown;
    *cap = larger;
    return true;
}

void grammar_free(grammar *g) {
    free(g->nodes);
    free(g->literals);
    free(g->properties);
    free(g->alternatives);
    free(g->bytes);
    *g = (grammar){0};
}

int32_t build_node(builder *b) {
    grammar *g = b->g;
    if (!grow(b, (void **)&g->nodes, &g->node_cap, g->node_count, sizeof *g->nodes)) return -1;
    g->nodes[g->node_count] = (grammar_node){.kind = NODE_IMPOSSIBLE, .item = -1};
    return (int32_t)g->node_count++;
}

void build_any_of(builder *b, int32_t node, const int32_t *nodes, int count) {
    grammar *g = b->g;
    if (b->status != RNL_OK) return;
    g->nodes[node].kind = NODE_ANY_OF;
    g->nodes[node].begin = (int32_t)g->alternative_count;
    for (int i = 0; i < count; i++) {
        if (!grow(b, (void **)&g->alternatives, &g->alternative_cap, g->alternative_count,
                  sizeof *g->alternatives))
            return;
        g->alternatives[g->alternative_count++] = nodes[i];
    }
    g->nodes[node].end = (int32_t)g->alternative_count;
}

/* Keeps bytes; returns where. */
static uint32_t keep(builder *b, const char *bytes, size_t size) {
    grammar *g = b->g;
    if (b->status == RNL_OK && size > BYTE_CAP - g->byte_count)
        b->status = status_fail(b->error, RNL_ERR_DATA, "%s: it is too large", b->name);
    if (b->status != RNL_OK) return 0;
    if (g->byte_count + size > g->byte_cap) {
        const size_t cap = 2 * g->byte_cap + size + 256;
        char *grown = realloc(g->bytes, cap);
        if (grown == NULL) no_memory(b);
        if (grown == NULL) return 0;
        g->bytes = grown;
        g->byte_cap = cap;
    }
    if (size > 0) memcpy(g->bytes + g->byte_count, bytes, size);
    g->byte_count += size;
    return (uint32_t)(g->byte_count - size);
}

static uint32_t keep_text(builder *b, chat_text *t) {
    if (t->failed) no_memory(b);
    const uint32_t at = keep(b, t->data, t->size);
    chat_text_free(t);
    return at;
}

/* ---- Spellings ---- */

/* The inside of a Python string that either quote may surround. */
static void put_python_inside(chat_text *t, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        const char c = bytes[i];
        char escape[8] = {c};
        if (c == '\n' || c == '\r' || c == '\t')
            (void)snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if ((unsigned char)c < 0x20)
            (void)snprintf(escape, sizeof escape, "\\x%02x", (unsigned)(unsigned char)c);
        else if (c == '\\' || c == '\'' || c == '"')
            (void)snprintf(escape, sizeof escape, "\\%c", c);
        chat_puts(t, escape);
    }
}

static void put_in_double(chat_text *t, const char *bytes, size_t size) {
    chat_puts(t, "\"");
    put_python_inside(t, bytes, size);
    chat_puts(t, "\"");
}

static void put_in_single(chat_text *t, const char *bytes, size_t size) {
    chat_puts(t, "'");
    put_python_inside(t, bytes, size);
    chat_puts(t, "'");
}

static void add_literal(builder *b, chat_text *t, int32_t node) {
    grammar *g = b->g;
    if (!grow(b, (void **)&g->literals, &g->literal_cap, g->literal_count, sizeof *g->literals)) {
        chat_text_free(t);
        return;
    }
    const uint32_t size = (uint32_t)t->size;
    g->literals[g->literal_count++] =
        (grammar_literal){.at = keep_text(b, t), .size = size, .node = node};
}

void build_literals_begin(builder *b, int32_t node) {
    b->g->nodes[node].kind = NODE_LITERALS;
    b->g->nodes[node].begin = (int32_t)b->g->literal_count;
}

void build_value(builder *b, const json *value) {
    chat_text t = {0};
    if (!b->g->python) {
        chat_put_json(&t, value);
        add_literal(b, &t, -1);
        return;
    }
    chat_put_python(&t, value, put_in_double);
    add_literal(b, &t, -1);
    chat_put_python(&t, value, put_in_single);
    add_literal(b, &t, -1);
}

void build_word(builder *b, const char *in_json, const char *in_python) {
    chat_text t = {0};
    chat_puts(&t, b->g->python ? in_python : in_json);
    add_literal(b, &t, -1);
}

void build_call(builder *b, const char *name, size_t size, int32_t arguments) {
    chat_text t = {0};
    chat_put(&t, name, size);
    chat_puts(&t, "(");
    add_literal(b, &t, arguments);
}

static int compare(const grammar *g, const grammar_literal *a, const grammar_literal *b) {
    const size_t least = a->size < b->size ? a->size : b->size;
    const int order = memcmp(g->bytes + a->at, g->bytes + b->at, least);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

void build_literals_end(builder *b, int32_t node) {
    grammar *g = b->g;
    if (b->status != RNL_OK) return;
    grammar_node *n = &g->nodes[node];
    const int count = (int)g->literal_count - n->begin;
    grammar_literal *all = count == 0 ? NULL : g->literals + n->begin;
    int kept = 0;
    /* By insertion: there are at most some thousands, mostly in order or few. */
    for (int i = 0; i < count; i++) {
        const grammar_literal l = all[i];
        int at = kept;
        while (at > 0 && compare(g, &l, &all[at - 1]) < 0) at--;
        if (at > 0 && compare(g, &l, &all[at - 1]) == 0) continue;
        memmove(all + at + 1, all + at, (size_t)(kept - at) * sizeof *all);
        all[at] = l;
        kept++;
    }
    g->literal_count = (size_t)(n->begin + kept);
    n->end = (int32_t)g->literal_count;
    if (kept == 0) n->kind = NODE_IMPOSSIBLE;
}

/* A name of an argument that stands before '=' as it is. */
static bool is_argument(const char *key) {
    if (*key == '\0') return false;
    for (; *key != '\0'; key++)
        if ((unsigned char)*key <= ' ' || strchr("=(),[]{}'\"\\:", *key) != NULL) return false;
    return true;
}

void build_property(builder *b, const char *key, int32_t node, bool required, bool arguments) {
    grammar *g = b->g;
    chat_text t = {0};
    if (arguments && !is_argument(key) && b->status == RNL_OK)
        b->status = status_fail(b->error, RNL_ERR_DATA,
                                "%s: '%s' cannot be the name of an argument; leave out spaces, "
                                "quotes and brackets",
                                b->name, key);
    if (!grow(b, (void **)&g->properties, &g->property_cap, g->property_count,
              sizeof *g->properties))
        return;
    if (arguments)
        chat_puts(&t, key);
    else if (g->python)
        put_python_inside(&t, key, strlen(key));
    else
        chat_put_json_string(&t, key, strlen(key));
    const bool quoted = !arguments && !g->python;
    const uint32_t size = (uint32_t)t.size - (quoted && !t.failed ? 2 : 0);
    const uint32_t at = keep_text(b, &t) + quoted;
    if (b->status != RNL_OK) return;
    g->properties[g->property_count++] =
        (grammar_property){.at = at,
                           .size = size,
                           .hash = grammar_hash(g->bytes + at, size),
                           .node = node,
                           .required = required};
}

/* ---- Shortest values ---- */

/* Need, nesting and first byte of a node as those of the others are now known. */
typedef struct measure {
    uint64_t need;
    uint32_t nest;
    unsigned char first;
} measure;

static measure measure_object(grammar *g, const grammar_node *n) {
    measure m = {.nest = 0, .first = n->arguments ? ')' : '{'};
    uint64_t rest = 0;
    for (int i = n->end - 1; i >= n->begin; i--) {
        grammar_property *p = &g->properties[i];
        const grammar_node *value = &g->nodes[p->node];
        if (p->required) {
            rest += p->size + (n->arguments ? 1u : 3u) + value->need + 1u;
            if (value->nest > m.nest) m.nest = value->nest;
        }
        p->need_rest = grammar_cap(rest);
    }
    m.need = rest - (rest > 0) + (n->arguments ? 1 : 2);
    m.nest += !n->arguments;
    return m;
}

static measure measure_node(grammar *g, const grammar_node *n) {
    measure m = {.need = GRAMMAR_NEED_CAP};
    switch (n->kind) {
    case NODE_STRING:
        return (measure){2, 0, '"'};
    case NODE_INTEGER:
    case NODE_NUMBER:
        return (measure){1, 0, '0'};
    case NODE_OBJECT:
        return measure_object(g, n);
    case NODE_ARRAY: {
        const grammar_node *item = n->min > 0 ? &g->nodes[n->item] : NULL;
        m = (measure){2, 1, '['};
        if (item == NULL) return m;
        m.need += (uint64_t)n->min * (item->need + 1) - 1;
        m.nest += item->nest;
        return m;
    }
    case NODE_LITERALS:
        for (int i = n->begin; i < n->end; i++)
            if (g->literals[i].size < m.need)
                m = (measure){g->literals[i].size, 0, (unsigned char)g->bytes[g->literals[i].at]};
        return m;
    case NODE_CALLS:
        for (int i = n->begin; i < n->end; i++) {
            const grammar_literal *l = &g->literals[i];
            const uint64_t need = 2u + l->size + g->nodes[l->node].need;
            if (need < m.need) m = (measure){need, g->nodes[l->node].nest, '['};
        }
        return m;
    case NODE_ANY_OF:
        for (int i = n->begin; i < n->end; i++) {
            const grammar_node *a = &g->nodes[g->alternatives[i]];
            if (a->need < m.need || (a->need == m.need && a->first < m.first))
                m = (measure){a->need, a->nest, a->first};
        }
        return m;
    case NODE_IMPOSSIBLE:
        break;
    }
    return m;
}

void build_needs(grammar *g) {
    bool changed = true;
    for (size_t i = 0; i < g->node_count; i++) g->nodes[i].need = GRAMMAR_NEED_CAP;
    for (size_t round = 0; changed && round <= g->node_count; round++) {
        changed = false;
        for (size_t i = g->node_count; i-- > 0;) {
            grammar_node *n = &g->nodes[i];
            measure m = measure_node(g, n);
            m.need = grammar_cap(m.need);
            if (m.nest > NEST_IMPOSSIBLE || m.need >= GRAMMAR_NEED_CAP) m.nest = NEST_IMPOSSIBLE;
            changed = changed || n->need != m.need || n->nest != m.nest || n->first != m.first;
            n->need = (uint32_t)m.need;
            n->nest = m.nest;
            n->first = m.first;
        }
    }
}

/* ---- Whole grammars ---- */

static void finish(builder *b, int32_t root) {
    if (b->status != RNL_OK) return;
    grammar *g = b->g;
    g->root = root;
    build_needs(g);
    const grammar_node *n = &g->nodes[root];
    const char *fault = NULL;
    if (n->need > NEED_CAP) fault = "the shortest value that fits has more than 16384 bytes";
    if (n->nest > GRAMMAR_NEST_CAP) fault = "values that fit are nested deeper than 16";
    if (n->need >= GRAMMAR_NEED_CAP) fault = "no value fits it";
    if (fault != NULL) b->status = status_fail(b->error, RNL_ERR_DATA, "%s: %s", b->name, fault);
}

rnl_status grammar_of_schema(const json *schema, const char *name, grammar_warn_fn warn,
                             void *context, grammar *out, rnl_error *error) {
    *out = (grammar){0};
    builder b = {
        .g = out, .root = schema, .name = name, .warn = warn, .context = context, .error = error};
    finish(&b, build_schema(&b, schema, false));
    builder_end(&b);
    return b.status;
}

/* One entry of a list of tools: its function, or NULL for mere text. A string is read into
 * *parsed, the caller's. */
static const json *function_of(const json *tool, json **parsed) {
    size_t size;
    const char *text = json_chars(tool, &size);
    *parsed = NULL;
    if (text != NULL && json_parse(text, size, "tool", parsed, NULL) != RNL_OK) return NULL;
    if (text != NULL) tool = *parsed;
    const json *function = json_get(tool, "function");
    if (function == NULL) function = tool;
    return json_is_string(json_get(function, "name")) ? function : NULL;
}

static bool is_name(const char *name, size_t size) {
    if (size == 0 || size > TOOL_NAME_CAP) return false;
    for (size_t i = 0; i < size; i++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.", name[i]) ==
                NULL ||
            name[i] == '\0')
            return false;
    return true;
}

typedef struct callable {
    const char *name;
    size_t size;
    int32_t arguments;
} callable;

/* Compiles the arguments of one tool. */
static void read_tool(builder *b, const json *function, callable *c) {
    c->name = json_chars(json_get(function, "name"), &c->size);
    if (!is_name(c->name, c->size)) {
        b->status = status_fail(b->error, RNL_ERR_DATA,
                                "%s: '%.60s' cannot be the name of a tool; use 1 to 128 letters, "
                                "digits, '_', '-' and '.'",
                                b->name, c->name);
        return;
    }
    const json *parameters = json_get(function, "parameters");
    if (parameters == NULL) parameters = json_get(function, "inputSchema");
    b->root = parameters;
    if (json_is_null(parameters))
        parameters = NULL;
    else if (!json_is_object(parameters))
        b->status = status_fail(b->error, RNL_ERR_DATA,
                                "%s: \"parameters\" of tool '%s' is no object; give a JSON schema",
                                b->name, c->name);
    if (parameters != NULL && json_count(parameters) > 0) {
        c->arguments = build_schema(b, parameters, true);
        return;
    }
    c->arguments = build_node(b);
    if (b->status == RNL_OK)
        b->g->nodes[c->arguments] =
            (grammar_node){.kind = NODE_OBJECT, .arguments = true, .item = -1};
}

static void build_calls(builder *b, const callable *all, size_t count) {
    const int32_t root = build_node(b);
    if (b->status != RNL_OK) return;
    build_literals_begin(b, root);
    b->g->nodes[root].kind = NODE_CALLS;
    for (size_t i = 0; i < count; i++) build_call(b, all[i].name, all[i].size, all[i].arguments);
    build_literals_end(b, root);
    if (b->status == RNL_OK && (size_t)(b->g->nodes[root].end - b->g->nodes[root].begin) < count)
        b->status = status_fail(b->error, RNL_ERR_DATA,
                                "%s: two tools have the same name; rename one", b->name);
    if (b->status != RNL_OK) return;
    build_needs(b->g);
    for (size_t i = 0; i < count; i++) {
        const grammar_node *n = &b->g->nodes[all[i].arguments];
        if (n->nest <= GRAMMAR_NEST_CAP && n->need < GRAMMAR_NEED_CAP) continue;
        b->status =
            status_fail(b->error, RNL_ERR_DATA, "%s: no arguments of tool '%s' fit its parameters",
                        b->name, all[i].name);
        return;
    }
    finish(b, root);
}

rnl_status grammar_of_tools(const json *tools, const char *name, grammar_warn_fn warn,
                            void *context, grammar *out, rnl_error *error) {
    *out = (grammar){.python = true};
    const size_t count = json_count(tools);
    if (!json_is_array(tools) || count == 0 || count > TOOL_CAP)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: this is no JSON array of 1 to 256 tools, each with \"name\" and "
                           "\"parameters\"",
                           name);
    builder b = {.g = out, .name = name, .warn = warn, .context = context, .error = error};
    callable all[TOOL_CAP];
    json *parsed[TOOL_CAP]; /* what the names point into */
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const json *function = function_of(json_at(tools, i), &parsed[i]);
        if (function != NULL && b.status == RNL_OK) read_tool(&b, function, &all[used++]);
        /* The same place in memory may hold the next tool's schema. */
        b.memo_count = 0;
    }
    if (used == 0 && b.status == RNL_OK)
        b.status = status_fail(error, RNL_ERR_DATA,
                               "%s: none of the tools has a \"name\", so none can be called", name);
    if (b.status == RNL_OK) build_calls(&b, all, used);
    for (size_t i = 0; i < count; i++) json_destroy(&parsed[i]);
    builder_end(&b);
    return b.status;
}

bool grammar_has_call(const grammar *g, const char *name, size_t size) {
    const grammar_node *n = &g->nodes[g->root];
    for (int i = n->begin; i < n->end; i++) {
        const grammar_literal *l = &g->literals[i];
        if (l->size == size + 1 && memcmp(g->bytes + l->at, name, size) == 0) return true;
    }
    return false;
}
