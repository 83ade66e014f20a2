#include "apps/tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apps/messages.h"
#include "apps/sources.h"
#include "chat/text.h"
#include "core/json.h"

static void warn(void *context, rnl_log_level level, const char *text) {
    const options *o = context;
    (void)level;
    if (!o->quiet) (void)fprintf(stderr, "runnel: %s\n", text);
}

static int read_constraint(const options *o, rnl_model *model, const char *path, bool tools,
                           rnl_constraint **out) {
    char date[16] = "";
    const time_t now = time(NULL);
    struct tm day;
    size_t size;
    rnl_error error = {0};
    source_note(path);
    FILE *f = fopen(path, "rb");
    char *text = f != NULL ? read_to_end(f, RNL_CONSTRAINT_SIZE_MAX, &size) : NULL;
    if (f != NULL) (void)fclose(f);
    if (text == NULL)
        return complain(EXIT_INPUT, "%s: the file cannot be read, or has more than 1 MiB", path);
    if (localtime_r(&now, &day) != NULL) (void)strftime(date, sizeof date, "%Y-%m-%d", &day);
    const rnl_constraint_config config = {
        .name = path, .date = date[0] != '\0' ? date : NULL, .log = warn, .log_context = (void *)o};
    const rnl_status status = tools ? rnl_tools_create(model, text, size, &config, out, &error)
                                    : rnl_schema_create(model, text, size, &config, out, &error);
    free(text);
    if (status == RNL_OK) return EXIT_OK;
    const bool input = status == RNL_ERR_DATA || status == RNL_ERR_FORMAT;
    return complain(input ? EXIT_INPUT : exit_code(&error), "%s", error.text);
}

int held_open(const options *o, rnl_model *model, held *h) {
    *h = (held){0};
    int code = EXIT_OK;
    if (o->tools != NULL) code = read_constraint(o, model, o->tools, true, &h->tools);
    if (code == EXIT_OK && o->json_schema != NULL)
        code = read_constraint(o, model, o->json_schema, false, &h->schema);
    if (code != EXIT_OK) held_close(h);
    return code;
}

void held_close(held *h) {
    rnl_constraint_destroy(&h->tools);
    rnl_constraint_destroy(&h->schema);
}

void calls_note(calls_made *made, const char *text, size_t size) {
    json *call = NULL;
    if (made->count == CALLS_MADE_CAP || json_parse(text, size, "call", &call, NULL) != RNL_OK)
        return;
    const char *name = json_chars(json_get(call, "tool"), NULL);
    if (name != NULL) (void)snprintf(made->names[made->count++], CALL_NAME_CAP, "%s", name);
    json_destroy(&call);
}

char *result_of_line(const char *line, const char *name, size_t *size) {
    json *root = NULL;
    chat_text text = {0};
    const bool parsed = json_parse(line, strlen(line), "line", &root, NULL) == RNL_OK;
    const json *result = parsed ? json_get(root, "result") : NULL;
    const char *chars = json_chars(result, size);
    if (chars != NULL)
        chat_put(&text, chars, *size);
    else if (result != NULL)
        chat_put_json(&text, result);
    json_destroy(&root);
    if (result == NULL)
        (void)complain(EXIT_INPUT,
                       "the result of %s is to come as a line {\"result\": ...}; this line is none",
                       name);
    else if (text.failed)
        (void)complain(EXIT_FAILED, "memory is exhausted");
    if (result == NULL || text.failed) {
        chat_text_free(&text);
        return NULL;
    }
    *size = text.size;
    return text.data;
}
