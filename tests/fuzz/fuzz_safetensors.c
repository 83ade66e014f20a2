/* Any bytes as a safetensors file. */
#include "core/safetensors.h"
#include "tests/fuzz/temp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    safetensors *s = NULL;
    rnl_error error;
    if (safetensors_open(temp_file(data, size), &s, &error) != RNL_OK) return 0;
    for (size_t i = 0; i < safetensors_tensor_count(s); i++) {
        const tensor *t = safetensors_tensor(s, i);
        for (size_t k = 0; k < t->size; k += 512) sink += t->data[k];
    }
    safetensors_close(&s);
    return 0;
}
