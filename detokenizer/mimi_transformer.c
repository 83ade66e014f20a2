#include "detokenizer/mimi_transformer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/status.h"

static const double rope_base = 10000.0; /* audio.md 9.3 */
static const float norm_eps = 1e-5f;

static void load_layer(loader *l, const char *half, int i, int64_t width, mimi_layer *y) {
    const char *at = "transformer.layers";
    y->norm1 = load_vector(l, width, "%s.%s.%d.norm1.weight", half, at, i);
    y->bias1 = load_vector(l, width, "%s.%s.%d.norm1.bias", half, at, i);
    y->norm2 = load_vector(l, width, "%s.%s.%d.norm2.weight", half, at, i);
    y->bias2 = load_vector(l, width, "%s.%s.%d.norm2.bias", half, at, i);
    y->scale1 = load_vector(l, width, "%s.%s.%d.layer_scale_1.scale", half, at, i);
    y->scale2 = load_vector(l, width, "%s.%s.%d.layer_scale_2.scale", half, at, i);
    y->qkv = load_matrix(l, 3 * width, width, "%s.%s.%d.self_attn.in_proj_weight", half, at, i);
    y->out = load_matrix(l, width, width, "%s.%s.%d.self_attn.out_proj.weight", half, at, i);
    y->up = load_matrix(l, 0, width, "%s.%s.%d.linear1.weight", half, at, i);
    y->down = load_matrix(l, width, y->up.row_count, "%s.%s.%d.linear2.weight", half, at, i);
}

/* One more than the highest layer that any tensor names, so that a file in which one tensor of a
 * layer is missing is refused for it and does not pass as a codec of fewer layers. */
static int count_layers(const loader *l, const char *half) {
    char start[128];
    const int length = snprintf(start, sizeof start, "%s%s.transformer.layers.", l->prefix, half);
    int count = 0;
    for (size_t i = 0; i < weights_count(l->w); i++) {
        const char *name = weights_at(l->w, i)->name;
        if (strncmp(name, start, (size_t)length) != 0) continue;
        int index = 0;
        for (name += length; *name >= '0' && *name <= '9' && index <= MIMI_LAYER_CAP; name++)
            index = 10 * index + (*name - '0');
        if (index >= count) count = index + 1;
    }
    return count;
}

void mimi_transformer_load(loader *l, const char *half, int width, int head_width, int window,
                           mimi_transformer *w) {
    *w = (mimi_transformer){.width = width, .head_width = head_width, .window = window};
    if (l->status != RNL_OK) return;
    if (head_width < 2 || head_width % 2 != 0 || width % head_width != 0 || window < 1) {
        l->status =
            status_fail(l->error, RNL_ERR_FORMAT,
                        "%s: Mimi's heads of %d do not fit its width %d; the file is damaged",
                        l->file, head_width, width);
        return;
    }
    w->head_count = width / head_width;
    w->layer_count = count_layers(l, half);
    if (w->layer_count < 1 || w->layer_count > MIMI_LAYER_CAP) {
        l->status = status_fail(l->error, RNL_ERR_FORMAT,
                                "%s: Mimi's %s has no layers or more than %d; the file is damaged "
                                "or of another codec",
                                l->file, half, MIMI_LAYER_CAP);
        w->layer_count = 0;
        return;
    }
    for (int i = 0; i < w->layer_count; i++) {
        load_layer(l, half, i, width, &w->layers[i]);
        if (w->layers[i].up.row_count > w->ff_max) w->ff_max = w->layers[i].up.row_count;
    }
}

void mimi_transformer_layout(mimi_transformer_state *s, const mimi_transformer *w, int thread_count,
                             arena *kept, arena *scratch) {
    const size_t width = (size_t)w->width;
    *s = (mimi_transformer_state){.w = w, .ring = w->window - 1 + MIMI_STEPS};
    for (int i = 0; i < w->layer_count; i++) {
        s->keys[i] = arena_take(kept, (size_t)s->ring * width, sizeof(float));
        s->values[i] = arena_take(kept, (size_t)s->ring * width, sizeof(float));
    }
    s->normed = arena_take(scratch, MIMI_STEPS * width, sizeof(float));
    s->qkv = arena_take(scratch, MIMI_STEPS * 3 * width, sizeof(float));
    s->mixed = arena_take(scratch, MIMI_STEPS * width, sizeof(float));
    s->wide = arena_take(scratch, MIMI_STEPS * (size_t)w->ff_max, sizeof(float));
    s->scores = arena_take(scratch, (size_t)thread_count * (size_t)s->ring, sizeof(float));
}

void mimi_transformer_reset(mimi_transformer_state *s) {
    s->position = 0; /* keys are written before they are read */
}

/* Adjacent pairs, angle position * base^(-2i / head_width). */
static void rotate(const mimi_transformer *w, float *x, int64_t position) {
    for (int h = 0; h < w->head_count; h++) {
        float *head = x + (size_t)h * (size_t)w->head_width;
        for (int i = 0; i < w->head_width / 2; i++) {
            const double angle = (double)position * pow(rope_base, -2.0 * i / w->head_width);
            const float c = (float)cos(angle), s = (float)sin(angle);
            const float a = head[2 * i], b = head[2 * i + 1];
            head[2 * i] = a * c - b * s;
            head[2 * i + 1] = a * s + b * c;
        }
    }
}

typedef struct attend_job {
    const mimi_transformer_state *s;
    const kernels *k;
    int layer;
} attend_job;

/* One head of one step: the whole window, oldest first. The package's own ring loses a key here
 * (audio.md 9.4); this is the exact form. */
static void attend_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const mimi_transformer_state *s = j->s;
    const mimi_transformer *w = s->w;
    const size_t width = (size_t)w->width;
    float *scores = s->scores + (size_t)thread_index * (size_t)s->ring;
    const float scale = 1.0f / sqrtf((float)w->head_width);
    for (int64_t item = begin; item < end; item++) {
        const size_t step = (size_t)(item / w->head_count);
        const size_t at = (size_t)(item % w->head_count) * (size_t)w->head_width;
        const int64_t now = s->position + (int64_t)step;
        const int64_t first = now >= w->window ? now - w->window + 1 : 0;
        const int64_t count = now - first + 1;
        const float *q = s->qkv + step * 3 * width + at;
        float *out = s->mixed + step * width + at;
        for (int64_t i = 0; i < count; i++) {
            const float *key = s->keys[j->layer] + (size_t)((first + i) % s->ring) * width + at;
            scores[i] = j->k->dot(q, key, w->head_width) * scale;
        }
        j->k->softmax(scores, count, NULL);
        memset(out, 0, (size_t)w->head_width * sizeof *out);
        for (int64_t i = 0; i < count; i++)
            j->k->axpy(out, scores[i],
                       s->values[j->layer] + (size_t)((first + i) % s->ring) * width + at,
                       w->head_width);
    }
}

/* x += scale * y */
static void add_scaled(float *x, const float *scale, const float *y, size_t width) {
    for (size_t t = 0; t < MIMI_STEPS; t++)
        for (size_t i = 0; i < width; i++) x[t * width + i] += scale[i] * y[t * width + i];
}

static void norm(const compute *c, const float *x, const float *g, const float *b, size_t width,
                 float *out) {
    for (size_t t = 0; t < MIMI_STEPS; t++)
        c->k->layer_norm(out + t * width, x + t * width, g, b, norm_eps, (int64_t)width);
}

static void attention(mimi_transformer_state *s, const compute *c, int layer, float *x) {
    const mimi_transformer *w = s->w;
    const mimi_layer *y = &w->layers[layer];
    const size_t width = (size_t)w->width;
    norm(c, x, y->norm1, y->bias1, width, s->normed);
    linear(c, &y->qkv, NULL, s->normed, width, s->qkv, 3 * width, MIMI_STEPS);
    for (size_t t = 0; t < MIMI_STEPS; t++) {
        float *q = s->qkv + t * 3 * width, *k = q + width, *v = k + width;
        const size_t slot = (size_t)((s->position + (int64_t)t) % s->ring) * width;
        rotate(w, q, s->position + (int64_t)t);
        rotate(w, k, s->position + (int64_t)t);
        memcpy(s->keys[layer] + slot, k, width * sizeof *k);
        memcpy(s->values[layer] + slot, v, width * sizeof *v);
    }
    attend_job job = {.s = s, .k = c->k, .layer = layer};
    pool_run(c->pool, (int64_t)MIMI_STEPS * w->head_count, 1, attend_part, &job);
    linear(c, &y->out, NULL, s->mixed, width, s->normed, width, MIMI_STEPS);
    add_scaled(x, y->scale1, s->normed, width);
}

static void feed_forward(mimi_transformer_state *s, const compute *c, const mimi_layer *y,
                         float *x) {
    const size_t width = (size_t)s->w->width, ff = (size_t)y->up.row_count;
    norm(c, x, y->norm2, y->bias2, width, s->normed);
    linear(c, &y->up, NULL, s->normed, width, s->wide, ff, MIMI_STEPS);
    for (size_t i = 0; i < MIMI_STEPS * ff; i++) /* the exact form of GELU */
        s->wide[i] = s->wide[i] * 0.5f * (1.0f + erff(s->wide[i] * 0.70710678118654752440f));
    linear(c, &y->down, NULL, s->wide, ff, s->normed, width, MIMI_STEPS);
    add_scaled(x, y->scale2, s->normed, width);
}

void mimi_transformer_run(mimi_transformer_state *s, const compute *c, float *x) {
    for (int i = 0; i < s->w->layer_count; i++) {
        attention(s, c, i, x);
        feed_forward(s, c, &s->w->layers[i], x);
    }
    s->position += MIMI_STEPS;
}
