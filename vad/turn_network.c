/* The weights of the network as matrices, and a look at a clip piece by piece. */
#include "vad/turn_network.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "vad/turn_network_inner.h"

enum { /* the pieces of a look, in their order */
       STEP_SAMPLES,
       STEP_MEL,
       MEL_STEPS = 4,
       STEP_CONV1 = STEP_MEL + MEL_STEPS,
       STEP_CONV2,
       STEP_LAYERS, /* two for each */
       STEP_HEAD = STEP_LAYERS + 2 * TURN_LAYERS,
       STEP_COUNT
};

bool turn_network_is_built(void) {
#ifdef RUNNEL_TURN_NETWORK
    return true;
#else
    return false;
#endif
}

static const turn_network_weights *built_weights(void) {
#ifdef RUNNEL_TURN_NETWORK
    return &vad_turn_network;
#else
    return NULL;
#endif
}

/* ---- weights ---- */

static matrix stored(const int8_t *codes, const float *scales, size_t rows, size_t cols) {
    return (matrix){.data = (const unsigned char *)codes,
                    .type = QUANT_I8,
                    .row_count = (int64_t)rows,
                    .col_count = (int64_t)cols,
                    .row_size = cols,
                    .row_scales = scales};
}
#define STORED(w, name)                                                                            \
    stored((w)->name[0], (w)->name##_scale, sizeof(w)->name / sizeof(w)->name[0],                  \
           sizeof(w)->name[0])

static void find_matrices(turn_network *n) {
    n->conv1 = STORED(n->w, conv1);
    n->conv2 = STORED(n->w, conv2);
    for (int i = 0; i < TURN_LAYERS; i++) {
        const turn_layer_weights *w = &n->w->layers[i];
        n->layers[i] = (turn_layer){.w = w,
                                    .q = STORED(w, q),
                                    .k = STORED(w, k),
                                    .v = STORED(w, v),
                                    .out = STORED(w, out),
                                    .fc1 = STORED(w, fc1),
                                    .fc2 = STORED(w, fc2)};
    }
    n->pool0 = STORED(n->w, pool0);
    n->pool2 = STORED(n->w, pool2);
    n->cls0 = STORED(n->w, cls0);
    n->cls4 = STORED(n->w, cls4);
    n->cls6 = STORED(n->w, cls6);
}

static int list_matrices(turn_network *n, matrix *list[TURN_MATRIX_CAP]) {
    int count = 0;
    list[count++] = &n->conv1;
    list[count++] = &n->conv2;
    for (int i = 0; i < TURN_LAYERS; i++) {
        turn_layer *y = &n->layers[i];
        matrix *const of_layer[] = {&y->q, &y->k, &y->v, &y->out, &y->fc1, &y->fc2};
        for (size_t m = 0; m < sizeof of_layer / sizeof *of_layer; m++) list[count++] = of_layer[m];
    }
    matrix *const of_head[] = {&n->pool0, &n->pool2, &n->cls0, &n->cls4, &n->cls6};
    for (size_t m = 0; m < sizeof of_head / sizeof *of_head; m++) list[count++] = of_head[m];
    assert(count <= TURN_MATRIX_CAP);
    return count;
}

/* A row of codes with one scale -> blocks of Q8_0, whose scales are halves (off by 2^-12 at most
 * where they are no subnormal numbers). */
static void block_row(const matrix *m, int64_t row, unsigned char *out) {
    enum { LEN = PACKED_BLOCK };
    const unsigned char *codes = m->data + (size_t)row * m->row_size;
    const uint16_t scale = quant_f32_to_f16(m->row_scales[row]);
    for (int64_t c = 0; c < m->col_count; c += LEN, out += sizeof scale + LEN) {
        memcpy(out, &scale, sizeof scale);
        memcpy(out + sizeof scale, codes + c, LEN);
    }
}

typedef struct pack_job {
    const matrix *m;
    unsigned char *slabs;
    size_t slab_size;
} pack_job;

static void pack_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const pack_job *j = context;
    unsigned char blocks[PACKED_ROWS * TURN_NETWORK_COL_CAP / PACKED_BLOCK * (PACKED_BLOCK + 2)];
    const size_t size = (size_t)j->m->col_count / PACKED_BLOCK * (PACKED_BLOCK + 2);
    (void)thread_index;
    for (int64_t s = begin; s < end; s++) {
        const int64_t row = s * PACKED_ROWS, left = j->m->row_count - row;
        const int64_t count = left < PACKED_ROWS ? left : PACKED_ROWS;
        for (int64_t i = 0; i < count; i++) block_row(j->m, row + i, blocks + (size_t)i * size);
        packed_write(QUANT_Q8_0, blocks, size, count, j->m->col_count,
                     j->slabs + (size_t)s * j->slab_size);
    }
}

static int64_t slab_count(const matrix *m) {
    return (m->row_count + PACKED_ROWS - 1) / PACKED_ROWS;
}

/* Every matrix has slabs instead of stored rows from now on. */
static rnl_status pack_matrices(turn_network *n, pool *p) {
    matrix *list[TURN_MATRIX_CAP];
    const int count = list_matrices(n, list);
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += (size_t)slab_count(list[i]) * packed_slab_size(QUANT_Q8_0, list[i]->col_count);
    n->slabs = aligned_alloc(PACKED_ALIGN, size);
    if (n->slabs == NULL) return RNL_ERR_MEMORY;
    unsigned char *at = n->slabs;
    for (int i = 0; i < count; i++) {
        matrix *m = list[i];
        const pack_job job = {m, at, packed_slab_size(QUANT_Q8_0, m->col_count)};
        pool_run(p, slab_count(m), 1, pack_part, (void *)&job);
        at += (size_t)slab_count(m) * job.slab_size;
        n->packed[i] = (packed_rows){job.slabs, job.slab_size};
        *m = (matrix){.type = QUANT_Q8_0,
                      .row_count = m->row_count,
                      .col_count = m->col_count,
                      .packed = &n->packed[i]};
    }
    return RNL_OK;
}

rnl_status turn_network_create(bool exact, pool *p, turn_network **out, rnl_error *error) {
    *out = NULL;
    if (built_weights() == NULL)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "this library was built without the network for ends of turns "
                           "(RUNNEL_TURN_NETWORK=OFF); build it with RUNNEL_TURN_NETWORK=ON");
    turn_network *n = calloc(1, sizeof *n);
    if (n == NULL) goto fail;
    n->w = built_weights();
    find_matrices(n);
    turn_mel_prepare(n);
    if (fft_plan_create(TURN_FFT, &n->plan) != RNL_OK) goto fail;
    if (!exact && pack_matrices(n, p) != RNL_OK) goto fail;
    *out = n;
    return RNL_OK;
fail:
    turn_network_destroy(&n);
    return status_fail(error, RNL_ERR_MEMORY,
                       "memory for the network that hears ends of turns is exhausted");
}

void turn_network_destroy(turn_network **n) {
    turn_network *q = *n;
    if (q == NULL) return;
    *n = NULL;
    fft_plan_destroy(&q->plan);
    free(q->slabs);
    free(q);
}

/* ---- a look ---- */

void turn_look_layout(turn_look *s, const turn_network *n, int thread_count, arena *a) {
    enum { CELLS = TURN_POSITIONS * TURN_WIDTH };
    *s = (turn_look){.n = n};
    s->ring = arena_take(a, TURN_WINDOW, sizeof(float));
    s->mel = arena_take(a, (TURN_FRAMES + 2) * TURN_BANDS + PACKED_BLOCK, sizeof(float));
    s->x = arena_take(a, CELLS, sizeof(float));
    s->normed = arena_take(a, CELLS, sizeof(float));
    s->q = arena_take(a, CELLS, sizeof(float));
    s->k = arena_take(a, CELLS, sizeof(float));
    s->v = arena_take(a, CELLS, sizeof(float));
    s->mixed = arena_take(a, CELLS, sizeof(float));
    s->wide = arena_take(a, TURN_POSITIONS * TURN_FF, sizeof(float));
    s->spectra = arena_take(a, (size_t)thread_count * turn_mel_scratch(), sizeof(float));
    s->scores = arena_take(a, (size_t)thread_count * turn_attention_scratch(), sizeof(float));
}

void turn_look_reset(turn_look *s) {
    s->sample_count = 0;
    s->step = STEP_COUNT;
    s->probability = -1;
}

void turn_look_push(turn_look *s, const float *samples, size_t count) {
    if (count > TURN_WINDOW) { /* the rest would be overwritten at once */
        samples += count - TURN_WINDOW;
        count = TURN_WINDOW;
    }
    const size_t at = (size_t)(s->sample_count % TURN_WINDOW), room = TURN_WINDOW - at;
    const size_t first = count < room ? count : room;
    if (first > 0) memcpy(s->ring + at, samples, first * sizeof *samples);
    if (count > first) memcpy(s->ring, samples + first, (count - first) * sizeof *samples);
    s->sample_count += (int64_t)count;
}

/* The window is copied, so that the clip can go on. */
void turn_look_begin(turn_look *s) {
    float *window = s->wide;
    const int64_t count = s->sample_count < TURN_WINDOW ? s->sample_count : TURN_WINDOW;
    const size_t zeros = (size_t)(TURN_WINDOW - count);
    const size_t oldest = (size_t)((s->sample_count - count) % TURN_WINDOW);
    const size_t room = TURN_WINDOW - oldest, first = (size_t)count < room ? (size_t)count : room;
    memset(window, 0, zeros * sizeof *window);
    memcpy(window + zeros, s->ring + oldest, first * sizeof *window);
    memcpy(window + zeros + first, s->ring, ((size_t)count - first) * sizeof *window);
    s->step = STEP_SAMPLES;
}

rnl_status turn_look_step(turn_look *s, const compute *c) {
    enum { FRAMES = TURN_FRAMES / MEL_STEPS };
    if (s->step == STEP_COUNT) return RNL_DONE;
    const int step = s->step++;
    if (step == STEP_SAMPLES) {
        turn_mel_normalise(s);
    } else if (step < STEP_CONV1) {
        turn_mel_frames(s, c, (step - STEP_MEL) * FRAMES, FRAMES);
    } else if (step == STEP_CONV1) {
        turn_mel_finish(s);
        turn_run_conv1(s, c);
    } else if (step == STEP_CONV2) {
        turn_run_conv2(s, c);
    } else if (step < STEP_HEAD) {
        const int half = step - STEP_LAYERS;
        const turn_layer *y = &s->n->layers[half / 2];
        if (half % 2 == 0) {
            turn_run_attention(s, c, y);
        } else {
            turn_run_ff(s, c, y);
            turn_tap(s, "layer", half / 2, s->x, TURN_POSITIONS, TURN_WIDTH);
        }
    } else {
        turn_run_head(s, c);
    }
    return s->step == STEP_COUNT ? RNL_DONE : RNL_OK;
}

float turn_look_probability(const turn_look *s) {
    assert(s->probability >= 0);
    return s->probability;
}
