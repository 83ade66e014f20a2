#include "core/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mapped.h"

/* FOLDER/NAME; NULL: no memory. free() it. */
static char *join(const char *folder, const char *name) {
    const size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path != NULL) (void)snprintf(path, size, "%s/%s", folder, name);
    return path;
}

static bool sum_file(const char *path, const struct stat *info, bool bytes, checksum *sum) {
    mapped file;
    checksum_add_number(sum, info->st_size);
    if (!bytes) {
        checksum_add_number(sum, info->st_mtim.tv_sec);
        checksum_add_number(sum, info->st_mtim.tv_nsec);
        return true;
    }
    if (info->st_size == 0) return true;
    if (mapped_open(path, &file, NULL) != RNL_OK) return false;
    checksum_add(sum, file.data, file.size);
    mapped_close(&file);
    return true;
}

static bool sum_entry(const char *folder, const char *name, bool bytes, checksum *sum) {
    char *path = join(folder, name);
    struct stat info;
    bool good = path != NULL;
    if (good && stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        checksum_add_text(sum, name);
        good = sum_file(path, &info, bytes, sum);
    }
    free(path);
    return good;
}

/* By bytes, whatever the language. */
static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

bool folder_sum(const char *path, const char *part, bool bytes, checksum *sum) {
    struct dirent **entries = NULL;
    const int count = scandir(path, &entries, NULL, by_name);
    bool good = count >= 0;
    for (int i = 0; i < count; i++) {
        if (good && strstr(entries[i]->d_name, part) != NULL)
            good = sum_entry(path, entries[i]->d_name, bytes, sum);
        free(entries[i]);
    }
    free(entries);
    return good;
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
