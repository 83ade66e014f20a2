/* Single keys of the terminal at standard input. */
#ifndef APPS_KEYS_H
#define APPS_KEYS_H

#include <stdbool.h>

/* A terminal that gives single keys, until restored; also a second Ctrl-C restores it. False: this
 * is no terminal. */
bool keys_begin(void);
void keys_end(void);
/* As wait_for_input for one byte of standard input that may already be there: whether one is. Never
 * waits. */
bool key_waits(void);

#endif
