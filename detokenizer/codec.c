#include "detokenizer/codec.h"

void codec_load_lfm(loader *l, const lfm2_config *config, int codebook_count, codec_weights *out) {
    out->kind = CODEC_LFM;
    lfm_load(l, config, codebook_count, &out->lfm);
}

int codec_frame_size(const codec_weights *w) {
    return w->kind == CODEC_LFM ? lfm_frame_size(&w->lfm) : 0;
}

int codec_code_count(const codec_weights *w) {
    return w->kind == CODEC_LFM ? w->lfm.code_count : 0;
}

void codec_layout(codec_state *s, const codec_weights *w, int thread_count, arena *kept,
                  arena *scratch) {
    *s = (codec_state){.w = w};
    if (w->kind == CODEC_LFM) lfm_layout(&s->lfm, &w->lfm, thread_count, kept, scratch);
}

void codec_reset(codec_state *s) {
    if (s->w->kind == CODEC_LFM) lfm_reset(&s->lfm);
}

rnl_status codec_push(codec_state *s, const compute *c, const int32_t *codes, float *out,
                      int *count) {
    *count = 0;
    return s->w->kind == CODEC_LFM ? lfm_push(&s->lfm, c, codes, out, count) : RNL_OK;
}

void codec_finish(codec_state *s, float *out, int *count) {
    *count = 0;
    if (s->w->kind == CODEC_LFM) lfm_finish(&s->lfm, out, count);
}
