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

enum { FILE_CAP = 4096 };

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

json_draft *tuning_json(const rnl_tuning *t) {
    char name[MACHINE_NAME_CAP];
    machine_cpu("", name);
    json_draft *o = json_new_object();
    json_set(o, "cpu", json_new_string(name, strlen(name)));
    const char *prefetch = tuning_prefetch_names[t->prefetch];
    json_set(o, "prefetch", json_new_string(prefetch, strlen(prefetch)));
    json_set(o, "huge_pages", json_new_bool(t->huge_pages));
    json_set(o, "block_kib", json_new_int(t->block_kib));
    return o;
}

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

/* False: a field is missing or out of its range. */
static bool read_fields(const json *o, rnl_tuning *t) {
    int64_t block;
    if (!read_prefetch(json_get(o, "prefetch"), &t->prefetch) ||
        !json_bool(json_get(o, "huge_pages"), &t->huge_pages) ||
        !json_int(json_get(o, "block_kib"), 64, 4096, &block))
        return false;
    t->block_kib = (int)block;
    return true;
}

bool tuning_read(rnl_tuning *out, bool quiet) {
    char path[TUNING_PATH_CAP], name[MACHINE_NAME_CAP];
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
    if (!good && !other && !quiet)
        (void)fprintf(
            stderr, "runnel: %s: this is no tuning; run `runnel bench --calibrate` or remove it\n",
            path);
    return good;
}

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

int tuning_write(const char *path, const rnl_tuning *t) {
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
