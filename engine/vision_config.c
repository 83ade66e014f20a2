#include "engine/vision_config.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/status.h"

enum { FILE_SIZE_CAP = 4 << 20, PATH_CAP = 4096 };

/* The whole numbers of views, as both kinds of file call them. */
static const struct {
    const char *name;
    size_t at;
} counts[] = {
    {"min_image_tokens", offsetof(views_config, token_min)},
    {"max_image_tokens", offsetof(views_config, token_max)},
    {"tile_size", offsetof(views_config, tile)},
    {"min_tiles", offsetof(views_config, tile_min)},
    {"max_tiles", offsetof(views_config, tile_max)},
};
enum { COUNTS = sizeof counts / sizeof *counts };

static int *count_at(views_config *v, int i) {
    return (int *)(void *)((unsigned char *)v + counts[i].at);
}

/* ---- GGUF ---- */

static bool key_is(const gguf *g, const char *key, const char *text) {
    const char *value;
    size_t size;
    return gguf_string(g, key, &value, &size) && size == strlen(text) &&
           memcmp(value, text, size) == 0;
}

bool vision_is_in_gguf(const gguf *g) {
    return key_is(g, "clip.projector_type", "lfm2") ||
           key_is(g, "clip.vision.projector_type", "lfm2");
}

/* A required whole number; sticky. */
static void need(const gguf *g, const char *key, int64_t min, int64_t max, int *out,
                 rnl_status *status, rnl_error *error) {
    int64_t value;
    if (*status != RNL_OK) return;
    if (gguf_int(g, key, min, max, &value))
        *out = (int)value;
    else
        *status = status_fail(error, RNL_ERR_FORMAT,
                              "%s: key %s is missing or not a number from %lld to %lld; the file "
                              "is damaged",
                              gguf_path(g), key, (long long)min, (long long)max);
}

static void read_floats(const gguf *g, const char *key, float out[3]) {
    double value;
    for (size_t i = 0; i < 3; i++)
        if (gguf_array_float(g, key, i, &value)) out[i] = (float)value;
}

static void read_limits(views_config *v, const gguf *g) {
    char key[128];
    int64_t number;
    double real;
    bool flag;
    for (int i = 0; i < COUNTS; i++) {
        (void)snprintf(key, sizeof key, "runnel.image.%s", counts[i].name);
        if (gguf_int(g, key, INT32_MIN, INT32_MAX, &number)) *count_at(v, i) = (int)number;
    }
    if (gguf_float(g, "runnel.image.max_pixels_tolerance", &real)) v->tolerance = real;
    if (gguf_bool(g, "runnel.image.do_image_splitting", &flag)) v->splits = flag;
    if (gguf_bool(g, "runnel.image.use_thumbnail", &flag)) v->thumbnail = flag;
    if (gguf_int(g, "runnel.image.resample", 0, 100, &number)) v->filter = (views_filter)number;
}

rnl_status vision_read_gguf(model_config *c, const gguf *g, rnl_error *error) {
    int patch = VIEWS_PATCH, factor = VIEWS_CELL / VIEWS_PATCH;
    double eps;
    rnl_status status = RNL_OK;
    need(g, "clip.vision.block_count", 1, 128, &c->tower_layer_count, &status, error);
    need(g, "clip.vision.attention.head_count", 1, 4096, &c->tower_head_count, &status, error);
    need(g, "clip.vision.patch_size", VIEWS_PATCH, VIEWS_PATCH, &patch, &status, error);
    if (gguf_has(g, "clip.vision.projector.scale_factor"))
        need(g, "clip.vision.projector.scale_factor", factor, factor, &factor, &status, error);
    if (status != RNL_OK) return status;
    c->tower_eps = 1e-6f;
    if (gguf_float(g, "clip.vision.attention.layer_norm_epsilon", &eps) && eps > 0 && eps < 1)
        c->tower_eps = (float)eps;
    c->views = views_config_default();
    read_floats(g, "clip.vision.image_mean", c->views.mean);
    read_floats(g, "clip.vision.image_std", c->views.deviation);
    read_limits(&c->views, g);
    c->has_tower = true;
    return views_config_check(&c->views, gguf_path(g), error);
}

void vision_write_gguf(const model_config *c, gguf_writer *w, int64_t width, int64_t ff_width) {
    const views_config *v = &c->views;
    gguf_put_bool(w, "clip.has_vision_encoder", true);
    gguf_put_string(w, "clip.projector_type", "lfm2", 4);
    gguf_put_bool(w, "clip.use_gelu", true);
    gguf_put_u32(w, "clip.vision.image_size", 256);
    gguf_put_u32(w, "clip.vision.patch_size", VIEWS_PATCH);
    gguf_put_u32(w, "clip.vision.embedding_length", (uint32_t)width);
    gguf_put_u32(w, "clip.vision.feed_forward_length", (uint32_t)ff_width);
    gguf_put_u32(w, "clip.vision.block_count", (uint32_t)c->tower_layer_count);
    gguf_put_u32(w, "clip.vision.attention.head_count", (uint32_t)c->tower_head_count);
    gguf_put_f32(w, "clip.vision.attention.layer_norm_epsilon", c->tower_eps);
    gguf_put_u32(w, "clip.vision.projection_dim", (uint32_t)c->backbone.width);
    gguf_put_f32_array(w, "clip.vision.image_mean", v->mean, 3);
    gguf_put_f32_array(w, "clip.vision.image_std", v->deviation, 3);
    gguf_put_u32(w, "clip.vision.projector.scale_factor", VIEWS_CELL / VIEWS_PATCH);
    views_config own = *v;
    for (int i = 0; i < COUNTS; i++) {
        char key[128];
        (void)snprintf(key, sizeof key, "runnel.image.%s", counts[i].name);
        gguf_put_u32(w, key, (uint32_t)*count_at(&own, i));
    }
    gguf_put_f32(w, "runnel.image.max_pixels_tolerance", (float)v->tolerance);
    gguf_put_bool(w, "runnel.image.do_image_splitting", v->splits);
    gguf_put_bool(w, "runnel.image.use_thumbnail", v->thumbnail);
    gguf_put_u32(w, "runnel.image.resample", (uint32_t)v->filter);
}

/* ---- Hugging Face ---- */

/* Where a value may stand, the first place that has it wins. Sticky. */
typedef struct places {
    const json *objects[3];
    const char *file; /* for the sentence */
    rnl_status status;
    rnl_error *error;
} places;

static const json *find(const places *p, const char *key) {
    for (int i = 0; i < 3; i++) {
        const json *v = json_get(p->objects[i], key);
        if (!json_is_null(v)) return v;
    }
    return NULL;
}

static void fail(places *p, const char *key, const char *expected) {
    if (p->status == RNL_OK)
        p->status = status_fail(p->error, RNL_ERR_FORMAT,
                                "%s: %s should be %s; the file is damaged or of a model that "
                                "Runnel does not run",
                                p->file, key, expected);
}

static void read_number(places *p, const char *key, double min, double max, double *out) {
    const json *v = find(p, key);
    if (v == NULL || (json_number(v, out) && *out >= min && *out <= max)) return;
    char expected[96];
    (void)snprintf(expected, sizeof expected, "a number from %g to %g", min, max);
    fail(p, key, expected);
}

static void read_whole(places *p, const char *key, int min, int max, int *out) {
    double value = *out;
    read_number(p, key, min, max, &value);
    if (value != (double)(int)value) fail(p, key, "a whole number");
    *out = (int)value;
}

static void read_flag(places *p, const char *key, bool *out) {
    const json *v = find(p, key);
    if (v != NULL && !json_bool(v, out)) fail(p, key, "true or false");
}

static void read_three(places *p, const char *key, float out[3]) {
    const json *v = find(p, key);
    double value;
    for (size_t i = 0; v != NULL && i < 3; i++) {
        if (!json_number(json_at(v, i), &value)) {
            fail(p, key, "a list of three numbers");
            return;
        }
        out[i] = (float)value;
    }
}

static void read_views(places *p, views_config *v) {
    int patch = VIEWS_PATCH, factor = VIEWS_CELL / VIEWS_PATCH, filter = v->filter;
    double rescale = 1.0 / 255.0;
    for (int i = 0; i < COUNTS; i++) read_whole(p, counts[i].name, 0, 1 << 20, count_at(v, i));
    read_number(p, "max_pixels_tolerance", 1e-3, 1e6, &v->tolerance);
    read_flag(p, "do_image_splitting", &v->splits);
    read_flag(p, "use_thumbnail", &v->thumbnail);
    read_whole(p, "resample", VIEWS_BILINEAR, VIEWS_BICUBIC, &filter);
    v->filter = (views_filter)filter;
    read_whole(p, "encoder_patch_size", VIEWS_PATCH, VIEWS_PATCH, &patch);
    read_whole(p, "downsample_factor", factor, factor, &factor);
    read_number(p, "rescale_factor", 0.003921, 0.003922, &rescale);
    read_three(p, "image_mean", v->mean);
    read_three(p, "image_std", v->deviation);
}

/* A file that need not be there. */
static rnl_status read_file(const char *directory, const char *name, json **out, rnl_error *error) {
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0 ? json_read(path, FILE_SIZE_CAP, out, error) : RNL_OK;
}

static rnl_status read_preprocessing(views_config *v, const char *directory, rnl_error *error) {
    char path[PATH_CAP];
    json *flat = NULL, *processor = NULL;
    rnl_status status = read_file(directory, "preprocessor_config.json", &flat, error);
    if (status == RNL_OK) status = read_file(directory, "processor_config.json", &processor, error);
    if (status == RNL_OK) {
        (void)snprintf(path, sizeof path, "%s/%s", directory,
                       flat != NULL ? "preprocessor_config.json" : "processor_config.json");
        places p = {.objects = {flat, json_get(processor, "image_processor"), processor},
                    .file = path,
                    .error = error};
        read_views(&p, v);
        status = p.status == RNL_OK ? views_config_check(v, path, error) : p.status;
    }
    json_destroy(&flat);
    json_destroy(&processor);
    return status;
}

/* -1, the last layer, is what is trained; converters drop layers at the end for another one. */
static void drop_layers(places *p, model_config *c) {
    int layer = -1;
    read_whole(p, "vision_feature_layer", -c->tower_layer_count, -1, &layer);
    if (p->status == RNL_OK) c->tower_layer_count += layer + 1;
}

rnl_status vision_read_hf(model_config *c, const json *root, const char *directory,
                          rnl_error *error) {
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/config.json", directory);
    places top = {.objects = {root}, .file = path, .error = error};
    places tower = {.objects = {json_get(root, "vision_config")}, .file = path, .error = error};
    int patch = VIEWS_PATCH, channels = 3, factor = VIEWS_CELL / VIEWS_PATCH;
    double eps = 1e-6;
    const json *act = find(&tower, "hidden_act");
    const char *form = json_chars(act, NULL);
    c->tower_layer_count = c->tower_head_count = 12;
    read_whole(&tower, "num_hidden_layers", 1, 128, &c->tower_layer_count);
    read_whole(&tower, "num_attention_heads", 1, 4096, &c->tower_head_count);
    read_whole(&tower, "patch_size", VIEWS_PATCH, VIEWS_PATCH, &patch);
    read_whole(&tower, "num_channels", 3, 3, &channels);
    read_number(&tower, "layer_norm_eps", 1e-12, 1e-2, &eps);
    c->tower_eps = (float)eps;
    if (act != NULL && (form == NULL || strcmp(form, "gelu_pytorch_tanh") != 0))
        fail(&tower, "vision_config.hidden_act", "gelu_pytorch_tanh");
    top.status = tower.status;
    read_whole(&top, "downsample_factor", factor, factor, &factor);
    drop_layers(&top, c);
    if (top.status != RNL_OK) return top.status;
    c->views = views_config_default();
    c->has_tower = true;
    return read_preprocessing(&c->views, directory, error);
}
