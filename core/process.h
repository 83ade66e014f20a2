/* Starting another program, for the program: the library starts none, and does not hold this. No
 * shell takes part. */
#ifndef CORE_PROCESS_H
#define CORE_PROCESS_H

#include <sys/types.h>

/* Starts arguments[0] (searched in PATH), NULL behind the last, in a process group of its own, with
 * no signal blocked and SIGPIPE as a new process has it. in, out, reports: what becomes its
 * standard input, output and error; -1: nothing to read; output and error as ours. Any thread.
 * 0, or an errno and *child 0; ENOENT: there is no such program. */
int process_start(pid_t *child, const char *const *arguments, int in, int out, int reports);

#endif
