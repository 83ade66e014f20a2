/* What a server answers when it does not do what it was asked: OpenAI's form of an error, which
 * clients turn into exceptions by status and code. One table holds every code there is: of HTTP
 * answers and of the realtime protocol's error events. */
#ifndef SERVE_API_ERROR_H
#define SERVE_API_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include <runnel/runnel.h>

/* Name, code as it is written, HTTP status (of an event: that of its kind), type. */
#define API_CODE_LIST(X)                                                                           \
    X(INVALID_JSON, "invalid_json", 400, "invalid_request_error")                                  \
    X(MISSING_PARAMETER, "missing_required_parameter", 400, "invalid_request_error")               \
    X(INVALID_VALUE, "invalid_value", 400, "invalid_request_error")                                \
    X(INVALID_AUDIO, "invalid_audio", 400, "invalid_request_error")                                \
    X(UNSUPPORTED_FORMAT, "unsupported_format", 400, "invalid_request_error")                      \
    X(UNSUPPORTED_PARAMETER, "unsupported_parameter", 400, "invalid_request_error")                \
    X(CONTEXT_LENGTH_EXCEEDED, "context_length_exceeded", 400, "invalid_request_error")            \
    X(AUDIO_NOT_FOUND, "audio_not_found", 400, "invalid_request_error")                            \
    X(BAD_REQUEST, "bad_request", 400, "invalid_request_error")                                    \
    X(INVALID_API_KEY, "invalid_api_key", 401, "invalid_request_error")                            \
    X(ORIGIN_NOT_ALLOWED, "origin_not_allowed", 403, "invalid_request_error")                      \
    X(HOST_NOT_ALLOWED, "host_not_allowed", 403, "invalid_request_error")                          \
    X(MODEL_NOT_FOUND, "model_not_found", 404, "invalid_request_error")                            \
    X(UNKNOWN_URL, "unknown_url", 404, "invalid_request_error")                                    \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", 405, "invalid_request_error")                      \
    X(TIMEOUT, "timeout", 408, "invalid_request_error")                                            \
    X(LENGTH_REQUIRED, "length_required", 411, "invalid_request_error")                            \
    X(PAYLOAD_TOO_LARGE, "payload_too_large", 413, "invalid_request_error")                        \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", 415, "invalid_request_error")              \
    X(RATE_LIMIT_EXCEEDED, "rate_limit_exceeded", 429, "rate_limit_error")                         \
    X(ENGINE_FAILURE, "engine_failure", 500, "server_error")                                       \
    X(SERVER_OVERLOADED, "server_overloaded", 503, "server_error")                                 \
    X(DRAINING, "draining", 503, "server_error")                                                   \
    X(STARTING, "starting", 503, "server_error")                                                   \
    /* Of the realtime protocol only. */                                                           \
    X(INVALID_EVENT_ID, "invalid_event_id", 400, "invalid_request_error")                          \
    X(COMMIT_EMPTY, "input_audio_buffer_commit_empty", 400, "invalid_request_error")               \
    X(BUFFER_FULL, "input_audio_buffer_full", 400, "invalid_request_error")                        \
    X(ITEM_NOT_FOUND, "item_not_found", 404, "invalid_request_error")                              \
    X(ITEM_EXISTS, "item_already_exists", 400, "invalid_request_error")                            \
    X(ACTIVE_RESPONSE, "conversation_already_has_active_response", 400, "invalid_request_error")   \
    X(CANCEL_NOT_ACTIVE, "response_cancel_not_active", 400, "invalid_request_error")               \
    X(CANNOT_UPDATE_VOICE, "cannot_update_voice", 400, "invalid_request_error")                    \
    X(SESSION_EXPIRED, "session_expired", 400, "invalid_request_error")

typedef enum api_code {
    API_OK, /* no error */
#define API_CODE_ENUM(name, text, status, type) API_##name,
    API_CODE_LIST(API_CODE_ENUM)
#undef API_CODE_ENUM
        API_CODE_COUNT
} api_code;

enum { API_MESSAGE_CAP = 512, API_PARAM_CAP = 128 };

typedef struct api_error {
    api_code code;                 /* API_OK: none */
    char message[API_MESSAGE_CAP]; /* one sentence that names the field and the remedy; UTF-8 */
    char param[API_PARAM_CAP];     /* "messages[2].content"; "": null */
    int retry_after;               /* s; 429 and 503 have it always, at least 1; 0: none */
} api_error;

const char *api_code_text(api_code code); /* "invalid_value" */
const char *api_code_type(api_code code); /* "invalid_request_error" */
int api_code_status(api_code code);       /* 400 */

/* Fills e, which may be NULL; returns false, so that a check can end with it. param may be NULL.
 * What the message holds of a client's text is cut and cleaned of control characters and of what is
 * no UTF-8. 429 and 503 get a retry_after of 1 s unless one is set afterwards. */
bool api_fail(api_error *e, api_code code, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Of a failed call of the library: its sentence, and the code that its status means to a client:
 * data and arguments INVALID_VALUE (sounds INVALID_AUDIO when `sound`), a full context
 * CONTEXT_LENGTH_EXCEEDED, no memory or budget SERVER_OVERLOADED, all else ENGINE_FAILURE. */
bool api_fail_library(api_error *e, const rnl_error *error, const char *param, bool sound);

/* {"error":{"message","type","param","code"}} as one line, terminated. Returns its size, less than
 * cap (API_BODY_CAP is always enough). */
enum { API_BODY_CAP = 6 * (API_MESSAGE_CAP + API_PARAM_CAP) + 256 };
size_t api_error_body(const api_error *e, char *text, size_t cap);

#endif
