/* Parsers of ours map files, so an input becomes one, in memory. */
#ifndef TESTS_FUZZ_TEMP_H
#define TESTS_FUZZ_TEMP_H

#include <stddef.h>
#include <stdint.h>

/* The path of a file with these bytes; the same file is used again by the next call. */
const char *temp_file(const uint8_t *data, size_t size);

#endif
