/* Looking keys up in a GGUF file that gguf.c has checked. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/gguf_inner.h"

static const gguf_key *find(const gguf *g, const char *name) {
    const size_t size = strlen(name);
    size_t low = 0, high = g->key_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const gguf_key *k = g->sorted[middle];
        const size_t common = k->name_size < size ? k->name_size : size;
        int order = memcmp(k->name, name, common);
        if (order == 0) order = k->name_size < size ? -1 : k->name_size > size;
        if (order == 0) return k;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool gguf_has(const gguf *g, const char *key) {
    return find(g, key) != NULL;
}

/* One integer of any width at p; false for other kinds and for u64 beyond int64. */
static bool load_int(uint32_t kind, const unsigned char *p, int64_t *out) {
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
    } v = {0};
    switch (kind) {
    case GGUF_U8:
        *out = *p;
        return true;
    case GGUF_I8:
        memcpy(&v.i8, p, 1);
        *out = v.i8;
        return true;
    case GGUF_U16:
        memcpy(&v.u16, p, 2);
        *out = v.u16;
        return true;
    case GGUF_I16:
        memcpy(&v.i16, p, 2);
        *out = v.i16;
        return true;
    case GGUF_U32:
        memcpy(&v.u32, p, 4);
        *out = v.u32;
        return true;
    case GGUF_I32:
        memcpy(&v.i32, p, 4);
        *out = v.i32;
        return true;
    case GGUF_U64:
        memcpy(&v.u64, p, 8);
        *out = (int64_t)v.u64;
        return v.u64 <= INT64_MAX;
    case GGUF_I64:
        memcpy(&v.i64, p, 8);
        *out = v.i64;
        return true;
    default:
        return false;
    }
}

bool gguf_int(const gguf *g, const char *key, int64_t min, int64_t max, int64_t *out) {
    const gguf_key *k = find(g, key);
    int64_t value;
    if (k == NULL || !load_int(k->kind, k->value, &value) || value < min || value > max)
        return false;
    *out = value;
    return true;
}

bool gguf_float(const gguf *g, const char *key, double *out) {
    const gguf_key *k = find(g, key);
    if (k == NULL || (k->kind != GGUF_F32 && k->kind != GGUF_F64)) return false;
    float single = 0;
    double real = 0;
    if (k->kind == GGUF_F32)
        memcpy(&single, k->value, sizeof single);
    else
        memcpy(&real, k->value, sizeof real);
    *out = k->kind == GGUF_F32 ? (double)single : real;
    return isfinite(*out);
}

bool gguf_bool(const gguf *g, const char *key, bool *out) {
    const gguf_key *k = find(g, key);
    if (k == NULL || k->kind != GGUF_BOOL) return false;
    *out = *k->value != 0;
    return true;
}

bool gguf_string(const gguf *g, const char *key, const char **text, size_t *size) {
    const gguf_key *k = find(g, key);
    if (k == NULL || k->kind != GGUF_STRING) return false;
    *text = (const char *)k->value;
    *size = k->value_size;
    return true;
}

bool gguf_array_count(const gguf *g, const char *key, size_t *count) {
    const gguf_key *k = find(g, key);
    if (k == NULL || k->kind != GGUF_ARRAY) return false;
    *count = k->count;
    return true;
}

static size_t int_size(uint32_t kind) {
    switch (kind) {
    case GGUF_U8:
    case GGUF_I8:
        return 1;
    case GGUF_U16:
    case GGUF_I16:
        return 2;
    case GGUF_U32:
    case GGUF_I32:
        return 4;
    case GGUF_U64:
    case GGUF_I64:
        return 8;
    default:
        return 0;
    }
}

bool gguf_array_int(const gguf *g, const char *key, size_t index, int64_t *out) {
    const gguf_key *k = find(g, key);
    if (k == NULL || k->kind != GGUF_ARRAY || index >= k->count) return false;
    const size_t size = int_size(k->element_kind);
    return size > 0 && load_int(k->element_kind, k->value + index * size, out);
}

bool gguf_array_float(const gguf *g, const char *key, size_t index, double *out) {
    const gguf_key *k = find(g, key);
    float value;
    if (k == NULL || k->kind != GGUF_ARRAY || index >= k->count || k->element_kind != GGUF_F32)
        return false;
    memcpy(&value, k->value + index * sizeof value, sizeof value);
    *out = (double)value;
    return isfinite(*out);
}

bool gguf_each_string(const gguf *g, const char *key, gguf_string_fn fn, void *context) {
    const gguf_key *k = find(g, key);
    if (k == NULL || k->kind != GGUF_ARRAY || k->element_kind != GGUF_STRING) return false;
    const unsigned char *p = k->value; /* sizes were checked when the file was opened */
    for (size_t i = 0; i < k->count; i++) {
        uint64_t size;
        memcpy(&size, p, sizeof size);
        p += sizeof size;
        if (!fn(context, i, (const char *)p, (size_t)size)) return false;
        p += size;
    }
    return true;
}

size_t gguf_key_count(const gguf *g) {
    return g->key_count;
}

const char *gguf_key_name(const gguf *g, size_t index, size_t *size) {
    *size = g->keys[index].name_size;
    return g->keys[index].name;
}

void gguf_key_text(const gguf *g, size_t index, char *text, size_t cap) {
    const gguf_key *k = &g->keys[index];
    int64_t integer;
    if (k->kind == GGUF_STRING) {
        (void)snprintf(text, cap, "%.*s", (int)(k->value_size < 200 ? k->value_size : 200),
                       (const char *)k->value);
    } else if (k->kind == GGUF_ARRAY) {
        (void)snprintf(text, cap, "[%zu values]", k->count);
    } else if (k->kind == GGUF_BOOL) {
        (void)snprintf(text, cap, "%s", *k->value != 0 ? "true" : "false");
    } else if (load_int(k->kind, k->value, &integer)) {
        (void)snprintf(text, cap, "%lld", (long long)integer);
    } else {
        float single = 0;
        double real = 0;
        if (k->kind == GGUF_F32)
            memcpy(&single, k->value, sizeof single);
        else if (k->kind == GGUF_F64)
            memcpy(&real, k->value, sizeof real);
        (void)snprintf(text, cap, "%g", k->kind == GGUF_F32 ? (double)single : real);
    }
}
