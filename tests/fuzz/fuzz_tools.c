/* The first two bytes say where a list of tools ends; the rest is what a model says of calls. The
 * list is refused with a sentence, or can be called: what it lets through is read as calls of it,
 * and those are JSON. The same words are read as they stand, too. */
#include <stdlib.h>
#include <string.h>

#include "chat/calls.h"
#include "chat/grammar.h"
#include "chat/template.h"
#include "core/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_CAP = CALLS_SIZE_CAP };

static bool is_known(const void *context, const char *name, size_t size) {
    return context == NULL || grammar_has_call(context, name, size);
}

/* Every call that is counted is JSON. */
static int check_calls(const char *text, size_t size, const grammar *g) {
    static char out[8 * TEXT_CAP];
    const int count = calls_count(text, size, is_known, g);
    for (int i = 0; i < count; i++) {
        json *call = NULL;
        const size_t length = calls_write(text, size, i, out, sizeof out);
        if (length == 0 || length > sizeof out) abort();
        if (json_parse(out, length, "call", &call, NULL) == RNL_OK) {
            if (!json_is_object(json_get(call, "arguments"))) abort();
            json_destroy(&call);
        } else if (g != NULL) {
            abort();
        }
    }
    return count;
}

static void check_texts(const grammar *g, const uint8_t *bytes, size_t count) {
    static grammar_state state, next;
    static uint32_t used[GRAMMAR_USED_CAP];
    static char text[TEXT_CAP + 1];
    size_t size = 0;
    grammar_begin(g, &state);
    for (size_t i = 0; i < count + TEXT_CAP && size < TEXT_CAP; i++) {
        if (i >= count && grammar_need(g, &state, used) == 0) break;
        const unsigned char byte = i < count ? bytes[i] : grammar_next(g, &state, used);
        if (!grammar_step(g, &state, used, byte, &next)) {
            if (i >= count) abort();
            continue;
        }
        grammar_copy(&state, &next);
        text[size++] = (char)byte;
    }
    if (size < TEXT_CAP && check_calls(text, size, g) < 1) abort();
}

static bool pass(void *context, const chat_piece *piece) {
    *(size_t *)context += piece->size;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    const size_t said = (size_t)data[0] << 8 | data[1], rest = size - 2;
    const size_t list_size = said < rest ? said : rest;
    const uint8_t *words = data + 2 + list_size;
    json *tools = NULL;
    grammar g;
    rnl_error error = {0};
    (void)check_calls((const char *)words, rest - list_size, NULL);
    if (json_parse((const char *)data + 2, list_size, "tools", &tools, NULL) != RNL_OK) return 0;
    if (grammar_of_tools(tools, "tools", NULL, NULL, &g, &error) == RNL_OK) {
        check_texts(&g, words, rest - list_size);
        grammar_free(&g);
    } else if (error.text[0] == '\0') {
        abort();
    }
    for (int kind = 0; kind < CHAT_KIND_COUNT; kind++) {
        const chat_template t = chat_template_of(kind);
        size_t total = 0;
        if (chat_render_tools(&t, "S", 1, tools, pass, &total) != RNL_OK || total < 16) abort();
    }
    json_destroy(&tools);
    return 0;
}
