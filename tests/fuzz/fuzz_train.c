/* Any bytes as lines to learn from, of a model that hears and speaks, behind a byte that says what
 * short lines of sound are for: each is a sample whose parts fit together, or is refused with a
 * sentence. Files of sound and of codes are made up. */
#include <stdlib.h>
#include <string.h>

#include "learn/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LENGTH = 256 };

static rnl_status hear(void *context, const char *path, float **samples, size_t *count, int *rate,
                       rnl_error *error) {
    (void)context;
    (void)error;
    *count = 400 + strlen(path) * 100;
    *rate = 16000;
    *samples = calloc(*count, sizeof **samples);
    return *samples != NULL ? RNL_OK : RNL_ERR_MEMORY;
}

static rnl_status take_codes(void *context, const char *path, int32_t **codes, int *codebook_count,
                             int *frame_count, rnl_error *error) {
    (void)context;
    (void)error;
    *codebook_count = strlen(path) % 7 == 0 ? 3 : 8;
    *frame_count = (int)(strlen(path) % 20) + 1;
    *codes = calloc((size_t)(*codebook_count * *frame_count), sizeof **codes);
    if (*codes != NULL) (*codes)[0] = path[0] == '-' ? -1 : 5;
    return *codes != NULL ? RNL_OK : RNL_ERR_MEMORY;
}

static void check(const learn_sample *s, const rnl_model *m) {
    int heard = 0, frames = 0, labels = 0;
    if (s->count > LENGTH || (s->count > 0 && s->learnt[0])) abort();
    for (int t = 0; t < s->count; t++) {
        if (s->ids[t] < LEARN_ROW_FRAME || s->ids[t] >= backbone_vocab_count(&m->backbone)) abort();
        heard += s->ids[t] == LEARN_ROW_HEARD;
        frames += s->ids[t] == LEARN_ROW_FRAME;
        labels += s->learnt[t];
        if (s->learnt[t] && s->ids[t] == LEARN_ROW_HEARD) abort();
    }
    if (heard != s->heard_count || frames != s->frame_count) abort();
    if (labels != s->text_count + s->label_frame_count) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static rnl_model *model;
    static learn_reader *readers[3]; /* by learn_task */
    rnl_error error = {0};
    if (size == 0) return 0;
    const int task = *data++ % 3;
    size--;
    if (readers[task] == NULL) {
        rnl_model_config config = rnl_model_config_default();
        config.exact = true;
        config.thread_count = 1;
        const learn_reading how = {.length_max = LENGTH,
                                   .seconds_max = 2,
                                   .thread_count = 1,
                                   .task = (learn_task)task,
                                   .media = {.sound = hear, .codes = take_codes}};
        if (model == NULL && rnl_model_open(TEST_DATA "/tiny", &config, &model, &error) != RNL_OK)
            abort();
        if (learn_reader_create(model, &how, &readers[task], &error) != RNL_OK) abort();
    }
    learn_sample s;
    bool is_cut = false;
    const rnl_status status = learn_reader_line(readers[task], "x, line 1", "", (const char *)data,
                                                size, &s, &is_cut, &error);
    if (status != RNL_OK) {
        if (error.text[0] == '\0') abort();
        return 0;
    }
    check(&s, model);
    learn_sample_free(&s);
    return 0;
}
