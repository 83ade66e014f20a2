/* What the system tells of this machine, in /proc and /sys below a root: "" for the machine itself,
 * a folder for one that a test has made up. What is not told there is "", or -1. */
#ifndef APPS_MACHINE_H
#define APPS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MACHINE_NAME_CAP = 256 };

typedef struct machine {
    char cpu[MACHINE_NAME_CAP];      /* as machine_cpu says it */
    char governor[MACHINE_NAME_CAP]; /* of the clock of processor 0: "powersave", "performance" */
    int64_t memory_free;             /* bytes that can be had without swapping */
    int64_t memory_limit;            /* bytes that the control group allows; -1: any */
    int64_t swap_size;               /* bytes */
    double load;                     /* programs that wanted to run, mean of the last minute */
    int priority_max;                /* real-time priority that may be asked for; 0: none */
    int64_t locked_max;              /* bytes that may be locked in memory; INT64_MAX: any */
} machine;

void machine_read(const char *root, machine *m);

/* Names the processor as Linux does: on a virtual machine the model name alone says little. */
void machine_cpu(const char *root, char name[MACHINE_NAME_CAP]);

#endif
