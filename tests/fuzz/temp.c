#include "tests/fuzz/temp.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *temp_file(const uint8_t *data, size_t size) {
    static char path[64];
    if (path[0] == '\0')
        (void)snprintf(path, sizeof path, "/dev/shm/runnel-fuzz-%d", (int)getpid());
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
    return path;
}
