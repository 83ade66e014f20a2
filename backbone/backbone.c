#include "backbone/backbone.h"

#include <assert.h>
#include <string.h>

#include "core/status.h"

static void load_audio_embedding(loader *l, backbone_weights *w, int codebook_count) {
    if (codebook_count == 0) return;
    w->audio_embedding =
        load_table(l, 0, w->stack.config.width, "audio_embedding.embedding.weight");
    if (l->status != RNL_OK) return;
    const int64_t rows = w->audio_embedding.row_count;
    if (rows % codebook_count != 0 || rows / codebook_count < 2) {
        l->status = status_fail(l->error, RNL_ERR_FORMAT,
                                "%s: audio_embedding.embedding.weight has %lld rows, which %d "
                                "codebooks do not divide; the file is damaged",
                                l->file, (long long)rows, codebook_count);
        return;
    }
    w->codebook_count = codebook_count;
    w->code_count = (int)(rows / codebook_count);
}

void backbone_load(loader *l, const stack_config *config, int codebook_count,
                   backbone_weights *out) {
    *out = (backbone_weights){0};
    stack_load(l, config, &out->stack);
    out->text_embedding = load_table(l, 0, config->width, "token_embd.weight");
    const char *head = load_has(l, "output.weight") ? "output.weight" : "token_embd.weight";
    out->head = load_matrix(l, out->text_embedding.row_count, config->width, "%s", head);
    load_audio_embedding(l, out, codebook_count);
}

int backbone_width(const backbone_weights *w) {
    return w->stack.config.width;
}

int backbone_vocab_count(const backbone_weights *w) {
    return (int)w->text_embedding.row_count;
}

void backbone_embed_text(const backbone_weights *w, const compute *c, int32_t id, float *out) {
    assert(id >= 0 && id < w->text_embedding.row_count);
    matrix_row(c, &w->text_embedding, id, out);
}

void backbone_embed_frame(const backbone_weights *w, const compute *c, const int32_t *codes,
                          float *out, float *scratch) {
    const int width = backbone_width(w);
    memset(out, 0, (size_t)width * sizeof *out);
    for (int k = 0; k < w->codebook_count; k++) {
        assert(codes[k] >= 0 && codes[k] < w->code_count);
        matrix_row(c, &w->audio_embedding, (int64_t)k * w->code_count + codes[k], scratch);
        for (int i = 0; i < width; i++) out[i] += scratch[i];
    }
}

void backbone_logits(const backbone_weights *w, const compute *c, const float *hidden,
                     float *logits, int count) {
    linear(c, &w->head, NULL, hidden, (size_t)backbone_width(w), logits, (size_t)w->head.row_count,
           count);
}
