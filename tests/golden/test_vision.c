/* A picture's bytes to rows of the backbone with golden vl/: views of the released constants by
 * their checksums; patches, positions, every layer, the norms and the rows, from the Hugging Face
 * directory and from the GGUF set; then the laws: threads, earlier pictures and room do not show in
 * a bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/json.h"
#include "engine/convert.h"
#include "engine/model.h"
#include "engine/recipe.h"
#include "tests/support/crc.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/rig.h"
#include "vision/resize.h"

enum { LAYERS = 3, WIDTH = 96, PATCH = 768, ROW = 64, PATCH_CAP = 64, FENCE = 8192 };

/* ---- Sizes and pixels ---- */

/* A state with room for views of a config, and nothing behind it. */
typedef struct resizer {
    resize_state s;
    void *memory;
    pool *pool;
    uint8_t *out;
    int area_cap;
} resizer;

static resizer make_resizer(const views_config *c, int thread_count) {
    resizer r = {.area_cap = views_rows_max(c) * VIEWS_CELL * VIEWS_CELL};
    const int side = r.area_cap / VIEWS_CELL;
    arena a = {0};
    resize_layout(&r.s, side, r.area_cap, &a);
    r.memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    assert_non_null(r.memory);
    memset(r.memory, 0xff, a.size_used);
    arena b = {.base = r.memory, .size_cap = a.size_used};
    resize_layout(&r.s, side, r.area_cap, &b);
    assert_int_equal(pool_create(thread_count, &r.pool), RNL_OK);
    r.out = malloc((size_t)r.area_cap * 3);
    assert_non_null(r.out);
    return r;
}

static void drop_resizer(resizer *r) {
    pool_destroy(&r->pool);
    free(r->memory);
    free(r->out);
}

static int number(const json *object, const char *key) {
    int64_t value;
    assert_true(json_int(json_get(object, key), 0, 1 << 20, &value));
    return (int)value;
}

static void check_view(const view *v, const json *size, const json *sum, const uint8_t *pixels) {
    int64_t width, height;
    assert_true(json_int(json_at(size, 0), 1, 1 << 20, &width));
    assert_true(json_int(json_at(size, 1), 1, 1 << 20, &height));
    assert_int_equal(v->width, width);
    assert_int_equal(v->height, height);
    char text[16];
    (void)snprintf(text, sizeof text, "%08x", crc32_of(pixels, (size_t)(3 * width * height)));
    assert_string_equal(text, json_chars(sum, NULL));
}

/* The picture of the formula in official-sizes.json, with some bytes between its rows. */
static resize_source draw(int width, int height) {
    const size_t stride = 3 * (size_t)width + 5;
    uint8_t *pixels = malloc(stride * (size_t)height);
    assert_non_null(pixels);
    memset(pixels, 0x55, stride * (size_t)height);
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++)
            for (int64_t c = 0; c < 3; c++)
                pixels[(size_t)y * stride + (size_t)(3 * x + c)] =
                    (uint8_t)((7 * x + 13 * y + 29 * c) ^ ((x * y) >> 3));
    return (resize_source){pixels, width, height, stride};
}

static views_config config_of(const char *variant) {
    views_config c = views_config_default();
    if (strcmp(variant, "bicubic") == 0) c.filter = VIEWS_BICUBIC;
    if (strcmp(variant, "no splitting") == 0) c.splits = false;
    if (strcmp(variant, "tolerance 1.5, no thumbnail") == 0) {
        c.tolerance = 1.5;
        c.thumbnail = false;
    }
    return c;
}

static void check_size(resizer *r, const json *one) {
    const views_config c = config_of(json_chars(json_get(one, "variant"), NULL));
    const json *size = json_get(one, "size"), *sizes = json_get(one, "views");
    int64_t width, height;
    assert_true(json_int(json_at(size, 0), 1, 65535, &width));
    assert_true(json_int(json_at(size, 1), 1, 65535, &height));
    views v;
    assert_int_equal(views_plan(&c, (int)width, (int)height, &v, NULL), RNL_OK);
    assert_int_equal(v.count, json_count(sizes));
    assert_int_equal(v.cols, number(one, "cols"));
    assert_int_equal(v.rows, number(one, "rows"));
    assert_int_equal(views_position_count(&v), number(one, "tokens"));
    assert_true(v.count <= views_count_max(&c));
    const resize_source from = draw((int)width, (int)height);
    for (int i = 0; i < v.count; i++) {
        const view at = views_at(&v, i);
        resize_view(&r->s, r->pool, &from, &at, c.filter, r->out);
        check_view(&at, json_at(sizes, (size_t)i), json_at(json_get(one, "views_crc32"), (size_t)i),
                   r->out);
    }
    free((void *)from.pixels);
}

static void every_official_size(void **state) {
    (void)state;
    const views_config c = views_config_default();
    json *root = NULL;
    assert_int_equal(json_read(TEST_DATA "/vl/official-sizes.json", 1 << 20, &root, NULL), RNL_OK);
    const json *sizes = json_get(root, "sizes");
    assert_int_equal(json_count(sizes), 48);
    resizer r = make_resizer(&c, 2);
    const size_t step = rig_rounds(2) == 1 ? 5 : 1;
    for (size_t i = 0; i < json_count(sizes); i += step) check_size(&r, json_at(sizes, i));
    drop_resizer(&r);
    json_destroy(&root);
}

/* Any size from 1 to 65535 is planned within its limits or refused; threads do not show. */
static void law_any_size_is_planned_within_limits(void **state) {
    (void)state;
    const views_config c = views_config_default();
    const int sides[] = {1, 2, 15, 16, 31, 33, 511, 513, 724, 1449, 9000, 30000, 65534, 65535};
    enum { COUNT = sizeof sides / sizeof *sides };
    for (int i = 0; i < COUNT * COUNT; i++) {
        views v;
        const int width = sides[i / COUNT], height = sides[i % COUNT];
        const rnl_status status = views_plan(&c, width, height, &v, NULL);
        assert_true(status == RNL_OK || status == RNL_ERR_TOO_LONG);
        if (status != RNL_OK) continue;
        assert_in_range(v.count, 1, views_count_max(&c));
        for (int k = 0; k < v.count; k++) {
            const view at = views_at(&v, k);
            assert_in_range(at.row_count, 1, views_rows_max(&c));
            assert_true(at.x + at.width <= at.full_width && at.y + at.height <= at.full_height);
        }
    }
    views v;
    assert_int_equal(views_plan(&c, 65535, 1, &v, NULL), RNL_ERR_TOO_LONG);
    assert_int_equal(views_plan(&c, 0, 1, &v, NULL), RNL_ERR_DATA);
    assert_int_equal(views_plan(&c, 1, 65536, &v, NULL), RNL_ERR_DATA);
}

static void law_thread_count_does_not_show_in_pixels(void **state) {
    (void)state;
    const views_config c = config_of("bicubic");
    const resize_source from = draw(1280, 720);
    views v;
    assert_int_equal(views_plan(&c, from.width, from.height, &v, NULL), RNL_OK);
    const view at = views_at(&v, 2);
    resizer one = make_resizer(&c, 1), three = make_resizer(&c, 3);
    resize_view(&one.s, one.pool, &from, &at, c.filter, one.out);
    resize_view(&three.s, three.pool, &from, &at, c.filter, three.out);
    assert_memory_equal(one.out, three.out, (size_t)(3 * at.width * at.height));
    drop_resizer(&one);
    drop_resizer(&three);
    free((void *)from.pixels);
}

/* ---- Tower and projector ---- */

typedef struct stages {
    float patches[PATCH_CAP * PATCH], embedded[PATCH_CAP * WIDTH];
    float layers[LAYERS][PATCH_CAP * WIDTH];
    float post_norm[PATCH_CAP * WIDTH], joined[PATCH_CAP * WIDTH], rows[PATCH_CAP / 4 * ROW];
    int patch_count;
} stages;

typedef struct chain {
    compute c;
    tower_state tower;
    projector_state projector;
    unsigned char *fences[2]; /* [FENCE] after each part: nobody's, so never written */
    void *memory;
} chain;

static void layout(chain *h, const rnl_model *m, int thread_count, int patch_cap, arena *a) {
    compute_layout(&h->c, thread_count, m->col_max, a);
    tower_layout(&h->tower, &m->tower, patch_cap, thread_count, a);
    h->fences[0] = arena_take(a, FENCE, 1);
    projector_layout(&h->projector, &m->projector, a);
    h->fences[1] = arena_take(a, FENCE, 1);
}

static chain *make(const rnl_model *m, int thread_count, int patch_cap) {
    chain *h = calloc(1, sizeof *h);
    assert_non_null(h);
    h->c = (compute){.k = &m->kernels, .exact = m->exact};
    arena a = {0};
    layout(h, m, thread_count, patch_cap, &a);
    assert_false(a.overflowed);
    h->memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    assert_non_null(h->memory);
    memset(h->memory, 0xff, a.size_used); /* NaN: nothing counts on fresh memory being zero */
    arena b = {.base = h->memory, .size_cap = a.size_used};
    layout(h, m, thread_count, patch_cap, &b);
    assert_int_equal(pool_create(thread_count, &h->c.pool), RNL_OK);
    return h;
}

static void drop(chain *h) {
    for (int f = 0; f < 2; f++)
        for (int i = 0; i < FENCE; i++) assert_int_equal(h->fences[f][i], 0xff);
    pool_destroy(&h->c.pool);
    free(h->memory);
    free(h);
}

static void keep(void *context, const char *stage, int layer, const float *x, int rows, int cols) {
    stages *out = context;
    const size_t count = (size_t)rows * (size_t)cols;
    if (strcmp(stage, "patches") == 0)
        memcpy(out->patches + (size_t)layer * PATCH, x, count * sizeof *x);
    else if (strcmp(stage, "embedded") == 0)
        memcpy(out->embedded, x, count * sizeof *x);
    else if (strcmp(stage, "layer") == 0)
        memcpy(out->layers[layer], x, count * sizeof *x);
    else if (strcmp(stage, "post_norm") == 0)
        memcpy(out->post_norm, x, count * sizeof *x);
    else
        memcpy(out->joined + (size_t)layer * 4 * WIDTH, x, count * sizeof *x);
}

static void run(chain *h, const uint8_t *rgb, int rows, int cols, stages *out) {
    memset(out, 0, sizeof *out);
    out->patch_count = rows * cols;
    h->tower.tap = h->projector.tap = keep;
    h->tower.tap_context = h->projector.tap_context = out;
    tower_begin(&h->tower, rgb, rows, cols);
    int steps = 1;
    while (tower_step(&h->tower, &h->c) == RNL_OK) steps++;
    assert_int_equal(steps, LAYERS + 1);
    assert_int_equal(tower_step(&h->tower, &h->c), RNL_DONE); /* once more does nothing */
    projector_forward(&h->projector, &h->c, tower_output(&h->tower), rows, cols, out->rows);
}

/* The golden pictures: which view of them. */
typedef struct picture {
    const char *name, *bytes;
    int width, height; /* of the file's picture; 0: its bytes are views already */
    int cols, rows;    /* patches of the view */
} picture;
static const picture pictures[] = {
    {"small", "vl/expect/rgb-small-30x47.npy", 30, 47, 4, 6},
    {"stripe", "vl/expect/rgb-stripe-300x10.npy", 300, 10, 18, 2},
    {"thumb", "vl/expect/views-pan-420x130.npy", 0, 0, 14, 4},
};
enum { PICTURES = sizeof pictures / sizeof *pictures };

/* Bytes of the view that the reference shows: the last one. free() them. */
static uint8_t *view_of(const picture *p, const views_config *c) {
    npy bytes = npy_read(p->bytes);
    const size_t size = (size_t)p->cols * (size_t)p->rows * PATCH;
    uint8_t *out = malloc(size);
    assert_non_null(out);
    if (p->width == 0) {
        memcpy(out, bytes.u + bytes.count - size, size);
    } else {
        const resize_source from = {bytes.u, p->width, p->height, 3 * (size_t)p->width};
        resizer r = make_resizer(c, 1);
        views v;
        assert_int_equal(views_plan(c, p->width, p->height, &v, NULL), RNL_OK);
        const view at = views_at(&v, v.count - 1);
        assert_int_equal(at.width, p->cols * VIEWS_PATCH);
        assert_int_equal(at.height, p->rows * VIEWS_PATCH);
        resize_view(&r.s, r.pool, &from, &at, c->filter, r.out);
        memcpy(out, r.out, size);
        drop_resizer(&r);
    }
    npy_free(&bytes);
    return out;
}

static void check(const char *dir, const picture *p, const char *what, const float *got,
                  size_t count) {
    char file[64];
    (void)snprintf(file, sizeof file, "%s/%s.npy", p->name, what);
    golden_check(dir, file, got, count);
}

/* The reference's patches have their channels innermost. */
static void check_patches(const char *dir, const picture *p, const stages *got) {
    char file[128];
    (void)snprintf(file, sizeof file, "%s/%s/patches.npy", dir, p->name);
    npy want = npy_read(file);
    for (size_t t = 0; t < (size_t)got->patch_count; t++)
        for (size_t at = 0; at < PATCH; at++)
            assert_true(got->patches[t * PATCH + at % 3 * 256 + at / 3] == want.f[t * PATCH + at]);
    npy_free(&want);
}

static void check_positions(const rnl_model *m, const char *dir, const picture *p) {
    float *table = malloc((size_t)p->rows * (size_t)p->cols * WIDTH * sizeof *table);
    float row[WIDTH];
    assert_non_null(table);
    for (int at = 0; at < p->rows * p->cols; at++)
        tower_position(&m->tower, &m->kernels, p->rows, p->cols, at / p->cols, at % p->cols, row,
                       table + (size_t)at * WIDTH);
    check(dir, p, "positions", table, (size_t)p->rows * (size_t)p->cols * WIDTH);
    free(table);
}

static void check_picture(const rnl_model *m, const char *dir, const picture *p, bool whole) {
    const views_config c = m->source.config.views;
    stages *got = malloc(sizeof *got);
    assert_non_null(got);
    uint8_t *rgb = view_of(p, &c);
    chain *h = make(m, 2, PATCH_CAP);
    run(h, rgb, p->rows, p->cols, got);
    const size_t count = (size_t)got->patch_count * WIDTH;
    if (whole) check_patches(dir, p, got);
    check_positions(m, dir, p);
    check(dir, p, "embedded", got->embedded, count);
    check(dir, p, "layer0", got->layers[0], count);
    if (whole) check(dir, p, "layer1", got->layers[1], count);
    if (whole) check(dir, p, "layer2", got->layers[2], count);
    check(dir, p, "post_norm", got->post_norm, count);
    check(dir, p, "unshuffled_normed", got->joined, count);
    check(dir, p, "rows", got->rows, (size_t)got->patch_count / 4 * ROW);
    drop(h);
    free(rgb);
    free(got);
}

static void every_stage_of_every_picture(void **state) {
    for (int i = 0; i < PICTURES; i++) check_picture(*state, "vl/expect", &pictures[i], i == 0);
}

static void every_stage_with_scalar_kernels(void **state) {
    (void)state;
    rnl_model *m = rig_model_scalar("vl/tiny", true);
    check_picture(m, "vl/expect", &pictures[0], true);
    rnl_model_close(&m);
}

static void every_stage_of_the_gguf_set(void **state) {
    const rnl_model *hf = *state;
    rnl_model *m = rig_model("vl/tiny-Q8_0.gguf");
    m->source.config.views = hf->source.config.views; /* the file has no small constants */
    check_picture(m, "vl/expect-gguf", &pictures[0], true);
    rnl_model_close(&m);
}

static void assert_same(const stages *a, const stages *b) {
    assert_int_equal(a->patch_count, b->patch_count);
    assert_memory_equal(a->layers, b->layers, sizeof a->layers);
    assert_memory_equal(a->rows, b->rows, sizeof a->rows);
}

static void check_laws(const rnl_model *m) {
    const views_config *c = &m->source.config.views;
    stages *want = malloc(sizeof *want), *got = malloc(sizeof *got);
    assert_true(want != NULL && got != NULL);
    uint8_t *small = view_of(&pictures[0], c), *thumb = view_of(&pictures[2], c);
    chain *tight = make(m, 1, 24);
    run(tight, small, 6, 4, want);
    drop(tight);
    for (int threads = 1; threads <= 4; threads++) {
        chain *h = make(m, threads, PATCH_CAP);
        run(h, thumb, 4, 14, got);
        tower_begin(&h->tower, thumb, 4, 14); /* given up in the middle */
        assert_int_equal(tower_step(&h->tower, &h->c), RNL_OK);
        run(h, small, 6, 4, got);
        assert_same(want, got);
        drop(h);
    }
    free(small);
    free(thumb);
    free(want);
    free(got);
}

/* The model in Q8_0, as `convert` writes it. */
static rnl_model *open_packed(const rnl_model *m, bool exact) {
    char folder[] = "/tmp/runnel-tower-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/q8_0.gguf", folder);
    const convert_config config = {.path = path, .recipe = recipe_find("q8_0"), .thread_count = 1};
    rnl_error error = {0};
    if (convert_model(m, &config, &error) != RNL_OK) fail_msg("%s", error.text);
    rnl_model *made = exact ? rig_model(path) : rig_model_fast(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    return made;
}

static void law_threads_room_and_earlier_pictures_do_not_show(void **state) {
    check_laws(*state);
    rnl_model *fast = open_packed(*state, false);
    check_laws(fast);
    rnl_model_close(&fast);
}

/* Root mean square of the difference, as a share of that of want. */
static double difference(const float *got, const float *want, size_t count) {
    double off = 0, all = 0;
    for (size_t i = 0; i < count; i++) {
        off += (double)(got[i] - want[i]) * (got[i] - want[i]);
        all += (double)want[i] * want[i];
    }
    return sqrt(off / all);
}

/* What a packed tower rounds besides its weights: a head width of 24 and patches of no whole block
 * are filled up. */
static void rounded_inputs_stay_near(void **state) {
    rnl_model *exact = open_packed(*state, true), *fast = open_packed(*state, false);
    stages *want = malloc(sizeof *want), *got = malloc(sizeof *got);
    assert_true(want != NULL && got != NULL);
    assert_non_null(fast->tower.layers[0].q.packed);
    for (int i = 0; i < PICTURES; i++) {
        const picture *p = &pictures[i];
        uint8_t *rgb = view_of(p, &exact->source.config.views);
        chain *a = make(exact, 2, PATCH_CAP), *b = make(fast, 2, PATCH_CAP);
        run(a, rgb, p->rows, p->cols, want);
        run(b, rgb, p->rows, p->cols, got);
        const double off = difference(got->rows, want->rows, (size_t)p->rows * p->cols / 4 * ROW);
        print_message("%s: rows %.2g of their size off\n", p->name, off);
        assert_true(off > 0 && off < 0.02);
        drop(a);
        drop(b);
        free(rgb);
    }
    free(want);
    free(got);
    rnl_model_close(&exact);
    rnl_model_close(&fast);
}

static int open_tiny(void **state) {
    *state = rig_model("vl/tiny");
    return 0;
}

static int close_tiny(void **state) {
    rnl_model *m = *state;
    rnl_model_close(&m);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_official_size),
        cmocka_unit_test(law_any_size_is_planned_within_limits),
        cmocka_unit_test(law_thread_count_does_not_show_in_pixels),
        cmocka_unit_test(every_stage_of_every_picture),
        cmocka_unit_test(every_stage_with_scalar_kernels),
        cmocka_unit_test(every_stage_of_the_gguf_set),
        cmocka_unit_test(rounded_inputs_stay_near),
        cmocka_unit_test(law_threads_room_and_earlier_pictures_do_not_show),
    };
    return cmocka_run_group_tests(tests, open_tiny, close_tiny);
}
