/* /health*, /v1/models, /v1/models/{id}: what needs no conversation. */
#include <string.h>

#include "serve/json_out.h"
#include "serve/server_inner.h"

enum { BODY_CAP = 8192 };

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

static void write_model(json_out *o, const server *s) {
    json_out_object(o, NULL);
    json_out_word(o, "id", s->config.name);
    json_out_word(o, "object", "model");
    json_out_int(o, "created", s->created);
    json_out_word(o, "owned_by", "runnel");
    json_out_end(o);
}

static void answer_models(call *c) {
    char text[BODY_CAP];
    json_out o;
    json_out_begin(&o, text, sizeof text);
    if (c->route->id == ROUTE_MODEL) {
        api_error e;
        const char *id = route_rest(c->route, net_exchange_path(c->exchange));
        if (strcmp(id, c->server->config.name) != 0) {
            (void)api_fail(&e, API_MODEL_NOT_FOUND, "model",
                           "there is no model '%.100s' here; GET /v1/models tells which is", id);
            net_answer_error(c->exchange, &e);
            return;
        }
        write_model(&o, c->server);
    } else {
        json_out_object(&o, NULL);
        json_out_word(&o, "object", "list");
        json_out_array(&o, "data");
        write_model(&o, c->server);
        json_out_end(&o);
        json_out_end(&o);
    }
    send_json(c, 200, &o);
}

const service service_models = {.complete = answer_models};
