/* Any bytes as documents of a benchmark: the first says which. Every document has a context and
 * answers, or all are refused with a sentence. */
#include <stdlib.h>
#include <string.h>

#include "apps/tasks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"mmlu",   "global_mmlu", "arc_easy", "hellaswag",
                                        "choice", "gsm8k",       "generate"};
    task_list l;
    rnl_error error = {0};
    if (size == 0) return 0;
    const task_kind *kind = task_find(names[data[0] % 7]);
    if (tasks_parse(kind, "tasks", (const char *)data + 1, size - 1, &l, &error) != RNL_OK) {
        if (error.text[0] == '\0' || l.count != 0) abort();
        return 0;
    }
    for (size_t i = 0; i < l.count; i++) {
        const task_item *item = &l.items[i], *shots[] = {&l.items[0]};
        if (task_generates(kind) ? item->answers.count < 1 : item->choice_count < 2) abort();
        if (item->gold < 0 || (item->choice_count > 0 && item->gold >= item->choice_count)) abort();
        if (item->question.text == NULL || l.items[0].question.text == NULL) continue;
        char *context = task_context(item, shots, 1);
        if (context == NULL) abort();
        for (int a = 0; a < item->answers.count; a++) {
            size_t found;
            const char *answer =
                extract_answer(item->extract, item->marker, item->answers.at[a], &found);
            free(extract_normal(item->extract, answer, found));
        }
        free(context);
    }
    tasks_free(&l);
    return 0;
}
