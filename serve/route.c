#include "serve/route.h"

#include <string.h>
#include <strings.h>

#include "serve/limits.h"

static const route rows[] = {
    {.id = ROUTE_LIVE, .path = "/health/live", .open = true, .any_host = true},
    {.id = ROUTE_READY, .path = "/health/ready", .open = true, .any_host = true},
    {.id = ROUTE_HEALTH, .path = "/health", .open = true, .any_host = true},
    {.id = ROUTE_METRICS, .path = "/metrics"},
    {.id = ROUTE_MODELS, .path = "/v1/models"},
    {.id = ROUTE_MODEL, .path = "/v1/models/*"},
    {.id = ROUTE_TRANSCRIPTIONS,
     .path = "/v1/audio/transcriptions",
     .method = NET_POST,
     .body = BODY_MULTIPART,
     .size_max = LIMIT_UPLOAD_SIZE + (1 << 20)},
    {.id = ROUTE_SPEECH,
     .path = "/v1/audio/speech",
     .method = NET_POST,
     .body = BODY_JSON,
     .size_max = LIMIT_JSON_SIZE},
    {.id = ROUTE_CHAT,
     .path = "/v1/chat/completions",
     .method = NET_POST,
     .body = BODY_JSON,
     .size_max = LIMIT_CHAT_SIZE},
    {.id = ROUTE_CLIENT_SECRETS,
     .path = "/v1/realtime/client_secrets",
     .method = NET_POST,
     .body = BODY_JSON,
     .size_max = LIMIT_JSON_SIZE},
    {.id = ROUTE_BETA_SESSIONS,
     .path = "/v1/realtime/sessions",
     .method = NET_POST,
     .body = BODY_JSON,
     .size_max = LIMIT_JSON_SIZE},
    {.id = ROUTE_BETA_TRANSCRIPTION_SESSIONS,
     .path = "/v1/realtime/transcription_sessions",
     .method = NET_POST,
     .body = BODY_JSON,
     .size_max = LIMIT_JSON_SIZE},
    {.id = ROUTE_REALTIME, .path = "/v1/realtime"},
    {.id = ROUTE_REALTIME, .path = "/openai/v1/realtime"},
    {.id = ROUTE_PAGE, .path = "/", .open = true},
    {.id = ROUTE_PAGE, .path = "/*", .open = true},
};

const route *route_at(int index) {
    return index >= 0 && (size_t)index < sizeof rows / sizeof *rows ? &rows[index] : NULL;
}

static bool fits(const route *r, const char *path) {
    const size_t size = strlen(r->path);
    if (r->path[size - 1] != '*') return strcmp(r->path, path) == 0;
    return strncmp(r->path, path, size - 1) == 0 && path[size - 1] != '\0' &&
           strchr(path + size - 1, '/') == NULL;
}

const char *route_rest(const route *r, const char *path) {
    return path + strlen(r->path) - 1;
}

static const route *refuse(const char *path, api_error *error) {
    static const struct {
        const char *path, *instead;
    } others[] = {{"/v1/responses", "use /v1/chat/completions"},
                  {"/v1/completions", "use /v1/chat/completions"},
                  {"/v1/audio/translations", "use /v1/audio/transcriptions"},
                  {"/v1/embeddings", "this model makes none"},
                  {"/v1/realtime/calls", "there is no WebRTC; open a WebSocket at /v1/realtime"}};
    const char *instead = "see docs/SERVING.md for what there is";
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(path, others[i].path) == 0) instead = others[i].instead;
    (void)api_fail(error, API_UNKNOWN_URL, NULL, "there is no %.100s here; %s", path, instead);
    return NULL;
}

const route *route_find(net_method method, const char *path, const char **allow, api_error *error) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const route *r = &rows[i];
        if (!fits(r, path)) continue;
        if (method == r->method || (method == NET_HEAD && r->method == NET_GET)) return r;
        *allow = r->method == NET_GET ? "GET, HEAD" : "POST";
        (void)api_fail(error, API_METHOD_NOT_ALLOWED, NULL, "%.100s takes %s", path, *allow);
        return NULL;
    }
    return refuse(path, error);
}

bool route_takes_type(const route *r, const char *content_type) {
    if (r->body == BODY_NONE) return true;
    const char *wanted = r->body == BODY_JSON ? "application/json" : "multipart/form-data";
    const size_t size = strlen(wanted);
    if (content_type == NULL || strncasecmp(content_type, wanted, size) != 0) return false;
    return content_type[size] == '\0' || strchr("; \t", content_type[size]) != NULL;
}
