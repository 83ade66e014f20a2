#include "vision/resize.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { FRACTION = 22 /* bits of a weight behind the point */ };

double resize_reach(views_filter filter) {
    return filter == VIEWS_BICUBIC ? 2.0 : 1.0;
}

double resize_weight(views_filter filter, double x) {
    const double a = -0.5;
    x = fabs(x);
    if (filter == VIEWS_BILINEAR) return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

static double scale_of(int in_count, int out_count) {
    return (double)in_count / out_count;
}

static double widening_of(int in_count, int out_count) {
    return in_count > out_count ? scale_of(in_count, out_count) : 1.0;
}

void resize_window(views_filter filter, int in_count, int out_count, int i, int *begin, int *end) {
    const double centre = (i + 0.5) * scale_of(in_count, out_count);
    const double reach = resize_reach(filter) * widening_of(in_count, out_count);
    const int first = (int)(centre - reach + 0.5), last = (int)(centre + reach + 0.5);
    *begin = first > 0 ? first : 0;
    *end = last < in_count ? last : in_count;
}

/* Windows overlap: an input is in two of them along each side of the filter, and every window has
 * one input more at either end. */
static size_t weight_cap(int side_cap) {
    return 4 * (size_t)(VIEWS_SIDE_MAX + 1) + 6 * (size_t)side_cap;
}

static void layout_axis(resize_axis *x, int side_cap, arena *a) {
    x->begin = arena_take(a, (size_t)side_cap, sizeof *x->begin);
    x->end = arena_take(a, (size_t)side_cap, sizeof *x->end);
    x->at = arena_take(a, (size_t)side_cap, sizeof *x->at);
    x->weights = arena_take(a, weight_cap(side_cap), sizeof *x->weights);
}

void resize_layout(resize_state *s, int side_cap, int area_cap, arena *a) {
    *s = (resize_state){.side_cap = side_cap, .area_cap = area_cap};
    layout_axis(&s->cols, side_cap, a);
    layout_axis(&s->rows, side_cap, a);
    s->line = arena_take(a, (size_t)side_cap, 3);
    s->sums = arena_take(a, (size_t)area_cap, 3 * sizeof *s->sums);
}

/* The weights of outputs [first, first + count) of an axis. An axis that keeps its length is copied
 * by weights of one. */
static void fill_axis(resize_axis *x, views_filter filter, int in_count, int out_count, int first,
                      int count, size_t cap) {
    const double scale = scale_of(in_count, out_count);
    const double inverse = 1.0 / widening_of(in_count, out_count);
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        const double centre = (first + i + 0.5) * scale;
        int begin, end;
        resize_window(filter, in_count, out_count, first + i, &begin, &end);
        x->at[i] = used;
        if (in_count == out_count) {
            begin = first + i;
            end = begin + 1;
        }
        x->begin[i] = begin;
        x->end[i] = end;
        assert(used + (size_t)(end - begin) <= cap);
        double sum = 0.0;
        for (int j = begin; j < end; j++)
            sum += resize_weight(filter, (j - centre + 0.5) * inverse);
        for (int j = begin; j < end; j++) {
            double w = resize_weight(filter, (j - centre + 0.5) * inverse);
            if (sum != 0.0) w /= sum;
            if (in_count == out_count) w = 1.0;
            x->weights[used++] = (int32_t)(w * (1 << FRACTION) + (w < 0.0 ? -0.5 : 0.5));
        }
    }
}

static uint8_t byte_of(int32_t sum) {
    const int32_t value = sum >> FRACTION; /* arithmetic, as every compiler of ours does it */
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static const int32_t half = 1 << (FRACTION - 1);

typedef struct resize_job {
    resize_state *s;
    const resize_source *from;
    const view *v;
    uint8_t *out;
} resize_job;

/* Columns [begin, end) of one row of the input, into the line. */
static void resize_row(const resize_job *j, const uint8_t *row, int64_t begin, int64_t end) {
    const resize_axis *x = &j->s->cols;
    for (int64_t i = begin; i < end; i++) {
        const int32_t *w = x->weights + x->at[i];
        const uint8_t *p = row + 3 * (size_t)x->begin[i];
        const int count = x->end[i] - x->begin[i];
        int32_t r = half, g = half, b = half;
        for (int t = 0; t < count; t++, p += 3) {
            r += w[t] * p[0];
            g += w[t] * p[1];
            b += w[t] * p[2];
        }
        uint8_t *out = j->s->line + 3 * i;
        out[0] = byte_of(r);
        out[1] = byte_of(g);
        out[2] = byte_of(b);
    }
}

/* Columns [begin, end) of the view: rows of the input one after the other, each added to the rows
 * of the output that see it. A column touches nothing of another. */
static void columns_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const resize_job *j = context;
    const resize_axis *y = &j->s->rows;
    const int width = j->v->width, height = j->v->height;
    const uint8_t *line = j->s->line;
    int first = 0, seen = 0; /* rows of the output: the first unfinished, those begun */
    for (int in = y->begin[0]; first < height; in++) {
        resize_row(j, j->from->pixels + (size_t)in * j->from->stride, begin, end);
        while (seen < height && y->begin[seen] <= in) {
            int32_t *sums = j->s->sums + 3 * (size_t)seen++ * (size_t)width;
            for (int64_t i = 3 * begin; i < 3 * end; i++) sums[i] = half;
        }
        for (int o = first; o < seen; o++) {
            if (y->end[o] <= in) continue;
            const int32_t w = y->weights[y->at[o] + (size_t)(in - y->begin[o])];
            int32_t *sums = j->s->sums + 3 * (size_t)o * (size_t)width;
            for (int64_t i = 3 * begin; i < 3 * end; i++) sums[i] += w * line[i];
        }
        for (; first < seen && y->end[first] <= in + 1; first++) {
            const int32_t *sums = j->s->sums + 3 * (size_t)first * (size_t)width;
            uint8_t *out = j->out + 3 * (size_t)first * (size_t)width;
            for (int64_t i = 3 * begin; i < 3 * end; i++) out[i] = byte_of(sums[i]);
        }
    }
}

void resize_view(resize_state *s, pool *p, const resize_source *from, const view *v,
                 views_filter filter, uint8_t *out) {
    assert(v->width <= s->side_cap && v->height <= s->side_cap);
    assert((int64_t)v->width * v->height <= s->area_cap);
    const size_t cap = weight_cap(s->side_cap);
    fill_axis(&s->cols, filter, from->width, v->full_width, v->x, v->width, cap);
    fill_axis(&s->rows, filter, from->height, v->full_height, v->y, v->height, cap);
    resize_job job = {.s = s, .from = from, .v = v, .out = out};
    pool_run(p, v->width, 16, columns_part, &job);
}
