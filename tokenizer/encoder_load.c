#include <stdlib.h>

#include "core/status.h"
#include "core/taps.h"
#include "tokenizer/encoder.h"

static encoder_norm load_norm(loader *l, int64_t width, int i, const char *name) {
    return (encoder_norm){load_vector(l, width, "a.blk.%d.%s.weight", i, name),
                          load_vector(l, width, "a.blk.%d.%s.bias", i, name)};
}

/* suffix "" for the first feed-forward part, "_1" for the second. */
static void load_ff(loader *l, int64_t width, int i, const char *suffix, encoder_ff *ff) {
    ff->norm.gain = load_vector(l, width, "a.blk.%d.ffn_norm%s.weight", i, suffix);
    ff->norm.bias = load_vector(l, width, "a.blk.%d.ffn_norm%s.bias", i, suffix);
    ff->up = load_matrix(l, 0, width, "a.blk.%d.ffn_up%s.weight", i, suffix);
    ff->up_bias = load_vector(l, ff->up.row_count, "a.blk.%d.ffn_up%s.bias", i, suffix);
    ff->down = load_matrix(l, width, ff->up.row_count, "a.blk.%d.ffn_down%s.weight", i, suffix);
    ff->down_bias = load_vector(l, width, "a.blk.%d.ffn_down%s.bias", i, suffix);
}

static void load_attention(loader *l, int64_t width, int i, encoder_layer *y) {
    y->attention_norm = load_norm(l, width, i, "ln1");
    y->q = load_matrix(l, width, width, "a.blk.%d.attn_q.weight", i);
    y->k = load_matrix(l, width, width, "a.blk.%d.attn_k.weight", i);
    y->v = load_matrix(l, width, width, "a.blk.%d.attn_v.weight", i);
    y->out = load_matrix(l, width, width, "a.blk.%d.attn_out.weight", i);
    y->q_bias = load_vector(l, width, "a.blk.%d.attn_q.bias", i);
    y->k_bias = load_vector(l, width, "a.blk.%d.attn_k.bias", i);
    y->v_bias = load_vector(l, width, "a.blk.%d.attn_v.bias", i);
    y->out_bias = load_vector(l, width, "a.blk.%d.attn_out.bias", i);
    y->position = load_matrix(l, width, width, "a.blk.%d.linear_pos.weight", i);
    y->bias_u = load_vector(l, width, "a.blk.%d.pos_bias_u", i);
    y->bias_v = load_vector(l, width, "a.blk.%d.pos_bias_v", i);
}

static void load_convolution(loader *l, int64_t width, int taps, int i, encoder_layer *y) {
    y->conv_norm = load_norm(l, width, i, "norm_conv");
    y->point1 = load_matrix(l, 2 * width, width, "a.blk.%d.conv_pw1.weight", i);
    y->point1_bias = load_vector(l, 2 * width, "a.blk.%d.conv_pw1.bias", i);
    const float *depth = load_vector(l, width * taps, "a.blk.%d.conv_dw.weight", i);
    y->depth = taps_turn(l, depth, width, taps);
    y->depth_bias = load_vector(l, width, "a.blk.%d.conv_dw.bias", i);
    y->scale = load_vector(l, width, "a.blk.%d.conv_norm.weight", i);
    y->shift = load_vector(l, width, "a.blk.%d.conv_norm.bias", i);
    y->point2 = load_matrix(l, width, width, "a.blk.%d.conv_pw2.weight", i);
    y->point2_bias = load_vector(l, width, "a.blk.%d.conv_pw2.bias", i);
}

/* Taps of the depthwise convolution: [width, taps], or [width, 1, taps] as the checkpoint has
 * it. */
static int find_taps(loader *l, int64_t width) {
    const tensor *t = weights_find(l->w, "a.blk.0.conv_dw.weight");
    const int64_t taps = t != NULL && t->rank > 1 ? t->shape[t->rank - 1] : 0;
    if (taps >= 1 && taps <= 255 && taps % 2 == 1 && t->shape[0] == width) return (int)taps;
    if (l->status == RNL_OK)
        l->status =
            status_fail(l->error, RNL_ERR_FORMAT,
                        "%s: tensor 'a.blk.0.conv_dw.weight' is missing or has no odd number "
                        "of taps; the file is damaged",
                        l->file);
    return 1;
}

void encoder_load(loader *l, int band_count, int layer_count, int head_count,
                  encoder_weights *out) {
    *out = (encoder_weights){.layer_count = layer_count, .head_count = head_count};
    subsampling_load(l, band_count, &out->subsampling);
    if (l->status != RNL_OK) return;
    const int width = out->subsampling.width;
    if (width % head_count != 0) {
        l->status =
            status_fail(l->error, RNL_ERR_FORMAT,
                        "%s: the encoder's width %d is no multiple of its %d heads; the file "
                        "is damaged",
                        l->file, width, head_count);
        return;
    }
    out->width = width;
    out->head_width = width / head_count;
    out->taps = find_taps(l, width);
    out->layers = calloc((size_t)layer_count, sizeof *out->layers);
    if (out->layers == NULL || weights_own(l->w, out->layers, free) != RNL_OK) {
        l->status = status_fail(l->error, RNL_ERR_MEMORY, "memory for the encoder is exhausted");
        return;
    }
    for (int i = 0; i < layer_count && l->status == RNL_OK; i++) {
        encoder_layer *y = &out->layers[i];
        load_ff(l, width, i, "", &y->ff1);
        load_ff(l, width, i, "_1", &y->ff2);
        load_attention(l, width, i, y);
        load_convolution(l, width, out->taps, i, y);
        y->out_norm = load_norm(l, width, i, "ln2");
        const int64_t ff =
            y->ff1.up.row_count > y->ff2.up.row_count ? y->ff1.up.row_count : y->ff2.up.row_count;
        if (ff > out->ff_max) out->ff_max = ff;
    }
}
