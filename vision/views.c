#include "vision/views.h"

#include <math.h>
#include <stddef.h>

#include "core/range.h"
#include "core/status.h"

views_config views_config_default(void) {
    return (views_config){.token_min = 64,
                          .token_max = 256,
                          .tile = 512,
                          .tile_min = 2,
                          .tile_max = 10,
                          .tolerance = 2.0,
                          .splits = true,
                          .thumbnail = true,
                          .filter = VIEWS_BILINEAR,
                          .mean = {0.5f, 0.5f, 0.5f},
                          .deviation = {0.5f, 0.5f, 0.5f}};
}

rnl_status views_config_check(const views_config *c, const char *file, rnl_error *error) {
    const range ranges[] = {
        {"min_image_tokens", c->token_min, 1, c->token_max},
        {"max_image_tokens", c->token_max, 1, VIEWS_TOKEN_CAP},
        {"tile_size", c->tile, VIEWS_CELL, 2048},
        {"min_tiles", c->tile_min, 1, c->tile_max},
        {"max_tiles", c->tile_max, 1, VIEWS_GRID_MAX * VIEWS_GRID_MAX},
        {"max_pixels_tolerance", c->tolerance, 1e-3, 1e6},
        {"resample", c->filter, VIEWS_BILINEAR, VIEWS_BICUBIC},
        {"image_mean", c->mean[0], -10, 10},
        {"image_mean", c->mean[1], -10, 10},
        {"image_mean", c->mean[2], -10, 10},
        {"image_std", c->deviation[0], 1e-6, 100},
        {"image_std", c->deviation[1], 1e-6, 100},
        {"image_std", c->deviation[2], 1e-6, 100},
    };
    const range *bad = range_outside(ranges, sizeof ranges / sizeof *ranges);
    if (bad != NULL)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: %s %g is outside %g to %g; the file is damaged", file, bad->name,
                           bad->value, bad->min, bad->max);
    if (c->tile % VIEWS_CELL == 0) return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: tile_size %d is no multiple of %d; the file is damaged", file, c->tile,
                       VIEWS_CELL);
}

/* A side as the nearest multiple of a cell; a half goes to the even one, as in Python. */
static int64_t nearest(int side) {
    int64_t cells = side / VIEWS_CELL;
    const int rest = side % VIEWS_CELL;
    if (2 * rest > VIEWS_CELL || (2 * rest == VIEWS_CELL && cells % 2 == 1)) cells++;
    return cells * VIEWS_CELL;
}

static int64_t at_least(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* The sides of the view of the whole picture. Doubles in the order of the reference. */
static void find_whole(const views_config *c, int width, int height, int64_t *w, int64_t *h) {
    const double q = VIEWS_CELL, area = (double)height * width;
    const int64_t cell = VIEWS_CELL * VIEWS_CELL;
    const int64_t least = c->token_min * cell, most = c->token_max * cell;
    *w = at_least(VIEWS_CELL, nearest(width));
    *h = at_least(VIEWS_CELL, nearest(height));
    if (*w * *h > most) {
        const double b = sqrt(area / (double)most);
        *h = at_least(VIEWS_CELL, (int64_t)floor(height / b / q) * VIEWS_CELL);
        *w = at_least(VIEWS_CELL, (int64_t)floor(width / b / q) * VIEWS_CELL);
    } else if (*w * *h < least) {
        const double b = sqrt((double)least / area);
        *h = (int64_t)ceil(height * b / q) * VIEWS_CELL;
        *w = (int64_t)ceil(width * b / q) * VIEWS_CELL;
    }
}

static bool is_large(const views_config *c, int width, int height) {
    const int64_t area =
        at_least(VIEWS_PATCH, nearest(width)) * at_least(VIEWS_PATCH, nearest(height));
    return (double)area > (double)((int64_t)c->token_max * VIEWS_CELL * VIEWS_CELL) * c->tolerance;
}

/* The tiling whose shape is nearest to the picture's. Of two that are equally near the one with
 * more tiles, when the picture has pixels for it. */
static void find_grid(const views_config *c, views *v) {
    const double shape = (double)v->width / v->height;
    const double area = (double)v->width * v->height;
    double best = INFINITY;
    for (int product = c->tile_min; product <= c->tile_max; product++) {
        for (int cols = 1; cols <= product && cols <= VIEWS_GRID_MAX; cols++) {
            const int rows = product / cols;
            if (product % cols != 0 || rows > VIEWS_GRID_MAX) continue;
            const double off = fabs(shape - (double)cols / rows);
            const bool larger = off == best && area > 0.5 * c->tile * c->tile * cols * rows;
            if (off >= best && !larger) continue;
            best = off;
            v->cols = cols;
            v->rows = rows;
        }
    }
}

rnl_status views_plan(const views_config *c, int width, int height, views *out, rnl_error *error) {
    *out = (views){.width = width, .height = height, .cols = 1, .rows = 1, .tile = c->tile};
    if (width < 1 || height < 1 || width > VIEWS_SIDE_MAX || height > VIEWS_SIDE_MAX)
        return status_fail(error, RNL_ERR_DATA,
                           "a picture of %d x %d pixels is outside 1 to %d a side; scale it", width,
                           height, VIEWS_SIDE_MAX);
    const bool tiles = c->splits && c->tile_max > 1 && is_large(c, width, height);
    if (tiles) find_grid(c, out);
    const int tile_count = out->cols * out->rows;
    if (tiles && (tile_count == 1 || !c->thumbnail)) {
        out->count = tile_count;
        return RNL_OK;
    }
    int64_t w, h;
    find_whole(c, width, height, &w, &h);
    const int64_t rows = w / VIEWS_CELL * (h / VIEWS_CELL);
    if (rows > (int64_t)VIEWS_STRETCH * c->token_max)
        return status_fail(error, RNL_ERR_TOO_LONG,
                           "a picture of %d x %d pixels is too long a stripe: it would take %lld "
                           "positions, more than %d; cut it into pieces",
                           width, height, (long long)rows, VIEWS_STRETCH * c->token_max);
    out->whole_width = (int)w;
    out->whole_height = (int)h;
    out->count = tiles ? tile_count + 1 : 1;
    return RNL_OK;
}

view views_at(const views *v, int index) {
    const bool whole = v->whole_width > 0 && index == v->count - 1;
    view out = {.full_width = v->whole_width,
                .full_height = v->whole_height,
                .width = v->whole_width,
                .height = v->whole_height};
    if (!whole) {
        const int col = index % v->cols, row = index / v->cols;
        out = (view){.full_width = v->tile * v->cols,
                     .full_height = v->tile * v->rows,
                     .x = col * v->tile,
                     .y = row * v->tile,
                     .width = v->tile,
                     .height = v->tile,
                     .row = row + 1,
                     .col = col + 1};
    }
    out.row_count = out.width / VIEWS_CELL * (out.height / VIEWS_CELL);
    return out;
}

int views_position_count(const views *v) {
    int count = 2;
    for (int i = 0; i < v->count; i++) count += views_at(v, i).row_count + (v->count > 1);
    return count;
}

int views_count_max(const views_config *c) {
    return c->splits && c->tile_max > 1 ? c->tile_max + c->thumbnail : 1;
}

int views_rows_max(const views_config *c) {
    const int tile = c->tile / VIEWS_CELL * (c->tile / VIEWS_CELL);
    return tile > VIEWS_STRETCH * c->token_max ? tile : VIEWS_STRETCH * c->token_max;
}
