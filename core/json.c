/* The only file that knows Jansson. A json, which only reads, is a json_t under another name. */
#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "core/mapped.h"
#include "core/status.h"
#include "core/utf8.h"

static const json_t *in(const json *v) {
    return (const json_t *)v;
}

rnl_status json_parse(const char *text, size_t size, const char *name, json **out,
                      rnl_error *error) {
    json_error_t fault;
    /* JSON_ALLOW_NUL: vocabularies hold the byte 0. Jansson bounds the nesting at 2048. */
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    const size_t mark = utf8_mark_size(text, size);
    *out = (json *)json_loadb(text + mark, size - mark, flags, &fault);
    if (*out != NULL) return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: line %d is not valid JSON (%s); the file is damaged", name, fault.line,
                       fault.text);
}

static rnl_status read_all(FILE *f, const char *path, size_t size_cap, char **text, size_t *size,
                           rnl_error *error) {
    struct stat info;
    if (fstat(fileno(f), &info) != 0 || !S_ISREG(info.st_mode))
        return status_fail(error, RNL_ERR_IO, "%s: this is no regular file; name a JSON file",
                           path);
    const size_t end = (size_t)info.st_size;
    if (end > size_cap)
        return status_fail(error, RNL_ERR_FORMAT, "%s: %zu bytes are more than the %zu allowed",
                           path, end, size_cap);
    *text = malloc(end + 1);
    if (*text == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    *size = fread(*text, 1, end, f);
    if (*size == end) return RNL_OK;
    free(*text);
    *text = NULL;
    return status_fail(error, RNL_ERR_IO, "%s: cannot be read", path);
}

rnl_status json_read(const char *path, size_t size_cap, json **out, rnl_error *error) {
    *out = NULL;
    /* O_NONBLOCK: a pipe of that name must not make us wait for a writer. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FILE *f = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (f == NULL && fd >= 0) close(fd);
    if (f == NULL)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    char *text = NULL;
    size_t size = 0;
    rnl_status status = read_all(f, path, size_cap, &text, &size, error);
    (void)fclose(f);
    if (status == RNL_OK) status = mapped_refuse_pointer(path, text, size, error);
    if (status == RNL_OK) status = json_parse(text, size, path, out, error);
    free(text);
    return status;
}

void json_destroy(json **root) {
    json_decref((json_t *)*root);
    *root = NULL;
}

const json *json_get(const json *object, const char *key) {
    return (const json *)json_object_get(in(object), key);
}

const json *json_at(const json *array, size_t index) {
    return (const json *)json_array_get(in(array), index);
}

/* Jansson's macros of the same names are functions of ours outside this file. */
#undef json_is_object
#undef json_is_array
#undef json_is_string
#undef json_is_null

static bool is(const json *v, json_type type) {
    return v != NULL && json_typeof(in(v)) == type;
}

bool json_is_object(const json *v) {
    return is(v, JSON_OBJECT);
}

bool json_is_array(const json *v) {
    return is(v, JSON_ARRAY);
}

bool json_is_string(const json *v) {
    return is(v, JSON_STRING);
}

bool json_is_null(const json *v) {
    return v == NULL || is(v, JSON_NULL);
}

size_t json_count(const json *v) {
    return json_is_array(v) ? json_array_size(in(v)) : json_object_size(in(v));
}

const char *json_chars(const json *v, size_t *size) {
    if (!json_is_string(v)) return NULL;
    if (size != NULL) *size = json_string_length(in(v));
    return json_string_value(in(v));
}

bool json_bool(const json *v, bool *out) {
    if (!is(v, JSON_TRUE) && !is(v, JSON_FALSE)) return false;
    *out = is(v, JSON_TRUE);
    return true;
}

bool json_int(const json *v, int64_t min, int64_t max, int64_t *out) {
    if (!is(v, JSON_INTEGER)) return false;
    const json_int_t value = json_integer_value(in(v));
    if (value < min || value > max) return false;
    *out = value;
    return true;
}

bool json_number(const json *v, double *out) {
    if (!is(v, JSON_INTEGER) && !is(v, JSON_REAL)) return false;
    *out = json_number_value(in(v));
    return isfinite(*out);
}

bool json_each(const json *object, json_member_fn fn, void *context) {
    json_t *o = (json_t *)object;
    for (void *i = json_object_iter(o); i != NULL; i = json_object_iter_next(o, i)) {
        const char *key = json_object_iter_key(i);
        const size_t size = json_object_iter_key_len(i);
        if (!fn(context, key, size, (const json *)json_object_iter_value(i))) return false;
    }
    return true;
}

/* ---- Building ---- */

struct json_draft {
    json_t *value;
    bool failed; /* an allocation, somewhere below */
};

/* Takes the value over; NULL is passed on. */
static json_draft *draft_of(json_t *value) {
    json_draft *d = value != NULL ? malloc(sizeof *d) : NULL;
    if (d == NULL)
        json_decref(value);
    else
        *d = (json_draft){.value = value};
    return d;
}

json_draft *json_new_object(void) {
    return draft_of(json_object());
}

json_draft *json_new_array(void) {
    return draft_of(json_array());
}

/* Bytes with every invalid sequence as U+FFFD: Jansson refuses anything that is not UTF-8. */
json_draft *json_new_string(const char *text, size_t size) {
    char *clean = malloc(3 * size + UTF8_PENDING_CAP * 3 + 1);
    if (clean == NULL) return NULL;
    utf8_decoder decoder;
    utf8_decoder_reset(&decoder);
    size_t used = utf8_decoder_push(&decoder, text, size, clean, 3 * size);
    used += utf8_decoder_flush(&decoder, clean + used, UTF8_PENDING_CAP * 3);
    json_t *v = json_stringn(clean, used);
    free(clean);
    return draft_of(v);
}

json_draft *json_new_int(int64_t value) {
    return draft_of(json_integer(value));
}

json_draft *json_new_number(double value) {
    return draft_of(isfinite(value) ? json_real(value) : json_null());
}

json_draft *json_new_bool(bool value) {
    return draft_of(json_boolean(value));
}

json_draft *json_new_parsed(const char *text, size_t size) {
    return draft_of(json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL));
}

/* The value of a child, NULL when there is none, and whether it is whole; the child is gone. */
static json_t *take(json_draft *child, bool *failed) {
    json_t *value = child != NULL ? child->value : NULL;
    *failed = child == NULL || child->failed;
    free(child);
    return value;
}

void json_set(json_draft *object, const char *key, json_draft *child) {
    bool failed;
    json_t *value = take(child, &failed);
    if (object == NULL) json_decref(value);
    if (object == NULL) return;
    failed = json_object_set_new(object->value, key, value) != 0 || failed;
    object->failed = object->failed || failed;
}

void json_append(json_draft *array, json_draft *child) {
    bool failed;
    json_t *value = take(child, &failed);
    if (array == NULL) json_decref(value);
    if (array == NULL) return;
    failed = json_array_append_new(array->value, value) != 0 || failed;
    array->failed = array->failed || failed;
}

typedef struct line {
    char *text;
    size_t size, cap;
    bool failed;
} line;

/* Jansson does not look at every failure of what it calls, so the line keeps it in mind. */
static int put(const char *text, size_t size, void *context) {
    line *l = context;
    if (!l->failed && size >= l->cap - l->size) {
        const size_t cap = 2 * l->cap + size + 64;
        char *grown = realloc(l->text, cap);
        l->failed = grown == NULL;
        if (grown != NULL) l->text = grown, l->cap = cap;
    }
    if (l->failed) return -1;
    memcpy(l->text + l->size, text, size);
    l->size += size;
    l->text[l->size] = '\0';
    return 0;
}

static char *text_of(const json_draft *root, int digits) {
    if (root == NULL || root->failed) return NULL;
    line l = {0};
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits);
    if (json_dump_callback(root->value, put, &l, flags) == 0 && !l.failed) return l.text;
    free(l.text);
    return NULL;
}

char *json_text(const json_draft *root) {
    return text_of(root, 15); /* so that 0.1 is not 0.10000000000000001 */
}

char *json_text_exact(const json_draft *root) {
    return text_of(root, 17);
}

void json_drop(json_draft **root) {
    json_draft *d = *root;
    *root = NULL;
    if (d == NULL) return;
    json_decref(d->value);
    free(d);
}
