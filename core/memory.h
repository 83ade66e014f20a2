/* How much memory this process may still have, as the system tells it in files below a root: "" for
 * this machine, a folder that a test has made up. For the program: the library reads no such file.
 * SIZE_MAX: nothing tells. */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

#include <stddef.h>

/* Bytes that the machine can give without swapping: /proc/meminfo. */
size_t memory_of_machine(const char *root);
/* The least limit in bytes of this process's control group (v1 or v2) and those above it:
 * /proc/self/cgroup, /sys/fs/cgroup. */
size_t memory_of_group(const char *root);

#endif
