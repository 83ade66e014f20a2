#include "apps/refs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/messages.h"
#include "core/json.h"
#include "core/status.h"
#include "core/utf8.h"

static rnl_status no_memory(const char *name, rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
}

static bool grow(refs *r) {
    if (r->count < r->cap) return true;
    const size_t cap = r->cap == 0 ? 64 : 2 * r->cap;
    char **paths = realloc(r->paths, cap * sizeof *paths);
    if (paths == NULL) return false;
    r->paths = paths;
    char **texts = realloc(r->texts, cap * sizeof *texts);
    if (texts == NULL) return false;
    r->texts = texts;
    r->cap = cap;
    return true;
}

static char *join(const char *folder, const char *path) {
    const bool alone = folder == NULL || *folder == '\0' || *path == '/';
    const size_t cap = (alone ? 0 : strlen(folder) + 1) + strlen(path) + 1;
    char *out = malloc(cap);
    if (out != NULL)
        (void)snprintf(out, cap, "%s%s%s", alone ? "" : folder, alone ? "" : "/", path);
    return out;
}

static rnl_status add(refs *r, const char *name, size_t line, const json *o, const char *folder,
                      const char *key, rnl_error *error) {
    size_t path_size = 0, text_size = 0;
    const char *path = json_chars(json_get(o, key), &path_size);
    const char *text = json_chars(json_get(o, "text"), &text_size);
    if (path == NULL || path_size == 0 || strlen(path) != path_size || text == NULL)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: line %zu: %s or text is missing or no string", name, line, key);
    if (r->count == REFS_COUNT_CAP)
        return status_fail(error, RNL_ERR_FORMAT, "%s: more than %d lines; split the file", name,
                           REFS_COUNT_CAP);
    if (!grow(r)) return no_memory(name, error);
    r->paths[r->count] = join(folder, path);
    r->texts[r->count] = strndup(text, text_size);
    r->count++;
    return r->paths[r->count - 1] != NULL && r->texts[r->count - 1] != NULL
               ? RNL_OK
               : no_memory(name, error);
}

static bool line_is_blank(const char *text, size_t size) {
    size_t at = 0;
    while (at < size && strchr(" \t\r", text[at]) != NULL && text[at] != '\0') at++;
    return at == size;
}

static rnl_status parse_line(refs *r, const char *name, size_t line, const char *text, size_t size,
                             const char *folder, const char *key, rnl_error *error) {
    json *o = NULL;
    rnl_error inner = {0};
    if (line_is_blank(text, size)) return RNL_OK;
    if (size > REFS_LINE_CAP)
        return status_fail(error, RNL_ERR_FORMAT, "%s: line %zu is longer than 16 MiB", name, line);
    if (json_parse(text, size, "the line", &o, &inner) != RNL_OK)
        return status_fail(error, inner.status == RNL_ERR_MEMORY ? RNL_ERR_MEMORY : RNL_ERR_FORMAT,
                           "%s: line %zu is no JSON object: %.200s", name, line, inner.text);
    const rnl_status status = add(r, name, line, o, folder, key, error);
    json_destroy(&o);
    return status;
}

rnl_status refs_parse(const char *name, const char *text, size_t size, const char *folder,
                      const char *key, refs *out, rnl_error *error) {
    *out = (refs){0};
    size_t line = 1;
    for (size_t at = 0; at < size; line++) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t stop = end != NULL ? (size_t)(end - text) : size;
        const size_t begin = at + utf8_mark_size(text + at, stop - at);
        const rnl_status status =
            parse_line(out, name, line, text + begin, stop - begin, folder, key, error);
        if (status != RNL_OK) {
            refs_free(out);
            return status;
        }
        at = stop + 1;
    }
    return RNL_OK;
}

rnl_status refs_read(const char *path, const char *key, refs *out, rnl_error *error) {
    *out = (refs){0};
    char *text;
    size_t size;
    rnl_status status = text_of_file(path, &text, &size, error);
    if (status != RNL_OK) return status;
    const char *slash = strrchr(path, '/');
    char *folder = slash != NULL ? strndup(path, (size_t)(slash - path)) : strdup("");
    /* In the root folder the name before the slash is empty. */
    if (slash == path && folder != NULL) {
        free(folder);
        folder = strdup("/.");
    }
    status = folder == NULL ? no_memory(path, error)
                            : refs_parse(path, text, size, folder, key, out, error);
    free(folder);
    free(text);
    return status;
}

void refs_free(refs *r) {
    for (size_t i = 0; i < r->count; i++) {
        free(r->paths[i]);
        free(r->texts[i]);
    }
    free(r->paths);
    free(r->texts);
    *r = (refs){0};
}
