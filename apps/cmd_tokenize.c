/* runnel tokenize: the ids of text lines, one line of numbers for each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "core/utf8.h"
#include "engine/model.h"

typedef struct tokenizing {
    const bpe *text;
    bpe_scratch scratch;
    int32_t *ids;
    size_t cap;
    void *memory;
    bool as_json; /* a line is an array */
} tokenizing;

enum { PIECE_CAP = 65536, ID_CAP = 1 << 20 };

static void layout(tokenizing *t, arena *a) {
    bpe_scratch_layout(&t->scratch, PIECE_CAP, a);
    t->ids = arena_take(a, ID_CAP, sizeof *t->ids);
}

static bool prepare(tokenizing *t) {
    arena a = {0};
    layout(t, &a);
    t->memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    if (t->memory == NULL) return false;
    arena placed = {.base = t->memory, .size_cap = a.size_used};
    layout(t, &placed);
    return true;
}

static int print_ids(tokenizing *t, const char *text, size_t size) {
    size_t count;
    rnl_error error = {0};
    if (!utf8_is_valid(text, size))
        return complain(EXIT_INPUT, "tokenize: the text is not valid UTF-8; convert it first");
    if (bpe_encode(t->text, &t->scratch, text, size, true, t->ids, ID_CAP, &count, &error) !=
        RNL_OK)
        return complain(EXIT_INPUT, "%s", error.text);
    const char *const between = t->as_json ? "," : " ";
    if (t->as_json) printf("[");
    for (size_t i = 0; i < count; i++) printf("%s%d", i > 0 ? between : "", t->ids[i]);
    printf(t->as_json ? "]\n" : "\n");
    return EXIT_OK;
}

static int print_lines(tokenizing *t) {
    char *line = NULL;
    size_t cap = 0;
    int code = EXIT_OK;
    for (ssize_t size; code == EXIT_OK && (size = getline(&line, &cap, stdin)) >= 0;) {
        if (size > 0 && line[size - 1] == '\n') size--;
        code = print_ids(t, line, (size_t)size);
    }
    free(line);
    return code;
}

static int run(const options *o) {
    int code;
    options exact = *o;
    exact.exact = true; /* nothing is computed */
    rnl_model *model = open_model(&exact, &code);
    if (model == NULL) return code;
    tokenizing t = {.text = model->source.text, .as_json = o->json};
    if (t.text == NULL)
        code = complain(EXIT_MODEL, "%s: the model has no vocabulary", model->path);
    else if (!prepare(&t))
        code = complain(EXIT_FAILED, "memory is exhausted");
    else if (o->argument_count == 0)
        code = print_lines(&t);
    for (int i = 0; i < o->argument_count && code == EXIT_OK; i++)
        code = print_ids(&t, o->arguments[i], strlen(o->arguments[i]));
    free(t.memory);
    rnl_model_close(&model);
    return code;
}

const command command_tokenize = {
    .name = "tokenize",
    .summary = "the token ids of text",
    .synopsis = "[options] [TEXT ...]",
    .about =
        "One line of ids for each argument, or for each line of standard input. Special tokens\n"
        "written in the text count as such.",
    .options = {&options_json, &options_lora},
    .run = run,
};
