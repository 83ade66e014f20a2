/* The older converter of the vocoder wrote the whole detokenizer into it, under PyTorch's names,
 * and none of its keys: the stack is told by its tensors, the rest by literals. audio.md 10.3. */
#include <stdio.h>

#include "core/status.h"
#include "engine/source.h"

/* Elements along the first dimension, and in each of them; 0, 0 when there is no such tensor. */
typedef struct extent {
    int64_t rows, cols;
} extent;

static extent extent_of(const weights *w, int layer, const char *name) {
    char full[96];
    (void)snprintf(full, sizeof full, "detok.blk.%d.%s.weight", layer, name);
    const tensor *t = weights_find(w, full);
    extent e = {0};
    if (t == NULL) return e;
    e = (extent){.rows = t->shape[0], .cols = 1};
    for (int i = 1; i < t->rank; i++) e.cols *= t->shape[i];
    return e;
}

/* A number of a file's shapes, for lfm2_check to refuse when it is none of a stack. */
static int number(int64_t value) {
    return value >= 0 && value <= 1 << 20 ? (int)value : 0;
}

static void read_layer(lfm2_config *c, const weights *w, int layer) {
    const int64_t head_width = extent_of(w, layer, "attn_q_norm").rows;
    const extent taps = extent_of(w, layer, "shortconv.conv");
    if (taps.rows > 0) c->conv_taps = number(taps.cols);
    if (head_width == 0) return; /* a convolution */
    c->head_width = number(head_width);
    c->head_count = number(extent_of(w, layer, "attn_q").rows / head_width);
    c->kv_head_count[layer] = number(extent_of(w, layer, "attn_k").rows / head_width);
}

/* By the highest number, so that a layer that is missing is missed when it is loaded. */
static int count_layers(const weights *w) {
    int count = 0, layer;
    for (size_t i = 0; i < weights_count(w); i++)
        if (sscanf(weights_at(w, i)->name, "detok.blk.%5d.", &layer) == 1 && layer >= count)
            count = layer + 1;
    return count;
}

rnl_status source_merged_config(lfm2_config *c, const weights *w, const char *file,
                                rnl_error *error) {
    *c = (lfm2_config){.head_count = 1,
                       .head_width = 2,
                       .conv_taps = 3,
                       .window = 30,
                       .eps = 1e-5f,
                       .rope_base = 1e6}; /* audio.md 2.2 */
    c->width = number(extent_of(w, 0, "attn_norm").rows);
    c->layer_count = count_layers(w);
    for (int i = 0; i < c->layer_count && i < LFM2_LAYER_CAP; i++) read_layer(c, w, i);
    return lfm2_check(c, file, error);
}
