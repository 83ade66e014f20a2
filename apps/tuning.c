#include "apps/tuning.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/folders.h"
#include "apps/machine.h"
#include "apps/messages.h"
#include "apps/replace.h"
#include "engine/model.h"
#include "engine/schedule.h"

enum { FILE_CAP = 1 << 16 };
static const double times_max = 1e9; /* us */

const char *const tuning_prefetch_names[RNL_PREFETCH_COUNT] = {"none", "L1", "L2"};

/* The path of the file, or with `folder` that of its folder; false: there is no home. */
static bool find_path(char path[TUNING_PATH_CAP], bool folder) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const bool own = cache != NULL && cache[0] == '/'; /* others are to be passed over, says XDG */
    if (!own && (home == NULL || home[0] == '\0')) return false;
    const int size = snprintf(path, TUNING_PATH_CAP, "%s%s/runnel%s", own ? cache : home,
                              own ? "" : "/.cache", folder ? "" : "/tuning.json");
    return size > 0 && size < TUNING_PATH_CAP;
}

/* ---- Written ---- */

static json_draft *json_reals(const double *values, int count) {
    json_draft *a = json_new_array();
    for (int i = 0; i < count; i++) json_append(a, json_new_number(values[i]));
    return a;
}

static json_draft *json_passes(const tuning_passes *p) {
    json_draft *o = json_new_object(), *rows = json_new_array();
    for (int i = 0; i < p->count; i++) json_append(rows, json_new_int(p->rows[i]));
    json_set(o, "model", json_new_string(p->model, strlen(p->model)));
    json_set(o, "level", json_new_string(p->level, strlen(p->level)));
    json_set(o, "threads", json_new_int(p->threads));
    json_set(o, "rows", rows);
    json_set(o, "text_us", json_reals(p->text_us, p->count));
    json_set(o, "frame_us", json_reals(p->frame_us, p->count));
    return o;
}

static const char *const stage_names[] = {"encoder", "prefill", "decode", "depth"};
enum { STAGE_COUNT = sizeof stage_names / sizeof *stage_names }; /* by the bits of RNL_DEVICE_* */

static json_draft *json_device(const tuning_device *d) {
    json_draft *o = json_new_object(), *stages = json_new_array();
    for (int i = 0; i < STAGE_COUNT; i++)
        if ((d->stages & 1u << i) != 0)
            json_append(stages, json_new_string(stage_names[i], strlen(stage_names[i])));
    json_set(o, "model", json_new_string(d->model, strlen(d->model)));
    json_set(o, "level", json_new_string(d->level, strlen(d->level)));
    json_set(o, "threads", json_new_int(d->threads));
    json_set(o, "device", json_new_string(d->device, strlen(d->device)));
    json_set(o, "stages", stages);
    return o;
}

json_draft *tuning_json(const tuning *t) {
    char name[MACHINE_NAME_CAP];
    machine_cpu("", name);
    json_draft *o = json_new_object(), *passes = json_new_array(), *devices = json_new_array();
    json_set(o, "cpu", json_new_string(name, strlen(name)));
    const char *prefetch = tuning_prefetch_names[t->choices.prefetch];
    json_set(o, "prefetch", json_new_string(prefetch, strlen(prefetch)));
    json_set(o, "huge_pages", json_new_bool(t->choices.huge_pages));
    json_set(o, "block_kib", json_new_int(t->choices.block_kib));
    for (int i = 0; i < t->passes_count; i++) json_append(passes, json_passes(&t->passes[i]));
    json_set(o, "passes", passes);
    for (int i = 0; i < t->device_count; i++) json_append(devices, json_device(&t->devices[i]));
    json_set(o, "devices", devices);
    return o;
}

/* ---- Read ---- */

static bool read_prefetch(const json *value, rnl_prefetch *out) {
    bool fetches;
    size_t size;
    if (json_bool(value, &fetches)) {
        *out = fetches ? RNL_PREFETCH_L1 : RNL_PREFETCH_NONE;
        return true;
    }
    const char *name = json_chars(value, &size);
    for (int i = 0; i < RNL_PREFETCH_COUNT && name != NULL; i++)
        if (strcmp(name, tuning_prefetch_names[i]) == 0) {
            *out = (rnl_prefetch)i;
            return true;
        }
    return false;
}

static bool read_name(const json *value, char *out, size_t cap) {
    size_t size;
    const char *text = json_chars(value, &size);
    if (text == NULL || size == 0 || size >= cap || strlen(text) != size) return false;
    memcpy(out, text, size + 1);
    return true;
}

static bool read_us(const json *value, double *out) {
    return json_number(value, out) && *out >= 0 && *out <= times_max;
}

static bool read_passes(const json *o, tuning_passes *p) {
    const json *rows = json_get(o, "rows"), *texts = json_get(o, "text_us"),
               *frames = json_get(o, "frame_us");
    const size_t count = json_count(rows);
    int64_t value;
    if (!read_name(json_get(o, "model"), p->model, sizeof p->model) ||
        !read_name(json_get(o, "level"), p->level, sizeof p->level) ||
        !json_int(json_get(o, "threads"), 1, RNL_THREAD_CAP, &value) || !json_is_array(rows) ||
        !json_is_array(texts) || !json_is_array(frames) || count < 1 || count > TUNING_ROWS_CAP ||
        json_count(texts) != count || json_count(frames) != count)
        return false;
    p->threads = (int)value;
    for (p->count = 0; p->count < (int)count; p->count++) {
        const size_t i = (size_t)p->count;
        if (!json_int(json_at(rows, i), 1, SCHEDULE_ROW_CAP, &value) ||
            !read_us(json_at(texts, i), &p->text_us[i]) || p->text_us[i] == 0 ||
            !read_us(json_at(frames, i), &p->frame_us[i]))
            return false;
        p->rows[i] = (int)value;
    }
    return true;
}

static bool read_stages(const json *names, unsigned *out) {
    if (!json_is_array(names)) return false;
    for (size_t i = 0; i < json_count(names); i++) {
        char name[16];
        int stage = 0;
        if (!read_name(json_at(names, i), name, sizeof name)) return false;
        while (stage < STAGE_COUNT && strcmp(name, stage_names[stage]) != 0) stage++;
        if (stage == STAGE_COUNT) return false;
        *out |= 1u << stage;
    }
    return true;
}

static bool read_devices(const json *all, tuning *t) {
    if (json_is_null(all)) return true;
    if (!json_is_array(all) || json_count(all) > TUNING_DEVICES_CAP) return false;
    for (; t->device_count < (int)json_count(all); t->device_count++) {
        const json *o = json_at(all, (size_t)t->device_count);
        tuning_device *d = &t->devices[t->device_count];
        int64_t threads;
        if (!read_name(json_get(o, "model"), d->model, sizeof d->model) ||
            !read_name(json_get(o, "level"), d->level, sizeof d->level) ||
            !read_name(json_get(o, "device"), d->device, sizeof d->device) ||
            !json_int(json_get(o, "threads"), 1, RNL_THREAD_CAP, &threads) ||
            !read_stages(json_get(o, "stages"), &d->stages))
            return false;
        d->threads = (int)threads;
    }
    return true;
}

/* False: a field is missing or out of its range. */
static bool read_fields(const json *o, tuning *t) {
    int64_t block;
    if (!read_prefetch(json_get(o, "prefetch"), &t->choices.prefetch) ||
        !json_bool(json_get(o, "huge_pages"), &t->choices.huge_pages) ||
        !json_int(json_get(o, "block_kib"), 64, 4096, &block))
        return false;
    t->choices.block_kib = (int)block;
    const json *passes = json_get(o, "passes");
    if (!read_devices(json_get(o, "devices"), t)) return false;
    if (json_is_null(passes)) return true;
    if (!json_is_array(passes) || json_count(passes) > TUNING_PASSES_CAP) return false;
    for (t->passes_count = 0; t->passes_count < (int)json_count(passes); t->passes_count++)
        if (!read_passes(json_at(passes, (size_t)t->passes_count), &t->passes[t->passes_count]))
            return false;
    return true;
}

bool tuning_read(tuning *out, bool quiet) {
    char path[TUNING_PATH_CAP], name[MACHINE_NAME_CAP];
    *out = (tuning){.passes_count = 0};
    if (!find_path(path, false) || access(path, F_OK) != 0) return false;
    json *o = NULL;
    rnl_error error = {0};
    size_t size = 0;
    bool good = json_read(path, FILE_CAP, &o, &error) == RNL_OK && json_is_object(o);
    const char *cpu = json_chars(json_get(o, "cpu"), &size);
    machine_cpu("", name);
    const bool other = good && cpu != NULL && strcmp(cpu, name) != 0;
    good = good && !other && cpu != NULL && read_fields(o, out);
    json_destroy(&o);
    if (!good) *out = (tuning){.passes_count = 0};
    if (!good && !other && !quiet)
        (void)fprintf(
            stderr, "runnel: %s: this is no tuning; run `runnel bench --calibrate` or remove it\n",
            path);
    return good;
}

/* ---- Kept ---- */

static bool write_line(FILE *f, const void *text) {
    return fprintf(f, "%s\n", (const char *)text) > 0;
}

static int cannot_write(const char *path) {
    return complain(EXIT_FAILED, "%s: cannot be written: %s", path, strerror(errno));
}

int tuning_prepare(char path[TUNING_PATH_CAP]) {
    char folder[TUNING_PATH_CAP];
    if (!find_path(folder, true) || !find_path(path, false))
        return complain(EXIT_FAILED, "there is no place for the tuning: HOME is not set");
    if (!folders_make(folder, 0700) || access(folder, W_OK) != 0) return cannot_write(path);
    return EXIT_OK;
}

int tuning_write(const char *path, const tuning *t) {
    json_draft *o = tuning_json(t);
    char *text = json_text(o);
    json_drop(&o);
    int code = EXIT_OK;
    rnl_error error = {0};
    if (text == NULL)
        code = complain(EXIT_FAILED, "memory is exhausted");
    else if (!replace_file(path, write_line, text, &error))
        code = complain(EXIT_FAILED, "%s", error.text);
    free(text);
    return code;
}

/* ---- Times of passes ---- */

static bool is_of(const tuning_passes *p, const char *model, const char *level, int threads) {
    return strcmp(p->model, model) == 0 && strcmp(p->level, level) == 0 && p->threads == threads;
}

void tuning_add_passes(tuning *t, const tuning_passes *passes) {
    int at = 0;
    while (at < t->passes_count &&
           !is_of(&t->passes[at], passes->model, passes->level, passes->threads))
        at++;
    if (at == TUNING_PASSES_CAP) at--;
    if (at == t->passes_count) t->passes_count++;
    memmove(t->passes + 1, t->passes, (size_t)at * sizeof *t->passes);
    t->passes[0] = *passes;
}

int tuning_give_times(const tuning *t, const rnl_model *model, int thread_count, rnl_batch *batch) {
    char shapes[FINGERPRINT_SIZE];
    fingerprint_shapes(model, shapes);
    for (int i = 0; i < t->passes_count; i++) {
        const tuning_passes *p = &t->passes[i];
        if (!is_of(p, shapes, model->kernels.name, thread_count)) continue;
        for (int k = 0; k < p->count; k++)
            rnl_batch_set_times(batch, p->rows[k], p->text_us[k],
                                p->frame_us[k] > 0 ? p->frame_us[k] : p->text_us[k]);
        return p->count;
    }
    return 0;
}

/* ---- Devices ---- */

void tuning_add_device(tuning *t, const tuning_device *device) {
    int at = 0;
    for (; at < t->device_count; at++) {
        const tuning_device *d = &t->devices[at];
        if (strcmp(d->model, device->model) == 0 && strcmp(d->level, device->level) == 0 &&
            strcmp(d->device, device->device) == 0 && d->threads == device->threads)
            break;
    }
    if (at == TUNING_DEVICES_CAP) at--;
    if (at == t->device_count) t->device_count++;
    memmove(t->devices + 1, t->devices, (size_t)at * sizeof *t->devices);
    t->devices[0] = *device;
}

const tuning_device *tuning_find_device(const tuning *t, const rnl_model *model, int thread_count) {
    char shapes[FINGERPRINT_SIZE];
    fingerprint_shapes(model, shapes);
    for (int i = 0; i < t->device_count; i++) {
        const tuning_device *d = &t->devices[i];
        if (d->stages != 0 && strcmp(d->model, shapes) == 0 &&
            strcmp(d->level, model->kernels.name) == 0 && d->threads == thread_count)
            return d;
    }
    return NULL;
}
