/* How much memory this process may still have. */
#ifndef SERVE_MEMORY_BUDGET_H
#define SERVE_MEMORY_BUDGET_H

#include <stddef.h>

/* Bytes that the machine has to spare, but no more than the limit of this process's control group
 * (v1 or v2) and of those above it. root: "" for this machine; tests name a folder that holds
 * /proc/meminfo, /proc/self/cgroup and /sys instead. Where nothing can be read: what the machine
 * has free by its own count. */
size_t memory_available(const char *root);
/* What of it conversations may take, beside the weights of a model: 60 % of the rest. */
size_t memory_budget(size_t available, size_t weight_size);

#endif
