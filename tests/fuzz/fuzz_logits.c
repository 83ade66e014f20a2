/* Any bytes as a file of --save-logits, read row by row to its end. */
#include <math.h>

#include "apps/logits_file.h"
#include "tests/fuzz/temp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile double sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = temp_file(data, size);
    logits_file f = {0};
    rnl_error error = {0};
    const bool is = logits_file_is(path);
    const rnl_status opened = logits_file_open(path, &f, &error);
    if (opened == RNL_OK && !is) abort();
    if (opened == RNL_OK) {
        const int64_t rows = (int64_t)f.chunk_count * (f.window - 1 - f.window / 2);
        float *row = malloc((size_t)f.vocab_count * sizeof *row);
        if (row == NULL) abort();
        for (int64_t r = 0; r < rows; r++) {
            if (logits_file_next(&f, row, &error) != RNL_OK) break;
            for (int i = 0; i < f.vocab_count; i++) {
                if (!isfinite(row[i])) abort(); /* what is let through is log-probabilities */
                sink += row[i];
            }
        }
        free(row);
    } else if (error.text[0] == '\0') {
        abort();
    }
    logits_file_close(&f);
    return 0;
}
