/* Resizing bytes: a filter of triangles or cubics, widened when shrinking, in whole numbers of 22
 * bits; along rows first, then along columns, rounded to bytes after each. family.md 2.4: the
 * arithmetic of Pillow, which is the same on every machine. */
#ifndef VISION_RESIZE_H
#define VISION_RESIZE_H

#include "core/arena.h"
#include "core/pool.h"
#include "vision/views.h"

/* A picture as it lies in memory: RGB, three bytes a pixel, row 0 on top. */
typedef struct resize_source {
    const uint8_t *pixels;
    int width, height;
    size_t stride; /* bytes from row to row, >= 3 * width */
} resize_source;

/* Weights of the outputs of one axis. */
typedef struct resize_axis {
    int *begin; /* [out_cap] first input */
    int *end;   /* [out_cap] behind the last */
    size_t *at; /* [out_cap] its weights in `weights` */
    int32_t *weights;
} resize_axis;

typedef struct resize_state {
    int side_cap; /* pixels of a view along one axis */
    int area_cap; /* pixels of a view */
    resize_axis cols, rows;
    uint8_t *line; /* [side_cap, 3] a row of the input, resized */
    int32_t *sums; /* [area_cap, 3] */
} resize_state;

void resize_layout(resize_state *s, int side_cap, int area_cap, arena *a);

/* What a view shows, into out [v->height, v->width, 3]. */
void resize_view(resize_state *s, pool *p, const resize_source *from, const view *v,
                 views_filter filter, uint8_t *out);

/* How far the filter reaches on either side, at a scale of 1. */
double resize_reach(views_filter filter);
double resize_weight(views_filter filter, double x);
/* The inputs [*begin, *end) of output i when in_count become out_count. */
void resize_window(views_filter filter, int in_count, int out_count, int i, int *begin, int *end);

#endif
