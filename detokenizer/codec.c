#include "detokenizer/codec.h"

void codec_load_lfm(loader *l, const lfm2_config *config, int codebook_count, codec_weights *out) {
    out->kind = CODEC_LFM;
    lfm_load(l, config, codebook_count, &out->lfm);
}

void codec_load_mimi(loader *l, int head_width, int window, int codebook_count,
                     codec_weights *out) {
    out->kind = CODEC_MIMI;
    mimi_load(l, head_width, window, codebook_count, &out->mimi);
}

int codec_frame_size(const codec_weights *w) {
    switch (w->kind) {
    case CODEC_LFM:
        return lfm_frame_size(&w->lfm);
    case CODEC_MIMI:
        return w->mimi.frame_size;
    case CODEC_NONE:
        break;
    }
    return 0;
}

int codec_code_count(const codec_weights *w) {
    switch (w->kind) {
    case CODEC_LFM:
        return w->lfm.code_count;
    case CODEC_MIMI:
        return w->mimi.code_count;
    case CODEC_NONE:
        break;
    }
    return 0;
}

void codec_layout(codec_state *s, const codec_weights *w, int thread_count, arena *kept,
                  arena *scratch) {
    *s = (codec_state){.w = w};
    if (w->kind == CODEC_LFM) lfm_layout(&s->lfm, &w->lfm, thread_count, kept, scratch);
    if (w->kind == CODEC_MIMI) mimi_decoder_layout(&s->mimi, &w->mimi, thread_count, kept, scratch);
}

void codec_reset(codec_state *s) {
    if (s->w->kind == CODEC_LFM) lfm_reset(&s->lfm);
    if (s->w->kind == CODEC_MIMI) mimi_decoder_reset(&s->mimi);
}

rnl_status codec_push(codec_state *s, const compute *c, const int32_t *codes, float *out,
                      int *count) {
    *count = 0;
    if (s->w->kind == CODEC_LFM) return lfm_push(&s->lfm, c, codes, out, count);
    if (s->w->kind != CODEC_MIMI) return RNL_OK;
    const rnl_status status = mimi_decoder_push(&s->mimi, c, codes, out);
    if (status == RNL_OK) *count = s->w->mimi.frame_size;
    return status;
}

void codec_finish(codec_state *s, float *out, int *count) {
    *count = 0; /* Mimi holds nothing back */
    if (s->w->kind == CODEC_LFM) lfm_finish(&s->lfm, out, count);
}
