#include "detokenizer/mimi_conv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"

enum { KERNEL_CAP = 64 };

/* The file's [out, in, kernel] (transposed: [in, out, kernel]) as the product's matrix. */
static void arrange(const mimi_conv *c, const float *from, float *to) {
    const size_t in = (size_t)c->in, out = (size_t)c->out, kernel = (size_t)c->kernel;
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t k = 0; k < kernel; k++) {
                if (c->transposed)
                    to[(k * out + o) * in + i] = from[(i * out + o) * kernel + k];
                else
                    to[o * kernel * in + k * in + i] = from[(o * in + i) * kernel + k];
            }
}

static bool find_shape(loader *l, const char *name, const tensor *t, int stride, mimi_conv *c) {
    const bool fits = t != NULL && t->rank == 3 && t->shape[0] <= 1 << 16 &&
                      t->shape[1] <= 1 << 16 && t->shape[2] <= KERNEL_CAP;
    if (fits) {
        c->in = (int)t->shape[c->transposed ? 0 : 1];
        c->out = (int)t->shape[c->transposed ? 1 : 0];
        c->kernel = (int)t->shape[2];
        c->stride = stride > 0 ? stride : c->kernel / 2;
        if (c->kernel >= c->stride && (stride > 0 || c->kernel % 2 == 0)) return true;
    }
    l->status = status_fail(l->error, RNL_ERR_FORMAT,
                            "%s: tensor 'mimi.%s.weight' is missing or no convolution of Mimi's "
                            "kind; the file is damaged or of another codec",
                            l->file, name);
    return false;
}

mimi_conv mimi_conv_load(loader *l, bool transposed, int stride, const char *name) {
    mimi_conv c = {.transposed = transposed};
    char full[256];
    if (l->status != RNL_OK) return c;
    (void)snprintf(full, sizeof full, "%s%s.weight", l->prefix, name);
    if (!find_shape(l, name, weights_find(l->w, full), stride, &c)) return c;
    const int64_t count = (int64_t)c.in * c.out * c.kernel;
    const float *from = load_vector(l, count, "%s.weight", name);
    c.bias = load_vector_if(l, c.out, "%s.bias", name);
    if (l->status != RNL_OK) return c;
    float *to = malloc((size_t)count * sizeof *to);
    if (to == NULL || weights_own(l->w, to, free) != RNL_OK) {
        l->status = status_fail(l->error, RNL_ERR_MEMORY, "memory for Mimi is exhausted");
        return c;
    }
    arrange(&c, from, to);
    const int64_t cols = transposed ? c.in : (int64_t)c.in * c.kernel;
    c.w = (matrix){.data = (const unsigned char *)to,
                   .type = QUANT_F32,
                   .row_count = count / cols,
                   .col_count = cols,
                   .row_size = (size_t)cols * sizeof *to};
    return c;
}

/* Plain: the inputs that the next block's first windows reach back to. Transposed: the outputs that
 * the next block adds to, without bias. */
int mimi_conv_tail_rows(const mimi_conv *c) {
    return c->kernel - c->stride;
}

size_t mimi_conv_tail_size(const mimi_conv *c) {
    return (size_t)mimi_conv_tail_rows(c) * (size_t)(c->transposed ? c->out : c->in);
}

int mimi_conv_out_count(const mimi_conv *c, int count) {
    return c->transposed ? count * c->stride : count / c->stride;
}

size_t mimi_conv_scratch_size(const mimi_conv *c, int count) {
    const size_t inputs = (size_t)(count + (c->transposed ? 0 : mimi_conv_tail_rows(c)));
    const size_t products = c->transposed ? (size_t)count * (size_t)(c->kernel * c->out) : 0;
    return inputs * (size_t)c->in + products;
}

/* ELU with alpha 1. */
static void take_in(float *to, const float *x, size_t count, bool elu) {
    memcpy(to, x, count * sizeof *to);
    for (size_t i = 0; elu && i < count; i++)
        if (to[i] < 0.0f) to[i] = expm1f(to[i]);
}

static void run_plain(const mimi_conv *c, const compute *k, float *tail, const float *x, int count,
                      bool elu, float *scratch, float *y) {
    const size_t in = (size_t)c->in, tail_size = mimi_conv_tail_size(c);
    const size_t fresh = (size_t)count * in;
    if (tail_size > 0) memcpy(scratch, tail, tail_size * sizeof *tail);
    take_in(scratch + tail_size, x, fresh, elu);
    linear(k, &c->w, c->bias, scratch, (size_t)c->stride * in, y, (size_t)c->out,
           mimi_conv_out_count(c, count));
    if (tail_size > 0) memcpy(tail, scratch + fresh, tail_size * sizeof *tail);
}

static void run_transposed(const mimi_conv *c, const compute *k, float *tail, const float *x,
                           int count, bool elu, float *scratch, float *y) {
    const size_t out = (size_t)c->out, rows = (size_t)c->kernel * out;
    const size_t step = (size_t)c->stride * out, rest = rows - step;
    float *products = scratch + (size_t)count * (size_t)c->in;
    take_in(scratch, x, (size_t)count * (size_t)c->in, elu);
    linear(k, &c->w, NULL, scratch, (size_t)c->in, products, rows, count);
    for (size_t t = 0; t < (size_t)count; t++) {
        const float *p = products + t * rows;
        float *to = y + t * step;
        for (size_t i = 0; i < step; i++) {
            to[i] = p[i] + (i < rest ? tail[i] : 0.0f);
            if (c->bias != NULL) to[i] += c->bias[i % out];
        }
        if (rest > 0) memcpy(tail, p + step, rest * sizeof *tail);
    }
}

void mimi_conv_run(const mimi_conv *c, const compute *k, float *tail, const float *x, int count,
                   bool elu, float *scratch, float *y) {
    if (c->transposed)
        run_transposed(c, k, tail, x, count, elu, scratch, y);
    else
        run_plain(c, k, tail, x, count, elu, scratch, y);
}
