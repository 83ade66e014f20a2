/* Raw ids through the backbone of a session, as goldens of text models have them. */
#ifndef TESTS_SUPPORT_PROMPT_H
#define TESTS_SUPPORT_PROMPT_H

#include "engine/session.h"

/* Feeds ids behind what the session holds, at most `step` positions at a time (<= step_positions),
 * and collects the logits of every position, [count, vocab]. */
void prompt_run(rnl_session *s, const int32_t *ids, int count, int step, float *logits);
/* Continues from the logits of the last position: each best token is that of the array of int32 in
 * that file, relative to tests/data. logits [vocab] is overwritten. */
void prompt_check_greedy(rnl_session *s, const char *path, float *logits);
/* From a reset: the logits of DIR/expect/promptN are the reference's, and so is what follows. */
void prompt_check(rnl_session *s, const char *dir, int prompt);

#endif
