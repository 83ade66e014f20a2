#include "apps/pictures.h"

#include <stdio.h>
#include <string.h>

#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/sources.h"
#include "core/clock.h"
#include "picture/picture.h"
#include "picture/video.h"

enum { FILM_TOKENS_MAX = 128 /* of a frame */, FILM_FRAMES = 16 };

static int failed(const char *path, const rnl_error *error) {
    const int code = error->status == RNL_ERR_MEMORY ? EXIT_FAILED : exit_code(error);
    if (error->status == RNL_ERR_IO || error->status == RNL_ERR_DATA ||
        error->status == RNL_ERR_TOO_LONG || error->status == RNL_ERR_UNSUPPORTED)
        return complain(EXIT_INPUT, "%s%s%s", path, *path != '\0' ? ": " : "", error->text);
    return complain(code, "%s%s%s", path, *path != '\0' ? ": " : "", error->text);
}

static int64_t pixel_max_of(const options *o) {
    return o->pixels_max > 0 ? o->pixels_max : PICTURE_PIXELS_DEFAULT;
}

/* How pictures are looked at: as the model does, but for what the options say. */
static rnl_image_config config_of(const picture_target *t, bool film) {
    rnl_image_config c = rnl_image_config_default(t->model);
    if (film) {
        c.splits = false;
        if (c.token_max > FILM_TOKENS_MAX) c.token_max = FILM_TOKENS_MAX;
        if (c.token_min > c.token_max) c.token_min = c.token_max;
    }
    if (t->options->image_tokens_max > 0) c.token_max = t->options->image_tokens_max;
    if (t->options->image_tokens_min > 0) c.token_min = t->options->image_tokens_min;
    /* One of the two alone moves the other. */
    if (t->options->image_tokens_min <= 0 && c.token_min > c.token_max) c.token_min = c.token_max;
    if (t->options->image_tokens_max <= 0 && c.token_max < c.token_min) c.token_max = c.token_min;
    if (t->options->no_split) c.splits = false;
    return c;
}

static int check_model(const picture_target *t, const char *path) {
    rnl_model_info info;
    rnl_model_get_info(t->model, &info);
    if (info.takes_images) return EXIT_OK;
    return complain(EXIT_USAGE,
                    "%s: this model takes no pictures; take one of LFM2-VL, of a GGUF set with its "
                    "mmproj file",
                    path);
}

/* Until nothing waits for the encoder or the tower. */
static int look(const picture_target *t) {
    rnl_error error = {0};
    while (rnl_session_stage(t->session) == RNL_STAGE_ENCODE) {
        if (interrupted()) return EXIT_STOPPED;
        if (rnl_session_step(t->session, &error) < 0) return failed("", &error);
    }
    return EXIT_OK;
}

static void note(const picture_target *t, const char *name, const picture *p,
                 const rnl_image_plan *plan, double ms) {
    if (!t->options->quiet) {
        put_name(stderr, name);
        (void)fprintf(stderr, ": %d x %d pixels, %d view%s, %d positions, %.0f ms\n", p->width,
                      p->height, plan->view_count, plan->view_count == 1 ? "" : "s",
                      plan->position_count, ms);
    }
    if (t->log == NULL || t->log->count++ >= PICTURE_LOG_CAP) return;
    t->log->entries[t->log->count - 1].view_count = plan->view_count;
    t->log->entries[t->log->count - 1].position_count = plan->position_count;
    t->log->entries[t->log->count - 1].ms = ms;
}

/* began: when its file was opened. */
static int add_pixels(const picture_target *t, const char *name, const picture *p,
                      const rnl_image_config *c, double began) {
    rnl_error error = {0};
    rnl_image_plan plan;
    const size_t stride = 3 * (size_t)p->width;
    if (rnl_model_image_plan(t->model, p->width, p->height, c, &plan, &error) != RNL_OK ||
        rnl_session_add_image(t->session, p->pixels, p->width, p->height, stride, c, &error) !=
            RNL_OK)
        return failed(name, &error);
    const int code = look(t);
    if (code == EXIT_OK) note(t, name, p, &plan, 1e3 * (clock_seconds() - began));
    return code;
}

static const char *name_of(const char *path) {
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

int pictures_add(const picture_target *t, const char *path) {
    rnl_error error = {0};
    picture p;
    int code = check_model(t, name_of(path));
    if (code == EXIT_OK) code = look(t); /* what was added before */
    if (code != EXIT_OK) return code;
    const double began = clock_seconds();
    source_note(path);
    if (picture_read(path, pixel_max_of(t->options), &p, &error) != RNL_OK)
        return failed("", &error);
    const rnl_image_config c = config_of(t, false);
    code = add_pixels(t, name_of(path), &p, &c, began);
    picture_free(&p);
    return code;
}

int pictures_check(const picture_target *t, const char *path) {
    rnl_error error = {0};
    rnl_image_plan plan;
    picture p;
    const int code = check_model(t, name_of(path));
    if (code != EXIT_OK) return code;
    source_note(path);
    if (picture_read(path, pixel_max_of(t->options), &p, &error) != RNL_OK)
        return failed("", &error);
    const rnl_image_config c = config_of(t, false);
    const rnl_status status = rnl_model_image_plan(t->model, p.width, p.height, &c, &plan, &error);
    picture_free(&p);
    return status == RNL_OK ? EXIT_OK : failed(name_of(path), &error);
}

int pictures_add_film(const picture_target *t, const char *path) {
    const options *o = t->options;
    rnl_error error = {0};
    video_plan plan;
    int code = strcmp(path, "-") == 0
                   ? complain(EXIT_USAGE, "--video: a film is read from a file, not from a pipe")
                   : check_model(t, path);
    if (code == EXIT_OK) code = look(t);
    if (code != EXIT_OK) return code;
    source_note(path);
    if (video_find(path, o->fps > 0 ? o->fps : 1, o->frames_max > 0 ? o->frames_max : FILM_FRAMES,
                   &plan, &error) != RNL_OK)
        return failed("", &error);
    const rnl_image_config c = config_of(t, true);
    for (int i = 0; i < plan.count && code == EXIT_OK; i++) {
        char name[512];
        picture p;
        const double began = clock_seconds();
        if (video_frame(path, &plan, i, pixel_max_of(o), &p, &error) != RNL_OK)
            return failed("", &error);
        (void)snprintf(name, sizeof name, "%.400s at %.1f s", path, video_time(&plan, i));
        code = add_pixels(t, name, &p, &c, began);
        picture_free(&p);
    }
    return code;
}

int pictures_add_options(const picture_target *t) {
    int code = EXIT_OK;
    for (int i = 0; i < t->options->images.count && code == EXIT_OK; i++)
        code = pictures_add(t, t->options->images.at[i]);
    for (int i = 0; i < t->options->videos.count && code == EXIT_OK; i++)
        code = pictures_add_film(t, t->options->videos.at[i]);
    return code;
}

void pictures_json(json_draft *o, const picture_log *log) {
    if (log == NULL || log->count == 0) return;
    json_draft *images = json_new_array();
    for (int i = 0; i < log->count && i < PICTURE_LOG_CAP; i++) {
        json_draft *one = json_new_object();
        json_set(one, "views", json_new_int(log->entries[i].view_count));
        json_set(one, "tokens", json_new_int(log->entries[i].position_count));
        json_set(one, "ms", json_new_number(log->entries[i].ms));
        json_append(images, one);
    }
    json_set(o, "images", images);
}
