#include "devices/opencl_stack.h"

#include <math.h>
#include <string.h>

#include "devices/opencl_inner.h"

/* A pass under way. */
typedef struct run {
    gpu_stack *s;
    const stack_pass *p;
    size_t fresh_at; /* of the layer at hand, in gpu_stack.fresh */
} run;

static void norm(const run *r, gpu_buffer from, int gain, gpu_buffer to) {
    const stack_config *c = &r->s->w->config;
    const gpu_arg args[] = {gpu_of_buffer(to), gpu_of_buffer(from),  gpu_of_buffer(r->s->vectors),
                            gpu_of_int(gain),  gpu_of_int(c->width), gpu_of_float(c->eps)};
    gpu_launch(r->s->g, GPU_NORM, args, sizeof args / sizeof *args, (size_t)r->p->row_count, 1);
}

/* The first products of an operator: of the matrices from GPU_IN on. */
static void multiply_in(const run *r, const gpu_layer *l) {
    gpu_product p = {
        .x = r->s->normed, .y = r->s->wide, .vectors = r->s->vectors, .count = r->p->row_count};
    for (int i = 0; i < (l->attends ? GPU_TASK_CAP : 1); i++) {
        p.w[i] = &l->matrices[GPU_IN + i];
        p.bias[i] = l->in_bias[i];
    }
    gpu_multiply(r->s->g, &p);
}

/* x += W from + bias. */
static void multiply_out(const run *r, const gpu_matrix *w, int bias, gpu_buffer from) {
    const gpu_product p = {.w = {w},
                           .bias = {bias, -1, -1},
                           .x = from,
                           .y = r->s->x,
                           .vectors = r->s->vectors,
                           .count = r->p->row_count,
                           .adds = true};
    gpu_multiply(r->s->g, &p);
}

static void convolve(const run *r, int layer) {
    const gpu_layer *l = &r->s->layers[layer];
    const int width = r->s->w->config.width, taps = r->s->w->config.layers[layer].taps;
    int first = 0;
    for (int i = 0; i < r->p->piece_count; i++) {
        const stack_piece *piece = &r->p->pieces[i];
        const gpu_mirror *m = piece->state->mirror;
        const size_t tail =
            taps > 1
                ? (size_t)(stack_fixed(piece->state, layer, STACK_OPERATOR) - piece->state->fixed) /
                      sizeof(float)
                : 0;
        /* Of a state without tails no kernel reads or writes any. */
        const gpu_buffer tails = m->tails != NULL ? m->tails : r->s->mixed;
        const gpu_buffer next = m->next != NULL ? m->next : r->s->mixed;
        const gpu_arg args[] = {
            gpu_of_buffer(r->s->mixed), gpu_of_buffer(r->s->wide), gpu_of_buffer(tails),
            gpu_of_buffer(next),        gpu_of_int((int32_t)tail), gpu_of_buffer(r->s->vectors),
            gpu_of_int(l->taps),        gpu_of_int(l->bias),       gpu_of_int(first),
            gpu_of_int(piece->count),   gpu_of_int(taps),          gpu_of_int(width)};
        gpu_launch(r->s->g, GPU_CONVOLVE, args, sizeof args / sizeof *args,
                   (size_t)(width + GPU_ITEMS - 1) / GPU_ITEMS, (size_t)(piece->count + taps - 1));
        first += piece->count;
    }
}

/* Keys and values of several rows first, as these attend to each other; a single row makes its own
 * on the way. */
static void attend_piece(const run *r, int layer, const stack_piece *piece, int first) {
    const gpu_stack *s = r->s;
    const gpu_layer *own = &s->layers[layer];
    const stack_layer_config *l = &s->w->config.layers[layer];
    const gpu_mirror *m = piece->state->mirror;
    const stack_attention_kept kept = stack_attention_keeps(piece->state, layer);
    const unsigned char *base = piece->state->appended_base;
    const int rows = r->p->row_count, turn_width = r->p->work->rotary_width;
    const gpu_arg args[] = {
        /* of `keep`: the rows of the pass */
        gpu_of_buffer(s->fresh),
        gpu_of_long(r->fresh_at),
        gpu_of_buffer(s->wide),
        gpu_of_buffer(s->vectors),
        gpu_of_int(own->k_norm),
        gpu_of_buffer(s->turns),
        gpu_of_int(s->w->layers[layer].rotary * rows * turn_width),
        gpu_of_int(turn_width),
        gpu_of_int(first),
        gpu_of_int(rows),
        gpu_of_int(l->head_count),
        gpu_of_int(l->kv_head_count),
        gpu_of_int(l->head_width),
        gpu_of_int(l->rotary.pair_count),
        gpu_of_int(l->rotary.adjacent),
        gpu_of_int((int32_t)s->room.cache),
        gpu_of_float(s->w->config.eps),
        /* of `attend` besides: what the state keeps, and what comes out */
        gpu_of_buffer(s->mixed),
        gpu_of_buffer(m->kept),
        gpu_of_long((size_t)(kept.keys - base)),
        gpu_of_long((size_t)(kept.values - base)),
        gpu_of_int(kept.row_count),
        gpu_of_int((int32_t)piece->state->position),
        gpu_of_int(own->q_norm),
        gpu_of_int(l->window),
        gpu_of_float(1.0f / sqrtf((float)l->head_width)),
        gpu_of_int(piece->count == 1),
        gpu_of_local(gpu_attend_size(l)),
    };
    enum { OF_KEEP = 17, OF_ATTEND = sizeof args / sizeof *args };
    const size_t kv_heads = (size_t)l->kv_head_count, count = (size_t)piece->count;
    if (piece->count > 1) gpu_launch(s->g, GPU_KEEP, args, OF_KEEP, kv_heads, count);
    gpu_launch(s->g, GPU_ATTEND, args, OF_ATTEND, kv_heads, count);
}

static void run_layer(run *r, int layer) {
    gpu_stack *s = r->s;
    const gpu_layer *l = &s->layers[layer];
    norm(r, s->x, l->norms[STACK_OPERATOR], s->normed);
    multiply_in(r, l);
    if (l->attends) {
        int first = 0;
        for (int i = 0; i < r->p->piece_count; i++) {
            attend_piece(r, layer, &r->p->pieces[i], first);
            first += r->p->pieces[i].count;
        }
        r->fresh_at += gpu_fresh_size(&s->w->config.layers[layer], s->room.cache, r->p->row_count);
    } else {
        convolve(r, layer);
    }
    multiply_out(r, &l->matrices[GPU_OUT], l->out_bias, s->mixed);
    norm(r, s->x, l->norms[STACK_FEED_FORWARD], s->normed);
    gpu_multiply_gated(s->g, &l->matrices[GPU_GATE], &l->matrices[GPU_UP], s->normed, s->wide,
                       r->p->row_count);
    multiply_out(r, &l->matrices[GPU_DOWN], -1, s->wide);
}

/* What the pass reads of the host's. */
static void send(const run *r, const float *x) {
    const gpu_stack *s = r->s;
    const stack_work *k = r->p->work;
    const size_t rows = (size_t)r->p->row_count, width = (size_t)s->w->config.width;
    const size_t turns = rows * (size_t)k->rotary_width;
    gpu_write(s->g, s->x, 0, x, rows * width * sizeof *x);
    for (size_t t = 0; t < (size_t)s->w->rotary_count; t++)
        gpu_write(s->g, s->turns, t * turns * sizeof *x,
                  k->rotary + t * (size_t)k->row_cap * (size_t)k->rotary_width, turns * sizeof *x);
    for (int i = 0; i < r->p->piece_count; i++) {
        const stack_state *state = r->p->pieces[i].state;
        gpu_mirror *m = state->mirror;
        if (m->kept != NULL) gpu_lend(s->g, m->kept, m->host);
        gpu_write(s->g, m->tails, 0, state->fixed, m->fixed_size);
    }
}

static void receive(const run *r, gpu_buffer x) {
    gpu_stack *s = r->s;
    const size_t cells = (size_t)r->p->row_count * (size_t)s->w->config.width;
    gpu_read(s->g, x, 0, s->made, cells * sizeof *s->made);
    gpu_read(s->g, s->fresh, 0, s->made_fresh, r->fresh_at);
    for (int i = 0; i < r->p->piece_count; i++) {
        gpu_mirror *m = r->p->pieces[i].state->mirror;
        gpu_read(s->g, m->next, 0, m->made, m->fixed_size);
        if (m->kept != NULL) gpu_regain(s->g, m->kept, m->kept_size);
    }
}

rnl_status gpu_stack_forward(void *stack, const stack_pass *p, float *x, rnl_error *error) {
    gpu_stack *s = stack;
    run r = {.s = s, .p = p};
    send(&r, x);
    for (int i = 0; i < s->w->config.layer_count; i++) run_layer(&r, i);
    if (s->final_norm >= 0) norm(&r, s->x, s->final_norm, s->normed);
    receive(&r, s->final_norm >= 0 ? s->normed : s->x);
    const rnl_status status = gpu_wait(s->g, error);
    return status == RNL_OK ? RNL_DONE : status;
}

/* The rows that a piece has made of one layer's keys, or values. */
static void take_rows(const unsigned char *from, size_t from_rows, unsigned char *to,
                      size_t to_rows, int head_count, size_t size) {
    for (int h = 0; h < head_count; h++, from += from_rows, to += to_rows) memcpy(to, from, size);
}

static void take_piece(const gpu_stack *s, const stack_pass *p, const stack_piece *piece,
                       size_t first) {
    const stack_state *state = piece->state;
    const gpu_mirror *m = state->mirror;
    const unsigned char *fresh = s->made_fresh;
    if (m->fixed_size > 0) memcpy(state->fixed, m->made, m->fixed_size);
    for (int i = 0; i < s->w->config.layer_count; i++) {
        const stack_layer_config *l = &s->w->config.layers[i];
        if (!s->layers[i].attends) continue;
        const stack_attention_kept kept = stack_attention_keeps(state, i);
        const size_t all = gpu_fresh_size(l, s->room.cache, p->row_count), row = kept.row_size;
        const size_t from_rows = (size_t)p->row_count * row, to_rows = (size_t)kept.row_count * row;
        const size_t at = (size_t)state->position * row, size = (size_t)piece->count * row;
        const unsigned char *from = fresh + first * row;
        take_rows(from, from_rows, kept.keys + at, to_rows, l->kv_head_count, size);
        take_rows(from + all / 2, from_rows, kept.values + at, to_rows, l->kv_head_count, size);
        fresh += all;
    }
}

void gpu_stack_take(void *stack, const stack_pass *p, float *x) {
    const gpu_stack *s = stack;
    size_t first = 0;
    memcpy(x, s->made, (size_t)p->row_count * (size_t)s->w->config.width * sizeof *x);
    for (int i = 0; i < p->piece_count; i++) {
        take_piece(s, p, &p->pieces[i], first);
        first += (size_t)p->pieces[i].count;
    }
}
