/* Any bytes as refs.jsonl: every line gives a path below the folder and a text, or all is refused
 * with a sentence. */
#include <stdlib.h>
#include <string.h>

#include "apps/refs.h"
#include "apps/wer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    refs r;
    rnl_error error = {0};
    if (refs_parse("refs", (const char *)data, size, "folder", "audio_filepath", &r, &error) !=
        RNL_OK) {
        if (error.text[0] == '\0' || r.count != 0) abort();
        return 0;
    }
    for (size_t i = 0; i < r.count; i++) {
        wer_counts counts;
        if (r.paths[i][0] != '/' && strncmp(r.paths[i], "folder/", 7) != 0) abort();
        /* A text against itself is right in every word. */
        if (strlen(r.texts[i]) > 2000) continue;
        if (!wer_count(r.texts[i], strlen(r.texts[i]), r.texts[i], strlen(r.texts[i]), &counts))
            abort();
        if (wer_rate(&counts.words) > 0 || wer_rate(&counts.characters) > 0) abort();
    }
    refs_free(&r);
    return 0;
}
