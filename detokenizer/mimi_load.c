#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "detokenizer/mimi.h"

static const float usage_least = 1e-5f; /* audio.md 9.1 */

static void fail(loader *l, const char *what) {
    if (l->status == RNL_OK)
        l->status =
            status_fail(l->error, RNL_ERR_FORMAT,
                        "%s: Mimi's %s do not fit each other; the file is damaged", l->file, what);
}

/* Centroids: embedding_sum / max(cluster_usage, 1e-5). */
static const float *load_book(loader *l, const char *part, int layer, int dim, int *code_count) {
    const matrix sums = load_table(
        l, *code_count, dim, "quantizer.%s.vq.layers.%d._codebook.embedding_sum", part, layer);
    if (l->status != RNL_OK) return NULL;
    *code_count = (int)sums.row_count;
    const float *usage = load_vector(
        l, sums.row_count, "quantizer.%s.vq.layers.%d._codebook.cluster_usage", part, layer);
    const int64_t count = sums.row_count * dim;
    const float *values =
        load_vector(l, count, "quantizer.%s.vq.layers.%d._codebook.embedding_sum", part, layer);
    if (l->status != RNL_OK) return NULL;
    float *book = malloc((size_t)count * sizeof *book);
    if (book == NULL || weights_own(l->w, book, free) != RNL_OK) {
        l->status = status_fail(l->error, RNL_ERR_MEMORY, "memory for Mimi is exhausted");
        return NULL;
    }
    for (int64_t i = 0; i < count; i++) {
        const float n = usage[i / dim];
        book[i] = values[i] / (n > usage_least ? n : usage_least);
    }
    return book;
}

static void load_quantizer(loader *l, const char *part, int book_count, mimi_weights *w,
                           mimi_quantizer *q) {
    q->out = load_matrix(l, w->width, w->dim, "quantizer.%s.output_proj.weight", part);
    if (w->width == 0) w->width = (int)q->out.row_count;
    if (w->dim == 0) w->dim = (int)q->out.col_count;
    if (w->has_encoder)
        q->in = load_matrix(l, w->dim, w->width, "quantizer.%s.input_proj.weight", part);
    q->book_count = book_count;
    for (int i = 0; i < book_count && l->status == RNL_OK; i++)
        q->books[i] = load_book(l, part, i, w->dim, &w->code_count);
}

static void load_upsample(loader *l, mimi_weights *w) {
    const tensor *t = weights_find(l->w, "mimi.upsample.convtr.convtr.convtr.weight");
    w->up_kernel = t != NULL && t->rank == 3 && t->shape[2] <= 64 ? (int)t->shape[2] : 0;
    if (w->up_kernel < MIMI_STEPS) fail(l, "up-sampling and its kernel");
    w->up_taps =
        load_vector(l, (int64_t)w->width * w->up_kernel, "upsample.convtr.convtr.convtr.weight");
}

/* Any part of the encoder calls for all of it: half an encoder is damage, not a smaller codec. */
static bool any_encoder(const loader *l) {
    for (size_t i = 0; i < weights_count(l->w); i++)
        if (strncmp(weights_at(l->w, i)->name, "mimi.encoder", strlen("mimi.encoder")) == 0)
            return true;
    return false;
}

void mimi_load(loader *l, int head_width, int window, int codebook_count, mimi_weights *w) {
    *w = (mimi_weights){.codebook_count = codebook_count};
    const char *outer = l->prefix;
    l->prefix = "mimi.";
    if (codebook_count < 1 || codebook_count > MIMI_BOOK_CAP) fail(l, "codebooks");
    w->has_encoder = any_encoder(l);
    load_quantizer(l, "rvq_first", 1, w, &w->first);
    load_quantizer(l, "rvq_rest", codebook_count - 1, w, &w->rest);
    load_upsample(l, w);
    seanet_load(l, "decoder", &w->decoder);
    mimi_transformer_load(l, "decoder_transformer", w->width, head_width, window,
                          &w->decoder_transformer);
    if (l->status == RNL_OK && (w->decoder.in != w->width || w->decoder.out != 1))
        fail(l, "decoder and quantiser");
    w->frame_size = MIMI_STEPS * w->decoder.ratio;
    if (w->has_encoder && l->status == RNL_OK) {
        seanet_load(l, "encoder", &w->encoder);
        mimi_transformer_load(l, "encoder_transformer", w->width, head_width, window,
                              &w->encoder_transformer);
        w->downsample = mimi_conv_load(l, false, MIMI_STEPS, "downsample.conv.conv.conv");
        if (l->status == RNL_OK && (w->encoder.in != 1 || w->encoder.out != w->width ||
                                    w->encoder.ratio != w->decoder.ratio ||
                                    w->downsample.in != w->width || w->downsample.out != w->width))
            fail(l, "encoder and quantiser");
    }
    l->prefix = outer;
}
