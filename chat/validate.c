/* Whether a value fits a schema: the keywords that grammar_of_schema holds. */
#include <math.h>
#include <string.h>

#include "chat/grammar.h"
#include "core/json.h"

/* Schemas that refer to themselves in several places would take for ever. */
enum { VALIDATE_DEPTH_CAP = 64, VALIDATE_STEP_CAP = 100000 };

typedef struct same_job {
    const json *other;
} same_job;

static bool same_member(void *context, const char *key, size_t size, const json *value) {
    const same_job *job = context;
    return strlen(key) == size && json_same(json_get(job->other, key), value);
}

bool json_same(const json *a, const json *b) {
    double x, y;
    bool p, q;
    size_t n, m;
    const char *s = json_chars(a, &n), *t = json_chars(b, &m);
    if (s != NULL || t != NULL) return s != NULL && t != NULL && n == m && memcmp(s, t, n) == 0;
    if (json_bool(a, &p) || json_bool(b, &q)) return json_bool(a, &p) && json_bool(b, &q) && p == q;
    if (json_number(a, &x) || json_number(b, &y)) {
        int64_t i, j;
        if (json_int(a, INT64_MIN, INT64_MAX, &i) && json_int(b, INT64_MIN, INT64_MAX, &j))
            return i == j;
        return json_number(a, &x) && json_number(b, &y) && x == y;
    }
    if (json_is_array(a) != json_is_array(b) || json_is_object(a) != json_is_object(b) ||
        json_count(a) != json_count(b))
        return false;
    same_job job = {b};
    if (json_is_object(a)) return json_each(a, same_member, &job);
    for (size_t i = 0; i < json_count(a); i++)
        if (!json_same(json_at(a, i), json_at(b, i))) return false;
    return (a == NULL) == (b == NULL);
}

/* One step of a pointer, ~0 and ~1 read as they are meant. */
static bool take_step(const char **at, const char *end, char *key, size_t cap) {
    size_t size = 0;
    for ((*at)++; *at < end && **at != '/'; (*at)++) {
        char c = **at;
        if (c == '~' && *at + 1 < end) c = *++*at == '1' ? '/' : '~';
        if (size + 1 >= cap) return false;
        key[size++] = c;
    }
    key[size] = '\0';
    return true;
}

const json *schema_find(const json *root, const char *reference, size_t size) {
    const char *at = reference + 1, *end = reference + size;
    const json *found = root;
    if (size == 0 || reference[0] != '#') return NULL;
    while (at < end && found != NULL) {
        char key[256];
        if (*at != '/' || !take_step(&at, end, key, sizeof key)) return NULL;
        size_t index = 0;
        for (const char *p = key; *p >= '0' && *p <= '9' && index < 100000; p++)
            index = 10 * index + (size_t)(*p - '0');
        found = json_is_array(found) ? json_at(found, index) : json_get(found, key);
    }
    return found;
}

static bool type_fits(const char *name, const json *value) {
    bool yes;
    double number;
    if (strcmp(name, "object") == 0) return json_is_object(value);
    if (strcmp(name, "array") == 0) return json_is_array(value);
    if (strcmp(name, "string") == 0) return json_is_string(value);
    if (strcmp(name, "boolean") == 0) return json_bool(value, &yes);
    if (strcmp(name, "null") == 0) return json_is_null(value);
    if (!json_number(value, &number)) return false;
    return strcmp(name, "number") == 0 || number == floor(number);
}

typedef struct validation {
    const json *root, *schema;
    int depth, *steps;
} validation;

static bool fits(const validation *v, const json *schema, const json *value);

static bool any_fits(const validation *v, const json *schemas, const json *value) {
    for (size_t i = 0; i < json_count(schemas); i++)
        if (fits(v, json_at(schemas, i), value)) return true;
    return false;
}

static bool all_fit(const validation *v, const json *schemas, const json *value) {
    for (size_t i = 0; i < json_count(schemas); i++)
        if (!fits(v, json_at(schemas, i), value)) return false;
    return true;
}

static bool fits_type(const json *type, const json *value) {
    if (type == NULL) return true;
    if (json_is_string(type)) return type_fits(json_chars(type, NULL), value);
    for (size_t i = 0; i < json_count(type); i++) {
        const char *name = json_chars(json_at(type, i), NULL);
        if (name != NULL && type_fits(name, value)) return true;
    }
    return false;
}

static bool member_fits(void *context, const char *key, size_t size, const json *value) {
    const validation *v = context;
    (void)size;
    const json *property = json_get(json_get(v->schema, "properties"), key);
    const json *other = json_get(v->schema, "additionalProperties");
    if (property != NULL) return fits(v, property, value);
    return other == NULL || fits(v, other, value);
}

static bool object_fits(const validation *v, const json *value) {
    const json *required = json_get(v->schema, "required");
    for (size_t i = 0; i < json_count(required); i++) {
        const char *key = json_chars(json_at(required, i), NULL);
        if (key != NULL && json_get(value, key) == NULL) return false;
    }
    validation inner = *v;
    return json_each(value, member_fits, &inner);
}

static bool array_fits(const validation *v, const json *value) {
    const json *items = json_get(v->schema, "items");
    const size_t count = json_count(value);
    int64_t limit;
    if (json_int(json_get(v->schema, "minItems"), 0, INT64_MAX, &limit) && (int64_t)count < limit)
        return false;
    if (json_int(json_get(v->schema, "maxItems"), 0, INT64_MAX, &limit) && (int64_t)count > limit)
        return false;
    for (size_t i = 0; i < count && items != NULL; i++)
        if (!fits(v, items, json_at(value, i))) return false;
    return true;
}

static bool fits(const validation *v, const json *schema, const json *value) {
    bool yes;
    if (json_bool(schema, &yes)) return yes;
    if (v->depth >= VALIDATE_DEPTH_CAP || ++*v->steps > VALIDATE_STEP_CAP) return false;
    const validation inner = {
        .root = v->root, .schema = schema, .depth = v->depth + 1, .steps = v->steps};
    size_t size;
    const char *reference = json_chars(json_get(schema, "$ref"), &size);
    if (reference != NULL && !fits(&inner, schema_find(v->root, reference, size), value))
        return false;
    if (!fits_type(json_get(schema, "type"), value)) return false;
    const json *constant = json_get(schema, "const"), *choices = json_get(schema, "enum");
    if (constant != NULL && !json_same(constant, value)) return false;
    if (choices != NULL) {
        bool found = false;
        for (size_t i = 0; i < json_count(choices) && !found; i++)
            found = json_same(json_at(choices, i), value);
        if (!found) return false;
    }
    static const char *const any[] = {"anyOf", "oneOf"};
    for (int i = 0; i < 2; i++) {
        const json *schemas = json_get(schema, any[i]);
        if (schemas != NULL && !any_fits(&inner, schemas, value)) return false;
    }
    if (!all_fit(&inner, json_get(schema, "allOf"), value)) return false;
    if (json_is_object(value)) return object_fits(&inner, value);
    return !json_is_array(value) || array_fits(&inner, value);
}

bool schema_accepts(const json *root, const json *schema, const json *value) {
    int steps = 0;
    const validation v = {.root = root, .steps = &steps};
    return fits(&v, schema, value);
}
