/* Tools that a model may call, and answers of a given form.
 *
 * The chat templates of the LFM2 family are known by their text and laid out by the library. What a
 * model writes for a call is held to the parameters of the tools while it is generated, and an
 * answer to a JSON schema: each token is chosen among those after which the text can still become
 * valid within the tokens that are left.
 *
 *     rnl_tools_create(model, json, size, NULL, &tools, &error);
 *     rnl_session_add_tools(s, system, system_size, tools, &error);      the list, for the model
 *     rnl_session_add_text(s, RNL_ROLE_USER, ...);
 *     turn.tools = tools;
 *     rnl_session_begin(s, &turn, &error);
 *     while (step ...) { pull text; while (rnl_session_pull_call(s, ...) == RNL_OK) calls++; }
 *     rnl_session_add_text(s, RNL_ROLE_TOOL, result, size, &error);      once for each call
 *     rnl_session_begin(s, &turn, &error);                               and so on
 *
 * Of JSON schemas are held: type, properties, required, additionalProperties, items, minItems,
 * maxItems, enum, const, anyOf, allOf, and $ref within the file; a value is nested at most 16 deep.
 * Keys that a schema does not name come only where additionalProperties is given, or no property
 * is; keys come in the schema's order. Numbers have at most 15 digits on either side of the point.
 * Other keywords that narrow are told as warnings when the constraint is made. */
#ifndef RUNNEL_RUNNEL_CHAT_H
#define RUNNEL_RUNNEL_CHAT_H

#include <runnel/runnel.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RNL_CONSTRAINT_SIZE_MAX = 1 << 20, /* bytes of the JSON of a constraint */
    RNL_CALL_SIZE_MAX = 100000         /* bytes of one call, as rnl_session_pull_call gives it */
};

/* The model's chat template: "A", "B", "C1", "C2", "C3", "D" (docs/MODEL.md, family 3.2), or
 * "plain": roles and texts only. */
RNL_API const char *rnl_model_chat_template(const rnl_model *model);
/* Whether the vocabulary has the tokens between which calls are written. */
RNL_API bool rnl_model_can_call(const rnl_model *model);
/* Whether an answer of the model begins within <think>, without saying so. */
RNL_API bool rnl_model_begins_thinking(const rnl_model *model);

typedef struct rnl_constraint_config {
    const char *name; /* of the JSON, for sentences; default "tools" or "schema" */
    const char *date; /* "2026-11-30", told to the model by templates that have a place for it; NULL
                       * (default): not told */
    rnl_log_fn log;   /* gets warnings while the constraint is made; NULL (default): none */
    void *log_context;
} rnl_constraint_config;

/* What a reply is held to: tools, or a schema. Working memory is within (about 1 MB), so one
 * session at a time may have it in its turn; sessions of a batch may share one. The first of a
 * model sorts its vocabulary, which takes some 50 ms. The model must outlive it. config may be
 * NULL.
 *
 * tools: a JSON array of {"name", "description", "parameters"}, as such or as {"type": "function",
 * "function": {...}}; or of strings, which the model gets verbatim. parameters is a JSON schema.
 * RNL_ERR_DATA names what is wrong; RNL_ERR_UNSUPPORTED: the vocabulary has no tokens for calls
 * (tools), or the model no vocabulary; RNL_ERR_FORMAT: no JSON; RNL_ERR_MEMORY. */
RNL_API RNL_MUST_USE rnl_status rnl_tools_create(rnl_model *model, const char *json, size_t size,
                                                 const rnl_constraint_config *config,
                                                 rnl_constraint **tools, rnl_error *error);
RNL_API RNL_MUST_USE rnl_status rnl_schema_create(rnl_model *model, const char *json, size_t size,
                                                  const rnl_constraint_config *config,
                                                  rnl_constraint **schema, rnl_error *error);
/* NULL is fine; sets NULL. Not while it is in the turn of a session that generates. */
RNL_API void rnl_constraint_destroy(rnl_constraint **constraint);

/* Tokens of the shortest answer that fits: no step_max below it will do. Of tools: of the shortest
 * call, its two tokens included. */
RNL_API int rnl_constraint_token_min(const rnl_constraint *constraint);

/* The system's text and the list of tools, as the model's template puts them: the beginning of a
 * conversation. system may be NULL with size 0. A template without a place for tools ("plain") gets
 * them as "B" does. RNL_ERR_STATE: the conversation has begun already; else as
 * rnl_session_add_text. */
RNL_API RNL_MUST_USE rnl_status rnl_session_add_tools(rnl_session *session, const char *system,
                                                      size_t size, const rnl_constraint *tools,
                                                      rnl_error *error);

/* Takes one call of the reply, in the order they were made: {"tool":"f","arguments":{...}} as one
 * line of UTF-8 without its end, not terminated, at most cap bytes (RNL_CALL_SIZE_MAX is always
 * enough). Only with turn.tools; while calls wait the step says RNL_AGAIN. What stands between the
 * call tokens but is no list of calls of those tools is text and comes from rnl_session_pull_text,
 * as does a call that the end of the reply cuts off. RNL_OK, RNL_AGAIN, RNL_DONE as pull_text;
 * RNL_ERR_ARGUMENT: cap is too small, *size says what it takes. */
RNL_API RNL_MUST_USE rnl_status rnl_session_pull_call(rnl_session *session, char *json, size_t cap,
                                                      size_t *size);

/* Adds a message as programs have it: {"role": "system" | "user" | "assistant" | "tool", "content":
 * text or list of parts, "tool_calls": [...], "thinking": text}, laid out as the model's template
 * does. past: a question follows later, so that the thinking of an assistant is left out where the
 * template does that. Allocates for the length of the call. RNL_ERR_DATA names the field that does
 * not fit; RNL_ERR_UNSUPPORTED: a picture; else as rnl_session_add_text. */
RNL_API RNL_MUST_USE rnl_status rnl_session_add_message(rnl_session *session, const char *json,
                                                        size_t size, bool past, rnl_error *error);

#ifdef __cplusplus
}
#endif
#endif
