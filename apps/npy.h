/* Writing .npy arrays of float32, for `runnel dump`. */
#ifndef APPS_NPY_H
#define APPS_NPY_H

#include <stdbool.h>
#include <stddef.h>

/* [rows, cols] in C order, renamed to path when complete; false on a write error (nothing
 * stays). */
bool npy_write(const char *path, const float *values, size_t rows, size_t cols);

#endif
