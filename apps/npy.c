#include "apps/npy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/cli.h"

static bool write_all(FILE *f, const float *values, size_t rows, size_t cols) {
    char header[128];
    const int length =
        snprintf(header + 10, sizeof header - 10,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, cols);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 118 bytes follow: 128 in all */
    memset(header + 10 + length, ' ', sizeof header - 10 - (size_t)length);
    header[sizeof header - 1] = '\n';
    return fwrite(header, 1, sizeof header, f) == sizeof header &&
           fwrite(values, sizeof *values, rows * cols, f) == rows * cols;
}

bool npy_write(const char *path, const float *values, size_t rows, size_t cols) {
    char temporary[4096];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid()) >=
        sizeof temporary) {
        errno = ENAMETOOLONG;
        return false;
    }
    FILE *f = fopen(temporary, "wbx");
    if (f == NULL) return false;
    doomed_add(temporary);
    bool done = write_all(f, values, rows, cols);
    done = fclose(f) == 0 && done;
    done = done && rename(temporary, path) == 0;
    const int reason = errno;
    if (!done) (void)unlink(temporary);
    doomed_remove(temporary);
    errno = reason;
    return done;
}
