#include "apps/device_options.h"

#include <stdlib.h>
#include <string.h>

#include "core/status.h"

typedef struct key {
    const char *name;
    size_t at;    /* of its text in the config, or of its number */
    int min, max; /* of a number; both 0: a text */
} key;

#define AT(field) offsetof(rnl_device_config, field)
static const key keys[] = {
    {"opencl", AT(opencl_path), 0, 0},     {"onnxruntime", AT(onnx_path), 0, 0},
    {"provider", AT(provider_path), 0, 0}, {"provider-options", AT(provider_options), 0, 0},
    {"cache", AT(cache_path), 0, 0},       {"deadline-ms", AT(deadline_ms), 10, 600000},
};
#undef AT
enum { KEY_COUNT = sizeof keys / sizeof *keys };

static bool refuse(const char *text, rnl_error *error) {
    (void)status_fail(error, RNL_ERR_ARGUMENT,
                      "--device-set: '%s' is none of opencl=FILE, onnxruntime=FILE, provider=FILE, "
                      "provider-options=LIST, cache=FOLDER and deadline-ms=10..600000",
                      text);
    return false;
}

static bool parse_number(const key *k, const char *value, int *out) {
    char *end;
    const long number = strtol(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || number < k->min || number > k->max)
        return false;
    *out = (int)number;
    return true;
}

/* KEY=VALUE into its field. */
static bool parse(const char *text, rnl_device_config *out, rnl_error *error) {
    const size_t size = strcspn(text, "=");
    const char *value = text + size + 1;
    if (text[size] == '\0' || *value == '\0') return refuse(text, error);
    for (int i = 0; i < KEY_COUNT; i++) {
        if (strlen(keys[i].name) != size || strncmp(keys[i].name, text, size) != 0) continue;
        void *field = (char *)out + keys[i].at;
        if (keys[i].max == 0)
            *(const char **)field = value;
        else if (!parse_number(&keys[i], value, field))
            return refuse(text, error);
        return true;
    }
    return refuse(text, error);
}

bool device_options_parse(const options *o, rnl_device_config *out, rnl_error *error) {
    *out = rnl_device_config_default();
    if (o->device != NULL) out->device = o->device;
    if (o->context > out->context_cap) out->context_cap = o->context;
    for (int i = 0; i < o->device_sets.count; i++)
        if (!parse(o->device_sets.at[i], out, error)) return false;
    return true;
}
