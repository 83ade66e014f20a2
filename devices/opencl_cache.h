/* What a driver has compiled, kept in a folder of the user's (rnl_device_config.cache_path): some
 * take seconds to compile. Whatever goes wrong, nothing is kept, and nothing is said. */
#ifndef DEVICES_OPENCL_CACHE_H
#define DEVICES_OPENCL_CACHE_H

#include <stddef.h>
#include <stdint.h>

/* A number for texts, which changes with any of them: count of them, none NULL. */
uint64_t gpu_cache_key(const char *const *texts, int count);

/* NULL: there is none, or it is damaged. free() it. */
unsigned char *gpu_cache_read(const char *folder, uint64_t key, size_t *size);
void gpu_cache_write(const char *folder, uint64_t key, const unsigned char *bytes, size_t size);

#endif
