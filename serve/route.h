/* What can be asked for by HTTP: one table. */
#ifndef SERVE_ROUTE_H
#define SERVE_ROUTE_H

#include "serve/net.h"

typedef enum route_id {
    ROUTE_LIVE,
    ROUTE_READY,
    ROUTE_HEALTH,
    ROUTE_METRICS,
    ROUTE_MODELS,
    ROUTE_MODEL,
    ROUTE_TRANSCRIPTIONS,
    ROUTE_SPEECH,
    ROUTE_CHAT,
    ROUTE_CLIENT_SECRETS,
    ROUTE_BETA_SESSIONS,
    ROUTE_BETA_TRANSCRIPTION_SESSIONS,
    ROUTE_REALTIME, /* WebSocket */
    ROUTE_PAGE,     /* whatever else is no /v1/: the page's files */
    ROUTE_NONE
} route_id;

typedef enum route_body { BODY_NONE, BODY_JSON, BODY_MULTIPART } route_body;

typedef struct route {
    route_id id;
    const char *path; /* a '*' at its end stands for one more part */
    net_method method;
    route_body body;
    int64_t size_max; /* of the body */
    bool open;        /* no key is needed */
    bool any_host;    /* nor a known Host: balancers ask without one */
} route;

/* The route, or NULL with an error: UNKNOWN_URL, or METHOD_NOT_ALLOWED with what is allowed in
 * *allow. HEAD is let in where GET is. */
const route *route_find(net_method method, const char *path, const char **allow, api_error *error);
/* Row `index` of the table; NULL behind the last. */
const route *route_at(int index);
/* The last part of the path, where the route ends with '*'. */
const char *route_rest(const route *r, const char *path);
/* Whether a Content-Type fits the body. */
bool route_takes_type(const route *r, const char *content_type);

#endif
