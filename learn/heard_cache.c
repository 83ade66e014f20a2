#include "learn/heard_cache.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash_table.h"
#include "core/staged_file.h"
#include "kernels/quant.h"

enum { PATH_CAP = 4096, MARK_SIZE = 8, ROWS_MAX = 1 << 20 };

static const char mark[MARK_SIZE + 1] = "rnlrows1";

typedef struct head {
    char mark[MARK_SIZE];
    uint32_t rows, width;
} head;

struct learn_heard_cache {
    const char *folder;
    uint64_t encoder;
    int width;
    pthread_mutex_t writing; /* the same clip may stand in two lines */
};

static uint64_t hash_of_encoder(const rnl_model *m) {
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < weights_count(m->source.w); i++) {
        const tensor *t = weights_at(m->source.w, i);
        if (strncmp(t->name, "a.", 2) != 0 || t->data == NULL) continue;
        hash = hash_bytes(hash, t->name, strlen(t->name));
        hash = hash_bytes(hash, t->data, t->size);
    }
    return hash;
}

rnl_status learn_heard_open(const rnl_model *m, const char *folder, learn_heard_cache **out) {
    learn_heard_cache *c = calloc(1, sizeof *c);
    *out = NULL;
    if (c == NULL || pthread_mutex_init(&c->writing, NULL) != 0) {
        free(c);
        return RNL_ERR_MEMORY;
    }
    c->folder = folder;
    c->encoder = hash_of_encoder(m);
    c->width = m->source.config.has_encoder ? encoder_width(&m->encoder) : 0;
    *out = c;
    return RNL_OK;
}

void learn_heard_close(learn_heard_cache **c) {
    if (*c == NULL) return;
    (void)pthread_mutex_destroy(&(*c)->writing);
    free(*c);
    *c = NULL;
}

const char *learn_heard_folder(const learn_heard_cache *c) {
    return c->folder;
}

uint64_t learn_heard_hash(const learn_heard_cache *c, const float *samples, size_t count,
                          int rate) {
    const uint64_t hash = hash_bytes(c->encoder, &rate, sizeof rate);
    return hash_bytes(hash, samples, count * sizeof *samples);
}

static bool path_of(const learn_heard_cache *c, uint64_t hash, char path[PATH_CAP]) {
    return (size_t)snprintf(path, PATH_CAP, "%s/%016" PRIx64 ".rows", c->folder, hash) < PATH_CAP;
}

/* The values behind a head that fits. */
static float *read_rows(FILE *f, int width, int *row_count) {
    head h;
    if (fread(&h, sizeof h, 1, f) != 1 || memcmp(h.mark, mark, MARK_SIZE) != 0) return NULL;
    if (h.width != (uint32_t)width || h.rows < 1 || h.rows > ROWS_MAX) return NULL;
    const size_t count = (size_t)h.rows * (size_t)width;
    float *rows = malloc(count * sizeof *rows);
    uint16_t *halves = malloc(count * sizeof *halves);
    const bool whole = rows != NULL && halves != NULL &&
                       fread(halves, sizeof *halves, count, f) == count && fgetc(f) == EOF;
    for (size_t i = 0; i < count && whole; i++) rows[i] = quant_f16_to_f32(halves[i]);
    free(halves);
    *row_count = (int)h.rows;
    if (whole) return rows;
    free(rows);
    return NULL;
}

float *learn_heard_find(const learn_heard_cache *c, uint64_t hash, int *row_count) {
    char path[PATH_CAP];
    FILE *f = path_of(c, hash, path) ? fopen(path, "rb") : NULL;
    if (f == NULL) return NULL;
    float *rows = read_rows(f, c->width, row_count);
    (void)fclose(f);
    return rows;
}

static bool write_rows(FILE *f, int width, const float *rows, int row_count) {
    head h = {.rows = (uint32_t)row_count, .width = (uint32_t)width};
    memcpy(h.mark, mark, MARK_SIZE);
    bool written = f != NULL && fwrite(&h, sizeof h, 1, f) == 1;
    for (size_t i = 0; i < (size_t)row_count * (size_t)width && written; i++) {
        const uint16_t half = quant_f32_to_f16(rows[i]);
        written = fwrite(&half, sizeof half, 1, f) == 1;
    }
    return written && fflush(f) == 0;
}

static bool write_file(const char *path, int width, const float *rows, int row_count) {
    staged_file *file = NULL;
    if (staged_open(path, &file, NULL) != RNL_OK) return false;
    if (write_rows(staged_stream(file), width, rows, row_count))
        return staged_commit(&file, NULL) == RNL_OK;
    staged_abort(&file);
    return false;
}

bool learn_heard_keep(learn_heard_cache *c, uint64_t hash, float *rows, int row_count) {
    char path[PATH_CAP];
    for (size_t i = 0; i < (size_t)row_count * (size_t)c->width; i++)
        rows[i] = quant_f16_to_f32(quant_f32_to_f16(rows[i]));
    if (!path_of(c, hash, path)) return false;
    (void)pthread_mutex_lock(&c->writing);
    const bool kept = write_file(path, c->width, rows, row_count);
    (void)pthread_mutex_unlock(&c->writing);
    return kept;
}
