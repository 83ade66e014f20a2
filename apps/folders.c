#include "apps/folders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

bool folder_remove(int at, const char *name) {
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT) return true;
    const int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return false;
    DIR *folder = fdopendir(fd);
    if (folder == NULL) {
        (void)close(fd);
        return false;
    }
    bool good = true;
    const struct dirent *e;
    while (good && (e = readdir(folder)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            good = folder_remove(fd, e->d_name);
    const int fault = errno;
    (void)closedir(folder);
    errno = fault;
    return good && unlinkat(at, name, AT_REMOVEDIR) == 0;
}
