#include "detokenizer/codec.h"

#include <assert.h>

void codec_load_lfm(loader *l, const stack_config *config, int codebook_count, codec_weights *out) {
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
    if (w->kind == CODEC_LFM) lfm_layout(&s->lfm, &w->lfm, kept);
    if (w->kind == CODEC_MIMI) mimi_decoder_layout(&s->mimi, &w->mimi, thread_count, kept, scratch);
}

void codec_reset(codec_state *s) {
    if (s->w->kind == CODEC_LFM) lfm_reset(&s->lfm);
    if (s->w->kind == CODEC_MIMI) mimi_decoder_reset(&s->mimi);
}

void codec_work_layout(codec_work *k, const codec_weights *w, int frame_cap, int thread_count,
                       arena *scratch) {
    *k = (codec_work){.frame_cap = frame_cap};
    if (w->kind != CODEC_LFM) return;
    lfm_work_layout(&k->lfm, &w->lfm, frame_cap, thread_count, scratch);
    k->frames = arena_take(scratch, (size_t)frame_cap, sizeof *k->frames);
}

/* Those without a code out of range, in one pass. */
static void push_lfm(codec_work *k, const compute *c, codec_frame *frames, int count) {
    int good = 0;
    for (int i = 0; i < count; i++) {
        codec_frame *f = &frames[i];
        f->count = 0;
        f->status = lfm_has_sound(&f->state->w->lfm, f->codes) ? RNL_OK : RNL_ERR_DATA;
        if (f->status == RNL_OK)
            k->frames[good++] =
                (lfm_frame){.state = &f->state->lfm, .codes = f->codes, .out = f->out};
    }
    if (good > 0) lfm_push(&k->lfm, c, k->frames, good);
    for (int i = count; i-- > 0;)
        if (frames[i].status == RNL_OK) frames[i].count = k->frames[--good].count;
}

/* Mimi takes one conversation after the other. */
static void push_mimi(const compute *c, codec_frame *f) {
    f->status = mimi_decoder_push(&f->state->mimi, c, f->codes, f->out);
    f->count = f->status == RNL_OK ? f->state->w->mimi.frame_size : 0;
}

void codec_push(codec_work *k, const compute *c, codec_frame *frames, int count) {
    assert(count > 0 && count <= k->frame_cap);
    const codec_kind kind = frames[0].state->w->kind;
    if (kind == CODEC_LFM) push_lfm(k, c, frames, count);
    if (kind == CODEC_MIMI)
        for (int i = 0; i < count; i++) push_mimi(c, &frames[i]);
    if (kind == CODEC_NONE)
        for (int i = 0; i < count; i++) frames[i].count = 0, frames[i].status = RNL_OK;
}

void codec_finish(codec_state *s, float *out, int *count) {
    *count = 0; /* Mimi holds nothing back */
    if (s->w->kind == CODEC_LFM) lfm_finish(&s->lfm, out, count);
}
