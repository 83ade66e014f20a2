#include "apps/sources.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/hash_table.h"
#include "engine/model.h"

typedef struct file_id {
    dev_t device;
    ino_t inode;
} file_id;

static struct {
    pthread_mutex_t lock;
    hash_table table; /* of the list */
    file_id *list;
    size_t count, cap;
} noted = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t hash_of(const file_id *id) {
    const uint64_t parts[] = {(uint64_t)id->device, (uint64_t)id->inode};
    return hash_bytes(HASH_START, parts, sizeof parts);
}

static bool is_same(const void *list, size_t index, const void *key) {
    const file_id *a = (const file_id *)list + index, *b = key;
    return a->device == b->device && a->inode == b->inode;
}

static bool look(const char *path, file_id *id) {
    struct stat st;
    const bool input = strcmp(path, "-") == 0;
    if ((input ? fstat(STDIN_FILENO, &st) : stat(path, &st)) != 0 || !S_ISREG(st.st_mode))
        return false;
    *id = (file_id){.device = st.st_dev, .inode = st.st_ino};
    return true;
}

static bool is_noted(const file_id *id) {
    return hash_table_find(&noted.table, hash_of(id), is_same, noted.list, id) != HASH_NONE;
}

/* Under the lock. Without memory the work itself does not get far. */
static void add(const file_id *id) {
    if (is_noted(id)) return;
    if (noted.count == noted.cap) {
        const size_t cap = noted.cap == 0 ? 64 : 2 * noted.cap;
        file_id *grown = realloc(noted.list, cap * sizeof *grown);
        if (grown == NULL) return;
        noted.list = grown;
        noted.cap = cap;
    }
    noted.list[noted.count] = *id;
    if (hash_table_add(&noted.table, hash_of(id), noted.count)) noted.count++;
}

void source_note(const char *path) {
    file_id id;
    if (!look(path, &id)) return;
    (void)pthread_mutex_lock(&noted.lock);
    add(&id);
    (void)pthread_mutex_unlock(&noted.lock);
}

bool source_is(const char *path) {
    file_id id;
    if (strcmp(path, "-") == 0 || !look(path, &id)) return false;
    (void)pthread_mutex_lock(&noted.lock);
    const bool found = is_noted(&id);
    (void)pthread_mutex_unlock(&noted.lock);
    return found;
}

/* What a Hugging Face folder holds beside its weights. */
static void note_beside(const char *file) {
    static const char *const names[] = {"config.json", "tokenizer.json",
                                        "model.safetensors.index.json", "tokenizer_config.json",
                                        "generation_config.json"};
    const char *dot = strrchr(file, '.'), *slash = strrchr(file, '/');
    if (dot == NULL || strcmp(dot, ".safetensors") != 0) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[4096];
        const int folder = slash != NULL ? (int)(slash + 1 - file) : 0;
        if ((size_t)snprintf(path, sizeof path, "%.*s%s", folder, file, names[i]) < sizeof path)
            source_note(path);
    }
}

void sources_note_model(const rnl_model *model) {
    const weights *w = model->source.w;
    for (size_t i = 0; i < weights_file_count(w); i++) {
        source_note(weights_file(w, i));
        note_beside(weights_file(w, i));
    }
}
