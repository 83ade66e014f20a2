#include "apps/lora_options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/sources.h"
#include "core/status.h"

enum { SCALE_MAX = 1000 };

/* The ':' before a scale; NULL: all of it is a name. */
static const char *find_scale(const char *text) {
    const char *colon = strrchr(text, ':');
    return colon == NULL || access(text, F_OK) == 0 ? NULL : colon;
}

static bool parse(const char *text, lora_options *out, rnl_error *error) {
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
    if (path == NULL) {
        (void)status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
        return false;
    }
    out->paths[out->count] = path;
    out->rows[out->count++] =
        (rnl_adapter_config){.name = LORA_OPTIONS_SET, .path = path, .scale = (float)scale};
    return true;
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
    for (int i = 0; i < o->lora.count; i++) {
        if (!parse(o->lora.at[i], out, error)) return false;
        lora_options_note(out->rows[i].path);
    }
    return true;
}

void lora_options_free(lora_options *l) {
    for (int i = 0; i < l->count; i++) free(l->paths[i]);
    *l = (lora_options){0};
}

const char *lora_options_set(const options *o) {
    return o->lora.count > 0 ? LORA_OPTIONS_SET : NULL;
}
