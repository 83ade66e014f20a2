#include "learn/loss.h"

void learn_loss_layout(learn_loss_work *k, int64_t row_max, size_t rank, arena *a) {
    k->logits = arena_take(a, (size_t)row_max * LEARN_LOSS_ROWS, sizeof *k->logits);
    k->nll = arena_take(a, LEARN_LOSS_ROWS, sizeof *k->nll);
    k->low = arena_take(a, LEARN_LOSS_ROWS * rank, sizeof *k->low);
    k->dlow = arena_take(a, LEARN_LOSS_ROWS * rank, sizeof *k->dlow);
}

typedef struct loss_job {
    const kernels *k;
    learn_loss_work *work;
    const int32_t *labels;
    int64_t head_rows;
    double weight;
    bool wants_gradient;
} loss_job;

static void loss_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const loss_job *j = context;
    const int64_t count = j->head_rows;
    const float weight = (float)j->weight;
    (void)thread_index;
    for (int64_t t = begin; t < end; t++) {
        float *x = j->work->logits + t * count;
        const float own = x[j->labels[t]];
        double log_sum;
        j->k->softmax(x, count, &log_sum);
        j->work->nll[t] = log_sum - own;
        if (!j->wants_gradient) continue;
        for (int64_t i = 0; i < count; i++) x[i] *= weight;
        x[j->labels[t]] -= weight;
    }
}

void learn_loss(const compute *c, learn_loss_work *k, const learn_linear *head, const float *rows,
                const int32_t *labels, int count, double weight, float *drows, double *sum) {
    const size_t width = (size_t)head->w.col_count, head_rows = (size_t)head->w.row_count;
    for (int at = 0; at < count; at += LEARN_LOSS_ROWS) {
        const int some = count - at < LEARN_LOSS_ROWS ? count - at : LEARN_LOSS_ROWS;
        const learn_x x = {rows + (size_t)at * width, width}, dy = {k->logits, head_rows};
        loss_job j = {.k = c->k,
                      .work = k,
                      .labels = labels + at,
                      .head_rows = (int64_t)head_rows,
                      .weight = weight,
                      .wants_gradient = drows != NULL};
        learn_forward(c, head, x, k->logits, head_rows, k->low, some);
        pool_run(c->pool, some, 1, loss_part, &j);
        for (int t = 0; t < some; t++) *sum += k->nll[t];
        if (drows != NULL)
            learn_back(c, head, x, k->low, dy, drows + (size_t)at * width, width, k->dlow, some);
    }
}
