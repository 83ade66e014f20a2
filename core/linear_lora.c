/* What adapters add to products, row by row of whose they are:
 *
 *     x of a span -> down of each task -> lowered * scale -> up, added to y
 *
 * The pairs of several files on one tensor are added one behind the other, in the order of the
 * files. The products are those of linear(), of float rows, with its law: the cut over threads and
 * blocks and the rows beside a row show in no bit. */
#include <assert.h>

#include "core/linear_inner.h"

enum { BLOCK_ROWS = 64 };

void linear_lora_layout(compute *c, arena *a) {
    if (c->rank_cap == 0) return;
    c->lowered = arena_take(a, (size_t)LINEAR_TASK_CAP * BLOCK_ROWS,
                            (size_t)c->rank_cap * sizeof *c->lowered);
}

static const linear_pair *first_pair(const linear_span *s, const matrix *w) {
    if (s->adapter == NULL || s->scale == 0 || w->tensor == 0) return NULL;
    return s->adapter->pairs[w->tensor - 1];
}

bool linear_is_adapted(const product *p) {
    for (int s = 0; s < p->c->span_count && p->c->spans != NULL; s++)
        for (int i = 0; i < p->task_count; i++)
            if (first_pair(&p->c->spans[s], p->tasks[i].w) != NULL) return true;
    return false;
}

/* One pair of each task that has one, for some rows of one span. */
static void add_pairs(const product *p, const linear_pair *const *pairs, float scale, int64_t first,
                      int64_t count) {
    compute c = *p->c;
    c.spans = NULL;
    c.bf16 = false;
    linear_task downs[LINEAR_TASK_CAP];
    int down_count = 0;
    for (int i = 0; i < p->task_count; i++) {
        if (pairs[i] == NULL) continue;
        const size_t rank = (size_t)pairs[i]->down.row_count;
        assert(rank <= (size_t)c.rank_cap);
        downs[down_count++] =
            (linear_task){.w = &pairs[i]->down,
                          .y = c.lowered + (size_t)i * BLOCK_ROWS * (size_t)c.rank_cap,
                          .y_stride = rank};
    }
    linear_all(&c, downs, down_count, p->x + (size_t)first * p->x_stride, p->x_stride, count);
    for (int i = 0, d = 0; i < p->task_count; i++) {
        if (pairs[i] == NULL) continue;
        const linear_task *task = &p->tasks[i];
        const float by = pairs[i]->scale * scale;
        float *lowered = downs[d].y;
        const size_t rank = downs[d++].y_stride;
        for (size_t k = 0; k < rank * (size_t)count; k++) lowered[k] *= by;
        const matrix up = matrix_rows(&pairs[i]->up, task->w->row, task->w->row_count);
        linear_add(&c, &up, NULL, lowered, rank, task->y + (size_t)first * task->y_stride,
                   task->y_stride, count);
    }
}

/* All that is added to some rows of one span. */
static void add_rows(const product *p, const linear_span *s, int64_t first, int64_t count) {
    const linear_pair *pairs[LINEAR_TASK_CAP];
    for (int i = 0; i < p->task_count; i++) pairs[i] = first_pair(s, p->tasks[i].w);
    for (;;) {
        bool any = false;
        for (int i = 0; i < p->task_count; i++) any = any || pairs[i] != NULL;
        if (!any) return;
        add_pairs(p, pairs, s->scale, first, count);
        for (int i = 0; i < p->task_count; i++)
            if (pairs[i] != NULL) pairs[i] = pairs[i]->next;
    }
}

void linear_lora(const product *p) {
    const compute *c = p->c;
    int64_t first = 0;
    for (int s = 0; s < c->span_count && first < p->count; s++) {
        const bool last = s == c->span_count - 1;
        const int64_t left = p->count - first;
        int64_t end = first + (last || c->spans[s].count > left ? left : c->spans[s].count);
        for (; first < end; first += BLOCK_ROWS)
            add_rows(p, &c->spans[s], first, end - first < BLOCK_ROWS ? end - first : BLOCK_ROWS);
        first = end;
    }
}
