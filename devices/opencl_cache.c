/* A file for each key: the hash of what follows, then that. */
#include "devices/opencl_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash_table.h"
#include "core/mapped.h"
#include "core/staged_file.h"

uint64_t gpu_cache_key(const char *const *texts, int count) {
    uint64_t sum = HASH_START;
    for (int i = 0; i < count; i++) sum = hash_bytes(sum, texts[i], strlen(texts[i]) + 1);
    return sum;
}

/* NULL: no memory. free() it. */
static char *path_of(const char *folder, uint64_t key) {
    const size_t size = strlen(folder) + sizeof "/opencl-0123456789abcdef.bin";
    char *path = malloc(size);
    if (path != NULL)
        (void)snprintf(path, size, "%s/opencl-%016llx.bin", folder, (unsigned long long)key);
    return path;
}

unsigned char *gpu_cache_read(const char *folder, uint64_t key, size_t *size) {
    char *path = path_of(folder, key);
    mapped file = {.data = NULL};
    unsigned char *out = NULL;
    uint64_t sum;
    *size = 0;
    if (path != NULL && mapped_open(path, &file, NULL) == RNL_OK && file.size > sizeof sum) {
        memcpy(&sum, file.data, sizeof sum);
        *size = file.size - sizeof sum;
        if (hash_bytes(HASH_START, file.data + sizeof sum, *size) == sum) out = malloc(*size);
        if (out != NULL) memcpy(out, file.data + sizeof sum, *size);
    }
    mapped_close(&file);
    free(path);
    return out;
}

void gpu_cache_write(const char *folder, uint64_t key, const unsigned char *bytes, size_t size) {
    const uint64_t sum = hash_bytes(HASH_START, bytes, size);
    char *path = path_of(folder, key);
    staged_file *file = NULL;
    if (path != NULL && staged_open(path, &file, NULL) == RNL_OK) {
        FILE *to = staged_stream(file);
        if (to == NULL || fwrite(&sum, sizeof sum, 1, to) != 1 ||
            fwrite(bytes, 1, size, to) != size || staged_commit(&file, NULL) != RNL_OK)
            staged_abort(&file);
    }
    free(path);
}
