#include "serve/process_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct process_watch {
    int memory; /* /proc/self/statm; -1: none */
    DIR *fds;   /* /proc/self/fd; NULL: none */
};

rnl_status process_watch_create(process_watch **out) {
    process_watch *w = *out = malloc(sizeof *w);
    if (w == NULL) return RNL_ERR_MEMORY;
    w->memory = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    w->fds = opendir("/proc/self/fd");
    return RNL_OK;
}

void process_watch_destroy(process_watch **w) {
    if (*w == NULL) return;
    if ((*w)->memory >= 0) close((*w)->memory);
    if ((*w)->fds != NULL) closedir((*w)->fds);
    free(*w);
    *w = NULL;
}

/* The second number of statm is the pages that are resident. */
static int64_t read_resident(const process_watch *w) {
    char text[128];
    const ssize_t size = w->memory < 0 ? -1 : pread(w->memory, text, sizeof text - 1, 0);
    if (size <= 0) return 0;
    text[size] = '\0';
    char *second = text;
    (void)strtoll(text, &second, 10);
    return strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static int64_t count_fds(const process_watch *w) {
    if (w->fds == NULL) return 0;
    int64_t count = 0;
    rewinddir(w->fds);
    for (const struct dirent *e; (e = readdir(w->fds)) != NULL;) count += e->d_name[0] != '.';
    return count;
}

void process_watch_read(process_watch *w, process_facts *facts) {
    struct timespec used = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    facts->resident_size = read_resident(w);
    facts->fd_count = count_fds(w);
    facts->cpu_us = (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}
