#include "devices/onnx_feed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"

static const stack_layer_config *config_of(const stack_weights *w, int layer) {
    return &w->config.layers[layer];
}

static bool keeps_keys(const stack_weights *w, int layer) {
    const stack_layer_config *l = config_of(w, layer);
    return l->kinds[STACK_OPERATOR] == &stack_attention && l->kv_above == 0;
}

static size_t tail_count(const stack_weights *w, int layer) {
    const stack_layer_config *l = config_of(w, layer);
    if (l->kinds[STACK_OPERATOR] != &stack_convolution) return 0;
    return (size_t)(l->taps - 1) * (size_t)w->config.width;
}

/* ---- The mirror ---- */

static size_t number_size(bool half) {
    return half ? sizeof(uint16_t) : sizeof(float);
}

static void layout(onnx_mirror *m, arena *a) {
    const stack_weights *w = m->w;
    const size_t layers = (size_t)w->config.layer_count;
    int widest = 1;
    m->keys = arena_take(a, layers, sizeof *m->keys);
    m->values = arena_take(a, layers, sizeof *m->values);
    m->tails = arena_take(a, layers, sizeof *m->tails);
    for (int i = 0; i < w->config.layer_count; i++) {
        const stack_layer_config *l = config_of(w, i);
        float *tail = arena_take(a, tail_count(w, i), sizeof *tail);
        if (m->memory != NULL) m->tails[i] = tail_count(w, i) > 0 ? tail : NULL;
        if (!keeps_keys(w, i)) continue;
        if (l->head_width > widest) widest = l->head_width;
        const size_t row = (size_t)l->head_width * number_size(m->half);
        const size_t rows = (size_t)l->kv_head_count * (size_t)m->past_count;
        unsigned char *keys = arena_take(a, rows, row), *values = arena_take(a, rows, row);
        if (m->memory == NULL) continue;
        m->keys[i] = keys;
        m->values[i] = values;
    }
    m->row = arena_take(a, (size_t)widest, sizeof *m->row);
}

rnl_status onnx_mirror_create(const stack_weights *w, int past_count, bool half, onnx_mirror *out) {
    arena a = {0};
    *out = (onnx_mirror){.w = w, .past_count = past_count, .half = half};
    layout(out, &a);
    out->size = a.size_used;
    out->memory = a.overflowed ? NULL : aligned_alloc(ARENA_ALIGN, a.size_used);
    if (out->memory == NULL) return RNL_ERR_MEMORY;
    memset(out->memory, 0, a.size_used);
    a = (arena){.base = out->memory, .size_cap = out->size};
    layout(out, &a);
    return RNL_OK;
}

void onnx_mirror_free(onnx_mirror *m) {
    free(m->memory);
    *m = (onnx_mirror){0};
}

/* A row of a mirror's keys or values. */
static unsigned char *mirror_row(const onnx_mirror *m, unsigned char *all, int layer, int head,
                                 int64_t position) {
    const size_t at = (size_t)head * (size_t)m->past_count + (size_t)position;
    return all + at * (size_t)config_of(m->w, layer)->head_width * number_size(m->half);
}

static void put_row(const onnx_mirror *m, unsigned char *to, const float *from, int width) {
    if (!m->half) memcpy(to, from, (size_t)width * sizeof *from);
    for (int i = 0; i < width && m->half; i++) {
        const uint16_t half = quant_f32_to_f16(from[i]);
        memcpy(to + (size_t)i * sizeof half, &half, sizeof half);
    }
}

static void get_row(const onnx_mirror *m, const unsigned char *from, float *to, int width) {
    if (!m->half) memcpy(to, from, (size_t)width * sizeof *to);
    for (int i = 0; i < width && m->half; i++) {
        uint16_t half;
        memcpy(&half, from + (size_t)i * sizeof half, sizeof half);
        to[i] = quant_f16_to_f32(half);
    }
}

/* A row as a state keeps it. */
static void read_kept(kernels_cache cache, const unsigned char *from, float *to, int width) {
    for (int i = 0; i < width; i++) {
        uint16_t half;
        switch (cache) {
        case KERNELS_CACHE_F32:
            memcpy(&to[i], from + (size_t)i * sizeof *to, sizeof *to);
            break;
        case KERNELS_CACHE_F16:
            memcpy(&half, from + (size_t)i * sizeof half, sizeof half);
            to[i] = quant_f16_to_f32(half);
            break;
        default: /* KERNELS_CACHE_Q8_0: codes, then scales */
            memcpy(&half, from + width + i / KERNELS_CACHE_BLOCK * 2, sizeof half);
            to[i] = (float)(signed char)from[i] * quant_f16_to_f32(half);
        }
    }
}

/* Every key and value of positions [begin, end), one row after the other. */
typedef struct row_walk {
    const onnx_mirror *m;
    const stack_state *s;
    const kernels *k; /* NULL: from the state to the mirror; else back */
} row_walk;

static void move_row(const row_walk *walk, int layer, unsigned char *kept,
                     unsigned char *mirrored) {
    const int width = config_of(walk->m->w, layer)->head_width;
    if (walk->k == NULL) {
        read_kept(walk->s->cache, kept, walk->m->row, width);
        put_row(walk->m, mirrored, walk->m->row, width);
    } else {
        get_row(walk->m, mirrored, walk->m->row, width);
        walk->k->store[walk->s->cache](kept, walk->m->row, width);
    }
}

static void move_rows(const row_walk *walk, int64_t begin, int64_t end) {
    const onnx_mirror *m = walk->m;
    for (int i = 0; i < m->w->config.layer_count; i++) {
        if (!keeps_keys(m->w, i)) continue;
        const stack_layer_config *l = config_of(m->w, i);
        const stack_attention_kept kept = stack_attention_keeps(walk->s, i);
        for (int head = 0; head < l->kv_head_count; head++)
            for (int64_t t = begin; t < end; t++) {
                const size_t at =
                    ((size_t)head * (size_t)kept.row_count + (size_t)t) * kept.row_size;
                move_row(walk, i, kept.keys + at, mirror_row(m, m->keys[i], i, head, t));
                move_row(walk, i, kept.values + at, mirror_row(m, m->values[i], i, head, t));
            }
    }
}

void onnx_mirror_begin(onnx_mirror *m, const stack_state *s) {
    const row_walk walk = {.m = m, .s = s};
    assert(s->position_cap >= 1 && s->position_cap <= m->past_count);
    move_rows(&walk, s->unseen, s->position);
    for (int i = 0; i < m->w->config.layer_count; i++)
        if (m->tails[i] != NULL)
            memcpy(m->tails[i], stack_fixed(s, i, STACK_OPERATOR),
                   tail_count(m->w, i) * sizeof *m->tails[i]);
}

void onnx_mirror_take(const onnx_mirror *m, const stack_state *s, const kernels *k, int count) {
    const row_walk walk = {.m = m, .s = s, .k = k};
    move_rows(&walk, s->position, s->position + count);
    for (int i = 0; i < m->w->config.layer_count; i++)
        if (m->tails[i] != NULL)
            memcpy(stack_fixed(s, i, STACK_OPERATOR), m->tails[i],
                   tail_count(m->w, i) * sizeof *m->tails[i]);
}

/* ---- The feed ---- */

static void place(onnx_feed *f, arena *a) {
    f->inputs = arena_take(a, (size_t)f->ports.input_count, sizeof *f->inputs);
    f->outputs = arena_take(a, (size_t)f->ports.output_count, sizeof *f->outputs);
    for (int i = 0; i < f->ports.input_count; i++) {
        const onnx_port *p = &f->ports.inputs[i];
        const bool mirrored = p->role == ONNX_KEYS || p->role == ONNX_VALUES;
        void *own = mirrored ? NULL : arena_take(a, p->size, 1);
        if (f->inputs != NULL) f->inputs[i] = own;
    }
    for (int i = 0; i < f->ports.output_count; i++) {
        void *own = arena_take(a, f->ports.outputs[i].size, 1);
        if (f->outputs != NULL) f->outputs[i] = own;
    }
}

rnl_status onnx_feed_create(const stack_weights *w, const onnx_stack_config *c, onnx_feed *out) {
    arena a = {0};
    *out = (onnx_feed){.w = w, .c = *c};
    if (onnx_ports_make(w, c, &out->ports) != RNL_OK) return RNL_ERR_MEMORY;
    place(out, &a);
    out->size = a.size_used;
    out->memory = a.overflowed ? NULL : aligned_alloc(ARENA_ALIGN, a.size_used);
    if (out->memory == NULL) {
        onnx_feed_free(out);
        return RNL_ERR_MEMORY;
    }
    memset(out->memory, 0, a.size_used);
    a = (arena){.base = out->memory, .size_cap = out->size};
    place(out, &a);
    return RNL_OK;
}

void onnx_feed_free(onnx_feed *f) {
    onnx_ports_free(&f->ports);
    free(f->memory);
    *f = (onnx_feed){0};
}

static void fill_rows(const onnx_feed *f, const onnx_run_rows *rows, float *to) {
    const size_t width = (size_t)f->w->config.width, count = (size_t)rows->count;
    memcpy(to, rows->x, count * width * sizeof *to);
    memset(to + count * width, 0, ((size_t)f->c.row_count - count) * width * sizeof *to);
}

/* Row t is position rows->position + t. Rows that there are none for see themselves. */
static void fill_mask(const onnx_feed *f, const onnx_run_rows *rows, int64_t window, float *to) {
    const int64_t past = f->c.past_count, all = past + f->c.row_count;
    for (int t = 0; t < f->c.row_count; t++, to += all) {
        const int64_t own = rows->position + t;
        const int64_t first = window > 0 && own >= window ? own - window + 1 : 0;
        for (int64_t j = 0; j < all; j++) {
            const int64_t position = j < past ? j : rows->position + j - past;
            const bool there = j < past ? j < rows->position : j - past <= t;
            const bool seen = t < rows->count ? there && position >= first : j == past + t;
            to[j] = seen ? 0.0f : ONNX_UNSEEN;
        }
    }
}

/* The pass has cosines and sines of pairs; heads have the two numbers of a pair apart. */
static void fill_angles(const onnx_feed *f, const stack_pass *p, const onnx_run_rows *rows,
                        const onnx_port *port, float *to) {
    const stack_layer_config *l = config_of(f->w, port->layer);
    const int half = l->head_width / 2, from = port->role == ONNX_COS ? 0 : half;
    const size_t table = (size_t)f->w->layers[port->layer].rotary * (size_t)p->work->row_cap;
    for (int t = 0; t < f->c.row_count; t++, to += l->head_width) {
        for (int i = 0; i < l->head_width; i++) to[i] = port->role == ONNX_COS ? 1.0f : 0.0f;
        if (t >= rows->count) continue;
        const float *angles =
            p->work->rotary + (table + (size_t)(rows->first + t)) * (size_t)p->work->rotary_width;
        for (int i = 0; i < l->rotary.pair_count; i++) {
            float *a = to + (l->rotary.adjacent ? 2 * i : i);
            a[0] = a[l->rotary.adjacent ? 1 : half] = angles[from + i];
        }
    }
}

static void fill_last(const onnx_feed *f, const onnx_run_rows *rows, int taps, float *to) {
    const size_t kept = (size_t)taps - 1, all = kept + (size_t)f->c.row_count;
    memset(to, 0, kept * all * sizeof *to);
    for (size_t i = 0; i < kept; i++) to[i * all + (size_t)rows->count + i] = 1;
}

void onnx_feed_fill(const onnx_feed *f, const stack_pass *p, const onnx_mirror *m,
                    const onnx_run_rows *rows) {
    for (int i = 0; i < f->ports.input_count; i++) {
        const onnx_port *port = &f->ports.inputs[i];
        const stack_layer_config *l = config_of(f->w, port->layer);
        float *to = f->inputs[i];
        switch (port->role) {
        case ONNX_ROWS:
            fill_rows(f, rows, to);
            break;
        case ONNX_MASK:
            fill_mask(f, rows, l->window, to);
            break;
        case ONNX_COS:
        case ONNX_SIN:
            fill_angles(f, p, rows, port, to);
            break;
        case ONNX_LAST:
            fill_last(f, rows, l->taps, to);
            break;
        case ONNX_TAIL:
            memcpy(to, m->tails[port->layer], port->size);
            break;
        case ONNX_KEYS:
        case ONNX_VALUES:
        case ONNX_ROLE_COUNT:
            break;
        }
    }
}

/* New keys or values [kv heads, rows, head width] behind those that are there. */
static void keep_rows(const onnx_feed *f, const onnx_mirror *m, const onnx_run_rows *rows,
                      const onnx_port *port, const float *from) {
    const stack_layer_config *l = config_of(f->w, port->layer);
    unsigned char *all = port->role == ONNX_KEYS ? m->keys[port->layer] : m->values[port->layer];
    for (int head = 0; head < l->kv_head_count; head++)
        for (int t = 0; t < rows->count; t++) {
            const size_t at = (size_t)head * (size_t)f->c.row_count + (size_t)t;
            put_row(m, mirror_row(m, all, port->layer, head, rows->position + t),
                    from + at * (size_t)l->head_width, l->head_width);
        }
}

void onnx_feed_keep(const onnx_feed *f, onnx_mirror *m, const onnx_run_rows *rows, float *out) {
    const size_t width = (size_t)f->w->config.width;
    for (int i = 0; i < f->ports.output_count; i++) {
        const onnx_port *port = &f->ports.outputs[i];
        const float *from = f->outputs[i];
        if (port->role == ONNX_ROWS)
            memcpy(out, from, (size_t)rows->count * width * sizeof *out);
        else if (port->role == ONNX_TAIL)
            memcpy(m->tails[port->layer], from, port->size);
        else
            keep_rows(f, m, rows, port, from);
    }
}
