#include "core/json_fields.h"

#include <stdio.h>
#include <string.h>

#include "core/status.h"

void json_fields_fail(json_fields *f, const char *key, const char *expected) {
    if (f->status == RNL_OK)
        f->status =
            status_fail(f->error, RNL_ERR_FORMAT, "%s: %s%s should be %s; the file is damaged",
                        f->path, f->section, key, expected);
}

const json *json_fields_find(const json_fields *f, const char *const *keys) {
    for (; *keys != NULL; keys++) {
        const json *v = json_get(f->object, *keys);
        if (v != NULL && !json_is_null(v)) return v;
    }
    return NULL;
}

bool json_whole(const json *v, int64_t min, int64_t max, int64_t *out) {
    double real;
    if (json_int(v, min, max, out)) return true;
    if (!json_number(v, &real) || !(real >= (double)min && real <= (double)max)) return false;
    *out = (int64_t)real;
    return (double)*out == real;
}

bool json_is_text(const json *v, const char *text) {
    size_t size;
    const char *s = json_chars(v, &size);
    return s != NULL && size == strlen(text) && memcmp(s, text, size) == 0;
}

int json_fields_int(json_fields *f, const char *const *keys, int64_t min, int64_t max,
                    int fallback) {
    const json *v = json_fields_find(f, keys);
    int64_t value = fallback;
    if (v == NULL && fallback >= min) return fallback;
    if (v == NULL || !json_whole(v, min, max, &value)) {
        char expected[96];
        (void)snprintf(expected, sizeof expected, "a whole number from %lld to %lld",
                       (long long)min, (long long)max);
        json_fields_fail(f, keys[0], expected);
    }
    return (int)value;
}

double json_fields_number(json_fields *f, const char *const *keys, double min, double max,
                          double fallback) {
    const json *v = json_fields_find(f, keys);
    double value = fallback;
    if (v == NULL) return fallback;
    if (!json_number(v, &value) || !(value >= min && value <= max)) {
        char expected[96];
        (void)snprintf(expected, sizeof expected, "a number from %g to %g", min, max);
        json_fields_fail(f, keys[0], expected);
    }
    return value;
}

bool json_fields_bool(json_fields *f, const char *const *keys, bool fallback) {
    const json *v = json_fields_find(f, keys);
    bool value = fallback;
    if (v != NULL && !json_bool(v, &value)) json_fields_fail(f, keys[0], "true or false");
    return value;
}
