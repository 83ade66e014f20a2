#include "detokenizer/mimi_seanet.h"

#include <stdio.h>
#include <string.h>

#include "core/status.h"

static void add_plain(loader *l, seanet_weights *w, const char *half, int index, bool transposed,
                      int stride, bool elu) {
    char name[128];
    (void)snprintf(name, sizeof name, "%s.model.%d.%s", half, index,
                   transposed ? "convtr.convtr" : "conv.conv");
    w->layers[w->layer_count++] =
        (seanet_layer){.elu = elu, .first = mimi_conv_load(l, transposed, stride, name)};
}

static void add_residual(loader *l, seanet_weights *w, const char *half, int index) {
    seanet_layer *y = &w->layers[w->layer_count++];
    char name[128];
    y->residual = true;
    (void)snprintf(name, sizeof name, "%s.model.%d.block.1.conv.conv", half, index);
    y->first = mimi_conv_load(l, false, 1, name);
    (void)snprintf(name, sizeof name, "%s.model.%d.block.3.conv.conv", half, index);
    y->second = mimi_conv_load(l, false, 1, name);
}

/* Channels must chain, and a residual block must end as wide as it began. */
static void check_chain(loader *l, const char *half, seanet_weights *w) {
    if (l->status != RNL_OK) return;
    int channels = w->layers[0].first.in;
    int64_t ratio = 1;
    bool fits = true;
    w->in = channels;
    for (int i = 0; i < w->layer_count; i++) {
        const seanet_layer *y = &w->layers[i];
        fits = fits && y->first.in == channels && y->first.bias != NULL;
        if (y->residual)
            fits = fits && y->second.in == y->first.out && y->second.out == channels &&
                   y->second.bias != NULL;
        else
            channels = y->first.out;
        ratio *= y->first.stride;
        fits = fits && ratio <= 1 << 16;
    }
    w->out = channels;
    w->ratio = (int)ratio;
    if (!fits)
        l->status = status_fail(l->error, RNL_ERR_FORMAT,
                                "%s: the layers of Mimi's %s do not fit each other; the file is "
                                "damaged",
                                l->file, half);
}

/* Indices of the Sequential: the decoder has up-sampling at 2 + 3 s and its block at 3 + 3 s, the
 * encoder its block at 1 + 3 s and down-sampling at 3 + 3 s; both end at 2 + 3 stages. */
void seanet_load(loader *l, const char *half, seanet_weights *w) {
    const bool decoder = strcmp(half, "decoder") == 0;
    *w = (seanet_weights){0};
    add_plain(l, w, half, 0, false, 1, false);
    int stages = 0;
    while (3 * stages + 3 < SEANET_LAYER_CAP &&
           load_has(l, "%s.model.%d.%s.weight", half, 3 * stages + (decoder ? 2 : 3),
                    decoder ? "convtr.convtr" : "conv.conv"))
        stages++;
    for (int s = 0; s < stages && w->layer_count + 3 < SEANET_LAYER_CAP; s++) {
        if (decoder) {
            add_plain(l, w, half, 3 * s + 2, true, 0, true);
            add_residual(l, w, half, 3 * s + 3);
        } else {
            add_residual(l, w, half, 3 * s + 1);
            add_plain(l, w, half, 3 * s + 3, false, 0, true);
        }
    }
    add_plain(l, w, half, 3 * stages + 2, false, 1, true);
    check_chain(l, half, w);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

void seanet_layout(seanet_state *s, const seanet_weights *w, int count, arena *kept,
                   arena *scratch) {
    *s = (seanet_state){.w = w, .count = count};
    size_t signal = (size_t)count * (size_t)w->in, work = 0;
    for (int i = 0; i < w->layer_count; i++) {
        const seanet_layer *y = &w->layers[i];
        s->first_tail[i] = arena_take(kept, mimi_conv_tail_size(&y->first), sizeof(float));
        if (y->residual)
            s->second_tail[i] = arena_take(kept, mimi_conv_tail_size(&y->second), sizeof(float));
        work = larger(work, mimi_conv_scratch_size(&y->first, count));
        if (y->residual) work = larger(work, mimi_conv_scratch_size(&y->second, count));
        const size_t inside = (size_t)mimi_conv_out_count(&y->first, count) * (size_t)y->first.out;
        signal = larger(signal, inside);
        count = mimi_conv_out_count(&y->first, count);
    }
    /* A residual block holds its input, the inner signal and the sum's second part at once. */
    s->x = arena_take(scratch, signal, sizeof(float));
    s->y = arena_take(scratch, 2 * signal, sizeof(float));
    s->scratch = arena_take(scratch, work, sizeof(float));
}

/* Convolutions of one tap have no tail at all. */
static void clear_tail(const mimi_conv *c, float *tail) {
    const size_t size = mimi_conv_tail_size(c);
    if (size > 0) memset(tail, 0, size * sizeof *tail);
}

void seanet_reset(seanet_state *s) {
    for (int i = 0; i < s->w->layer_count; i++) {
        const seanet_layer *y = &s->w->layers[i];
        clear_tail(&y->first, s->first_tail[i]);
        if (y->residual) clear_tail(&y->second, s->second_tail[i]);
    }
}

/* x += second(elu(first(elu(x)))) */
static void run_residual(seanet_state *s, const compute *c, int layer, int count) {
    const seanet_layer *l = &s->w->layers[layer];
    const size_t inner = (size_t)count * (size_t)l->first.out;
    const size_t size = (size_t)count * (size_t)l->second.out;
    float *sum = s->y + inner;
    mimi_conv_run(&l->first, c, s->first_tail[layer], s->x, count, true, s->scratch, s->y);
    mimi_conv_run(&l->second, c, s->second_tail[layer], s->y, count, true, s->scratch, sum);
    for (size_t i = 0; i < size; i++) s->x[i] += sum[i];
}

const float *seanet_run(seanet_state *s, const compute *c, const float *in) {
    int count = s->count;
    memcpy(s->x, in, (size_t)count * (size_t)s->w->in * sizeof *in);
    for (int i = 0; i < s->w->layer_count; i++) {
        const seanet_layer *l = &s->w->layers[i];
        if (l->residual) {
            run_residual(s, c, i, count);
            continue;
        }
        mimi_conv_run(&l->first, c, s->first_tail[i], s->x, count, l->elu, s->scratch, s->y);
        count = mimi_conv_out_count(&l->first, count);
        memcpy(s->x, s->y, (size_t)count * (size_t)l->first.out * sizeof *s->x);
    }
    return s->x;
}
