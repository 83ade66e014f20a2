#include "apps/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool folders_make(const char *path, mode_t mode) {
    char *part = strdup(path);
    if (part == NULL) return false;
    bool good = *part != '\0';
    for (char *p = part + 1; good; p++) {
        if (*p != '/' && *p != '\0') continue;
        const char kept = *p;
        *p = '\0';
        good = mkdir(part, mode) == 0 || errno == EEXIST;
        *p = kept;
        if (kept == '\0') break;
    }
    free(part);
    return good;
}

int folder_below(int at, const char *name) {
    if (mkdirat(at, name, 0777) != 0 && errno != EEXIST) return -1;
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}
