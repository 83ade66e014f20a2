/* Any bytes as an adapter: a GGUF file, or a PEFT folder of its two files. The first byte says
 * which; of a folder the next two say how long the configuration is. What is read is written in
 * both layouts, and must be the same again. */
#include <string.h>
#include <sys/stat.h>

#include "engine/lora.h"
#include "tests/fuzz/temp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile double sink;

static void put_file(const char *folder, const char *name, const uint8_t *data, size_t size) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
}

static const char *folder_path(void) {
    static char path[64];
    if (path[0] == '\0') {
        (void)snprintf(path, sizeof path, "/dev/shm/runnel-fuzz-lora-%d", (int)getpid());
        (void)mkdir(path, 0777);
    }
    return path;
}

static const char *put_folder(const uint8_t *data, size_t size) {
    const size_t wanted = size < 2 ? 0 : (size_t)data[0] | (size_t)data[1] << 8;
    if (size >= 2) data += 2, size -= 2;
    const size_t config = wanted < size ? wanted : size;
    put_file(folder_path(), "adapter_config.json", data, config);
    put_file(folder_path(), "adapter_model.safetensors", data + config, size - config);
    return folder_path();
}

static void check_same(const lora *a, const char *path) {
    lora b;
    rnl_error error;
    if (lora_read(path, &b, &error) != RNL_OK) abort();
    if (a->count != b.count) abort();
    for (size_t i = 0; i < b.count; i++)
        if (lora_scale(a, &a->tensors[i]) != lora_scale(&b, &b.tensors[i])) abort();
    lora_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lora l;
    rnl_error error;
    char written[128];
    if (size == 0) return 0;
    const char *path =
        data[0] % 2 == 0 ? temp_file(data + 1, size - 1) : put_folder(data + 1, size - 1);
    if (lora_read(path, &l, &error) != RNL_OK) return 0;
    for (size_t i = 0; i < l.count; i++) sink += lora_scale(&l, &l.tensors[i]);
    (void)snprintf(written, sizeof written, "%s-gguf", folder_path());
    if (lora_write_gguf(&l, written, "lfm2", &error) == RNL_OK) check_same(&l, written);
    (void)snprintf(written, sizeof written, "%s-peft", folder_path());
    if (lora_write_folder(&l, written, &error) == RNL_OK) check_same(&l, written);
    lora_free(&l);
    return 0;
}
