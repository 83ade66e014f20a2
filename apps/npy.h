/* Arrays in .npy files, for `runnel dump`. */
#ifndef APPS_NPY_H
#define APPS_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <runnel/runnel.h>

typedef struct npy_array {
    void *cells; /* [rows, cols] in C order: float, or int32_t */
    bool is_int;
    size_t rows, cols; /* cols 0: one dimension */
} npy_array;

/* Renamed to path when complete; false with a sentence in error (nothing stays). */
bool npy_write(const char *path, const npy_array *a, rnl_error *error);

/* Reads a list of whole numbers, int16, int32 or int64 that fit into int32, of one dimension: *out
 * has count >= 1 of them, free() it. False with a sentence in error: RNL_ERR_IO, RNL_ERR_FORMAT,
 * RNL_ERR_MEMORY. Numbers that do not fit, or are negative, are -1. */
bool npy_read_ints(const char *path, int32_t **out, size_t *count, rnl_error *error);
/* The same of two dimensions, [rows, cols] in C order. */
bool npy_read_table(const char *path, int32_t **out, size_t *rows, size_t *cols, rnl_error *error);

#endif
