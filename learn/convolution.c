#include "learn/convolution.h"

#include <string.h>

#include "core/taps.h"

typedef struct convolve_job {
    const learn_convolution *v;
    const learn_rows *rows;
    const float *wide, *z_kept;
    float *z, *mixed, *dwide, *products, *turned;
} convolve_job;

enum { GRAIN = 16 };

static void turn(const convolve_job *j, size_t first, size_t count) {
    const size_t width = (size_t)j->v->width, taps = (size_t)j->v->tap_count;
    for (size_t k = 0; k < taps; k++)
        for (size_t i = first; i < first + count; i++)
            j->turned[k * width + i] = j->v->taps.v[i * taps + k];
}

/* Columns of the products B X of all rows. */
static void multiply(const convolve_job *j, size_t first, size_t count) {
    const size_t width = (size_t)j->v->width;
    for (size_t t = 0; t < (size_t)j->rows->count; t++) {
        const float *in = j->wide + t * 3 * width + first;
        float *y = j->products + t * width + first;
        memcpy(y, in, count * sizeof *y);
        taps_scale(y, in + 2 * width, count);
    }
}

static void convolve_run(const convolve_job *j, size_t begin, size_t end, size_t first,
                         size_t count) {
    const size_t width = (size_t)j->v->width, taps = (size_t)j->v->tap_count;
    for (size_t t = begin; t < end; t++) {
        float *z = j->z + t * width + first, *mixed = j->mixed + t * width + first;
        memset(z, 0, count * sizeof *z);
        for (size_t k = 0; k < taps; k++) {
            const size_t lag = taps - 1 - k;
            if (t - begin < lag) continue;
            taps_add(z, j->turned + k * width + first, j->products + (t - lag) * width + first,
                     count);
        }
        if (j->v->bias.v != NULL)
            for (size_t i = 0; i < count; i++) z[i] += j->v->bias.v[first + i];
        memcpy(mixed, z, count * sizeof *mixed);
        taps_scale(mixed, j->wide + t * 3 * width + width + first, count);
    }
}

static void convolve_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const convolve_job *j = context;
    const size_t first = (size_t)begin, count = (size_t)(end - begin);
    (void)thread_index;
    turn(j, first, count);
    multiply(j, first, count);
    for (int r = 0; r < j->rows->run_count; r++)
        convolve_run(j, (size_t)j->rows->begin[r], (size_t)j->rows->begin[r + 1], first, count);
}

void learn_convolve(const compute *c, const learn_convolution *v, const learn_rows *rows,
                    const float *wide, float *z, float *mixed, float *products, float *turned) {
    convolve_job j = {.v = v,
                      .rows = rows,
                      .wide = wide,
                      .z = z,
                      .mixed = mixed,
                      .products = products,
                      .turned = turned};
    pool_run(c->pool, v->width, GRAIN, convolve_part, &j);
}

static void gate_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const convolve_job *j = context;
    const size_t width = (size_t)j->v->width, first = (size_t)begin;
    const size_t count = (size_t)(end - begin);
    (void)thread_index;
    for (size_t t = 0; t < (size_t)j->rows->count; t++) {
        float *mixed = j->mixed + t * width + first;
        memcpy(mixed, j->z_kept + t * width + first, count * sizeof *mixed);
        taps_scale(mixed, j->wide + t * 3 * width + width + first, count);
    }
}

void learn_convolve_gate(const compute *c, const learn_convolution *v, const learn_rows *rows,
                         const float *wide, const float *z, float *mixed) {
    convolve_job j = {.v = v, .rows = rows, .wide = wide, .z_kept = z, .mixed = mixed};
    pool_run(c->pool, v->width, GRAIN, gate_part, &j);
}

/* ---- Backward ---- */

/* dC = d z and, in place of d, dz = d C. */
static void gate_back(const convolve_job *j, size_t first, size_t count) {
    const size_t width = (size_t)j->v->width;
    for (size_t t = 0; t < (size_t)j->rows->count; t++) {
        float *d = j->mixed + t * width + first;
        float *dgate = j->dwide + t * 3 * width + width + first;
        memcpy(dgate, d, count * sizeof *dgate);
        taps_scale(dgate, j->z_kept + t * width + first, count);
        taps_scale(d, j->wide + t * 3 * width + width + first, count);
    }
}

/* dB = dy X, dX = dy B, where dy of a row gathers the taps of the later rows of its run. */
static void inputs_back(const convolve_job *j, size_t begin, size_t end, size_t first,
                        size_t count) {
    const size_t width = (size_t)j->v->width, taps = (size_t)j->v->tap_count;
    for (size_t s = begin; s < end; s++) {
        const float *in = j->wide + s * 3 * width + first;
        float *db = j->dwide + s * 3 * width + first, *dx = db + 2 * width;
        memset(db, 0, count * sizeof *db);
        for (size_t k = 0; k < taps; k++) {
            const size_t t = s + taps - 1 - k;
            if (t < end)
                taps_add(db, j->turned + k * width + first, j->mixed + t * width + first, count);
        }
        memcpy(dx, db, count * sizeof *dx);
        taps_scale(dx, in, count);
        taps_scale(db, in + 2 * width, count);
    }
}

static void taps_back(const convolve_job *j, size_t begin, size_t end, size_t first, size_t count) {
    const size_t width = (size_t)j->v->width, taps = (size_t)j->v->tap_count;
    for (size_t t = begin; t < end; t++) {
        const float *dz = j->mixed + t * width;
        for (size_t k = 0; k < taps; k++) {
            const size_t lag = taps - 1 - k;
            if (t - begin < lag) continue;
            const float *y = j->products + (t - lag) * width;
            for (size_t i = first; i < first + count; i++)
                j->v->taps.dv[i * taps + k] += dz[i] * y[i];
        }
        if (j->v->bias.dv != NULL)
            for (size_t i = first; i < first + count; i++) j->v->bias.dv[i] += dz[i];
    }
}

static void back_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const convolve_job *j = context;
    const size_t first = (size_t)begin, count = (size_t)(end - begin);
    (void)thread_index;
    turn(j, first, count);
    gate_back(j, first, count);
    if (j->v->taps.dv != NULL) multiply(j, first, count);
    for (int r = 0; r < j->rows->run_count; r++) {
        const size_t from = (size_t)j->rows->begin[r], to = (size_t)j->rows->begin[r + 1];
        inputs_back(j, from, to, first, count);
        if (j->v->taps.dv != NULL) taps_back(j, from, to, first, count);
    }
}

void learn_convolve_back(const compute *c, const learn_convolution *v, const learn_rows *rows,
                         const float *wide, const float *z, float *dmixed, float *dwide,
                         float *products, float *turned) {
    convolve_job j = {.v = v,
                      .rows = rows,
                      .wide = wide,
                      .z_kept = z,
                      .mixed = dmixed,
                      .dwide = dwide,
                      .products = products,
                      .turned = turned};
    pool_run(c->pool, v->width, GRAIN, back_part, &j);
}
