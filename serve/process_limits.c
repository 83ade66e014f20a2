#include "serve/process_limits.h"

#include <sys/resource.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "serve/limits.h"

void process_raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= LIMIT_DESCRIPTORS) return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > LIMIT_DESCRIPTORS
                         ? LIMIT_DESCRIPTORS
                         : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

void process_give_memory_back(void) {
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
#endif
}
