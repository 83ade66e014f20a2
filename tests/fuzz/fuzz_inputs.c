/* Any bytes as a list file: every name is a line of it, none is there twice. */
#include <stdlib.h>
#include <string.h>

#include "apps/inputs.h"
#include "apps/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_list list = {0};
    size_t stem;
    if (memchr(data, '/', size) != NULL) return 0; /* folders of this machine are not searched */
    if (inputs_add_list(&list, "list", (const char *)data, size) == EXIT_OK) {
        size_t *first = malloc((list.count + 1) * sizeof *first);
        if (first == NULL || !inputs_first_of_name(&list, "", first)) abort();
        for (size_t i = 0; i < list.count; i++) {
            if (first[i] > i || first[first[i]] != first[i]) abort();
            const size_t length = strlen(list.paths[i]);
            if (length == 0 || length >= INPUT_PATH_CAP) abort();
            (void)input_stem(list.paths[i], &stem);
            if (stem > length && strcmp(list.paths[i], "-") != 0) abort();
        }
        free(first);
        if (list.count > 0) qsort(list.paths, list.count, sizeof *list.paths, by_name);
        for (size_t i = 1; i < list.count; i++)
            if (strcmp(list.paths[i - 1], list.paths[i]) == 0) abort();
    }
    inputs_free(&list);
    return 0;
}
