/* Whether two sessions stand where they stand bit for bit. */
#ifndef TESTS_SUPPORT_SAME_STATE_H
#define TESTS_SUPPORT_SAME_STATE_H

#include "engine/session.h"

/* The whole state that counts for what comes next: history, keys, fixed bytes, sampler. Steps both
 * until nothing is left to do, and fails the running test where they differ. */
void assert_same_state(rnl_session *a, rnl_session *b);

#endif
