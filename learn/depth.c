#include "learn/depth.h"

#include <stdio.h>
#include <string.h>

#include "learn/norms.h"

static const float norm_eps = 1e-5f; /* backbone/depthformer.c */

rnl_status learn_depth_check(const depth_weights *w, const char *file, rnl_error *error) {
    return learn_stack_check(&w->stack, file, error);
}

static void bind_codebooks(learn_depth *d, learn_binder *b) {
    const size_t count = (size_t)d->w->codebook_count;
    const int64_t dim = d->w->stack.config.width;
    d->embedding = arena_take(b->a, count, sizeof *d->embedding);
    d->head = arena_take(b->a, count, sizeof *d->head);
    d->norm = arena_take(b->a, count, sizeof *d->norm);
    for (int k = 0; k < d->w->codebook_count; k++) {
        const bool tied = d->w->head[k].data == d->w->embedding[k].data;
        char name[LEARN_NAME_CAP];
        learn_linear embedding, head;
        learn_vector norm;
        (void)snprintf(name, sizeof name, "depth_embeddings.%d.embedding.weight", k);
        learn_bind_table(b, &embedding, &d->w->embedding[k], name);
        head = embedding;
        (void)snprintf(name, sizeof name, "depth_embeddings.%d.to_logits.weight", k);
        if (!tied) learn_bind_table(b, &head, &d->w->head[k], name);
        (void)snprintf(name, sizeof name, "depth_embeddings.%d.embedding_norm.weight", k);
        learn_bind_vector(b, &norm, d->w->norm[k], dim, name);
        if (d->norm == NULL) continue;
        d->embedding[k] = embedding;
        d->head[k] = head;
        d->norm[k] = norm;
    }
}

void learn_depth_bind(learn_depth *d, learn_binder *b, const depth_weights *w, int thread_count) {
    const size_t frames = LEARN_DEPTH_FRAMES, dim = (size_t)w->stack.config.width;
    const size_t books = (size_t)w->codebook_count, width = (size_t)w->split.col_count;
    const size_t rank = b->t->choice.full ? 0 : (size_t)b->t->choice.rank;
    *d = (learn_depth){.w = w};
    learn_bind_linear(b, &d->split, &w->split, w->split_bias, LEARN_AUDIO, LEARN_DEPTH_LINEAR,
                      "depth_linear");
    learn_stack_bind(&d->stack, b, &w->stack, LEARN_NAMES_DEPTH, (int)(frames * books), (int)books,
                     true, thread_count);
    bind_codebooks(d, b);
    d->hidden = arena_take(b->a, frames * width, sizeof(float));
    d->dhidden = arena_take(b->a, frames * width, sizeof(float));
    d->dz = arena_take(b->a, frames * books * dim, sizeof(float));
    d->rows = arena_take(b->a, frames * dim, sizeof(float));
    d->drows = arena_take(b->a, frames * dim, sizeof(float));
    d->low = arena_take(b->a, frames * rank, sizeof(float));
    d->dlow = arena_take(b->a, frames * rank, sizeof(float));
    d->ratios = arena_take(b->a, frames, sizeof(float));
    d->labels = arena_take(b->a, frames, sizeof *d->labels);
    d->begin = arena_take(b->a, frames + 1, sizeof *d->begin);
    learn_loss_layout(&d->loss, w->code_count, 0, b->a);
}

void learn_depth_begin(learn_depth *d) {
    learn_stack_begin(&d->stack);
    for (int f = 0; f <= LEARN_DEPTH_FRAMES; f++) d->begin[f] = f * d->w->codebook_count;
}

/* Some frames: what learn_depth_loss has of all. */
typedef struct frames {
    learn_depth *d;
    const compute *c;
    const int *at;
    const int32_t *codes;
    int count;
    learn_rows rows;
} frames;

/* z [count * codebooks, dim], the input of the stack. */
static void spread(const frames *f, const float *hidden) {
    learn_depth *d = f->d;
    const size_t width = (size_t)d->w->split.col_count, dim = (size_t)d->w->stack.config.width;
    const size_t books = (size_t)d->w->codebook_count;
    float *z = d->stack.kept[0].x;
    for (int i = 0; i < f->count; i++)
        memcpy(d->hidden + (size_t)i * width, hidden + (size_t)f->at[i] * width,
               width * sizeof *hidden);
    learn_forward(f->c, &d->split, (learn_x){d->hidden, width}, z, books * dim, d->low, f->count);
    for (size_t i = 0; i < (size_t)f->count; i++)
        for (size_t k = 1; k < books; k++) {
            float *row = z + (i * books + k) * dim;
            matrix_row(f->c, &d->embedding[k - 1].w, f->codes[i * books + k - 1], d->rows);
            for (size_t n = 0; n < dim; n++) row[n] += d->rows[n];
        }
}

/* The loss of codebook k; gradients by the stack's outputs into its rows of dz. */
static double judge(const frames *f, int k, double weight, bool wants_gradient) {
    learn_depth *d = f->d;
    const size_t books = (size_t)d->w->codebook_count, dim = (size_t)d->w->stack.config.width;
    const float *out = d->stack.kept[d->w->stack.config.layer_count].x + (size_t)k * dim;
    const learn_x x = {out, books * dim};
    learn_rms(f->c, x, &d->norm[k], norm_eps, (int)dim, d->rows, dim, f->count);
    for (int i = 0; i < f->count; i++) d->labels[i] = f->codes[(size_t)i * books + (size_t)k];
    memset(d->drows, 0, (size_t)f->count * dim * sizeof *d->drows);
    double nll = 0;
    learn_loss(f->c, &d->loss, &d->head[k], d->rows, d->labels, f->count, weight,
               wants_gradient ? d->drows : NULL, &nll);
    if (wants_gradient)
        learn_rms_back(f->c, x, &d->norm[k], norm_eps, (int)dim, (learn_x){d->drows, dim},
                       d->dz + (size_t)k * dim, books * dim, d->ratios, f->count);
    return nll;
}

/* Adds rows of dz to those of the tables that they were looked up in. */
static void tables_back(const frames *f) {
    learn_depth *d = f->d;
    const size_t books = (size_t)d->w->codebook_count, dim = (size_t)d->w->stack.config.width;
    for (size_t i = 0; i < (size_t)f->count; i++)
        for (size_t k = 1; k < books; k++) {
            float *dw = d->embedding[k - 1].dw;
            const float *dz = d->dz + (i * books + k) * dim;
            if (dw == NULL) continue;
            dw += (size_t)f->codes[i * books + k - 1] * dim;
            for (size_t n = 0; n < dim; n++) dw[n] += dz[n];
        }
}

static void frames_back(const frames *f, float *dhidden) {
    learn_depth *d = f->d;
    const size_t width = (size_t)d->w->split.col_count, dim = (size_t)d->w->stack.config.width;
    const size_t books = (size_t)d->w->codebook_count;
    learn_stack_back(&d->stack, f->c, &f->rows, d->dz);
    tables_back(f);
    memset(d->dhidden, 0, (size_t)f->count * width * sizeof *d->dhidden);
    learn_back(f->c, &d->split, (learn_x){d->hidden, width}, d->low, (learn_x){d->dz, books * dim},
               d->dhidden, width, d->dlow, f->count);
    for (size_t i = 0; i < (size_t)f->count; i++) {
        float *to = dhidden + (size_t)f->at[i] * width;
        for (size_t n = 0; n < width; n++) to[n] += d->dhidden[i * width + n];
    }
}

double learn_depth_loss(learn_depth *d, const compute *c, const float *hidden, const int *at,
                        const int32_t *codes, int frame_count, const double *share, double weight,
                        float *dhidden, double *book_nll) {
    const int books = d->w->codebook_count, dim = d->w->stack.config.width;
    double sum = 0;
    for (int first = 0; first < frame_count; first += LEARN_DEPTH_FRAMES) {
        const int left = frame_count - first;
        frames f = {
            .d = d, .c = c, .at = at + first, .codes = codes + (size_t)first * (size_t)books};
        f.count = left < LEARN_DEPTH_FRAMES ? left : LEARN_DEPTH_FRAMES;
        f.rows = (learn_rows){.count = f.count * books, .run_count = f.count, .begin = d->begin};
        spread(&f, hidden);
        learn_stack_forward(&d->stack, c, &f.rows);
        memset(d->dz, 0, (size_t)(f.rows.count * dim) * sizeof *d->dz);
        for (int k = 0; k < books; k++) {
            const double nll = judge(&f, k, weight * share[k], dhidden != NULL);
            sum += share[k] * nll;
            if (book_nll != NULL) book_nll[k] += nll;
        }
        if (dhidden != NULL) frames_back(&f, dhidden);
    }
    return sum;
}
