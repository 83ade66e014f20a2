#include "apps/npy.h"

#include <stdio.h>
#include <string.h>

#include "apps/replace.h"

typedef struct array {
    const float *values;
    size_t rows, cols;
} array;

static bool write_array(FILE *f, const void *context) {
    const array *a = context;
    char header[128];
    const int length = snprintf(header + 10, sizeof header - 10,
                                "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }",
                                a->rows, a->cols);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 118 bytes follow: 128 in all */
    memset(header + 10 + length, ' ', sizeof header - 10 - (size_t)length);
    header[sizeof header - 1] = '\n';
    return fwrite(header, 1, sizeof header, f) == sizeof header &&
           fwrite(a->values, sizeof *a->values, a->rows * a->cols, f) == a->rows * a->cols;
}

bool npy_write(const char *path, const float *values, size_t rows, size_t cols, rnl_error *error) {
    const array a = {values, rows, cols};
    return replace_file(path, write_array, &a, error);
}
