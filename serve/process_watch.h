/* What the process itself uses: memory, descriptors, time. The files of /proc that tell it are
 * opened once, because a sandbox (sandbox.h) allows no opening later. One thread. */
#ifndef SERVE_PROCESS_WATCH_H
#define SERVE_PROCESS_WATCH_H

#include <runnel/runnel.h>

typedef struct process_watch process_watch;

typedef struct process_facts {
    int64_t resident_size; /* bytes; 0: this system does not tell */
    int64_t fd_count;      /* open descriptors; 0: likewise */
    int64_t cpu_us;        /* user and system */
} process_facts;

/* RNL_ERR_MEMORY; *out is then NULL. What /proc does not have is told as 0. */
RNL_MUST_USE rnl_status process_watch_create(process_watch **out);
void process_watch_destroy(process_watch **w); /* NULL is fine; sets NULL */
void process_watch_read(process_watch *w, process_facts *facts);

#endif
