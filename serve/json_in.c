#include "serve/json_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/limits.h"

/* What the parser would take and we do not; text need not be JSON yet. NULL: nothing. */
static const char *excess_of(const char *text, size_t size, bool *holds_nul) {
    int keys[LIMIT_JSON_DEPTH + 1] = {0}, depth = 0;
    bool quoted = false;
    *holds_nul = false;
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if (quoted && c == '\\') {
            if (size - i >= 6 && memcmp(text + i, "\\u0000", 6) == 0) *holds_nul = true;
            i++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (quoted) {
            continue;
        } else if (c == '{' || c == '[') {
            if (++depth > LIMIT_JSON_DEPTH) return "is nested deeper than 16 levels";
            keys[depth] = 0;
        } else if (c == '}' || c == ']') {
            if (depth > 0) depth--;
        } else if (c == ':' && ++keys[depth] > LIMIT_JSON_KEYS) {
            return "has an object with more than 256 keys";
        }
    }
    return NULL;
}

bool json_in_parse(const char *text, size_t size, json **out, api_error *error) {
    rnl_error why;
    bool holds_nul;
    const char *excess = excess_of(text, size, &holds_nul);
    *out = NULL;
    if (excess != NULL)
        return api_fail(error, API_INVALID_JSON, NULL, "The JSON of the request %s; send less",
                        excess);
    if (size == 0) text = ""; /* of no body there may be no address */
    if (json_parse(text, size, "the request", out, &why) != RNL_OK)
        return api_fail(error, API_INVALID_JSON, NULL, "%s", why.text);
    if (holds_nul || !json_is_object(*out)) {
        json_destroy(out);
        if (holds_nul)
            return api_fail(error, API_INVALID_VALUE, NULL,
                            "A text of the request holds the character U+0000; leave it out");
        return api_fail(error, API_INVALID_JSON, NULL, "The request is JSON, but no object");
    }
    return true;
}

bool json_in_bool(const json *object, const char *key, const char *param, bool *value,
                  api_error *error) {
    const json *v = json_get(object, key);
    if (param == NULL) param = key;
    if (json_is_null(v) || json_bool(v, value)) return true;
    return api_fail(error, API_INVALID_VALUE, param, "'%s' is neither true nor false", param);
}

bool json_in_int(const json *object, const char *key, const char *param, int64_t min, int64_t max,
                 int64_t *value, api_error *error) {
    const json *v = json_get(object, key);
    if (param == NULL) param = key;
    if (json_is_null(v) || json_int(v, min, max, value)) return true;
    return api_fail(error, API_INVALID_VALUE, param, "'%s' is no whole number of %lld to %lld",
                    param, (long long)min, (long long)max);
}

bool json_in_number(const json *object, const char *key, const char *param, double min, double max,
                    double *value, api_error *error) {
    const json *v = json_get(object, key);
    double number;
    if (param == NULL) param = key;
    if (json_is_null(v)) return true;
    if (!json_number(v, &number) || number < min || number > max)
        return api_fail(error, API_INVALID_VALUE, param, "'%s' is no number of %g to %g", param,
                        min, max);
    *value = number;
    return true;
}

bool json_in_text(const json *object, const char *key, const char *param, size_t size_max,
                  const char **text, size_t *size, api_error *error) {
    const json *v = json_get(object, key);
    if (param == NULL) param = key;
    if (json_is_null(v)) return true;
    const char *chars = json_chars(v, size);
    if (chars == NULL) return api_fail(error, API_INVALID_VALUE, param, "'%s' is no text", param);
    if (*size > size_max)
        return api_fail(error, API_INVALID_VALUE, param, "'%s' has more than %zu bytes; shorten it",
                        param, size_max);
    *text = chars;
    return true;
}

bool json_in_is(const json *v, const char *word) {
    size_t size;
    const char *chars = json_chars(v, &size);
    return chars != NULL && size == strlen(word) && memcmp(chars, word, size) == 0;
}

static bool copy_member(void *context, const char *key, size_t key_size, const json *value) {
    (void)key_size; /* keys hold no NUL byte */
    json_in_copy(value, context, key);
    return true;
}

static void copy_number(const json *v, json_out *o, const char *key) {
    char digits[40];
    int64_t whole;
    double value;
    if (json_int(v, INT64_MIN, INT64_MAX, &whole)) {
        json_out_int(o, key, whole);
    } else if (json_number(v, &value)) {
        /* As few digits as give the same number again, 17 at most. */
        for (int count = 15; count == 15 || (count <= 17 && strtod(digits, NULL) != value); count++)
            (void)snprintf(digits, sizeof digits, "%.*g", count, value);
        if (strpbrk(digits, ".e") == NULL) strcat(digits, ".0"); /* it was no integer */
        json_out_raw(o, key, digits, strlen(digits));
    } else {
        json_out_null(o, key);
    }
}

void json_in_copy(const json *v, json_out *o, const char *key) {
    size_t size;
    bool flag;
    const char *chars = json_chars(v, &size);
    if (chars != NULL) {
        json_out_text(o, key, chars, size);
    } else if (json_is_object(v)) {
        json_out_object(o, key);
        (void)json_each(v, copy_member, o);
        json_out_end(o);
    } else if (json_is_array(v)) {
        json_out_array(o, key);
        for (size_t i = 0; i < json_count(v); i++) json_in_copy(json_at(v, i), o, NULL);
        json_out_end(o);
    } else if (json_bool(v, &flag)) {
        json_out_bool(o, key, flag);
    } else {
        copy_number(v, o, key);
    }
}
