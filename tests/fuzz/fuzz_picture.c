/* Any bytes as a picture, of the formats that are decoded in this process, and as what ffmpeg gives
 * back; what is decoded is cut into views as a session cuts it. The first four bytes are a size of
 * its own for the plan of views. */
#include <stdlib.h>
#include <string.h>

#include "picture/exif.h"
#include "picture/format.h"
#include "vision/resize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIXEL_MAX = 1 << 20, HEAD = 4 };

static volatile unsigned sink;

/* The small constants of tests: views are quick. */
static views_config small_config(void) {
    views_config c = views_config_default();
    c.token_min = 4;
    c.token_max = 16;
    c.tile = 64;
    c.tile_max = 6;
    return c;
}

static void plan(const views_config *c, int width, int height) {
    views v;
    if (views_plan(c, width, height, &v, NULL) != RNL_OK) return;
    if (v.count < 1 || v.count > views_count_max(c)) abort();
    for (int i = 0; i < v.count; i++) {
        const view at = views_at(&v, i);
        if (at.row_count < 1 || at.row_count > views_rows_max(c)) abort();
        if (at.x + at.width > at.full_width || at.y + at.height > at.full_height) abort();
    }
}

static void cut(const picture *p) {
    const views_config c = small_config();
    const int area = views_rows_max(&c) * VIEWS_CELL * VIEWS_CELL;
    views v;
    if (views_plan(&c, p->width, p->height, &v, NULL) != RNL_OK) return;
    resize_state s;
    arena a = {0};
    resize_layout(&s, area / VIEWS_CELL, area, &a);
    void *memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    uint8_t *out = malloc(3 * (size_t)area);
    pool *one;
    if (memory == NULL || out == NULL || pool_create(1, &one) != RNL_OK) abort();
    a = (arena){.base = memory, .size_cap = a.size_used};
    resize_layout(&s, area / VIEWS_CELL, area, &a);
    const resize_source from = {p->pixels, p->width, p->height, 3 * (size_t)p->width};
    for (int i = 0; i < v.count; i++) {
        const view at = views_at(&v, i);
        resize_view(&s, one, &from, &at, i % 2 == 0 ? VIEWS_BILINEAR : VIEWS_BICUBIC, out);
        sink += out[0];
    }
    pool_destroy(&one);
    free(memory);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const views_config official = views_config_default(), small = small_config();
    picture p;
    rnl_error error = {0};
    int width, height;
    const unsigned char *pixels;
    if (size < HEAD) return 0;
    plan(&official, data[0] | data[1] << 8, data[2] | data[3] << 8);
    plan(&small, data[0] | data[1] << 8, data[2] | data[3] << 8);
    data += HEAD;
    size -= HEAD;
    sink += (unsigned)exif_orientation(data, size);
    const size_t used = pixmap_read(data, size, &width, &height, &pixels);
    if (used > size) abort();
    if (used > 0) sink += pixels[3 * (size_t)width * (size_t)height - 1];
    const picture_content content = picture_content_of(data, size);
    if (content > PICTURE_WEBP && content < PICTURE_NONE) return 0; /* ffmpeg's */
    if (picture_decode("x", data, size, PIXEL_MAX, &p, &error) != RNL_OK) {
        if (p.pixels != NULL || error.text[0] == '\0') abort();
        return 0;
    }
    if ((int64_t)p.width * p.height > PIXEL_MAX) abort();
    cut(&p);
    picture_free(&p);
    return 0;
}
