#include "tests/support/schemas.h"

#include <stdio.h>
#include <string.h>

#include "chat/grammar.h"
#include "core/json.h"

static int below(random_state *r, int count) {
    return (int)(random_u64(r) % (uint64_t)count);
}

static void put_value(random_state *r, chat_text *out, int depth) {
    static const char *const leaves[] = {"null",
                                         "true",
                                         "false",
                                         "0",
                                         "-17",
                                         "2.5",
                                         "12",
                                         "1",
                                         "\"a\"",
                                         "\"red\"",
                                         "\"it's \\\"\"",
                                         "\"K\xC3\xB6ln\"",
                                         "\"\"",
                                         "\"\\n\\u0001\"",
                                         "\"redder\"",
                                         "1e-7"};
    const int kind = depth > 1 ? 0 : below(r, 5);
    if (kind < 3) {
        chat_puts(out, leaves[below(r, 16)]);
        return;
    }
    chat_puts(out, kind == 3 ? "[" : "{");
    const int count = below(r, 3);
    for (int i = 0; i < count; i++) {
        char key[24];
        if (i > 0) chat_puts(out, ", ");
        (void)snprintf(key, sizeof key, "\"k%d\": ", i);
        if (kind == 4) chat_puts(out, key);
        put_value(r, out, depth + 1);
    }
    chat_puts(out, kind == 3 ? "]" : "}");
}

static void put_schema(random_state *r, chat_text *out, int depth, bool plain_names);

static void put_object(random_state *r, chat_text *out, int depth, bool plain_names) {
    static const char *const names[] = {"city",  "days",         "ci",   "cities", "a",
                                        "value", "odd \\\"name", "it's", "d"};
    const int count = below(r, 4), first = below(r, 3);
    chat_puts(out, "\"type\": \"object\", \"properties\": {");
    for (int i = 0; i < count; i++) {
        const int name = plain_names ? (first + i) % 6 : (first + 2 * i) % 9;
        chat_puts(out, i > 0 ? ", \"" : "\"");
        chat_puts(out, names[name]);
        chat_puts(out, "\": ");
        put_schema(r, out, depth + 1, false);
    }
    chat_puts(out, "}");
    if (below(r, 2) == 0) {
        chat_puts(out, ", \"required\": [");
        for (int i = 0, k = 0; i < count; i++) {
            if (below(r, 2) == 0) continue;
            chat_puts(out, k++ > 0 ? ", \"" : "\"");
            chat_puts(out, names[plain_names ? (first + i) % 6 : (first + 2 * i) % 9]);
            chat_puts(out, "\"");
        }
        chat_puts(out, "]");
    }
    const int others = below(r, 4);
    if (others == 0) chat_puts(out, ", \"additionalProperties\": false");
    if (others == 1) chat_puts(out, ", \"additionalProperties\": true");
    if (others == 2) {
        chat_puts(out, ", \"additionalProperties\": ");
        put_schema(r, out, depth + 1, false);
    }
}

static void put_array(random_state *r, chat_text *out, int depth) {
    char limits[64];
    chat_puts(out, "\"type\": \"array\"");
    if (below(r, 3) > 0) {
        chat_puts(out, ", \"items\": ");
        put_schema(r, out, depth + 1, false);
    }
    const int min = below(r, 3);
    if (below(r, 2) == 0) {
        (void)snprintf(limits, sizeof limits, ", \"minItems\": %d", min);
        chat_puts(out, limits);
    }
    if (below(r, 2) == 0) {
        (void)snprintf(limits, sizeof limits, ", \"maxItems\": %d", min + below(r, 3));
        chat_puts(out, limits);
    }
}

static void put_list(random_state *r, chat_text *out, const char *keyword, int depth, bool values) {
    const int count = 1 + below(r, 4);
    chat_puts(out, keyword);
    for (int i = 0; i < count; i++) {
        if (i > 0) chat_puts(out, ", ");
        if (values)
            put_value(r, out, 0);
        else
            put_schema(r, out, depth + 1, false);
    }
    chat_puts(out, "]");
}

static void put_schema(random_state *r, chat_text *out, int depth, bool arguments) {
    static const char *const simple[] = {"\"type\": \"string\"",
                                         "\"type\": \"integer\"",
                                         "\"type\": \"number\"",
                                         "\"type\": \"boolean\"",
                                         "\"type\": \"null\"",
                                         "\"type\": [\"string\", \"null\"]",
                                         "\"type\": [\"integer\", \"array\"]",
                                         ""};
    const int kind = arguments ? 3 : below(r, depth > 2 ? 3 : 9);
    chat_puts(out, "{");
    if (kind < 2) chat_puts(out, simple[below(r, 8)]);
    if (kind == 2) put_list(r, out, "\"enum\": [", depth, true);
    if (kind == 3 || kind == 4) put_object(r, out, depth, arguments);
    if (kind == 5) put_array(r, out, depth);
    if (kind == 6) put_list(r, out, "\"anyOf\": [", depth, false);
    if (kind == 7) {
        chat_puts(out, "\"const\": ");
        put_value(r, out, 0);
    }
    if (kind == 8)
        chat_puts(out,
                  below(r, 2) == 0 ? "\"$ref\": \"#/$defs/tree\"" : "\"$ref\": \"#/$defs/leaf\"");
    if (kind != 6 && kind != 8 && depth == 1 && below(r, 6) == 0) {
        if (out->data[out->size - 1] != '{') chat_puts(out, ", ");
        put_list(r, out, "\"anyOf\": [", depth, false);
    }
    if (depth == 0)
        chat_puts(out, ", \"$defs\": {\"tree\": {\"type\": \"object\", \"properties\": {\"left\": "
                       "{\"$ref\": \"#/$defs/tree\"}, \"n\": {\"type\": \"integer\"}}, "
                       "\"required\": [\"n\"]}, \"leaf\": {\"anyOf\": [{\"type\": \"string\"}, "
                       "{\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/leaf\"}}]}}");
    chat_puts(out, "}");
}

void schema_random(random_state *r, chat_text *out) {
    const size_t begin = out->size;
    put_schema(r, out, 0, false);
    /* {, "$defs" of a schema without a keyword before it */
    if (out->data[begin + 1] == ',') out->data[begin + 1] = ' ';
}

void tools_random(random_state *r, chat_text *out) {
    const int count = 1 + below(r, 4);
    chat_puts(out, "[");
    for (int i = 0; i < count; i++) {
        char head[64];
        (void)snprintf(head, sizeof head,
                       "%s{\"name\": \"f%.*s\", \"parameters\": ", i > 0 ? ", " : "", i, "abc");
        chat_puts(out, head);
        put_schema(r, out, 0, true);
        chat_puts(out, "}");
    }
    chat_puts(out, "]");
}

bool tools_accept(const json *tools, const json *call) {
    const char *name = json_chars(json_get(call, "tool"), NULL);
    for (size_t i = 0; name != NULL && i < json_count(tools); i++) {
        const json *tool = json_at(tools, i), *schema = json_get(tool, "parameters");
        if (strcmp(json_chars(json_get(tool, "name"), NULL), name) != 0) continue;
        return schema_accepts(schema, schema, json_get(call, "arguments"));
    }
    return false;
}

bool schema_accepts_text(const json *schema, const char *text, size_t size) {
    chat_text t = {0};
    json *list = NULL;
    chat_puts(&t, "["); /* within a list Jansson takes any value */
    chat_put(&t, text, size);
    chat_puts(&t, "]");
    const bool parsed = json_parse(t.data, t.size, "value", &list, NULL) == RNL_OK;
    const bool good =
        parsed && json_count(list) == 1 && schema_accepts(schema, schema, json_at(list, 0));
    if (parsed) json_destroy(&list);
    chat_text_free(&t);
    return good;
}
