/* A file for each key: the hash of what follows, then that. */
#include "devices/opencl_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mapped.h"
#include "core/staged_file.h"

static const uint64_t begin = 0xcbf29ce484222325u; /* FNV-1a, as the next one */
static const uint64_t factor = 0x100000001b3u;

static uint64_t hash(uint64_t sum, const unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) sum = (sum ^ bytes[i]) * factor;
    return sum;
}

uint64_t gpu_cache_key(const char *const *texts, int count) {
    uint64_t sum = begin;
    for (int i = 0; i < count; i++)
        sum = hash(sum, (const unsigned char *)texts[i], strlen(texts[i]) + 1);
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
        if (hash(begin, file.data + sizeof sum, *size) == sum) out = malloc(*size);
        if (out != NULL) memcpy(out, file.data + sizeof sum, *size);
    }
    mapped_close(&file);
    free(path);
    return out;
}

void gpu_cache_write(const char *folder, uint64_t key, const unsigned char *bytes, size_t size) {
    const uint64_t sum = hash(begin, bytes, size);
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
