/* Settings that a server does not start with, each with a sentence that says what to do. */
#include <string.h>

#include "core/status.h"
#include "serve/certificate.h"
#include "serve/server_inner.h"

/* A protocol without keys is for this machine, or for who was named. */
static rnl_status check_port(const char *option, const server_port_config *c, rnl_error *error) {
    if (c->port < 0 || origin_is_loopback(c->host) || c->range_count > 0) return RNL_OK;
    return status_fail(error, RNL_ERR_ARGUMENT,
                       "--%s %s: its protocol has no keys; say which addresses may come: "
                       "--%s-allow CIDR",
                       option, c->host, option);
}

static rnl_status check_ports(const server_config *c, const rnl_model *model, rnl_error *error) {
    rnl_status status = check_port("wyoming", &c->wyoming, error);
    if (status == RNL_OK) status = check_port("audiosocket", &c->audiosocket, error);
    if (status == RNL_OK && c->audiosocket.port >= 0 && !rnl_model_can(model, RNL_MODE_INTERLEAVED))
        status = status_fail(error, RNL_ERR_ARGUMENT,
                             "--audiosocket: this model does not speak; take one that does");
    return status;
}

static rnl_status check_names(const server_config *c, const rnl_model *model, rnl_error *error) {
    for (int i = 0; i < rnl_model_adapter_count(model); i++)
        if (strcmp(rnl_model_adapter_name(model, i), c->name) == 0)
            return status_fail(error, RNL_ERR_ARGUMENT,
                               "--lora %s: the model itself is called so; choose another name, or "
                               "another one for the model: --alias NAME",
                               c->name);
    return RNL_OK;
}

static rnl_status check_guards(const server_config *c, const api_keys *k, rnl_error *error) {
    const bool local = c->rules.loopback;
    if (!local && api_keys_count(k) == 0)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "--host %s: others than this machine could ask, so keys are needed: "
                           "--api-key-file FILE",
                           c->host);
    if (!local && c->tls_cert == NULL && !c->plain)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "--host %s: keys and sound would go over the network in the clear; give "
                           "--tls-cert and --tls-key, or --plain where something else guards them",
                           c->host);
    if (!local && c->rules.name_count == 0)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "--host %s: say under which names it is asked: --name HOST", c->host);
    if ((c->tls_cert == NULL) != (c->tls_key == NULL))
        return status_fail(error, RNL_ERR_ARGUMENT, "--tls-cert and --tls-key belong together");
    return c->tls_cert == NULL ? RNL_OK : certificate_check(c->tls_cert, c->tls_key, error);
}

rnl_status server_check(const server_config *c, const api_keys *keys, const rnl_model *model,
                        rnl_error *error) {
    rnl_status status = check_guards(c, keys, error);
    if (status == RNL_OK) status = check_names(c, model, error);
    if (status == RNL_OK) status = check_ports(c, model, error);
    return status;
}
