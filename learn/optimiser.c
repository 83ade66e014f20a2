#include "learn/optimiser.h"

#include <math.h>

double learn_schedule(const learn_hyper *h, int64_t step) {
    static const double pi = 3.14159265358979323846;
    if (step < h->warmup) return (double)(step + 1) / (double)h->warmup;
    const int64_t rest = h->steps - h->warmup;
    const double done = (double)(step - h->warmup) / (double)(rest > 1 ? rest : 1);
    return h->floor + (1 - h->floor) * 0.5 * (1 + cos(pi * (done < 1 ? done : 1)));
}

double learn_gradient_norm(const learn_tensors *t) {
    double sum = 0;
    for (int i = 0; i < t->count; i++) {
        double own = 0;
        for (size_t n = 0; n < t->all[i].count; n++)
            own += (double)t->all[i].grad[n] * (double)t->all[i].grad[n];
        sum += own;
    }
    return sqrt(sum);
}

/* What all numbers of a tensor share. */
typedef struct step_job {
    const learn_tensor *t;
    float scale; /* of gradients: clipping */
    float keep, beta1, beta2, rest1, rest2, rate, root, eps;
} step_job;

static void step_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const step_job *j = context;
    float *restrict p = j->t->value, *restrict m = j->t->mean, *restrict v = j->t->square;
    const float *restrict grad = j->t->grad;
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        const float g = grad[i] * j->scale;
        m[i] = j->beta1 * m[i] + j->rest1 * g;
        v[i] = j->beta2 * v[i] + j->rest2 * (g * g);
        p[i] = p[i] * j->keep - j->rate * m[i] / (sqrtf(v[i]) / j->root + j->eps);
    }
}

void learn_step(const learn_tensors *t, const compute *c, const learn_hyper *h, int64_t taken,
                double factor, double norm) {
    const double rate = h->rate * factor, step = (double)(taken + 1);
    const double clipped = h->clip > 0 && h->clip < norm + 1e-6 ? h->clip / (norm + 1e-6) : 1;
    for (int i = 0; i < t->count; i++) {
        const double decay = t->all[i].rank >= 2 ? h->decay : 0;
        step_job j = {.t = &t->all[i],
                      .scale = (float)clipped,
                      .keep = (float)(1 - rate * decay),
                      .beta1 = (float)h->beta1,
                      .beta2 = (float)h->beta2,
                      .rest1 = (float)(1 - h->beta1),
                      .rest2 = (float)(1 - h->beta2),
                      .rate = (float)(rate / (1 - pow(h->beta1, step))),
                      .root = (float)sqrt(1 - pow(h->beta2, step)),
                      .eps = (float)h->eps};
        pool_run(c->pool, (int64_t)t->all[i].count, 1024, step_part, &j);
    }
}
