/* A question of a benchmark as a conversation: `eval --task --chat`. learn.md 2.2. */
#ifndef APPS_ASKING_H
#define APPS_ASKING_H

#include "apps/options.h"
#include "apps/tasks.h"

/* The system prompt of the turn's mode, the shots and the question, and the beginning of a reply of
 * `turn`, in a conversation that is reset before. The shots stand in the question's own turn, or,
 * with --shots-as-turns, are turns of the user and answers before it. A spoken question has none
 * (the caller's to check); RNL_ERR_DATA: its file cannot be read. */
RNL_MUST_USE rnl_status ask_in_chat(const options *o, rnl_session *session, const task_item *item,
                                    const task_item *const *shots, int shot_count,
                                    const rnl_turn_config *turn, rnl_error *error);

#endif
