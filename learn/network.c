#include "learn/network.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "learn/norms.h"

static int width_of(const learn_network *n) {
    return backbone_width(&n->model->backbone);
}

/* ---- What goes in ---- */

typedef struct embed_job {
    learn_network *n;
    const learn_batch *b;
    float *x;
    const float *dx;
} embed_job;

/* The row that is heard, or the frame, that row t of the batch is the next of. */
static int kind_before(const learn_batch *b, int32_t kind, int64_t t) {
    int count = 0;
    for (int64_t i = 0; i < t; i++) count += b->ids[i] == kind;
    return count;
}

static const int32_t *frame_at(const learn_network *n, const learn_batch *b, int frame) {
    return b->frames + (size_t)frame * (size_t)n->model->backbone.codebook_count;
}

static void embed_frame(const learn_network *n, const int32_t *codes, float *out) {
    const backbone_weights *w = &n->model->backbone;
    const size_t width = (size_t)width_of(n);
    float *row = n->row;
    memset(out, 0, width * sizeof *out);
    for (int k = 0; k < w->codebook_count; k++) {
        assert(codes[k] >= 0 && codes[k] < w->code_count);
        matrix_row(&n->compute, &n->audio_embedding.w, (int64_t)k * w->code_count + codes[k], row);
        for (size_t i = 0; i < width; i++) out[i] += row[i];
    }
}

static void embed_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const embed_job *j = context;
    const size_t width = (size_t)width_of(j->n);
    int heard = kind_before(j->b, LEARN_ROW_HEARD, begin);
    (void)thread_index;
    for (int64_t t = begin; t < end; t++) {
        float *x = j->x + (size_t)t * width;
        const int32_t id = j->b->ids[t];
        if (id >= 0) {
            assert(id < j->n->embedding.w.row_count);
            matrix_row(&j->n->compute, &j->n->embedding.w, id, x);
        } else if (id == LEARN_ROW_HEARD) {
            memcpy(x, j->n->heard_out + (size_t)heard++ * width, width * sizeof *x);
        }
    }
}

/* The exact form, as tokenizer/adapter.c has it. */
static void gelu(float *y, const float *x, size_t count) {
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] * 0.5f * (1.0f + erff(x[i] * 0.70710678118654752440f));
}

static void adapt(learn_network *n, const learn_batch *b) {
    const adapter_weights *w = &n->model->adapter;
    const size_t width = (size_t)w->up.col_count, hidden = (size_t)w->up.row_count;
    for (size_t t = 0; t < (size_t)b->heard_count; t++)
        n->compute.k->layer_norm(n->heard_normed + t * width, b->heard + t * width,
                                 n->adapter_gain.v, n->adapter_bias.v, 1e-5f, (int64_t)width);
    learn_forward(&n->compute, &n->adapter_up, (learn_x){n->heard_normed, width}, n->heard_hidden,
                  hidden, n->heard_low[0], b->heard_count);
    gelu(n->heard_active, n->heard_hidden, (size_t)b->heard_count * hidden);
    learn_forward(&n->compute, &n->adapter_out, (learn_x){n->heard_active, hidden}, n->heard_out,
                  (size_t)width_of(n), n->heard_low[1], b->heard_count);
}

static void embed(learn_network *n, const learn_batch *b) {
    embed_job j = {.n = n, .b = b, .x = n->stack.kept[0].x};
    const size_t width = (size_t)width_of(n);
    if (b->heard_count > 0) adapt(n, b);
    pool_run(n->compute.pool, b->rows.count, 16, embed_part, &j);
    int frame = 0;
    for (size_t t = 0; t < (size_t)b->rows.count; t++)
        if (b->ids[t] == LEARN_ROW_FRAME) embed_frame(n, frame_at(n, b, frame++), j.x + t * width);
    assert(frame == b->frame_count);
}

/* ---- What goes back into it ---- */

/* Columns [begin, end) of the gradients of both tables. */
static void tables_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const embed_job *j = context;
    const backbone_weights *w = &j->n->model->backbone;
    const size_t width = (size_t)width_of(j->n);
    int frame = 0;
    (void)thread_index;
    for (size_t t = 0; t < (size_t)j->b->rows.count; t++) {
        const float *dx = j->dx + t * width;
        if (j->b->ids[t] >= 0) {
            float *dw = j->n->embedding.dw + (size_t)j->b->ids[t] * width;
            for (int64_t i = begin; i < end; i++) dw[i] += dx[i];
        } else if (j->b->ids[t] == LEARN_ROW_FRAME) {
            const int32_t *codes = frame_at(j->n, j->b, frame++);
            for (int k = 0; k < w->codebook_count; k++) {
                float *dw = j->n->audio_embedding.dw +
                            ((size_t)k * (size_t)w->code_count + (size_t)codes[k]) * width;
                for (int64_t i = begin; i < end; i++) dw[i] += dx[i];
            }
        }
    }
}

/* x becomes dx: the derivative of x Phi(x) times d. */
static void gelu_back(float *x, const float *d, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const double v = (double)x[i];
        const double below = 0.5 * (1 + erf(v * 0.70710678118654752440));
        const double density = exp(-0.5 * v * v) * 0.39894228040143267794; /* 1 / sqrt(2 pi) */
        x[i] = (float)((double)d[i] * (below + v * density));
    }
}

static bool learns(const learn_linear *l) {
    return l->dw != NULL || l->down.row_count > 0;
}

static void adapter_back(learn_network *n, const learn_batch *b) {
    const adapter_weights *w = &n->model->adapter;
    const size_t width = (size_t)w->up.col_count, hidden = (size_t)w->up.row_count;
    const size_t out = (size_t)width_of(n), count = (size_t)b->heard_count;
    size_t row = 0;
    for (size_t t = 0; t < (size_t)b->rows.count; t++)
        if (b->ids[t] == LEARN_ROW_HEARD)
            memcpy(n->heard_out + row++ * out, n->dx + t * out, out * sizeof *n->dx);
    memset(n->dheard_hidden, 0, count * hidden * sizeof *n->dheard_hidden);
    learn_back(&n->compute, &n->adapter_out, (learn_x){n->heard_active, hidden}, n->heard_low[1],
               (learn_x){n->heard_out, out}, n->dheard_hidden, hidden, n->heard_dlow,
               b->heard_count);
    gelu_back(n->heard_hidden, n->dheard_hidden, count * hidden);
    memset(n->dheard, 0, count * width * sizeof *n->dheard);
    learn_back(&n->compute, &n->adapter_up, (learn_x){n->heard_normed, width}, n->heard_low[0],
               (learn_x){n->heard_hidden, hidden}, n->adapter_gain.dv != NULL ? n->dheard : NULL,
               width, n->heard_dlow, b->heard_count);
    learn_layer_norm_back(&n->compute, (learn_x){b->heard, width}, &n->adapter_gain,
                          &n->adapter_bias, 1e-5f, (int)width, (learn_x){n->dheard, width},
                          n->ratios, b->heard_count);
}

static void embed_back(learn_network *n, const learn_batch *b) {
    embed_job j = {.n = n, .b = b, .dx = n->dx};
    if (n->embedding.dw != NULL) pool_run(n->compute.pool, width_of(n), 16, tables_part, &j);
    if (b->heard_count > 0 && (learns(&n->adapter_up) || learns(&n->adapter_out)))
        adapter_back(n, b);
}

/* ---- Losses ---- */

static double text_loss(learn_network *n, const learn_batch *b, bool wants_gradients) {
    const size_t width = (size_t)width_of(n);
    double sum = 0;
    for (int at = 0; at < b->text_count; at += LEARN_LOSS_ROWS) {
        const int left = b->text_count - at;
        const size_t count = (size_t)(left < LEARN_LOSS_ROWS ? left : LEARN_LOSS_ROWS);
        const int *rows = b->text_at + at;
        for (size_t i = 0; i < count; i++)
            memcpy(n->picked + i * width, n->hidden + (size_t)rows[i] * width,
                   width * sizeof *n->picked);
        memset(n->dpicked, 0, count * width * sizeof *n->dpicked);
        learn_loss(&n->compute, &n->loss, &n->head, n->picked, b->text_ids + at, (int)count,
                   b->text_weight, wants_gradients ? n->dpicked : NULL, &sum);
        for (size_t i = 0; i < count && wants_gradients; i++) {
            float *to = n->dhidden + (size_t)rows[i] * width;
            for (size_t c = 0; c < width; c++) to[c] += n->dpicked[i * width + c];
        }
    }
    return sum;
}

static double frame_loss(learn_network *n, const learn_batch *b, bool wants_gradients) {
    const size_t books = (size_t)n->model->backbone.codebook_count;
    if (b->label_frame_count == 0) return 0;
    for (size_t i = 0; i < (size_t)b->label_frame_count; i++)
        memcpy(n->codes + i * books, frame_at(n, b, b->frame_of[i]), books * sizeof *n->codes);
    return learn_depth_loss(&n->depth, &n->compute, n->hidden, b->frame_at, n->codes,
                            b->label_frame_count, n->share, b->frame_weight,
                            wants_gradients ? n->dhidden : NULL, NULL);
}

learn_result learn_network_run(learn_network *n, const learn_batch *b, bool wants_gradients) {
    const int width = width_of(n), count = b->rows.count;
    const float eps = n->model->backbone.stack.config.eps;
    const size_t cells = (size_t)count * (size_t)width;
    assert(count >= 1 && count <= n->config.row_cap && b->rows.run_count <= n->config.run_cap);
    n->dropout.active = wants_gradients && n->dropout.share > 0;
    embed(n, b);
    learn_stack_forward(&n->stack, &n->compute, &b->rows);
    const learn_x x = {n->stack.kept[n->stack.w->config.layer_count].x, (size_t)width};
    learn_rms(&n->compute, x, &n->final_norm, eps, width, n->hidden, (size_t)width, count);
    if (wants_gradients) memset(n->dhidden, 0, cells * sizeof *n->dhidden);
    const learn_result result = {.text_nll = text_loss(n, b, wants_gradients),
                                 .frame_loss = frame_loss(n, b, wants_gradients)};
    if (!wants_gradients) return result;
    memset(n->dx, 0, cells * sizeof *n->dx);
    learn_rms_back(&n->compute, x, &n->final_norm, eps, width, (learn_x){n->dhidden, (size_t)width},
                   n->dx, (size_t)width, n->ratios, count);
    learn_stack_back(&n->stack, &n->compute, &b->rows, n->dx);
    embed_back(n, b);
    return result;
}
