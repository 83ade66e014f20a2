#include <stdlib.h>

#include "core/status.h"
#include "vision/tower_inner.h"

static tower_norm load_norm(loader *l, int64_t width, int i, const char *name) {
    return (tower_norm){load_vector(l, width, "v.blk.%d.%s.weight", i, name),
                        load_vector(l, width, "v.blk.%d.%s.bias", i, name)};
}

static void load_layer(loader *l, int64_t width, int i, tower_layer *y) {
    y->attention_norm = load_norm(l, width, i, "ln1");
    y->ff_norm = load_norm(l, width, i, "ln2");
    y->q = load_matrix(l, width, width, "v.blk.%d.attn_q.weight", i);
    y->k = load_matrix(l, width, width, "v.blk.%d.attn_k.weight", i);
    y->v = load_matrix(l, width, width, "v.blk.%d.attn_v.weight", i);
    y->out = load_matrix(l, width, width, "v.blk.%d.attn_out.weight", i);
    y->q_bias = load_vector(l, width, "v.blk.%d.attn_q.bias", i);
    y->k_bias = load_vector(l, width, "v.blk.%d.attn_k.bias", i);
    y->v_bias = load_vector(l, width, "v.blk.%d.attn_v.bias", i);
    y->out_bias = load_vector(l, width, "v.blk.%d.attn_out.bias", i);
    y->up = load_matrix(l, 0, width, "v.blk.%d.ffn_up.weight", i);
    y->up_bias = load_vector(l, y->up.row_count, "v.blk.%d.ffn_up.bias", i);
    y->down = load_matrix(l, width, y->up.row_count, "v.blk.%d.ffn_down.weight", i);
    y->down_bias = load_vector(l, width, "v.blk.%d.ffn_down.bias", i);
}

/* The table of positions is a square. Its side; 0 after a complaint. */
static int find_side(loader *l, int64_t width) {
    const tensor *t = weights_find(l->w, "v.position_embd.weight");
    const int64_t count = t != NULL && t->rank == 2 && t->shape[1] == width ? t->shape[0] : 0;
    int side = 1;
    while (side < 256 && (int64_t)side * side < count) side++;
    if (count > 0 && (int64_t)side * side == count) return side;
    if (l->status == RNL_OK)
        l->status =
            status_fail(l->error, RNL_ERR_FORMAT,
                        "%s: tensor 'v.position_embd.weight' is missing, or no table of "
                        "N x N positions (N at most 256) of width %lld; the file is damaged",
                        l->file, (long long)width);
    return 0;
}

static void refuse_heads(loader *l, int64_t width, int head_count) {
    l->status = status_fail(l->error, RNL_ERR_FORMAT,
                            "%s: the tower's width %lld is over 8192, or no multiple of its %d "
                            "heads; the file is damaged",
                            l->file, (long long)width, head_count);
}

void tower_load(loader *l, const views_config *c, int layer_count, int head_count, float eps,
                tower_weights *out) {
    *out = (tower_weights){.layer_count = layer_count, .head_count = head_count, .eps = eps};
    for (int i = 0; i < 3; i++) {
        out->mean[i] = c->mean[i] * 255.0f;
        out->deviation[i] = c->deviation[i] * 255.0f;
    }
    out->patch = load_matrix(l, 0, TOWER_PATCH_COLS, "v.patch_embd.weight");
    const int64_t width = out->patch.row_count;
    if (l->status == RNL_OK && (width > 8192 || width % head_count != 0))
        refuse_heads(l, width, head_count);
    if (l->status != RNL_OK) return;
    out->width = (int)width;
    out->head_width = (int)width / head_count;
    out->patch_bias = load_vector(l, width, "v.patch_embd.bias");
    out->position_side = find_side(l, width);
    out->positions = load_vector(l, (int64_t)out->position_side * out->position_side * width,
                                 "v.position_embd.weight");
    out->layers = calloc((size_t)layer_count, sizeof *out->layers);
    if (out->layers == NULL || weights_own(l->w, out->layers, free) != RNL_OK) {
        l->status = status_fail(l->error, RNL_ERR_MEMORY, "memory for the tower is exhausted");
        return;
    }
    for (int i = 0; i < layer_count && l->status == RNL_OK; i++) {
        load_layer(l, width, i, &out->layers[i]);
        const int64_t ff = out->layers[i].up.row_count;
        if (ff > out->ff_max) out->ff_max = ff;
    }
    out->out_norm = (tower_norm){load_vector(l, width, "v.post_ln.weight"),
                                 load_vector(l, width, "v.post_ln.bias")};
}
