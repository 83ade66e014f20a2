/* Any bytes as the config.json of a stack: what is taken is written, and read as the same. */
#include <stdlib.h>
#include <string.h>

#include "stack/kind.h"
#include "stack/stack_json.h"
#include "stack/stack_lists.h"
#include "tests/fuzz/temp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static stack_config first, again;

static rnl_status load(const uint8_t *data, size_t size, stack_config *c) {
    stack_json_model model;
    rnl_error error = {0};
    const rnl_status status = stack_json_load(temp_file(data, size), c, &model, &error);
    if (status != RNL_OK && error.text[0] == '\0') abort();
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (load(data, size, &first) != RNL_OK) return 0;
    json_draft *object = json_new_object();
    stack_json_write(object, &first);
    json_set(object, "vocab_size", json_new_int(8));
    char *text = json_text(object);
    json_drop(&object);
    if (text == NULL || load((const uint8_t *)text, strlen(text), &again) != RNL_OK) abort();
    for (int i = 0; i < first.layer_count; i++)
        for (int n = 0; n < STACK_LIST_COUNT; n++)
            if (stack_list_entry(&stack_lists[n], &first, i) !=
                stack_list_entry(&stack_lists[n], &again, i))
                abort();
    free(text);
    return 0;
}
