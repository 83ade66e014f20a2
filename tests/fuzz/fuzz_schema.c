/* The first two bytes say where a schema ends; the rest is a text. A schema is refused with a
 * sentence, or has a shortest value, and so has every beginning of a text that it takes: that value
 * fits. */
#include <stdlib.h>
#include <string.h>

#include "chat/grammar.h"
#include "core/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_CAP = 20000 };

typedef struct walk {
    grammar_state state, next;
    uint32_t used[GRAMMAR_USED_CAP];
    char text[TEXT_CAP];
    size_t size;
} walk;

static bool step(const grammar *g, walk *w, unsigned char byte) {
    if (w->size == TEXT_CAP - 2 || !grammar_step(g, &w->state, w->used, byte, &w->next))
        return false;
    grammar_copy(&w->state, &w->next);
    w->text[w->size++] = (char)byte;
    return true;
}

static void check_end(const grammar *g, walk *w, const json *schema) {
    uint32_t need;
    if (grammar_need(g, &w->state, w->used) > 18000 - w->size) return;
    while ((need = grammar_need(g, &w->state, w->used)) > 0) {
        if (!step(g, w, grammar_next(g, &w->state, w->used))) abort();
        if (grammar_need(g, &w->state, w->used) >= need) abort();
    }
    if (!grammar_may_end(g, &w->state)) abort();
    json *list = NULL;
    w->text[w->size++] = ']';
    if (json_parse(w->text, w->size, "value", &list, NULL) != RNL_OK) abort();
    if (!schema_accepts(schema, schema, json_at(list, 0))) abort();
    json_destroy(&list);
}

static void check(const grammar *g, const json *schema, const uint8_t *text, size_t size) {
    static walk w;
    w.size = 0;
    w.text[w.size++] = '[';
    grammar_begin(g, &w.state);
    for (size_t i = 0; i < size && i < 2000; i++) (void)step(g, &w, text[i]);
    check_end(g, &w, schema);
}

/* What validate.c gives up on is no finding. */
static bool is_simple(const uint8_t *text, size_t size) {
    size_t references = 0;
    for (size_t i = 0; i + 4 <= size; i++) references += memcmp(text + i, "$ref", 4) == 0;
    return references < 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    const size_t said = (size_t)data[0] << 8 | data[1], rest = size - 2;
    const size_t schema_size = said < rest ? said : rest;
    json *schema = NULL;
    grammar g;
    rnl_error error = {0};
    if (json_parse((const char *)data + 2, schema_size, "schema", &schema, NULL) != RNL_OK)
        return 0;
    if (grammar_of_schema(schema, "schema", NULL, NULL, &g, &error) == RNL_OK) {
        if (is_simple(data + 2, schema_size))
            check(&g, schema, data + 2 + schema_size, rest - schema_size);
        grammar_free(&g);
    } else if (error.text[0] == '\0') {
        abort();
    }
    json_destroy(&schema);
    return 0;
}
