/* Client secrets (server.md A.9): POST /v1/realtime/client_secrets, and the older
 * /v1/realtime/sessions and /v1/realtime/transcription_sessions. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/ids.h"
#include "serve/json_in.h"
#include "serve/limits.h"
#include "serve/realtime_secrets.h"
#include "serve/realtime_settings.h"
#include "serve/server_inner.h"

/* What is asked for. */
typedef struct wanted {
    json *body;
    const json *session; /* within body; NULL: the defaults */
    bool beta, transcribes;
    served_model model;
    bool names_model;
    int64_t seconds;
    realtime_settings settings;
} wanted;

static bool read_lifetime(const json *body, int64_t *seconds, api_error *e) {
    const json *after = json_get(body, "expires_after"), *anchor = json_get(after, "anchor");
    *seconds = SECRET_SECONDS;
    if (json_is_null(after)) return true;
    if (!json_is_object(after))
        return api_fail(e, API_INVALID_VALUE, "expires_after", "'expires_after' is no object");
    if (!json_is_null(anchor) && !json_in_is(anchor, "created_at"))
        return api_fail(e, API_INVALID_VALUE, "expires_after.anchor",
                        "'expires_after.anchor' can only be created_at");
    return json_in_int(after, "seconds", "expires_after.seconds", SECRET_SECONDS_MIN,
                       SECRET_SECONDS_MAX, seconds, e);
}

static realtime_config config_of(const call *c, const wanted *w) {
    return realtime_config_of(c->server, w->model.name, w->beta, w->transcribes);
}

static bool read_model(const call *c, wanted *w, api_error *e) {
    const char *name = json_chars(json_get(w->session, "model"), NULL);
    w->names_model = name != NULL;
    return server_find_model(c->server, name, &w->model, e);
}

/* Checks the session as the conversation will. */
static bool read_session(const call *c, wanted *w, api_error *e) {
    const realtime_config config = config_of(c, w);
    const realtime_update u = {.config = &config, .beta = w->beta, .path = "session"};
    realtime_settings_default(&w->settings);
    w->settings.text_only = !config.gives_audio;
    return w->session == NULL || realtime_settings_update(&w->settings, w->session, &u, e);
}

static bool read_body(const call *c, wanted *w, api_error *e) {
    const char *text = c->body != NULL ? c->body : "{}";
    if (!json_in_parse(text, c->body != NULL ? c->body_size : 2, &w->body, e)) return false;
    w->beta = c->route->id != ROUTE_CLIENT_SECRETS;
    w->transcribes = c->route->id == ROUTE_BETA_TRANSCRIPTION_SESSIONS;
    /* The older ones have the fields of the session itself. */
    const json *session = w->beta ? w->body : json_get(w->body, "session");
    w->session = json_is_null(session) ? NULL : session;
    if (!w->beta) w->transcribes = json_in_is(json_get(w->session, "type"), "transcription");
    *e = (api_error){0};
    return read_lifetime(w->body, &w->seconds, e) && read_model(c, w, e) && read_session(c, w, e);
}

static void answer(call *c, const wanted *w, const char *value, int64_t expires) {
    char id[ID_CAP];
    json_out o;
    id_make(id, "sess_");
    const realtime_config config = config_of(c, w);
    realtime_facts facts = {.id = id, .expires_unix = expires};
    json_out_begin_growing(&o, LIMIT_JSON_SIZE);
    if (w->beta) {
        facts.secret = value;
        realtime_settings_write(&w->settings, &config, true, &facts, NULL, &o);
    } else {
        json_out_object(&o, NULL);
        json_out_word(&o, "value", value);
        json_out_int(&o, "expires_at", expires);
        realtime_settings_write(&w->settings, &config, false, &facts, "session", &o);
        json_out_end(&o);
    }
    net_answer(c->exchange, 200, "application/json", o.text, o.size);
    json_out_free(&o);
}

static bool make(call *c, wanted *w, api_error *e) {
    char value[SECRET_CAP];
    const int64_t now = (int64_t)time(NULL);
    if (!read_body(c, w, e)) return false;
    char *session = w->session != NULL ? realtime_source(w->session) : NULL;
    const realtime_secret what = {.owner = c->owner,
                                  .expires = now + w->seconds,
                                  .transcribes = w->transcribes,
                                  .model = w->names_model ? w->model.name : NULL,
                                  .session = session,
                                  .size = session != NULL ? strlen(session) : 0};
    const bool made = (session != NULL || w->session == NULL) &&
                      realtime_secrets_make(c->server->secrets, &what, now, value);
    free(session);
    if (!made) return api_fail(e, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
    answer(c, w, value, what.expires);
    return true;
}

static void on_complete(call *c) {
    wanted w = {0};
    api_error e = {0};
    if (!make(c, &w, &e)) net_answer_error(c->exchange, &e);
    realtime_settings_free(&w.settings);
    json_destroy(&w.body);
}

const service service_secrets = {.complete = on_complete};
