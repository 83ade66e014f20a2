/* Messages as chat templates lay them out, beyond plain text: lists of tools, results, whole
 * messages of programs. */
#include <string.h>

#include "core/json.h"
#include "core/status.h"
#include "engine/session.h"

typedef struct sink_job {
    session_draft *draft;
    bool picture; /* there was one */
} sink_job;

static bool to_draft(void *context, const chat_piece *piece) {
    sink_job *job = context;
    job->picture = job->picture || piece->kind == CHAT_IMAGE;
    if (piece->kind == CHAT_LAYOUT)
        session_draft_layout(job->draft, piece->text, piece->size);
    else if (piece->kind == CHAT_TEXT)
        session_draft_text(job->draft, piece->text, piece->size);
    return job->draft->status == RNL_OK && !job->picture;
}

static rnl_status accept(session_draft *d, rnl_error *error) {
    if (d->status != RNL_OK) return d->status;
    const rnl_status status = session_ensure_room(d, 0, error);
    if (status == RNL_OK) session_accept(d);
    return status;
}

rnl_status rnl_session_add_tools(rnl_session *s, const char *system, size_t size,
                                 const rnl_constraint *tools, rnl_error *error) {
    const rnl_status status = session_check_content(s, error);
    if (status != RNL_OK) return status;
    if (tools == NULL || !tools->tools || tools->model != s->model || (system == NULL && size > 0))
        return status_fail(error, RNL_ERR_ARGUMENT, "tools or system of add_tools is not valid");
    if (s->live->begun || s->clip_open || s->encoding)
        return status_fail(error, RNL_ERR_STATE,
                           "tools come first in a conversation; reset the session to give others");
    if (!utf8_is_valid(system, size))
        return status_fail(error, RNL_ERR_DATA,
                           "the text is not valid UTF-8; convert it to UTF-8 first");
    chat_template t = s->model->chat;
    if (t.kind == CHAT_PLAIN) t.kind = CHAT_B;
    t.date = tools->date[0] != '\0' ? tools->date : NULL;
    session_draft d = session_draft_begin(s, error);
    sink_job job = {.draft = &d};
    session_draft_turn(&d, RNL_ROLE_SYSTEM);
    const rnl_status laid = chat_render_tools(&t, system, size, tools->source, to_draft, &job);
    if (d.status == RNL_OK && laid != RNL_OK)
        return status_fail(error, laid, "memory for the list of tools is exhausted");
    return accept(&d, error);
}

rnl_status session_add_result(rnl_session *s, const char *text, size_t size, rnl_error *error) {
    session_draft d = session_draft_begin(s, error);
    const bool wrapped = s->model->chat.kind == CHAT_A;
    const char *begin = "<|tool_response_start|>", *end = "<|tool_response_end|>";
    session_draft_turn(&d, RNL_ROLE_TOOL);
    if (wrapped) session_draft_layout(&d, begin, strlen(begin));
    session_draft_text(&d, text, size);
    if (wrapped) session_draft_layout(&d, end, strlen(end));
    return accept(&d, error);
}

static rnl_status role_of(const json *message, rnl_role *role, rnl_error *error) {
    static const char *const names[] = {"system", "user", "assistant", "tool", "developer"};
    static const rnl_role roles[] = {RNL_ROLE_SYSTEM, RNL_ROLE_USER, RNL_ROLE_ASSISTANT,
                                     RNL_ROLE_TOOL, RNL_ROLE_SYSTEM};
    const char *name = json_chars(json_get(message, "role"), NULL);
    for (int i = 0; name != NULL && i < 5; i++) {
        *role = roles[i];
        if (strcmp(name, names[i]) == 0) return RNL_OK;
    }
    return status_fail(error, RNL_ERR_DATA,
                       "\"role\" of a message is none of system, developer, user, assistant, tool");
}

static rnl_status add_message(rnl_session *s, const json *message, bool past, rnl_error *error) {
    rnl_role role = RNL_ROLE_USER;
    rnl_status status = role_of(message, &role, error);
    if (status != RNL_OK) return status;
    if (role == RNL_ROLE_SYSTEM && s->live->begun)
        return status_fail(error, RNL_ERR_STATE,
                           "a system text must come first; reset the session to give another one");
    if (role == RNL_ROLE_USER) session_forget_thinking(s);
    session_draft d = session_draft_begin(s, error);
    sink_job job = {.draft = &d};
    d.apart = true;
    session_draft_turn(&d, role);
    status = chat_render_content(&s->model->chat, message, !past, "message", to_draft, &job, error);
    if (job.picture)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "a picture in a message cannot be added so; add it by itself");
    if (status != RNL_OK && status != RNL_ERR_STATE) return status;
    return accept(&d, error);
}

rnl_status rnl_session_add_message(rnl_session *s, const char *text, size_t size, bool past,
                                   rnl_error *error) {
    rnl_status status = session_check_content(s, error);
    if (status != RNL_OK) return status;
    if (text == NULL) return status_fail(error, RNL_ERR_ARGUMENT, "json of add_message is NULL");
    json *message = NULL;
    status = json_parse(text, size, "message", &message, error);
    if (status == RNL_OK && s->clip_open) status = rnl_session_end_audio(s, error);
    if (status == RNL_OK) status = add_message(s, message, past, error);
    json_destroy(&message);
    return status;
}
