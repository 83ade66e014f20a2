/* What a model's files say of conversations: the chat template's text, and which ids end an
 * answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "core/status.h"
#include "engine/source.h"

enum { PATH_CAP = 4096, CONFIG_SIZE_CAP = 16 << 20 };

static const char stop_key[] = "runnel.stop_ids";

static rnl_status keep_template(source *s, const char *text, size_t size, rnl_error *error) {
    if (size > SOURCE_TEMPLATE_CAP) return RNL_OK;
    s->chat_template = malloc(size + 1);
    if (s->chat_template == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "memory for the chat template is exhausted");
    if (size > 0) memcpy(s->chat_template, text, size);
    s->chat_template[size] = '\0';
    s->chat_template_size = size;
    return RNL_OK;
}

static void add_stop(source *s, int64_t id) {
    if (id < 0 || id >= s->config.vocab_count || s->stop_count == SOURCE_STOP_CAP) return;
    for (int i = 0; i < s->stop_count; i++)
        if (s->stop_ids[i] == id) return;
    s->stop_ids[s->stop_count++] = (int32_t)id;
}

rnl_status source_chat_of_gguf(source *s, const gguf *g, rnl_error *error) {
    const char *text;
    size_t size, count = 0;
    int64_t id;
    if (gguf_int(g, "tokenizer.ggml.eos_token_id", 0, INT32_MAX, &id)) add_stop(s, id);
    if (!gguf_array_count(g, stop_key, &count)) count = 0;
    for (size_t i = 0; i < count; i++)
        if (gguf_array_int(g, stop_key, i, &id)) add_stop(s, id);
    if (!gguf_string(g, "tokenizer.chat_template", &text, &size)) return RNL_OK;
    return keep_template(s, text, size, error);
}

void source_write_chat(const source *s, gguf_writer *w) {
    if (s->chat_template != NULL)
        gguf_put_string(w, "tokenizer.chat_template", s->chat_template, s->chat_template_size);
    if (s->stop_count > 0) gguf_put_i32_array(w, stop_key, s->stop_ids, (size_t)s->stop_count);
}

/* A JSON file of the directory; NULL when it is missing or damaged. */
static json *read_file(const char *directory, const char *name) {
    char path[PATH_CAP];
    json *root = NULL;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path) return NULL;
    if (access(path, R_OK) != 0 || json_read(path, CONFIG_SIZE_CAP, &root, NULL) != RNL_OK)
        return NULL;
    return root;
}

static void read_stops(source *s, const char *directory) {
    json *root = read_file(directory, "generation_config.json");
    const json *eos = json_get(root, "eos_token_id");
    int64_t id;
    if (json_int(eos, 0, INT32_MAX, &id)) add_stop(s, id);
    for (size_t i = 0; json_is_array(eos) && i < json_count(eos); i++)
        if (json_int(json_at(eos, i), 0, INT32_MAX, &id)) add_stop(s, id);
    json_destroy(&root);
}

/* A file of its own, of newer models. *found false: there is none that can be read. */
static rnl_status read_jinja(source *s, const char *directory, bool *found, rnl_error *error) {
    char path[PATH_CAP];
    *found = false;
    if ((size_t)snprintf(path, sizeof path, "%s/chat_template.jinja", directory) >= sizeof path)
        return RNL_OK;
    if (access(path, R_OK) != 0) return RNL_OK;
    FILE *f = fopen(path, "rb");
    char *text = f != NULL ? malloc(SOURCE_TEMPLATE_CAP) : NULL;
    const size_t size = text != NULL ? fread(text, 1, SOURCE_TEMPLATE_CAP, f) : 0;
    if (f != NULL) (void)fclose(f);
    *found = size > 0 && size < SOURCE_TEMPLATE_CAP;
    const rnl_status status = *found ? keep_template(s, text, size, error) : RNL_OK;
    free(text);
    return status;
}

/* Of several, which have names, the one called "default". */
static const json *template_in(const json *config) {
    const json *all = json_get(config, "chat_template");
    if (!json_is_array(all)) return all;
    for (size_t i = 0; i < json_count(all); i++) {
        const char *name = json_chars(json_get(json_at(all, i), "name"), NULL);
        if (name != NULL && strcmp(name, "default") == 0)
            return json_get(json_at(all, i), "template");
    }
    return json_get(json_at(all, 0), "template");
}

rnl_status source_chat_of_hf(source *s, const char *directory, rnl_error *error) {
    static const char *const files[] = {"tokenizer_config.json", "chat_template.json"};
    bool found;
    read_stops(s, directory);
    rnl_status status = read_jinja(s, directory, &found, error);
    for (size_t i = 0; status == RNL_OK && !found && i < 2; i++) {
        json *root = read_file(directory, files[i]);
        size_t size;
        const char *text = json_chars(template_in(root), &size);
        found = text != NULL;
        if (found) status = keep_template(s, text, size, error);
        json_destroy(&root);
    }
    return status;
}
