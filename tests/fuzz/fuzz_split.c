/* Any bytes as the two parts of a split GGUF file, cut where the first two bytes say: opened by
 * either, every tensor looked at, or refused. */
#include "core/gguf.h"
#include "tests/fuzz/temp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

static void write_part(const char *path, const uint8_t *data, size_t size) {
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
}

static void look(const char *path) {
    gguf *g = NULL;
    rnl_error error;
    if (gguf_open(path, &g, &error) != RNL_OK) return;
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const tensor *t = gguf_tensor(g, i);
        for (size_t at = 0; at < t->size; at += 512) sink += t->data[at];
    }
    gguf_close(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char paths[2][64];
    if (size < 3) return 0;
    const size_t left = size - 2, cut = (size_t)(data[0] | data[1] << 8) % left;
    for (int i = 0; i < 2; i++)
        (void)snprintf(paths[i], sizeof paths[i], "/dev/shm/runnel-fuzz-%d-0000%d-of-00002.gguf",
                       (int)getpid(), i + 1);
    write_part(paths[0], data + 2, cut);
    write_part(paths[1], data + 2 + cut, left - cut);
    for (int i = 0; i < 2; i++) look(paths[i]);
    return 0;
}
