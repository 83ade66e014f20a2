/* What the process may still do once the model is open and the sockets listen: read a few folders,
 * answer the connections that it accepts, compute. Landlock keeps it from all other files, and from
 * connecting anywhere; a filter of system calls (seccomp) keeps it from starting programs, making
 * sockets, tracing, mounting and memory that can be executed. */
#ifndef SERVE_SANDBOX_H
#define SERVE_SANDBOX_H

#include <runnel/runnel.h>

typedef struct sandbox_config {
    const char *const *folders; /* [folder_count] that may be read, with all below them */
    size_t folder_count;
    bool kill; /* a call that is not allowed ends the process, for tests; else it fails (EPERM) */
} sandbox_config;

typedef struct sandbox_report {
    int landlock; /* version of the kernel's Landlock; 0: it has none, files are not guarded */
    bool seccomp; /* false: the kernel has none, calls are not guarded */
} sandbox_report;

/* For this thread and all that come after it, for good: call it before any other thread is made
 * (RNL_ERR_ARGUMENT otherwise). RNL_OK also when the kernel can do only a part; report says which.
 * RNL_ERR_IO names a folder that cannot be opened; RNL_ERR_MEMORY. After an error a part may be in
 * force: end. */
RNL_MUST_USE rnl_status sandbox_enter(const sandbox_config *config, sandbox_report *report,
                                      rnl_error *error);

#endif
