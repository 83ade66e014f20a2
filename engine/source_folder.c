/* What a folder stands for, before anything in it is read:
 *
 *     config.json and weights beside it     a Hugging Face checkpoint
 *     one main GGUF file                    that file: a folder into which a GGUF repository was
 *                                           downloaded
 *     refs/ and snapshots/                  models--A--B of Hugging Face's cache: the snapshot that
 *                                           refs/main names, or the only one; then as above */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "core/status.h"
#include "engine/source.h"

enum { NAME_CAP = 256, RIVAL_CAP = 8, LIST_CAP = 512 };

bool source_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool is_file(const char *folder, const char *name) {
    char path[SOURCE_PATH_CAP];
    struct stat info;
    return (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path &&
           stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* The entries of a folder that a test likes: how many, and the first few, in order. */
typedef struct found {
    char names[RIVAL_CAP][NAME_CAP];
    size_t count;
} found;

static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

static void find(const char *folder, bool (*likes)(const char *name), found *f) {
    *f = (found){0};
    DIR *d = opendir(folder);
    if (d == NULL) return;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strlen(e->d_name) >= NAME_CAP || !likes(e->d_name)) continue;
        if (f->count < RIVAL_CAP) (void)strcpy(f->names[f->count], e->d_name);
        f->count++;
    }
    closedir(d);
    qsort(f->names, f->count < RIVAL_CAP ? f->count : RIVAL_CAP, NAME_CAP, by_text);
}

static void list(const found *f, char text[LIST_CAP]) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < f->count && i < RIVAL_CAP && used < LIST_CAP; i++)
        used +=
            (size_t)snprintf(text + used, LIST_CAP - used, "%s%s", i > 0 ? ", " : "", f->names[i]);
    if (f->count > RIVAL_CAP && used < LIST_CAP)
        (void)snprintf(text + used, LIST_CAP - used, ", ...");
}

static bool is_visible(const char *name) {
    return name[0] != '.';
}

/* A GGUF file that is no part of a set, and of a split file the first part only. */
static bool is_main_gguf(const char *name) {
    const char *const roles[] = {"mmproj-", "vocoder-", "tokenizer-", "audiodecoder-"};
    const size_t size = strlen(name);
    int number = 1, count;
    if (size < 6 || strcasecmp(name + size - 5, ".gguf") != 0) return false;
    if (gguf_split_stem(name, &number, &count) > 0 && number != 1) return false;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        for (const char *at = strstr(name, roles[i]); at != NULL; at = strstr(at + 1, roles[i]))
            if (at == name || strchr("-_.", at[-1]) != NULL) return false;
    return true;
}

static bool is_shard(const char *name) {
    return strncmp(name, "model", 5) == 0 && strstr(name, ".safetensors") != NULL;
}

/* "models--A--B/snapshots/SHA" and the name of the snapshot; RNL_ERR_IO says what is missing. */
static rnl_status enter_snapshot(char path[SOURCE_PATH_CAP], rnl_error *error) {
    char inner[SOURCE_PATH_CAP], revision[NAME_CAP] = "";
    (void)snprintf(inner, sizeof inner, "%.4000s/refs/main", path);
    FILE *f = fopen(inner, "rb");
    if (f != NULL) {
        const size_t size = fread(revision, 1, sizeof revision - 1, f);
        revision[size] = '\0';
        revision[strcspn(revision, " \r\n")] = '\0';
        (void)fclose(f);
    }
    (void)snprintf(inner, sizeof inner, "%.4000s/snapshots", path);
    if (revision[0] == '\0' || revision[0] == '.' || strchr(revision, '/') != NULL) {
        found all;
        find(inner, is_visible, &all);
        if (all.count != 1)
            return status_fail(error, RNL_ERR_IO,
                               "%s: refs/main is missing, and snapshots/ holds %zu revisions; name "
                               "one of them",
                               path, all.count);
        (void)strcpy(revision, all.names[0]);
    }
    char snapshot[SOURCE_PATH_CAP];
    if ((size_t)snprintf(snapshot, sizeof snapshot, "%.3700s/snapshots/%s", path, revision) >=
            sizeof snapshot ||
        !source_is_folder(snapshot))
        return status_fail(error, RNL_ERR_IO,
                           "%s: the snapshot %s that refs/main names is not there; complete the "
                           "download",
                           path, revision);
    (void)strcpy(path, snapshot);
    return RNL_OK;
}

static rnl_status choose_gguf(char path[SOURCE_PATH_CAP], const found *mains, rnl_error *error) {
    char names[LIST_CAP];
    list(mains, names);
    if (mains->count > 1)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "%s: there are %zu models in it; name one of %s", path, mains->count,
                           names);
    const size_t size = strlen(path);
    if ((size_t)snprintf(path + size, SOURCE_PATH_CAP - size, "/%s", mains->names[0]) >=
        SOURCE_PATH_CAP - size)
        return status_fail(error, RNL_ERR_ARGUMENT, "%s: the path is too long", path);
    return RNL_OK;
}

rnl_status source_resolve(const char *name, char path[SOURCE_PATH_CAP], bool *folder,
                          rnl_error *error) {
    size_t size = strlen(name);
    while (size > 1 && name[size - 1] == '/') size--; /* no part of the model's name */
    *folder = false;
    if (size >= SOURCE_PATH_CAP)
        return status_fail(error, RNL_ERR_ARGUMENT, "the path of the model is too long");
    memcpy(path, name, size);
    path[size] = '\0';
    struct stat info;
    if (stat(path, &info) != 0)
        return status_fail(error, RNL_ERR_IO, "%s: there is no such model file or folder", path);
    if (!S_ISDIR(info.st_mode)) return RNL_OK;
    char inner[SOURCE_PATH_CAP];
    (void)snprintf(inner, sizeof inner, "%.4000s/snapshots", path);
    if (!is_file(path, "config.json") && source_is_folder(inner)) {
        const rnl_status status = enter_snapshot(path, error);
        if (status != RNL_OK) return status;
    }
    found mains, shards;
    find(path, is_main_gguf, &mains);
    find(path, is_shard, &shards);
    *folder = mains.count == 0 || (is_file(path, "config.json") && shards.count > 0);
    return *folder ? RNL_OK : choose_gguf(path, &mains, error);
}

/* The last folder of a path, and how long the path before it is. */
static const char *last_of(const char *path, size_t size, size_t *before) {
    size_t at = size;
    while (at > 0 && path[at - 1] != '/') at--;
    *before = at > 0 ? at - 1 : 0;
    return path + at;
}

/* The snapshot of a cache is called by its revision; its model by models--A--B, two above. */
void source_folder_name(const char *path, char *name, size_t cap) {
    const char *model = "models--", *folder = "snapshots/";
    size_t before, above, top;
    const char *own = last_of(path, strlen(path), &before);
    const char *middle = last_of(path, before, &above), *outer = last_of(path, above, &top);
    size_t size = strlen(own);
    if (strncmp(middle, folder, strlen(folder)) == 0 && strncmp(outer, model, strlen(model)) == 0) {
        const char *end = path + above;
        own = end;
        while (own > outer && strncmp(own - 2, "--", 2) != 0) own--;
        size = (size_t)(end - own);
    }
    (void)snprintf(name, cap, "%.*s", (int)(size < cap ? size : 0), own);
}
