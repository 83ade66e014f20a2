/* Reading the .npy arrays of the reference data (float32, int32 and bytes, C order). Fails the
 * running test with a message when a file is missing or of another kind. */
#ifndef TESTS_SUPPORT_NPY_H
#define TESTS_SUPPORT_NPY_H

#include <stddef.h>
#include <stdint.h>

typedef struct npy {
    int rank;
    int64_t shape[4]; /* unused entries 1 */
    size_t count;
    float *f; /* one of the three, by the file's dtype */
    int32_t *i;
    uint8_t *u;
} npy;

/* path is relative to tests/data. */
npy npy_read(const char *path);
void npy_free(npy *a);

#endif
