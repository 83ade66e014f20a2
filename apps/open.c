#include "apps/open.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/device_options.h"
#include "apps/hub_cache.h"
#include "apps/lora_options.h"
#include "apps/messages.h"
#include "apps/progress.h"
#include "apps/sources.h"
#include "apps/tuning.h"
#include "core/clock.h"
#include "core/status.h"
#include "engine/model.h"

/* PREFIX/share/runnel/minnow.gguf for a binary PREFIX/bin/runnel. */
static bool installed_model(char *path, size_t cap) {
    char binary[4096];
    const ssize_t size = readlink("/proc/self/exe", binary, sizeof binary - 1);
    if (size <= 0) return false;
    binary[size] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(binary, '/');
        if (slash == NULL) return false;
        *slash = '\0';
    }
    return (size_t)snprintf(path, cap, "%s/share/runnel/minnow.gguf", binary) < cap &&
           access(path, R_OK) == 0;
}

static void log_to_stderr(void *context, rnl_log_level level, const char *text) {
    const options *o = context;
    if (level == RNL_LOG_WARNING && !o->quiet) (void)fprintf(stderr, "runnel: %s\n", text);
}

/* Packing, which takes seconds of a large model and nothing to speak of in others. */
typedef struct packing {
    progress shown;
    double begin;
} packing;

static void show_packing(void *context, size_t done, size_t total) {
    enum { PATIENCE_MS = 500 };
    packing *p = context;
    if (1e3 * (clock_seconds() - p->begin) < PATIENCE_MS) return;
    progress_work(&p->shown, "packing the weights", (double)done / (double)total, "");
}

/* Puts a sentence into error; EXIT_MODEL. */
static int refuse(rnl_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int refuse(rnl_error *error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    status_clean(error->text);
    error->status = RNL_ERR_IO;
    return EXIT_MODEL;
}

/* The parts of a model of the hub that lies in the cache. EXIT_OK, or a code with a sentence. */
static int find_parts(const hub_name *n, hub_model *out, rnl_error *error) {
    char name[HUB_REPO_CAP + HUB_QUANT_CAP + HUB_REVISION_CAP], quants[512];
    hub_name_text(n, name, sizeof name);
    const hub_choice_kind kind = hub_cache_find(n, out, quants, sizeof quants);
    if (kind == HUB_SET || kind == HUB_FOLDER) return EXIT_OK;
    if (kind == HUB_AMBIGUOUS)
        return refuse(error,
                      "%s: there are several models of this quantisation in the cache; name the "
                      "path of one",
                      name);
    if (kind == HUB_NO_QUANT && n->quant[0] == '\0' && quants[0] != '\0')
        return refuse(error, "%s: name a quantisation, there are %s: -m %s:%.*s", name, quants,
                      n->repo, (int)strcspn(quants, ","), quants);
    return refuse(error,
                  "%s: there is no such model here and none in the cache; `runnel pull %s` "
                  "fetches it",
                  name, name);
}

/* Where the model of the options lies, and its parts. A path that exists wins over a name of the
 * hub. EXIT_OK, or a code with a sentence. */
static int find_model(const options *o, hub_model *out, rnl_error *error) {
    const char *path = o->model, *named = getenv("RUNNEL_MODEL");
    hub_name n;
    *out = (hub_model){0};
    if (path == NULL && named != NULL && *named != '\0') path = named;
    if (path == NULL) {
        char *installed = out->path[HUB_MAIN];
        if (!installed_model(installed, sizeof out->path[HUB_MAIN]))
            strcpy(installed, RUNNEL_SAMPLES);
        return EXIT_OK;
    }
    if (access(path, F_OK) != 0 && strstr(path, ".gguf") == NULL && hub_name_parse(path, &n))
        return find_parts(&n, out, error);
    if ((size_t)snprintf(out->path[HUB_MAIN], sizeof out->path[HUB_MAIN], "%s", path) <
        sizeof out->path[HUB_MAIN])
        return EXIT_OK;
    return refuse(error, "%.60s...: the path is too long", path);
}

/* A part as it was named, else as it was found, else NULL. */
static const char *part_path(const char *named, const hub_model *found, hub_role role) {
    if (named != NULL) return named;
    return found->path[role][0] != '\0' ? found->path[role] : NULL;
}

/* --device auto: on the device that was measured to be faster for this model, and there for those
 * stages. */
static void place_where_faster(const options *o, rnl_model *m, const tuning *kept,
                               const rnl_device_config *config) {
    const int threads = o->threads > 0 ? o->threads : rnl_thread_count_default();
    const tuning_device *d = tuning_find_device(kept, m, threads);
    rnl_device_config named = *config;
    rnl_error why = {0};
    if (d == NULL) return;
    named.device = d->device;
    if (placement_choose(m, &named, d->stages, &why) != RNL_OK && !o->quiet)
        (void)fprintf(stderr, "runnel: %s; the CPU computes\n", why.text);
}

rnl_model *try_open_model(const options *o, int *code, rnl_error *error) {
    hub_model found;
    *code = find_model(o, &found, error);
    if (*code != EXIT_OK) return NULL;
    const char *path = found.path[HUB_MAIN];
    rnl_model_config config = rnl_model_config_default();
    config.mmproj_path = part_path(o->mmproj, &found, HUB_MMPROJ);
    config.vocoder_path = part_path(o->vocoder, &found, HUB_VOCODER);
    config.tokenizer_path = part_path(o->tokenizer, &found, HUB_TOKENIZER);
    config.exact = o->exact;
    config.cpu = o->cpu;
    if (o->threads > 0) config.thread_count = o->threads;
    tuning kept;
    if (tuning_read(&kept, o->quiet)) config.tuning = &kept.choices;
    config.log = log_to_stderr;
    config.log_context = (void *)o;
    packing p = {.begin = clock_seconds()};
    progress_begin(&p.shown, o);
    config.progress = show_packing;
    config.progress_context = &p;
    rnl_model *model = NULL;
    *code = EXIT_OK;
    const char *const files[] = {path, config.mmproj_path, config.vocoder_path,
                                 config.tokenizer_path};
    for (int i = 0; i < 4; i++)
        if (files[i] != NULL) source_note(files[i]);
    lora_options added;
    rnl_device_config device;
    rnl_status status = RNL_ERR_ARGUMENT;
    config.device = &device;
    if (lora_options_parse(o, &added, error) && device_options_parse(o, &device, error)) {
        config.adapters = added.rows;
        config.adapter_count = (size_t)added.count;
        status = rnl_model_open(path, &config, &model, error);
    }
    lora_options_free(&added);
    progress_clear(&p.shown);
    if (status == RNL_OK) {
        if (strcmp(device.device, "auto") == 0) place_where_faster(o, model, &kept, &device);
        sources_note_model(model);
        return model;
    }
    *code = EXIT_MODEL;
    if (error->status == RNL_ERR_MEMORY) *code = EXIT_FAILED;
    if (error->status == RNL_ERR_ARGUMENT) *code = EXIT_USAGE;
    return NULL;
}

rnl_model *open_model(const options *o, int *code) {
    rnl_error error = {0};
    rnl_model *model = try_open_model(o, code, &error);
    if (model == NULL) (void)complain(*code, "%s", error.text);
    return model;
}

/* NULL: the default. False after a complaint. */
static bool kv_of(const char *name, rnl_kv_cache *out) {
    static const struct {
        const char *name;
        rnl_kv_cache kv;
    } rows[] = {{"f16", RNL_KV_F16}, {"q8_0", RNL_KV_Q8_0}, {"f32", RNL_KV_F32}};
    *out = RNL_KV_DEFAULT;
    if (name == NULL) return true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(name, rows[i].name) != 0) continue;
        *out = rows[i].kv;
        return true;
    }
    (void)complain(EXIT_USAGE, "--kv: '%s' is not f16, q8_0 or f32", name);
    return false;
}

/* Of a conversation; `perplexity` may cut a text into shorter pieces. */
enum { CONTEXT_MIN = 64 };

bool session_options(const options *o, rnl_session_config *config) {
    if (o->threads > 0) config->thread_count = o->threads;
    if (o->context > 0 && o->context < CONTEXT_MIN) {
        (void)complain(EXIT_USAGE, "--context: '%d' is not a whole number from %d to %d",
                       o->context, CONTEXT_MIN, 1 << 20);
        return false;
    }
    if (o->context > 0) config->context_cap = o->context;
    if (o->seconds_max > 0) config->clip_seconds_max = o->seconds_max;
    config->memory_size_max = o->memory_max;
    config->seed = o->seed;
    config->adapter = lora_options_set(o);
    config->drop_oldest_turns = config->drop_oldest_turns || o->drop_oldest;
    return kv_of(o->kv, &config->kv_cache);
}

rnl_session *open_session(const options *o, rnl_model *model, int *code) {
    rnl_session_config config = rnl_session_config_for(model);
    *code = EXIT_USAGE;
    if (!session_options(o, &config)) return NULL;
    config.snapshot_cap = 0;
    config.image_views_max = rnl_image_views_max(model);
    rnl_session *session = NULL;
    rnl_error error = {0};
    *code = EXIT_OK;
    if (rnl_session_create(model, &config, &session, &error) == RNL_OK) return session;
    *code = complain(exit_code(&error), "%s", error.text);
    return NULL;
}

rnl_turn_config answer_config(const options *o, const rnl_model *model, rnl_mode mode) {
    rnl_turn_config t = rnl_turn_config_default(model, mode);
    /* A temperature alone means sampling from everything; a top_k alone changes no temperature. */
    if (o->temperature >= 0) {
        t.text.temperature = (float)o->temperature;
        t.text.top_k = INT32_MAX;
    }
    if (o->top_k > 0) t.text.top_k = o->top_k;
    if (o->top_p >= 0) t.text.top_p = (float)o->top_p;
    if (o->min_p >= 0) t.text.min_p = (float)o->min_p;
    if (o->repeat_penalty >= 0) t.text.repeat_penalty = (float)o->repeat_penalty;
    if (o->audio_temperature >= 0) {
        t.audio.temperature = (float)o->audio_temperature;
        if (t.audio.top_k == 1) t.audio.top_k = INT32_MAX;
    }
    if (o->audio_top_k > 0) t.audio.top_k = o->audio_top_k;
    if (o->max_tokens > 0) t.step_max = o->max_tokens;
    if (o->interleave[0] > 0) t.text_run = o->interleave[0];
    if (o->interleave[1] > 0) t.audio_run = o->interleave[1];
    return t;
}
