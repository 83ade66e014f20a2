/* Parsers of ours map files, so an input becomes one, in memory. */
#ifndef TESTS_FUZZ_TEMP_H
#define TESTS_FUZZ_TEMP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The path of a file with these bytes; the same file is used again by the next call. */
static inline const char *temp_file(const uint8_t *data, size_t size) {
    static char path[64];
    if (path[0] == '\0')
        (void)snprintf(path, sizeof path, "/dev/shm/runnel-fuzz-%d", (int)getpid());
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
    return path;
}

#endif
