/* Any bytes as a GGUF file: opened, every key and tensor looked at, or refused. */
#include "core/gguf.h"
#include "tests/fuzz/temp.h"
#include "tokenizer/bpe_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

static bool see_string(void *context, size_t index, const char *text, size_t size) {
    (void)context;
    (void)index;
    for (size_t i = 0; i < size; i++) sink += (unsigned char)text[i];
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gguf *g = NULL;
    rnl_error error;
    if (gguf_open(temp_file(data, size), &g, &error) != RNL_OK) return 0;
    for (size_t i = 0; i < gguf_key_count(g); i++) {
        char text[64];
        gguf_key_text(g, i, text, sizeof text);
        sink += (unsigned char)text[0];
    }
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const tensor *t = gguf_tensor(g, i);
        for (size_t k = 0; k < t->size; k += 512) sink += t->data[k];
    }
    (void)gguf_each_string(g, "tokenizer.ggml.tokens", see_string, NULL);
    bpe *b = NULL;
    if (bpe_from_gguf(g, 4096, &b, &error) == RNL_OK) bpe_destroy(&b);
    gguf_close(&g);
    return 0;
}
