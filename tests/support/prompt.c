#include "tests/support/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/golden.h"
#include "tests/support/npy.h"

void prompt_run(rnl_session *s, const int32_t *ids, int count, int step, float *logits) {
    const backbone_weights *w = &s->model->backbone;
    const size_t width = (size_t)backbone_width(w), vocab = (size_t)backbone_vocab_count(w);
    const compute c = session_compute(s);
    for (int at = 0; at < count; at += step) {
        const int batch = count - at < step ? count - at : step;
        for (int t = 0; t < batch; t++)
            backbone_embed_text(w, &s->pass->compute, ids[at + t], s->pass->x + (size_t)t * width);
        const stack_piece piece = {.state = &s->live->backbone, .count = batch};
        stack_forward(&s->pass->backbone, &c, &piece, 1, s->pass->x);
        for (int t = 0; t < batch; t++)
            backbone_logits(w, &c, s->pass->x + (size_t)t * width,
                            logits + (size_t)(at + t) * vocab, 1);
    }
}

static int best(const float *x, int count) {
    int at = 0;
    for (int i = 1; i < count; i++)
        if (x[i] > x[at]) at = i;
    return at;
}

void prompt_check_greedy(rnl_session *s, const char *path, float *logits) {
    npy greedy = npy_read(path);
    const int vocab = backbone_vocab_count(&s->model->backbone);
    int32_t id = best(logits, vocab);
    for (size_t i = 0; i < greedy.count; i++) {
        assert_int_equal(id, greedy.i[i]);
        prompt_run(s, &id, 1, 1, logits);
        id = best(logits, vocab);
    }
    npy_free(&greedy);
}

void prompt_check(rnl_session *s, const char *dir, int prompt) {
    char path[256], file[64];
    const int vocab = backbone_vocab_count(&s->model->backbone);
    (void)snprintf(path, sizeof path, "%s/expect/prompt%d/ids.npy", dir, prompt);
    npy ids = npy_read(path);
    float *logits = malloc(ids.count * (size_t)vocab * sizeof *logits);
    assert_non_null(logits);
    rnl_session_reset(s);
    prompt_run(s, ids.i, (int)ids.count, s->config.step_positions, logits);
    (void)snprintf(path, sizeof path, "%s/expect", dir);
    (void)snprintf(file, sizeof file, "prompt%d/logits.npy", prompt);
    golden_check(path, file, logits, ids.count * (size_t)vocab);
    (void)snprintf(path, sizeof path, "%s/expect/prompt%d/greedy.npy", dir, prompt);
    prompt_check_greedy(s, path, logits + (ids.count - 1) * (size_t)vocab);
    npy_free(&ids);
    free(logits);
}
