/* How the program ends before its work is done: signals, and the half-written files that must not
 * stay. */
#ifndef APPS_ENDING_H
#define APPS_ENDING_H

#include <stdbool.h>

/* The first Ctrl-C asks the work to end; the second ends the program at once. */
void interrupt_install(void);
bool interrupted(void);
/* Waits until standard input, a terminal, has a line or its end; false on Ctrl-C, however close to
 * the call it comes. */
bool wait_for_input(void);
/* Half-written files, and folders that are empty without them, to remove when the program ends at
 * once: a second Ctrl-C, SIGTERM or SIGHUP, a model file that shrinks. One more (copied; beyond 512
 * at a time they are not removed); no longer that one; none any more. Any thread. */
void doomed_add(const char *path);
void doomed_remove(const char *path);
void doomed_clear(void);

#endif
