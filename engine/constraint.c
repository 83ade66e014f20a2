#include "engine/constraint.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/status.h"

static void warn(void *context, const char *text) {
    const rnl_constraint_config *c = context;
    if (c->log != NULL) c->log(c->log_context, RNL_LOG_WARNING, text);
}

static rnl_status compile(rnl_constraint *c, const char *text, size_t size,
                          const rnl_constraint_config *config, const char *name, rnl_error *error) {
    if (size > RNL_CONSTRAINT_SIZE_MAX)
        return status_fail(error, RNL_ERR_DATA, "%s: %zu bytes are more than the %d allowed", name,
                           size, RNL_CONSTRAINT_SIZE_MAX);
    if (config->date != NULL && strlen(config->date) >= sizeof c->date)
        return status_fail(error, RNL_ERR_ARGUMENT, "the date of a constraint is longer than 15");
    if (config->date != NULL) strcpy(c->date, config->date);
    rnl_status status = json_parse(text, size, name, &c->source, error);
    if (status != RNL_OK) return status;
    void *context = (void *)config;
    status = c->tools ? grammar_of_tools(c->source, name, warn, context, &c->g, error)
                      : grammar_of_schema(c->source, name, warn, context, &c->g, error);
    if (status != RNL_OK) return status;
    const vocabulary *v;
    status = model_spelling((rnl_model *)c->model, &v);
    if (status == RNL_OK) status = mask_create(v, &c->g, &c->m);
    if (status != RNL_OK) return status_fail(error, status, "%s: memory is exhausted", name);
    mask_text start;
    mask_begin(c->m, &start);
    c->token_min = mask_cost(c->m, &start);
    return RNL_OK;
}

static rnl_status create(rnl_model *model, bool tools, const char *text, size_t size,
                         const rnl_constraint_config *given, rnl_constraint **out,
                         rnl_error *error) {
    const rnl_constraint_config none = {0};
    const rnl_constraint_config *config = given != NULL ? given : &none;
    const char *name = config->name != NULL ? config->name : tools ? "tools" : "schema";
    if (model == NULL || out == NULL || (text == NULL && size > 0))
        return status_fail(error, RNL_ERR_ARGUMENT, "%s: model, json or constraint is NULL", name);
    *out = NULL;
    if (model->source.text == NULL || (tools && !rnl_model_can_call(model)))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: the model's vocabulary has no %s; take a text model of the LFM2 "
                           "family",
                           model->path, tools ? "tokens for calls of tools" : "text");
    rnl_constraint *c = *out = calloc(1, sizeof *c);
    if (c == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    c->model = model;
    c->tools = tools;
    const rnl_status status = compile(c, text, size, config, name, error);
    if (status != RNL_OK) rnl_constraint_destroy(out);
    return status;
}

rnl_status rnl_tools_create(rnl_model *model, const char *text, size_t size,
                            const rnl_constraint_config *config, rnl_constraint **tools,
                            rnl_error *error) {
    return create(model, true, text, size, config, tools, error);
}

rnl_status rnl_schema_create(rnl_model *model, const char *text, size_t size,
                             const rnl_constraint_config *config, rnl_constraint **schema,
                             rnl_error *error) {
    return create(model, false, text, size, config, schema, error);
}

void rnl_constraint_destroy(rnl_constraint **constraint) {
    if (constraint == NULL || *constraint == NULL) return;
    mask_destroy(&(*constraint)->m);
    grammar_free(&(*constraint)->g);
    json_destroy(&(*constraint)->source);
    free(*constraint);
    *constraint = NULL;
}

int rnl_constraint_token_min(const rnl_constraint *constraint) {
    return constraint->token_min + (constraint->tools ? 2 : 0);
}

const char *rnl_model_chat_template(const rnl_model *model) {
    return chat_kind_name(model->chat.kind);
}

bool rnl_model_can_call(const rnl_model *model) {
    return model->ids.call_begin >= 0 && model->ids.call_end >= 0;
}

bool rnl_model_begins_thinking(const rnl_model *model) {
    return model->chat.kind == CHAT_D;
}
