#include "learn/norms.h"

#include <math.h>

typedef struct norm_job {
    const kernels *k;
    learn_x x, dy;
    const float *gain;
    float *dgain, *dbias;
    float eps;
    int width, count;
    float *y;
    size_t y_stride;
    float *ratios;
} norm_job;

static void rms_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const norm_job *j = context;
    (void)thread_index;
    for (size_t t = (size_t)begin; t < (size_t)end; t++)
        j->k->rms_norm(j->y + t * j->y_stride, j->x.x + t * j->x.stride, j->gain, j->eps, j->width);
}

void learn_rms(const compute *c, learn_x x, const learn_vector *gain, float eps, int width,
               float *y, size_t y_stride, int count) {
    norm_job j = {.k = c->k,
                  .x = x,
                  .gain = gain->v,
                  .eps = eps,
                  .width = width,
                  .y = y,
                  .y_stride = y_stride};
    pool_run(c->pool, count, 8, rms_part, &j);
}

/* r, and how much of x is taken away: r^2 mean(dy gain x). */
static float rms_sums(const float *x, const float *gain, float eps, int width, const float *dy,
                      float *away) {
    double squares = 0, along = 0;
    for (int i = 0; i < width; i++) {
        squares += (double)x[i] * (double)x[i];
        along += (double)(dy[i] * gain[i]) * (double)x[i];
    }
    const double r = 1 / sqrt(squares / width + (double)eps);
    *away = (float)(r * r * along / width);
    return (float)r;
}

float learn_rms_row_back(const float *x, const float *gain, float eps, int width, const float *dy,
                         float *dx) {
    float away;
    const float r = rms_sums(x, gain, eps, width, dy, &away);
    for (int i = 0; i < width; i++) dx[i] = r * (dy[i] * gain[i] - x[i] * away);
    return r;
}

static void rms_back_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const norm_job *j = context;
    (void)thread_index;
    for (size_t t = (size_t)begin; t < (size_t)end; t++) {
        const float *x = j->x.x + t * j->x.stride, *dy = j->dy.x + t * j->dy.stride;
        float *dx = j->y + t * j->y_stride, away;
        const float r = rms_sums(x, j->gain, j->eps, j->width, dy, &away);
        j->ratios[t] = r;
        for (int i = 0; i < j->width; i++) dx[i] += r * (dy[i] * j->gain[i] - x[i] * away);
    }
}

static void gain_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const norm_job *j = context;
    (void)thread_index;
    for (size_t t = 0; t < (size_t)j->count; t++) {
        const float *x = j->x.x + t * j->x.stride, *dy = j->dy.x + t * j->dy.stride;
        for (int64_t i = begin; i < end; i++) j->dgain[i] += dy[i] * (x[i] * j->ratios[t]);
    }
}

void learn_rms_back(const compute *c, learn_x x, const learn_vector *gain, float eps, int width,
                    learn_x dy, float *dx, size_t dx_stride, float *ratios, int count) {
    norm_job j = {.x = x,
                  .dy = dy,
                  .gain = gain->v,
                  .dgain = gain->dv,
                  .eps = eps,
                  .width = width,
                  .count = count,
                  .y = dx,
                  .y_stride = dx_stride,
                  .ratios = ratios};
    pool_run(c->pool, count, 8, rms_back_part, &j);
    if (gain->dv != NULL) pool_run(c->pool, width, 16, gain_part, &j);
}

/* ---- Layer norm ---- */

static void layer_norm_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const norm_job *j = context;
    (void)thread_index;
    for (size_t t = (size_t)begin; t < (size_t)end; t++) {
        const float *x = j->x.x + t * j->x.stride;
        double sum = 0, squares = 0;
        for (int i = 0; i < j->width; i++) sum += (double)x[i];
        const double mean = sum / j->width;
        for (int i = 0; i < j->width; i++) squares += (x[i] - mean) * (x[i] - mean);
        j->ratios[2 * t] = (float)mean;
        j->ratios[2 * t + 1] = (float)(1 / sqrt(squares / j->width + (double)j->eps));
    }
}

static void layer_gain_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const norm_job *j = context;
    (void)thread_index;
    for (size_t t = 0; t < (size_t)j->count; t++) {
        const float *x = j->x.x + t * j->x.stride, *dy = j->dy.x + t * j->dy.stride;
        const float mean = j->ratios[2 * t], r = j->ratios[2 * t + 1];
        for (int64_t i = begin; i < end; i++) {
            j->dgain[i] += dy[i] * ((x[i] - mean) * r);
            j->dbias[i] += dy[i];
        }
    }
}

void learn_layer_norm_back(const compute *c, learn_x x, const learn_vector *gain,
                           const learn_vector *bias, float eps, int width, learn_x dy,
                           float *ratios, int count) {
    norm_job j = {.x = x,
                  .dy = dy,
                  .dgain = gain->dv,
                  .dbias = bias->dv,
                  .eps = eps,
                  .width = width,
                  .count = count,
                  .ratios = ratios};
    if (gain->dv == NULL) return;
    pool_run(c->pool, count, 8, layer_norm_part, &j);
    pool_run(c->pool, width, 16, layer_gain_part, &j);
}
