#include "learn/readers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"
#include "core/status.h"

/* Each has the scratch of an encoder for the longest clip. */
enum { READERS_MAX = 8, PATH_CAP = 4096, PLACE_CAP = PATH_CAP + 32 };

struct learn_readers {
    learn_reading how;
    learn_reader *at[READERS_MAX]; /* one for each thread */
    pool *threads;
};

void learn_readers_destroy(learn_readers **out) {
    learn_readers *r = *out;
    if (r == NULL) return;
    for (int i = 0; i < READERS_MAX; i++) learn_reader_destroy(&r->at[i]);
    pool_destroy(&r->threads);
    free(r);
    *out = NULL;
}

rnl_status learn_readers_create(const rnl_model *m, const learn_reading *how, learn_readers **out,
                                rnl_error *error) {
    const int count = how->thread_count < READERS_MAX ? how->thread_count : READERS_MAX;
    learn_readers *r = *out = calloc(1, sizeof *r);
    if (r == NULL || pool_create(count, &r->threads) != RNL_OK) {
        learn_readers_destroy(out);
        return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    }
    r->how = *how;
    learn_reading alone = *how;
    alone.thread_count = 1;
    rnl_status status = RNL_OK;
    for (int i = 0; i < count && status == RNL_OK; i++)
        status = learn_reader_create(m, &alone, &r->at[i], error);
    if (status != RNL_OK) learn_readers_destroy(out);
    return status;
}

const learn_reading *learn_readers_how(const learn_readers *r) {
    return &r->how;
}

typedef struct work {
    const learn_readers *r;
    const char *path;
    char folder[PATH_CAP];
    learn_line *lines;
} work;

static void take_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const work *w = context;
    char place[PLACE_CAP];
    for (int64_t i = begin; i < end; i++) {
        learn_line *line = &w->lines[i];
        (void)snprintf(place, sizeof place, "%s, line %ld", w->path, line->number);
        line->status = learn_reader_line(w->r->at[thread_index], place, w->folder, line->text,
                                         line->size, &line->sample, &line->is_cut, &line->error);
    }
}

void learn_readers_take(learn_readers *r, const char *path, learn_line *lines, int count) {
    work w = {.r = r, .path = path, .lines = lines};
    const char *slash = strrchr(path, '/');
    (void)snprintf(w.folder, sizeof w.folder, "%.*s", slash != NULL ? (int)(slash - path) : 0,
                   path);
    if (slash == path) (void)strcpy(w.folder, "/");
    pool_run(r->threads, count, 1, take_part, &w);
}
