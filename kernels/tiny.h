/* Numbers too small to be normal, which some processors compute with fifty times as slowly: random
 * weights make them, trained ones hardly ever. */
#ifndef KERNELS_TINY_H
#define KERNELS_TINY_H

#include <stdbool.h>

/* Whether the calling thread, and threads that it starts from here on, take them for 0. Returns
 * what held before; false for a processor whose way is not known, where nothing changes. Results
 * depend on it: for measuring times alone. */
bool kernels_flush_tiny(bool on);

#endif
