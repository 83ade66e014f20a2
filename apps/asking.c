#include "apps/asking.h"

#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "engine/session.h"

static rnl_status say(rnl_session *s, rnl_role role, const char *text, rnl_error *error) {
    return rnl_session_add_text(s, role, text, strlen(text), error);
}

/* The user's turn: the context of an item behind its shots. */
static rnl_status question(rnl_session *s, const task_item *item, const task_item *const *shots,
                           int shot_count, rnl_error *error) {
    char *context = task_context(item, shots, shot_count);
    if (context == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    const rnl_status status = say(s, RNL_ROLE_USER, context, error);
    free(context);
    return status;
}

/* The description stands once, before the first of them. */
static rnl_status turns(rnl_session *s, const task_item *item, const task_item *const *shots,
                        int shot_count, rnl_error *error) {
    rnl_status status = RNL_OK;
    for (int i = 0; i <= shot_count && status == RNL_OK; i++) {
        task_item one = i < shot_count ? *shots[i] : *item;
        one.description = i == 0 ? item->description : NULL;
        status = question(s, &one, NULL, 0, error);
        if (status == RNL_OK && i < shot_count)
            status = say(s, RNL_ROLE_ASSISTANT, task_answer(&one), error);
    }
    return status;
}

rnl_status ask_in_chat(const options *o, rnl_session *session, const task_item *item,
                       const task_item *const *shots, int shot_count, const rnl_turn_config *turn,
                       rnl_error *error) {
    const char *system =
        o->system != NULL ? o->system : rnl_model_system_prompt(session->model, RNL_MODE_TEXT);
    rnl_session_reset(session);
    rnl_status status = system != NULL ? say(session, RNL_ROLE_SYSTEM, system, error) : RNL_OK;
    if (status == RNL_OK)
        status = o->shots_as_turns ? turns(session, item, shots, shot_count, error)
                                   : question(session, item, shots, shot_count, error);
    return status == RNL_OK ? rnl_session_begin(session, turn, error) : status;
}
