#include "learn/gate.h"

enum { GRAIN = 4096 /* whole vectors of any level: the cut shows in no bit */ };

typedef struct gate_job {
    const kernels *k;
    float *y, *a, *b;
    const float *from_a, *from_b, *d;
} gate_job;

static void gate_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const gate_job *j = context;
    (void)thread_index;
    j->k->silu_mul(j->y + begin, j->from_a + begin, j->from_b + begin, end - begin);
}

void learn_gate(const compute *c, float *y, const float *a, const float *b, size_t count) {
    gate_job j = {.k = c->k, .y = y, .from_a = a, .from_b = b};
    pool_run(c->pool, (int64_t)count, GRAIN, gate_part, &j);
}

static void gate_back_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const gate_job *j = context;
    (void)thread_index;
    j->k->silu_mul_back(j->a + begin, j->b + begin, j->d + begin, end - begin);
}

void learn_gate_back(const compute *c, float *a, float *b, const float *d, size_t count) {
    gate_job j = {.k = c->k, .a = a, .b = b, .d = d};
    pool_run(c->pool, (int64_t)count, GRAIN, gate_back_part, &j);
}
