#include "learn/dropout.h"

enum {
    DRAWS = 4, /* of sixteen bits, from one number */
    GRAIN = 8  /* rows of a part */
};

typedef struct drop_job {
    const learn_dropout *d;
    uint64_t which;
    const float *x;
    float *y;
    size_t x_stride, y_stride;
    int64_t cols;
    bool adds;
} drop_job;

/* The end of splitmix64: near numbers become far ones. */
static uint64_t mix(uint64_t v) {
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
    return v ^ v >> 31;
}

static void drop_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const drop_job *j = context;
    const uint64_t below = (uint64_t)(j->d->share * 65536 + 0.5);
    const float scale = (float)(1 / (1 - (double)below / 65536));
    (void)thread_index;
    for (int64_t t = begin; t < end; t++) {
        const float *x = j->x + (size_t)t * j->x_stride;
        float *y = j->y + (size_t)t * j->y_stride;
        const uint64_t row = mix(mix(j->d->key + j->which) + (uint64_t)t);
        for (int64_t c = 0; c < j->cols; c += DRAWS) {
            uint64_t draws = mix(row + (uint64_t)c);
            const int64_t left = j->cols - c < DRAWS ? j->cols - c : DRAWS;
            for (int64_t i = c; i < c + left; i++, draws >>= 16) {
                const float kept = (draws & 0xffff) < below ? 0 : x[i] * scale;
                y[i] = j->adds ? y[i] + kept : kept;
            }
        }
    }
}

void learn_drop(const learn_dropout *d, const compute *c, uint64_t which, const float *x,
                size_t x_stride, float *y, int64_t cols, int count) {
    drop_job j = {.d = d,
                  .which = which,
                  .x = x,
                  .y = y,
                  .x_stride = x_stride,
                  .y_stride = (size_t)cols,
                  .cols = cols};
    pool_run(c->pool, count, GRAIN, drop_part, &j);
}

void learn_drop_back(const learn_dropout *d, const compute *c, uint64_t which, const float *x,
                     int64_t cols, float *y, size_t y_stride, int count) {
    drop_job j = {.d = d,
                  .which = which,
                  .x = x,
                  .y = y,
                  .x_stride = (size_t)cols,
                  .y_stride = y_stride,
                  .cols = cols,
                  .adds = true};
    pool_run(c->pool, count, GRAIN, drop_part, &j);
}
