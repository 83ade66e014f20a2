#include "apps/lora_options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/sources.h"
#include "core/status.h"
#include "engine/adapters.h"

enum { SCALE_MAX = 1000 };

/* The ':' before a scale; NULL: all of it is a name. */
static const char *find_scale(const char *text) {
    const char *colon = strrchr(text, ':');
    return colon == NULL || access(text, F_OK) == 0 ? NULL : colon;
}

static bool no_memory(rnl_error *error) {
    (void)status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    return false;
}

/* FILE[:SCALE] of a set. */
static bool parse(const char *text, const char *set, lora_options *out, rnl_error *error) {
    const char *colon = find_scale(text);
    char *end = NULL;
    double scale = 1;
    if (colon != NULL) scale = strtod(colon + 1, &end);
    if (colon != NULL && (end == colon + 1 || *end != '\0' || !(fabs(scale) <= SCALE_MAX))) {
        (void)status_fail(error, RNL_ERR_ARGUMENT,
                          "--lora: '%s' is no file, and ends in no scale from -%d to %d either",
                          text, SCALE_MAX, SCALE_MAX);
        return false;
    }
    char *path = colon != NULL ? strndup(text, (size_t)(colon - text)) : strdup(text);
    if (path == NULL) return no_memory(error);
    out->paths[out->count] = path;
    out->rows[out->count++] =
        (rnl_adapter_config){.name = set, .path = path, .scale = (float)scale};
    lora_options_note(path);
    return true;
}

/* NAME=FILE[:SCALE]. The name is part of addresses: /v1/models/NAME. */
static bool parse_named(const char *text, lora_options *out, rnl_error *error) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-";
    const size_t size = strspn(text, letters);
    if (size == 0 || size >= ADAPTER_NAME_CAP || text[size] != '=') {
        (void)status_fail(error, RNL_ERR_ARGUMENT,
                          "--lora: '%s' begins with no name and '='; give NAME=FILE[:SCALE], where "
                          "NAME has 1 to %d letters, digits, '.', '_' and '-'",
                          text, ADAPTER_NAME_CAP - 1);
        return false;
    }
    char *name = strndup(text, size);
    if (name == NULL) return no_memory(error);
    out->names[out->count] = name;
    return parse(text + size + 1, name, out, error);
}

void lora_options_note(const char *path) {
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors"};
    source_note(path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *full = malloc(strlen(path) + strlen(names[i]) + 2);
        if (full == NULL) return;
        (void)strcpy(full, path);
        (void)strcat(strcat(full, "/"), names[i]);
        source_note(full);
        free(full);
    }
}

bool lora_options_parse(const options *o, lora_options *out, rnl_error *error) {
    *out = (lora_options){0};
    for (int i = 0; i < o->lora.count; i++)
        if (!parse(o->lora.at[i], LORA_OPTIONS_SET, out, error)) return false;
    for (int i = 0; i < o->serve.adapters.count; i++)
        if (!parse_named(o->serve.adapters.at[i], out, error)) return false;
    return true;
}

void lora_options_free(lora_options *l) {
    for (int i = 0; i < RNL_ADAPTER_CAP; i++) {
        free(l->paths[i]);
        free(l->names[i]);
    }
    *l = (lora_options){0};
}

const char *lora_options_set(const options *o) {
    return o->lora.count > 0 ? LORA_OPTIONS_SET : NULL;
}
