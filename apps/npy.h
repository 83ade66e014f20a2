/* Writing .npy arrays of float32, for `runnel dump`. */
#ifndef APPS_NPY_H
#define APPS_NPY_H

#include <stdbool.h>
#include <stddef.h>

#include <runnel/runnel.h>

/* [rows, cols] in C order, renamed to path when complete; false with a sentence in error (nothing
 * stays). */
bool npy_write(const char *path, const float *values, size_t rows, size_t cols, rnl_error *error);

#endif
