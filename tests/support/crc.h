/* CRC-32 as in PNG and zlib: what the reference data names pictures by. */
#ifndef TESTS_SUPPORT_CRC_H
#define TESTS_SUPPORT_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32_of(const void *data, size_t size);

#endif
