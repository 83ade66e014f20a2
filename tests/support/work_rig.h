/* The engine thread of a server (serve/work.h) as its tests have it: the test is the loop thread.
 * One test at a time in a process; every function fails the running test when something is
 * wrong. */
#ifndef TESTS_SUPPORT_WORK_RIG_H
#define TESTS_SUPPORT_WORK_RIG_H

#include "serve/work.h"

/* config's wake is set here. Returns when passes are measured. */
work *work_rig_start(rnl_model *model, work_config *config);
/* Waits until the engine thread has something to tell, a second at most, and has ready() called. */
void work_rig_turn(work *w);
/* So often, until *count, which ready() changes, is `wanted` or more: at most a minute. */
void work_rig_wait(work *w, const int *count, int wanted);

#endif
