/* Pictures of the user: pixels -> views, at once -> positions of the history, whose rows the pass
 * computes view by view. The layout is family.md 2.10: a mark of the beginning; each view's rows,
 * behind a label where there are several; a mark of the end. */
#include <assert.h>

#include "core/range.h"
#include "core/status.h"
#include "engine/percept.h"
#include "engine/session.h"

/* ---- Memory ---- */

/* Bytes of all views of a picture: tiles, and a view of the whole, which a stripe makes larger. */
static void count_pixels(const rnl_session *s, arena *a, session_picture *p) {
    const views_config *c = &s->model->source.config.views;
    const size_t most = (size_t)views_rows_max(c) * VIEWS_CELL * VIEWS_CELL;
    const size_t tile = (size_t)c->tile * (size_t)c->tile;
    const size_t count = (size_t)s->config.image_views_max;
    p->pixels = arena_take(a, (count - 1) * tile + most, 3);
}

void session_layout_picture(rnl_session *s, arena *a) {
    s->picture = (session_picture){0};
    if (s->model->source.config.has_tower && s->config.image_views_max > 0)
        count_pixels(s, a, &s->picture);
}

/* ---- What a picture takes ---- */

rnl_image_config rnl_image_config_default(const rnl_model *model) {
    const views_config *c = &model->source.config.views;
    return (rnl_image_config){
        .token_min = c->token_min, .token_max = c->token_max, .splits = c->splits};
}

int rnl_image_views_max(const rnl_model *model) {
    return model->source.config.has_tower ? views_count_max(&model->source.config.views) : 0;
}

/* The model's constants with what the caller wants of them. */
static rnl_status views_of(const rnl_model *m, const rnl_image_config *config, views_config *out,
                           rnl_error *error) {
    if (!m->source.config.has_tower)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: the model takes no pictures; take one of LFM2-VL, with its mmproj "
                           "file",
                           m->path);
    *out = m->source.config.views;
    if (config == NULL) return RNL_OK;
    const int most = VIEWS_STRETCH * out->token_max;
    const range ranges[] = {{"token_min", config->token_min, 1, config->token_max},
                            {"token_max", config->token_max, 1, most}};
    out->token_min = config->token_min;
    out->token_max = config->token_max;
    out->splits = out->splits && config->splits;
    return range_check(ranges, sizeof ranges / sizeof *ranges, error);
}

/* A plan of a picture that the tower of any session has room for. */
static rnl_status plan_of(const rnl_model *m, int width, int height, const rnl_image_config *config,
                          views_config *c, views *out, rnl_error *error) {
    rnl_status status = views_of(m, config, c, error);
    if (status == RNL_OK) status = views_plan(c, width, height, out, error);
    if (status != RNL_OK) return status;
    const view last = views_at(out, out->count - 1);
    const int most = views_rows_max(&m->source.config.views);
    if (last.row_count <= most) return RNL_OK;
    return status_fail(error, RNL_ERR_TOO_LONG,
                       "a picture of %d x %d pixels would take %d positions in one view, more than "
                       "%d; cut it, or choose a smaller token_max",
                       width, height, last.row_count, most);
}

rnl_status rnl_model_image_plan(const rnl_model *model, int width, int height,
                                const rnl_image_config *config, rnl_image_plan *plan,
                                rnl_error *error) {
    views_config c;
    views v;
    const rnl_status status = plan_of(model, width, height, config, &c, &v, error);
    if (status != RNL_OK) return status;
    *plan = (rnl_image_plan){.view_count = v.count, .position_count = views_position_count(&v)};
    return RNL_OK;
}

/* ---- Adding ---- */

static rnl_status check_views(const rnl_session *s, const views *v, rnl_error *error) {
    if (s->config.image_views_max == 0)
        return status_fail(error, RNL_ERR_STATE,
                           "the session was made without room for pictures; give it an "
                           "image_views_max above 0");
    if (v->count <= s->config.image_views_max) return RNL_OK;
    return status_fail(error, RNL_ERR_TOO_LONG,
                       "the picture is seen in %d views, and the session has room for %d; choose a "
                       "larger image_views_max, or do not split the picture",
                       v->count, s->config.image_views_max);
}

static void resize_views(rnl_session *s, const resize_source *from, const views_config *c) {
    pass *p = s->pass;
    uint8_t *out = s->picture.pixels;
    for (int i = 0; i < s->picture.views.count; i++) {
        const view v = views_at(&s->picture.views, i);
        resize_view(&p->resize, p->pool, from, &v, c->filter, out);
        out += 3 * (size_t)v.width * (size_t)v.height;
    }
}

/* Of the views as they are looked at; where they lie in the picture is told by their labels. */
static session_sum sum_of(const rnl_session *s) {
    session_sum sum = {{0}};
    const uint8_t *pixels = s->picture.pixels;
    for (int i = 0; i < s->picture.views.count; i++) {
        const view v = views_at(&s->picture.views, i);
        const int shape[] = {v.width, v.height, v.row, v.col};
        const size_t size = 3 * (size_t)v.width * (size_t)v.height;
        session_sum_add(&sum, shape, sizeof shape);
        session_sum_add(&sum, pixels, size);
        pixels += size;
    }
    return sum;
}

/* Position `row` of a picture; sum NULL: nobody will know it again. */
static void append_position(rnl_session *s, int32_t id, const session_sum *sum, int row) {
    const uint64_t own = sum != NULL ? session_sum_at(sum, row) : SESSION_SUM_NONE;
    float *embedding = session_append_row(s, id, own);
    if (id != s->model->image_ids.image) /* rows are filled later */
        backbone_embed_text(&s->model->backbone, &s->pass->compute, id, embedding);
}

static void append_positions(rnl_session *s, const session_sum *sum) {
    const image_ids *ids = &s->model->image_ids;
    const views *v = &s->picture.views;
    int row = 0;
    append_position(s, ids->begin, sum, row++);
    for (int i = 0; i < v->count; i++) {
        const view at = views_at(v, i);
        if (v->count > 1)
            append_position(s, at.row == 0 ? ids->thumbnail : ids->tiles[at.row - 1][at.col - 1],
                            sum, row++);
        for (int k = 0; k < at.row_count; k++) append_position(s, ids->image, sum, row++);
    }
    append_position(s, ids->end, sum, row);
}

static bool is_of_picture(const image_ids *ids, int32_t id) {
    if (id == ids->image || id == ids->begin || id == ids->end || id == ids->thumbnail) return true;
    for (int row = 0; row < VIEWS_GRID_MAX; row++)
        for (int col = 0; col < VIEWS_GRID_MAX; col++)
            if (id == ids->tiles[row][col]) return true;
    return false;
}

void session_count_kinds(const rnl_session *s, int end, int *audio, int *image) {
    const bool sees = s->model->source.config.has_tower;
    *audio = *image = 0;
    for (int i = 0; i < end; i++) {
        /* A model may say such a word, too: then it is one. */
        const bool seen = sees && s->sums[i] != SESSION_SUM_TOKEN &&
                          is_of_picture(&s->model->image_ids, s->ids[i]);
        *image += seen;
        *audio += !seen && s->ids[i] < 0;
    }
}

/* What is known again is not looked at again. */
static void append_picture(rnl_session *s, int count) {
    const bool kept = s->config.kept_places > 0;
    const session_sum sum = kept ? sum_of(s) : (session_sum){{0}};
    s->encoding = !kept || session_bring_back(s, &sum, count) == 0;
    if (s->encoding) append_positions(s, kept ? &sum : NULL);
    session_go_on(s);
}

static rnl_status add_picture(rnl_session *s, const resize_source *from, const views_config *c,
                              const views *v, rnl_error *error) {
    session_forget_thinking(s);
    session_draft d = session_draft_begin(s, error);
    session_draft_turn(&d, RNL_ROLE_USER);
    if (d.status != RNL_OK) return d.status;
    const int count = views_position_count(v);
    const rnl_status status = session_ensure_room(&d, (size_t)count, error);
    if (status != RNL_OK) return status;
    session_accept(&d);
    s->picture.views = *v;
    s->picture.view = 0;
    resize_views(s, from, c);
    s->percept = &percept_picture;
    s->encode_at = s->live->position_count;
    s->encode_count = count;
    append_picture(s, count);
    return RNL_OK;
}

rnl_status rnl_session_add_image(rnl_session *s, const uint8_t *pixels, int width, int height,
                                 size_t stride, const rnl_image_config *config, rnl_error *error) {
    views_config c;
    views v;
    rnl_status status = session_check_content(s, error);
    if (status == RNL_OK) status = plan_of(s->model, width, height, config, &c, &v, error);
    if (status == RNL_OK) status = check_views(s, &v, error);
    if (status != RNL_OK) return status;
    if (pixels == NULL || stride < 3 * (size_t)width)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "pixels of the picture are NULL, or its stride is below three bytes a "
                           "pixel");
    if (s->clip_open) status = rnl_session_end_audio(s, error);
    if (status != RNL_OK) return status;
    if (s->encoding) return RNL_AGAIN;
    const resize_source from = {pixels, width, height, stride};
    return add_picture(s, &from, &c, &v, error);
}

/* ---- The tower ---- */

/* Where a view's bytes and its rows in the history lie. */
static const uint8_t *find_view(const rnl_session *s, int index, int *row_at) {
    const views *v = &s->picture.views;
    const uint8_t *pixels = s->picture.pixels;
    int at = s->encode_at + 1;
    for (int i = 0; i <= index; i++) {
        const view one = views_at(v, i);
        at += v->count > 1;
        if (i == index) break;
        at += one.row_count;
        pixels += 3 * (size_t)one.width * (size_t)one.height;
    }
    *row_at = at;
    return pixels;
}

/* Views do not know of each other: after each, another session may have the tower. */
static rnl_status step_picture(pass *p, rnl_session *s, const compute *c, bool begins) {
    session_picture *picture = &s->picture;
    const view v = views_at(&picture->views, picture->view);
    const int rows = v.height / VIEWS_PATCH, cols = v.width / VIEWS_PATCH;
    int row_at;
    const uint8_t *pixels = find_view(s, picture->view, &row_at);
    if (begins) tower_begin(&p->tower, pixels, rows, cols);
    if (tower_step(&p->tower, c) == RNL_OK) return RNL_OK;
    const size_t width = (size_t)backbone_width(&p->model->backbone);
    projector_forward(&p->projector, c, tower_output(&p->tower), rows, cols,
                      s->embeddings + (size_t)row_at * width);
    return ++picture->view < picture->views.count ? RNL_AGAIN : RNL_DONE;
}

const percept_kind percept_picture = {.name = "picture", .step = step_picture};
