/* /health*, /v1/models, /v1/models/{id}: what needs no conversation. */
#include <string.h>

#include "serve/json_out.h"
#include "serve/server_inner.h"

enum { BODY_CAP = 32768 };

static const char json_type[] = "application/json";

static void send_json(call *c, int status, const json_out *o) {
    net_answer(c->exchange, status, json_type, o->text, o->size);
}

/* ---- Health ---- */

static const char *status_of(route_id id, const work_facts *f) {
    if (id == ROUTE_LIVE) return f->alive ? NULL : "stuck";
    if (f->draining) return "draining";
    if (f->starting) return "starting";
    if (id == ROUTE_READY && !f->admits) return "full";
    return NULL;
}

static void answer_health(call *c) {
    work_facts f;
    work_get_facts(c->server->work, &f);
    const char *trouble = status_of(c->route->id, &f);
    char text[128];
    json_out o;
    json_out_begin(&o, text, sizeof text);
    json_out_object(&o, NULL);
    json_out_word(&o, "status",
                  trouble != NULL              ? trouble
                  : c->route->id == ROUTE_LIVE ? "live"
                                               : "ready");
    json_out_end(&o);
    if (trouble != NULL) net_exchange_add_header(c->exchange, "retry-after", "2");
    net_exchange_add_header(c->exchange, "cache-control", "no-store");
    send_json(c, trouble != NULL ? 503 : 200, &o);
}

const service service_health = {.complete = answer_health};

/* ---- Models ---- */

/* The one that is called so. */
static bool find(const server *s, const char *name, served_model *out) {
    const rnl_model *model = work_model(s->work);
    *out = (served_model){.name = s->config.name};
    if (strcmp(name, out->name) == 0) return true;
    for (int i = 0; i < rnl_model_adapter_count(model); i++) {
        out->name = out->adapter = rnl_model_adapter_name(model, i);
        if (strcmp(name, out->name) == 0) return true;
    }
    *out = (served_model){.name = s->config.name};
    return false;
}

static bool refuse(const char *name, api_error *error) {
    return api_fail(error, API_MODEL_NOT_FOUND, "model",
                    "there is no model '%.100s' here; GET /v1/models tells which there are", name);
}

bool server_find_model(const server *s, const char *name, served_model *out, api_error *error) {
    const bool any = !s->config.strict_model && rnl_model_adapter_count(work_model(s->work)) == 0;
    return find(s, name != NULL ? name : s->config.name, out) || any || refuse(name, error);
}

static void write_model(json_out *o, const server *s, const char *name) {
    json_out_object(o, NULL);
    json_out_word(o, "id", name);
    json_out_word(o, "object", "model");
    json_out_int(o, "created", s->created);
    json_out_word(o, "owned_by", "runnel");
    json_out_end(o);
}

static void write_models(json_out *o, const server *s) {
    const rnl_model *model = work_model(s->work);
    json_out_object(o, NULL);
    json_out_word(o, "object", "list");
    json_out_array(o, "data");
    write_model(o, s, s->config.name);
    for (int i = 0; i < rnl_model_adapter_count(model); i++)
        write_model(o, s, rnl_model_adapter_name(model, i));
    json_out_end(o);
    json_out_end(o);
}

static void answer_models(call *c) {
    char text[BODY_CAP];
    json_out o;
    json_out_begin(&o, text, sizeof text);
    if (c->route->id == ROUTE_MODELS) {
        write_models(&o, c->server);
    } else {
        api_error e;
        served_model found;
        const char *id = route_rest(c->route, net_exchange_path(c->exchange));
        if (!find(c->server, id, &found)) {
            (void)refuse(id, &e);
            net_answer_error(c->exchange, &e);
            return;
        }
        write_model(&o, c->server, found.name);
    }
    send_json(c, 200, &o);
}

const service service_models = {.complete = answer_models};
