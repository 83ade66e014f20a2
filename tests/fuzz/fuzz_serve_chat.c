/* Any bytes as the body of a chat: refused in a sentence, or commands that the engine can take. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "serve/chat_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static rnl_model *models[2]; /* one hears, one sees */

static void open_models(void) {
    static const char *const paths[] = {TEST_DATA "/tiny", TEST_DATA "/vl/tiny"};
    rnl_error error;
    for (int i = 0; i < 2; i++)
        if (rnl_model_open(paths[i], NULL, &models[i], &error) != RNL_OK) abort();
}

static bool recall(void *context, const char *id, const char **text, size_t *size) {
    (void)context;
    *text = "words";
    *size = 5;
    return id[0] == 'a';
}

static void check(const command *c, bool last) {
    if ((c->kind == COMMAND_BEGIN) != last) abort();
    if (c->text_size > 0 && !utf8_is_valid(c->text, c->text_size)) abort();
    if (c->json_size > 0 && !utf8_is_valid(c->json, c->json_size)) abort();
    for (size_t i = 0; i < c->count; i++)
        if (!(c->samples[i] - c->samples[i] == 0)) abort();
    if (c->kind == COMMAND_IMAGE && c->size != (size_t)c->width * (size_t)c->height * 3) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    chat_request r;
    api_error e = {0};
    if (models[0] == NULL) open_models();
    if (size < 1) return 0;
    const chat_config config = {
        .model = models[data[0] % 2], .clip_seconds_max = 1, .pixel_max = 10000, .recall = recall};
    if (!chat_request_read((const char *)data + 1, size - 1, &config, &r, &e)) {
        if (e.code == API_OK || e.message[0] == '\0' || r.command_count != 0) abort();
        return 0;
    }
    if (r.command_count < 1 || r.model[0] == '\0' || r.stop_count > LIMIT_STOP_TEXTS) abort();
    for (int i = 0; i < r.command_count; i++) check(&r.commands[i], i == r.command_count - 1);
    chat_request_free(&r);
    return 0;
}
