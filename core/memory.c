#include "core/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_CAP = 4352, LINE_CAP = 4096 };

/* A file that is one number; SIZE_MAX: it is not there, or says "max". */
static size_t number_of(const char *path) {
    char text[64];
    FILE *f = fopen(path, "re");
    if (f == NULL) return SIZE_MAX;
    const size_t size = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[size] = '\0';
    if (size == 0 || strspn(text, "0123456789") == 0) return SIZE_MAX;
    return (size_t)strtoull(text, NULL, 10);
}

static size_t fewer(size_t a, size_t b) {
    return a < b ? a : b;
}

/* The least limit of a group and those above it. */
static size_t limit_of(const char *root, const char *mount, char *group, const char *file) {
    char path[PATH_CAP + LINE_CAP];
    size_t least = SIZE_MAX;
    for (;;) {
        (void)snprintf(path, sizeof path, "%s/sys/fs/cgroup%s%s/%s", root, mount, group, file);
        least = fewer(least, number_of(path));
        char *slash = strrchr(group, '/');
        if (slash == NULL) return least;
        *slash = '\0';
    }
}

/* "0::/group" of version 2, "5:memory:/group" of version 1. */
size_t memory_of_group(const char *root) {
    char path[PATH_CAP], line[LINE_CAP];
    size_t least = SIZE_MAX;
    (void)snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (f == NULL) return SIZE_MAX;
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *kind = strchr(line, ':'), *group = kind != NULL ? strchr(kind + 1, ':') : NULL;
        if (group == NULL) continue;
        *group++ = '\0';
        if (strcmp(kind + 1, "") == 0)
            least = fewer(least, limit_of(root, "", group, "memory.max"));
        else if (strcmp(kind + 1, "memory") == 0)
            least = fewer(least, limit_of(root, "/memory", group, "memory.limit_in_bytes"));
    }
    (void)fclose(f);
    return least;
}

size_t memory_of_machine(const char *root) {
    char path[PATH_CAP], line[LINE_CAP];
    unsigned long long kib = 0;
    (void)snprintf(path, sizeof path, "%s/proc/meminfo", root);
    FILE *f = fopen(path, "re");
    while (f != NULL && kib == 0 && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &kib) != 1) kib = 0;
    if (f != NULL) (void)fclose(f);
    return kib > 0 && kib < SIZE_MAX >> 10 ? (size_t)kib << 10 : SIZE_MAX;
}
