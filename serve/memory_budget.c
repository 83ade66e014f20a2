#define _DEFAULT_SOURCE /* _SC_AVPHYS_PAGES */

#include "serve/memory_budget.h"

#include <stdint.h>
#include <unistd.h>

#include "core/memory.h"

/* What the machine has free by its own count, where its files are hidden. */
static size_t counted(void) {
    const long pages = sysconf(_SC_AVPHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (size_t)pages * (size_t)size : SIZE_MAX;
}

size_t memory_available(const char *root) {
    const size_t told = memory_of_machine(root), limit = memory_of_group(root);
    const size_t has = told != SIZE_MAX ? told : counted();
    return has < limit ? has : limit;
}

size_t memory_budget(size_t available, size_t weight_size) {
    if (available == SIZE_MAX) return SIZE_MAX;
    return available > weight_size ? (available - weight_size) / 5 * 3 : 0;
}
