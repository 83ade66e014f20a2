#include "apps/inputs.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/messages.h"
#include "apps/sources.h"
#include "core/utf8.h"

enum { DEPTH_CAP = 32, LIST_SIZE_CAP = 256 << 20 };

void inputs_free(input_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->paths[i]);
    free(list->paths);
    hash_table_free(&list->names);
    *list = (input_list){0};
}

static int out_of_memory(void) {
    return complain(EXIT_FAILED, "memory is exhausted");
}

static bool has_name(const void *paths, size_t index, const void *name) {
    return strcmp(((char *const *)paths)[index], name) == 0;
}

static bool grow(input_list *list) {
    const size_t cap = list->cap == 0 ? 64 : 2 * list->cap;
    char **paths = realloc(list->paths, cap * sizeof *paths);
    if (paths == NULL) return false;
    list->paths = paths;
    list->cap = cap;
    return true;
}

static int add(input_list *list, const char *path) {
    while (strncmp(path, "./", 2) == 0 && path[2] != '\0' && strcmp(path, "./-") != 0) path += 2;
    if (list->count == INPUT_COUNT_CAP)
        return complain(EXIT_INPUT, "more than %d files; work on them in parts", INPUT_COUNT_CAP);
    if (list->count == list->cap && !grow(list)) return out_of_memory();
    const uint64_t hash = hash_bytes(HASH_START, path, strlen(path));
    if (hash_table_find(&list->names, hash, has_name, list->paths, path) != HASH_NONE)
        return EXIT_OK; /* once is enough */
    char *copy = strdup(path);
    if (copy == NULL || !hash_table_add(&list->names, hash, list->count)) {
        free(copy);
        return out_of_memory();
    }
    list->paths[list->count++] = copy;
    source_note(path);
    return EXIT_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The sound files below a folder, in any order; depth: how much deeper to go. */
static int search(input_list *found, const char *folder, int depth) {
    DIR *d = opendir(folder);
    if (d == NULL)
        return complain(EXIT_INPUT, "%s: the folder cannot be read: %s", folder, strerror(errno));
    int code = EXIT_OK;
    const char *separator = folder[strlen(folder) - 1] == '/' ? "" : "/";
    for (struct dirent *e; code == EXIT_OK && (e = readdir(d)) != NULL;) {
        char path[INPUT_PATH_CAP];
        struct stat st;
        if (e->d_name[0] == '.') continue;
        if ((size_t)snprintf(path, sizeof path, "%s%s%s", folder, separator, e->d_name) >=
            sizeof path)
            code = complain(EXIT_INPUT, "%s: a name below it is too long", folder);
        else if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            code = depth > 0 ? search(found, path, depth - 1) : EXIT_OK;
        else if (sound_name_is_known(path) && !is_folder(path))
            code = add(found, path);
    }
    (void)closedir(d);
    return code;
}

static int add_folder(input_list *list, const char *folder) {
    input_list found = {0};
    int code = search(&found, folder, DEPTH_CAP);
    if (code == EXIT_OK && found.count == 0)
        code = complain(EXIT_INPUT, "%s: there is no sound file in this folder", folder);
    if (code == EXIT_OK) qsort(found.paths, found.count, sizeof *found.paths, by_name);
    for (size_t i = 0; i < found.count && code == EXIT_OK; i++) code = add(list, found.paths[i]);
    inputs_free(&found);
    return code;
}

static int add_name(input_list *list, const char *name) {
    return is_folder(name) ? add_folder(list, name) : add(list, name);
}

/* A quoted pattern: the shell left it to us. */
static int add_pattern(input_list *list, const char *pattern) {
    glob_t g;
    const int fault = glob(pattern, 0, NULL, &g);
    if (fault == GLOB_NOMATCH)
        return complain(EXIT_INPUT, "%s: no file has such a name, and none matches it", pattern);
    if (fault != 0) return complain(EXIT_FAILED, "%s: the pattern cannot be followed", pattern);
    int code = EXIT_OK;
    for (size_t i = 0; i < g.gl_pathc && code == EXIT_OK; i++) code = add_name(list, g.gl_pathv[i]);
    globfree(&g);
    return code;
}

int inputs_add_list(input_list *list, const char *name, const char *text, size_t size) {
    size_t line = 0;
    const char *fault = NULL;
    for (size_t at = 0; at < size && fault == NULL;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - (text + at)) : size - at;
        const char *begin = text + at;
        char path[INPUT_PATH_CAP];
        at += length + 1;
        line++;
        if (length > 0 && begin[length - 1] == '\r') length--;
        const size_t mark = utf8_mark_size(begin, length); /* also where lists were joined */
        begin += mark;
        length -= mark;
        if (length == 0 || begin[0] == '#') continue;
        if (memchr(begin, '\0', length) != NULL)
            fault = "holds a NUL byte";
        else if (length >= sizeof path)
            fault = "is too long for a file name";
        if (fault != NULL) break;
        memcpy(path, begin, length);
        path[length] = '\0';
        const int code = add_name(list, path);
        if (code != EXIT_OK) return code;
    }
    if (fault == NULL) return EXIT_OK;
    return complain(EXIT_INPUT, "%s: line %zu %s; give one file name a line", name, line, fault);
}

/* Reads the whole list. NULL after a complaint. */
static char *read_list(const char *path, size_t *size) {
    errno = 0;
    FILE *f = fopen(path, "rb");
    char *text = f != NULL ? read_to_end(f, LIST_SIZE_CAP, size) : NULL;
    const char *fault = NULL;
    if (f == NULL || ferror(f) != 0)
        fault = errno != 0 ? strerror(errno) : "a read failed";
    else if (text == NULL)
        fault = "it is too large for the memory";
    if (f != NULL) (void)fclose(f);
    if (fault == NULL) return text;
    (void)complain(EXIT_INPUT, "%s: the list cannot be read: %s", path, fault);
    free(text);
    return NULL;
}

static int add_list_file(input_list *list, const char *path) {
    size_t size;
    source_note(path);
    char *text = read_list(path, &size);
    if (text == NULL) return EXIT_INPUT;
    const int code = inputs_add_list(list, path, text, size);
    free(text);
    return code;
}

static int add_argument(input_list *list, const char *argument) {
    struct stat st;
    if (*argument == '\0') return complain(EXIT_INPUT, "an input has an empty name");
    if (argument[0] == '@' && argument[1] != '\0') return add_list_file(list, argument + 1);
    if (strpbrk(argument, "*?[") != NULL && lstat(argument, &st) != 0)
        return add_pattern(list, argument);
    return add_name(list, argument);
}

int inputs_gather(input_list *list, char *const *arguments, int argument_count,
                  const char *list_file) {
    *list = (input_list){0};
    int code = list_file != NULL ? add_list_file(list, list_file) : EXIT_OK;
    for (int i = 0; i < argument_count && code == EXIT_OK; i++)
        code = add_argument(list, arguments[i]);
    if (code != EXIT_OK) inputs_free(list);
    return code;
}

const char *input_stem(const char *path, size_t *size) {
    if (strcmp(path, "-") == 0) path = "stdin";
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    *size = dot != NULL && dot != name ? (size_t)(dot - name) : strlen(name);
    return name;
}

char *input_folder(const char *path, const char *folder) {
    if (folder != NULL) return strdup(folder);
    const char *slash = strrchr(path, '/');
    if (slash == NULL || strcmp(path, "-") == 0) return strdup("");
    return strndup(path, (size_t)(slash + 1 - path));
}

/* What an output is called but for its suffix. */
typedef struct output_name {
    char *folder;
    const char *stem;
    size_t stem_size, index;
} output_name;

static int compare_names(const output_name *x, const output_name *y) {
    int order = strcmp(x->folder, y->folder);
    if (order != 0) return order;
    order = memcmp(x->stem, y->stem, x->stem_size < y->stem_size ? x->stem_size : y->stem_size);
    return order != 0 ? order : (x->stem_size > y->stem_size) - (x->stem_size < y->stem_size);
}

static int by_output(const void *a, const void *b) {
    const output_name *x = a, *y = b;
    const int order = compare_names(x, y);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

bool inputs_first_of_name(const input_list *list, const char *folder, size_t *first) {
    output_name *names = calloc(list->count + 1, sizeof *names);
    bool memory = names != NULL;
    for (size_t i = 0; i < list->count && memory; i++) {
        names[i].folder = input_folder(list->paths[i], folder);
        names[i].stem = input_stem(list->paths[i], &names[i].stem_size);
        names[i].index = i;
        memory = names[i].folder != NULL;
    }
    if (memory) qsort(names, list->count, sizeof *names, by_output);
    for (size_t i = 0, at = 0; i < list->count && memory; i++) {
        if (compare_names(&names[at], &names[i]) != 0) at = i;
        first[names[i].index] = names[at].index;
    }
    for (size_t i = 0; names != NULL && i < list->count; i++) free(names[i].folder);
    free(names);
    return memory;
}

int inputs_sound_config(const options *o, sound_config *config) {
    *config = sound_config_default();
    config->per_channel = o->per_channel;
    if (o->channel > 0) config->channel = o->channel;
    if (o->track > 0) config->track = o->track;
    config->raw = o->raw_rate > 0 || o->raw_channels > 0 || o->raw_format != NULL;
    if (o->raw_rate > 0) config->raw_rate = o->raw_rate;
    if (o->raw_channels > 0) config->raw_channels = o->raw_channels;
    if (o->per_channel && o->channel > 0)
        return complain(EXIT_USAGE, "--channel: --per-channel hears all of them; give one of the "
                                    "two");
    if (o->raw_format != NULL && !sound_raw_format_named(o->raw_format, &config->raw_format))
        return complain(EXIT_USAGE, "--raw-format: '%s' is not s16le, s32le or f32le",
                        o->raw_format);
    return EXIT_OK;
}

int inputs_tell_faults(const char *path, const sound_faults *faults) {
    enum { TOLD = 8 };
    char text[RNL_ERROR_TEXT_CAP];
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    for (int i = 0; sound_faults_text(faults, name, i, text, sizeof text); i++) {
        const bool is_place = i < faults->place_count, is_last = i == faults->place_count - 1;
        if (is_place && i >= TOLD && !is_last) continue;
        (void)complain(EXIT_INPUT, "%s", text);
    }
    if (faults->place_count > TOLD + 1)
        (void)complain(EXIT_INPUT, "%s: %d more places are damaged", name,
                       faults->place_count - TOLD - 1);
    return faults->place_count > 0 ? EXIT_INPUT : EXIT_OK;
}
