/* Comparing with a golden array within the tolerance of its manifest. */
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>

/* Looks FILE up in DIR/manifest.json (paths relative to tests/data), reads the array, and asserts
 * count, the largest difference <= tolerance and the rms of the difference <= tolerance_rms.
 * Prints one line with the figures. */
void golden_check(const char *dir, const char *file, const float *got, size_t count);
/* The same on the transposed array: got is [b, a] where the file holds [a, b]. */
void golden_check_transposed(const char *dir, const char *file, const float *got, size_t count);
/* Tolerances by hand, for arrays without a manifest. */
void golden_compare(const char *what, const float *want, const float *got, size_t count,
                    double tolerance, double tolerance_rms);
/* The rms of the difference / that of want. */
double golden_off(const float *got, const float *want, size_t count);

#endif
