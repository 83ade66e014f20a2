#include "tests/support/device_count.h"

#include <stdio.h>
#include <stdlib.h>

static void say(const char *kind, const char *test, const char *what) {
    char path[4096];
    const char *folder = getenv("RUNNEL_DEVICE_COUNT");
    printf("%s: %s: %s\n", test, kind, what);
    if (folder == NULL) return;
    (void)snprintf(path, sizeof path, "%s/%s.%s", folder, kind, test);
    FILE *f = fopen(path, "w");
    if (f == NULL || fprintf(f, "%s\n", what) < 0 || fclose(f) != 0) abort();
}

void device_count_ran(const char *kind, const char *test, int count) {
    char what[64];
    (void)snprintf(what, sizeof what, "ran %d", count);
    say(kind, test, what);
}

void device_count_skipped(const char *kind, const char *test, const char *why) {
    char what[600];
    (void)snprintf(what, sizeof what, "skipped: %s", why);
    say(kind, test, what);
}
