/* Products of several matrices with rows of their own: experts that positions have chosen. Packed,
 * the slabs of all groups are numbered through and shared out over the threads at once, so that a
 * handful of experts with a row each costs two hand-overs, not two for each:
 *
 *     rows of all groups -> codes, one block -> slabs of group 0 | of group 1 | ... -> y
 *
 * As stored, group after group through linear(). An output has the bits of linear() either way. */
#include <assert.h>

#include "core/linear_inner.h"

enum { ROUND_GRAIN = 4 /* rows rounded per part */ };

int64_t linear_group_rows(const compute *c, int64_t col_count) {
    const int64_t rows = linear_block_rows(c, col_count);
    return rows < LINEAR_GROUP_ROWS ? rows : LINEAR_GROUP_ROWS;
}

typedef struct group_job {
    const linear_group *groups;
    int group_count;
    const linear_rows *rows;
    float *y;
    bool gates;
    slab_inputs in; /* of all rows; count is theirs */
} group_job;

static const float *row_at(const linear_rows *rows, int64_t i) {
    return rows->x + (size_t)(rows->index != NULL ? rows->index[i] : i) * rows->x_stride;
}

static void round_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const group_job *j = context;
    (void)thread_index;
    for (int64_t t = begin; t < end; t++) linear_round(&j->in, row_at(j->rows, t), t);
}

/* The inputs of a group that begins at that row of the block. */
static slab_inputs inputs_from(const group_job *j, const linear_group *g, int64_t first) {
    slab_inputs in = j->in;
    const int64_t at = first * in.input.col_count;
    in.count = g->count;
    in.pairs = g->count >= LINEAR_PAIR_ROWS_MIN && in.c->k->multiply_pair[g->w->type] != NULL;
    in.input.codes += at;
    in.input.sums += at / 8;
    in.input.offsets += at / PACKED_BLOCK;
    in.input.scales += at / PACKED_BLOCK;
    in.input.wide += at;
    in.input.wide_scales += at / PACKED_BLOCK;
    in.input.ahead = (in.pairs && !j->gates ? 2 : 1) * g->w->packed->slab_size;
    return in;
}

static void store_slab(const group_job *j, const linear_group *g, int64_t first, int64_t slab,
                       const float *sums) {
    const int64_t row = slab * PACKED_ROWS, left = g->w->row_count - row;
    const int64_t rows = left < PACKED_ROWS ? left : PACKED_ROWS;
    float *y = j->y + first * g->w->row_count + row;
    for (int64_t t = 0; t < g->count; t++, y += g->w->row_count, sums += PACKED_ROWS)
        product_store(y, sums, NULL, rows, false);
}

/* Slabs [slab, to) of one group. */
static void multiply_group(const group_job *j, const linear_group *g, int64_t first, int64_t slab,
                           int64_t to, int thread_index) {
    const slab_inputs in = inputs_from(j, g, first);
    float one[LINEAR_GROUP_ROWS * PACKED_ROWS], other[LINEAR_GROUP_ROWS * PACKED_ROWS];
    float *const sums[2] = {one, other};
    while (slab < to) {
        int done = 1;
        if (j->gates) {
            linear_gated_slab(&in, g->w, g->up, slab, thread_index, one, other);
        } else {
            const bool two = to - slab > 1;
            const unsigned char *const slabs[2] = {linear_slab_at(g->w, slab),
                                                   two ? linear_slab_at(g->w, slab + 1) : NULL};
            done = linear_slabs(&in, g->w->type, slabs, two ? 2 : 1, thread_index, sums);
        }
        for (int n = 0; n < done; n++) store_slab(j, g, first, slab + n, sums[n]);
        slab += done;
    }
}

/* Slabs are numbered through all groups. */
static void slab_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const group_job *j = context;
    int64_t base = 0, first = 0;
    for (int i = 0; i < j->group_count; i++) {
        const linear_group *g = &j->groups[i];
        const int64_t count = linear_slab_count(g->w);
        const int64_t from = begin > base ? begin - base : 0;
        const int64_t to = end - base < count ? end - base : count;
        if (from < to) multiply_group(j, g, first, from, to, thread_index);
        base += count;
        first += g->count;
    }
}

static void multiply_packed(group_job *j, const compute *c, int64_t row_count) {
    const linear_group *first = &j->groups[0];
    const int64_t cols = first->w->col_count;
    assert(!c->bf16 && row_count <= linear_group_rows(c, cols));
    j->in = (slab_inputs){.c = c, .input = linear_input(c, cols), .count = row_count};
    linear_note_type(&j->in, first->w->type);
    if (j->gates) linear_note_type(&j->in, first->up->type);
    pool_run(c->pool, row_count, ROUND_GRAIN, round_part, j);
    pool_run(c->pool, linear_slab_count(first->w) * j->group_count, j->gates ? 1 : 2, slab_part, j);
}

/* Rows [first, first + g->count) where linear() can take them. */
static const float *rows_of(const group_job *j, const linear_group *g, int64_t first,
                            size_t *stride) {
    const linear_rows *rows = j->rows;
    *stride = rows->x_stride;
    if (rows->index == NULL || g->count == 1) return row_at(rows, first);
    const size_t cols = (size_t)g->w->col_count;
    *stride = cols;
    for (int64_t t = 0; t < g->count; t++)
        memcpy(rows->gathered + (size_t)t * cols, row_at(rows, first + t), cols * sizeof(float));
    return rows->gathered;
}

static void multiply_stored(const group_job *j, const compute *c, float *raised) {
    int64_t first = 0;
    for (int i = 0; i < j->group_count; i++) {
        const linear_group *g = &j->groups[i];
        size_t stride;
        const float *x = rows_of(j, g, first, &stride);
        float *y = j->y + first * g->w->row_count;
        if (j->gates)
            linear_gated(c, g->w, g->up, x, stride, y, raised, g->count);
        else
            linear(c, g->w, NULL, x, stride, y, (size_t)g->w->row_count, g->count);
        first += g->count;
    }
}

static void multiply(group_job *j, const compute *c, float *raised) {
    int64_t row_count = 0;
    for (int i = 0; i < j->group_count; i++) row_count += j->groups[i].count;
    if (row_count == 0) return;
    assert(row_count <= LINEAR_GROUP_ROWS);
    const linear_group *g = &j->groups[0];
    if (linear_is_packed(c, g->w) && (!j->gates || linear_is_packed(c, g->up)))
        multiply_packed(j, c, row_count);
    else
        multiply_stored(j, c, raised);
}

void linear_groups(const compute *c, const linear_group *groups, int group_count,
                   const linear_rows *rows, float *y) {
    group_job j = {.groups = groups, .group_count = group_count, .rows = rows, .y = y};
    multiply(&j, c, NULL);
}

void linear_gated_groups(const compute *c, const linear_group *groups, int group_count,
                         const linear_rows *rows, float *y, float *raised) {
    group_job j = {
        .groups = groups, .group_count = group_count, .rows = rows, .y = y, .gates = true};
    multiply(&j, c, raised);
}
