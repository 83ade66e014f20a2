#include "apps/asking.h"

#include <stdlib.h>
#include <string.h>

#include "apps/inputs.h"
#include "apps/sources.h"
#include "audio/file.h"
#include "core/status.h"
#include "engine/session.h"

static rnl_status say(rnl_session *s, rnl_role role, const char *text, rnl_error *error) {
    return rnl_session_add_text(s, role, text, strlen(text), error);
}

/* The user's turn is a sound. */
static rnl_status hear(const options *o, rnl_session *s, const char *path, rnl_error *error) {
    sound_config config;
    sound x;
    rnl_error why = {0};
    (void)inputs_sound_config(o, &config); /* refuses options alone that `eval` does not have */
    source_note(path);
    if (sound_read(path, s->config.clip_seconds_max, &config, &x, &why) != RNL_OK)
        return status_fail(error, RNL_ERR_DATA, "%s", why.text);
    const rnl_status status = rnl_session_add_audio(s, x.samples, x.count, x.rate, &why);
    sound_free(&x);
    return status == RNL_OK ? RNL_OK : status_fail(error, status, "%s: %s", path, why.text);
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
        o->system != NULL ? o->system : rnl_model_system_prompt(session->model, turn->mode);
    rnl_session_reset(session);
    rnl_status status = system != NULL ? say(session, RNL_ROLE_SYSTEM, system, error) : RNL_OK;
    if (status == RNL_OK && item->sound != NULL)
        status = hear(o, session, item->sound, error);
    else if (status == RNL_OK)
        status = o->shots_as_turns ? turns(session, item, shots, shot_count, error)
                                   : question(session, item, shots, shot_count, error);
    return status == RNL_OK ? rnl_session_begin(session, turn, error) : status;
}
