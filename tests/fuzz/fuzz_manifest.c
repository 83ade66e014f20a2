/* Any bytes as a manifest, and as the argument of --shard: damaged lines are passed over, and what
 * is found done once is found again when the text is read twice. */
#include <stdlib.h>
#include <string.h>

#include "apps/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool done(const char *text, size_t size, size_t *damaged_count) {
    const manifest_input one = {.path = "one.wav", .size = 32044, .changed = 1};
    manifest *m = manifest_from_text(text, size, "settings", damaged_count);
    if (m == NULL) abort();
    const bool is_done = manifest_is_done(m, &one);
    manifest_close(&m);
    return is_done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(2 * size + 2);
    int shard = 0, shard_count = 0;
    if (text == NULL) abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (shard_parse(text, &shard, &shard_count) && (shard < 0 || shard >= shard_count)) abort();
    if (shard_count > 0 && (unsigned)shard_of(text, shard_count) >= (unsigned)shard_count) abort();
    text[size] = '\n';
    memcpy(text + size + 1, data, size);
    text[2 * size + 1] = '\n';
    size_t once = 0, twice = 0;
    if (done(text, size + 1, &once) != done(text, 2 * size + 2, &twice) || twice != 2 * once)
        abort();
    free(text);
    return 0;
}
