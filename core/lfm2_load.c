/* The LFM2 layer stack: checking its dimensions and fetching its weights. */
#include <math.h>
#include <stdlib.h>

#include "core/lfm2.h"
#include "core/range.h"
#include "core/status.h"
#include "core/taps.h"

rnl_status lfm2_check(const lfm2_config *c, const char *file, rnl_error *error) {
    const range ranges[] = {
        /* backbone.md 5.5, point 13 */
        {"the number of layers", c->layer_count, 1, LFM2_LAYER_CAP},
        {"the width", c->width, 1, 1 << 20},
        {"the number of heads", c->head_count, 1, 4096},
        {"the head width", c->head_width, 2, 4096},
        {"the number of convolution taps", c->conv_taps, 1, 64},
        {"the attention window", c->window, 0, 1 << 20},
        {"the norm epsilon", c->eps, 1e-12, 1},
        {"the rotary base", c->rope_base, 1, 1e12},
    };
    const range *bad = range_outside(ranges, sizeof ranges / sizeof *ranges);
    if (bad != NULL)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: %s is %g, outside %g to %g; the file is damaged", file, bad->name,
                           bad->value, bad->min, bad->max);
    if (c->head_width % 2 != 0)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: the head width %d is odd; the file is damaged", file,
                           c->head_width);
    for (int i = 0; i < c->layer_count; i++) {
        const int kv = c->kv_head_count[i];
        if (kv < 0 || kv > c->head_count || (kv > 0 && c->head_count % kv != 0))
            return status_fail(
                error, RNL_ERR_FORMAT,
                "%s: layer %d has %d key/value heads for %d query heads; the file is "
                "damaged",
                file, i, kv, c->head_count);
    }
    return RNL_OK;
}

void lfm2_weights_create(loader *l, const lfm2_config *c, lfm2_weights *out) {
    *out = (lfm2_weights){.config = *c};
    if (l->status != RNL_OK) return;
    out->layers = calloc((size_t)c->layer_count, sizeof *out->layers);
    if (out->layers == NULL || weights_own(l->w, out->layers, free) != RNL_OK) {
        out->layers = NULL;
        l->status = status_fail(l->error, RNL_ERR_MEMORY, "memory for %d layers is exhausted",
                                c->layer_count);
    }
}

static void load_attention(loader *l, const lfm2_config *c, int i, lfm2_layer *layer) {
    const int64_t heads = (int64_t)c->head_count * c->head_width;
    const int64_t kv = (int64_t)layer->kv_head_count * c->head_width;
    layer->q = load_matrix(l, heads, c->width, "blk.%d.attn_q.weight", i);
    layer->k = load_matrix(l, kv, c->width, "blk.%d.attn_k.weight", i);
    layer->v = load_matrix(l, kv, c->width, "blk.%d.attn_v.weight", i);
    layer->attention_out = load_matrix(l, c->width, heads, "blk.%d.attn_output.weight", i);
    layer->q_norm = load_vector(l, c->head_width, "blk.%d.attn_q_norm.weight", i);
    layer->k_norm = load_vector(l, c->head_width, "blk.%d.attn_k_norm.weight", i);
}

static void load_convolution(loader *l, const lfm2_config *c, int i, lfm2_layer *layer) {
    const int64_t width = c->width;
    layer->conv_in = load_matrix(l, 3 * width, width, "blk.%d.shortconv.in_proj.weight", i);
    layer->conv_out = load_matrix(l, width, width, "blk.%d.shortconv.out_proj.weight", i);
    const float *conv = load_vector(l, width * c->conv_taps, "blk.%d.shortconv.conv.weight", i);
    layer->conv = taps_turn(l, conv, width, c->conv_taps);
    layer->conv_in_bias = load_vector_if(l, 3 * width, "blk.%d.shortconv.in_proj.bias", i);
    layer->conv_bias = load_vector_if(l, width, "blk.%d.shortconv.conv.bias", i);
    layer->conv_out_bias = load_vector_if(l, width, "blk.%d.shortconv.out_proj.bias", i);
}

void lfm2_load(loader *l, const lfm2_config *c, lfm2_weights *out) {
    lfm2_weights_create(l, c, out);
    /* A window is short: its cache costs no bandwidth, and float32 needs no rounding. */
    out->cache = l->pack && c->window == 0 ? KERNELS_CACHE_F16 : KERNELS_CACHE_F32;
    for (int i = 0; i < c->layer_count && l->status == RNL_OK; i++) {
        lfm2_layer *layer = &out->layers[i];
        layer->kv_head_count = c->kv_head_count[i];
        layer->operator_norm = load_vector(l, c->width, "blk.%d.attn_norm.weight", i);
        layer->ffn_norm = load_vector(l, c->width, "blk.%d.ffn_norm.weight", i);
        layer->gate = load_matrix(l, 0, c->width, "blk.%d.ffn_gate.weight", i);
        layer->up = load_matrix(l, layer->gate.row_count, c->width, "blk.%d.ffn_up.weight", i);
        layer->down = load_matrix(l, c->width, layer->gate.row_count, "blk.%d.ffn_down.weight", i);
        if (layer->kv_head_count > 0)
            load_attention(l, c, i, layer);
        else
            load_convolution(l, c, i, layer);
        if (layer->gate.row_count > out->ff_width_max) out->ff_width_max = layer->gate.row_count;
    }
    /* The last norm; older files spell it output_norm (backbone.md 5.3). */
    const char *norm =
        load_has(l, "output_norm.weight") ? "output_norm.weight" : "token_embd_norm.weight";
    out->final_norm = load_vector(l, c->width, "%s", norm);
}
