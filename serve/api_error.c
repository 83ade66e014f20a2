#include "serve/api_error.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/status.h"
#include "core/utf8.h"

typedef struct code_row {
    const char *text;
    int status;
    const char *type;
} code_row;

static const code_row rows[API_CODE_COUNT] = {[API_OK] = {"ok", 200, "none"},
#define API_CODE_ROW(name, text, status, type) [API_##name] = {text, status, type},
                                              API_CODE_LIST(API_CODE_ROW)
#undef API_CODE_ROW
};

const char *api_code_text(api_code code) {
    return rows[code].text;
}

const char *api_code_type(api_code code) {
    return rows[code].type;
}

int api_code_status(api_code code) {
    return rows[code].status;
}

/* A character that was cut in two is left out. */
static void trim(char *text) {
    size_t size = strlen(text);
    while (size > 0 && !utf8_is_valid(text, size)) size--;
    text[size] = '\0';
}

static void set(api_error *e, api_code code, const char *param) {
    e->code = code;
    (void)snprintf(e->param, sizeof e->param, "%s", param != NULL ? param : "");
    status_clean(e->param);
    trim(e->param);
    e->retry_after = rows[code].status == 429 || rows[code].status == 503;
}

bool api_fail(api_error *e, api_code code, const char *param, const char *format, ...) {
    if (e == NULL) return false;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(e->message, sizeof e->message, format, arguments);
    va_end(arguments);
    status_clean(e->message);
    trim(e->message);
    set(e, code, param);
    return false;
}

static api_code code_of(rnl_status status, bool sound) {
    switch (status) {
    case RNL_ERR_DATA:
    case RNL_ERR_FORMAT:
    case RNL_ERR_TOO_LONG:
        return sound ? API_INVALID_AUDIO : API_INVALID_VALUE;
    case RNL_ERR_ARGUMENT:
        return API_INVALID_VALUE;
    case RNL_ERR_UNSUPPORTED:
        return API_UNSUPPORTED_PARAMETER;
    case RNL_ERR_CONTEXT_FULL:
        return API_CONTEXT_LENGTH_EXCEEDED;
    case RNL_ERR_MEMORY:
    case RNL_ERR_BUDGET:
        return API_SERVER_OVERLOADED;
    default:
        return API_ENGINE_FAILURE;
    }
}

bool api_fail_library(api_error *e, const rnl_error *error, const char *param, bool sound) {
    return api_fail(e, code_of(error->status, sound), param, "%s", error->text);
}

static json_draft *text_or_null(const char *text) {
    const size_t size = strlen(text);
    return size > 0 ? json_new_string(text, size) : json_new_number(NAN);
}

size_t api_error_body(const api_error *e, char *text, size_t cap) {
    assert(e->code != API_OK);
    json_draft *inner = json_new_object(), *outer = json_new_object();
    json_set(inner, "message", json_new_string(e->message, strlen(e->message)));
    json_set(inner, "type", json_new_string(rows[e->code].type, strlen(rows[e->code].type)));
    json_set(inner, "param", text_or_null(e->param));
    json_set(inner, "code", json_new_string(rows[e->code].text, strlen(rows[e->code].text)));
    json_set(outer, "error", inner);
    char *line = json_text(outer);
    json_drop(&outer);
    /* Without memory for the sentence the code is told at least. */
    const int size = line != NULL
                         ? snprintf(text, cap, "%s", line)
                         : snprintf(text, cap,
                                    "{\"error\":{\"message\":\"\",\"type\":\"%s\",\"param\":null,"
                                    "\"code\":\"%s\"}}",
                                    rows[e->code].type, rows[e->code].text);
    free(line);
    return (size_t)size < cap ? (size_t)size : cap - 1;
}
