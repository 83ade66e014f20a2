/* Any bytes as a tokenizer.json; a vocabulary that is taken encodes its own file. */
#include <stdlib.h>

#include "tests/fuzz/temp.h"
#include "tokenizer/bpe_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE_CAP = 256, ID_CAP = 1 << 16 };

static void encode(const bpe *b, const uint8_t *data, size_t size) {
    arena a = {0};
    bpe_scratch scratch;
    bpe_scratch_layout(&scratch, PIECE_CAP, &a);
    arena placed = {.base = aligned_alloc(ARENA_ALIGN, a.size_used), .size_cap = a.size_used};
    int32_t *ids = malloc(ID_CAP * sizeof *ids);
    if (placed.base == NULL || ids == NULL) abort();
    bpe_scratch_layout(&scratch, PIECE_CAP, &placed);
    for (int special = 0; special < 2; special++) {
        size_t count;
        if (bpe_encode(b, &scratch, (const char *)data, size, special == 1, ids, ID_CAP, &count,
                       NULL) != RNL_OK)
            continue;
        for (size_t i = 0; i < count; i++)
            if (ids[i] < 0 || ids[i] >= bpe_token_count(b)) abort();
    }
    free(ids);
    free(placed.base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bpe *b = NULL;
    rnl_error error;
    if (bpe_from_json(temp_file(data, size), 4096, &b, NULL, &error) != RNL_OK) return 0;
    encode(b, data, size);
    bpe_destroy(&b);
    return 0;
}
