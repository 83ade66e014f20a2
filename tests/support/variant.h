/* A checkpoint with a variant's rows in place (golden tiny/: tensor NAME#ROW of
 * variant-X.safetensors is row ROW of tensor NAME), written to a temporary folder. */
#ifndef TESTS_SUPPORT_VARIANT_H
#define TESTS_SUPPORT_VARIANT_H

#include <stddef.h>

/* dir, cap: receives the path of the folder. */
void variant_make(const char *name, char *dir, size_t cap);
void variant_remove(const char *dir);

#endif
