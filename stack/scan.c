#include "stack/scan.h"

#include <math.h>
#include <string.h>

double scan_linear_log_decay(stack_linear kind, int head, int head_count) {
    if (kind == STACK_LINEAR_SUM) return 0;
    const double step = head_count > 1 ? 4.0 * head / (head_count - 1) : 0;
    return log1p(-exp2(-(3 + step)));
}

float scan_linear_decay(stack_linear kind, int head, int head_count) {
    return (float)exp(scan_linear_log_decay(kind, head, head_count));
}

/* x + 1 above 0, else e^x. */
static void positive(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] = x[i] > 0 ? x[i] + 1 : expf(x[i]);
}

void scan_linear_features(stack_linear kind, int head_width, float *q, float *k, int64_t count) {
    if (kind == STACK_LINEAR_SUM) {
        positive(q, count);
        positive(k, count);
        return;
    }
    const float scale = 1.0f / sqrtf((float)head_width);
    for (int64_t i = 0; i < count; i++) q[i] *= scale;
}

void scan_linear(const scan_linear_head *head, float *state, const float *q, const float *k,
                 const float *v, float *y, size_t y_stride, int count) {
    const size_t width = (size_t)head->head_width;
    float *keys = state + width * width; /* of sums */
    for (int t = 0; t < count; t++) {
        memset(y, 0, width * sizeof *y);
        head->k->scan(state, head->decay, q, k, v, y, (int64_t)width, (int64_t)width);
        if (head->kind == STACK_LINEAR_SUM) {
            head->k->axpy(keys, 1, k, (int64_t)width);
            const float sum = head->k->dot(q, keys, (int64_t)width) + 1e-6f;
            for (size_t i = 0; i < width; i++) y[i] /= sum;
        }
        q += head->stride;
        k += head->stride;
        v += head->stride;
        y += y_stride;
    }
}

float scan_softplus(float x) {
    return x > 20 ? x : log1pf(expf(x)); /* e^-20 is below half an ulp of 20 */
}

void scan_space(const scan_space_head *head, float *state, const float *delta, float *x,
                const float *b, const float *c, float *y, int count) {
    const int width = head->head_width;
    const float pace = expf(head->a_log);
    for (int t = 0; t < count; t++) {
        const float step = scan_softplus(*delta + head->dt_bias);
        for (int i = 0; i < width; i++) {
            y[i] = head->d * x[i];
            x[i] *= step;
        }
        head->k->scan(state, expf(-step * pace), c, b, x, y, head->state_width, width);
        delta += head->delta_stride;
        x += head->mixed_stride;
        b += head->mixed_stride;
        c += head->mixed_stride;
        y += head->y_stride;
    }
}
