#include "learn/dataset.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash_table.h"
#include "core/mapped.h"
#include "core/random.h"
#include "core/status.h"

enum { OPEN_ROWS = 8, SAMPLE_CAP = 1 << 24, LINES_A_THREAD = 8 };

/* ---- Reading ---- */

static bool append(learn_dataset *d, const learn_sample *s) {
    if (d->count == d->cap) {
        const int cap = d->cap > 0 ? 2 * d->cap : 256;
        learn_sample *samples =
            cap <= SAMPLE_CAP ? realloc(d->samples, (size_t)cap * sizeof *samples) : NULL;
        if (samples == NULL) return false;
        d->samples = samples;
        d->cap = cap;
    }
    d->samples[d->count++] = *s;
    d->position_count += s->count;
    d->label_count += s->text_count + s->label_frame_count;
    return true;
}

static bool is_blank(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (strchr(" \t\r", text[i]) == NULL || text[i] == '\0') return false;
    return true;
}

/* What came of a line; the sample is d's, or freed. */
static rnl_status add_line(learn_dataset *d, const char *path, learn_line *line, rnl_error *error) {
    if (line->status != RNL_OK) {
        *error = line->error;
        return line->status;
    }
    learn_sample *s = &line->sample;
    d->line_count++;
    d->cut_count += line->is_cut;
    d->hash = hash_bytes(d->hash == 0 ? HASH_START : d->hash, &s->hash, sizeof s->hash);
    const bool teaches = s->text_count + s->label_frame_count > 0;
    d->empty_count += !teaches;
    if (teaches && append(d, s)) return RNL_OK;
    learn_sample_free(s);
    return teaches ? status_fail(error, RNL_ERR_MEMORY, "%s, line %ld: memory is exhausted", path,
                                 line->number)
                   : RNL_OK;
}

/* All of them up to the first that cannot be read. */
static rnl_status add_lines(learn_dataset *d, learn_readers *r, const char *path, learn_line *lines,
                            int count, rnl_error *error) {
    rnl_status status = RNL_OK;
    learn_readers_take(r, path, lines, count);
    for (int i = 0; i < count; i++) {
        if (status == RNL_OK)
            status = add_line(d, path, &lines[i], error);
        else
            learn_sample_free(&lines[i].sample);
    }
    return status;
}

/* A file's text that is read line by line. */
typedef struct reading {
    const char *text; /* [size] */
    size_t size, at;
    long number; /* lines before `at` */
} reading;

/* The next lines [at most `most`] that are not blank; returns how many. */
static int next_lines(reading *x, learn_line *lines, int most) {
    int count = 0;
    while (x->at < x->size && count < most) {
        const char *begin = x->text + x->at;
        const char *newline = memchr(begin, '\n', x->size - x->at);
        const size_t size = newline != NULL ? (size_t)(newline - begin) : x->size - x->at;
        x->number++;
        x->at += size + 1;
        if (!is_blank(begin, size))
            lines[count++] = (learn_line){.text = begin, .size = size, .number = x->number};
    }
    return count;
}

static rnl_status take_lines(learn_dataset *d, learn_readers *r, const char *path, const char *text,
                             size_t size, rnl_error *error) {
    const learn_reading *how = learn_readers_how(r);
    const int most = LINES_A_THREAD * how->thread_count;
    learn_line *lines = calloc((size_t)most, sizeof *lines);
    if (lines == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    reading x = {.text = text, .size = size};
    rnl_status status = RNL_OK;
    while (x.at < size && status == RNL_OK) {
        if (how->goes_on != NULL && !how->goes_on(how->context, (double)x.at / (double)size))
            status =
                status_fail(error, RNL_ERR_STATE, "%s: stopped behind line %ld", path, x.number);
        else
            status = add_lines(d, r, path, lines, next_lines(&x, lines, most), error);
    }
    free(lines);
    return status;
}

rnl_status learn_dataset_read(learn_dataset *d, learn_readers *r, const char *path,
                              rnl_error *error) {
    mapped file;
    rnl_status status = mapped_open(path, &file, error);
    if (status != RNL_OK) return status;
    status = take_lines(d, r, path, (const char *)file.data, file.size, error);
    mapped_close(&file);
    return status;
}

bool learn_dataset_hold(learn_dataset *d, double share, learn_dataset *held) {
    int kept = 0;
    const learn_dataset before = *d;
    for (int i = 0; i < d->count; i++) {
        const bool goes = (double)(d->samples[i].hash >> 40) < share * (double)(1 << 24);
        if (goes && !append(held, &d->samples[i])) {
            free(held->samples); /* the samples are still d's: none has been overwritten */
            *held = (learn_dataset){0};
            *d = before;
            return false;
        }
    }
    d->position_count = d->label_count = 0;
    for (int i = 0; i < d->count; i++) {
        const learn_sample *s = &d->samples[i];
        if ((double)(s->hash >> 40) < share * (double)(1 << 24)) continue;
        d->position_count += s->count;
        d->label_count += s->text_count + s->label_frame_count;
        d->samples[kept++] = *s;
    }
    d->count = kept;
    return true;
}

void learn_dataset_free(learn_dataset *d) {
    for (int i = 0; i < d->count; i++) learn_sample_free(&d->samples[i]);
    free(d->samples);
    *d = (learn_dataset){0};
}

/* ---- Packing ---- */

/* Fisher-Yates. */
static void shuffle(int *order, int count, uint64_t seed) {
    random_state r;
    random_seed(&r, seed);
    for (int i = count - 1; i > 0; i--) {
        const int at = (int)(random_unit(&r) * (i + 1));
        const int other = order[at];
        order[at] = order[i];
        order[i] = other;
    }
}

/* The row that each sample goes to, in the order of rows' closing; returns the number of rows. */
static int place(const learn_dataset *d, const int *order, int length, int *row_of) {
    struct {
        int row, used;
    } open[OPEN_ROWS];
    int open_count = 0, row_count = 0;
    for (int i = 0; i < d->count; i++) {
        const int size = d->samples[order[i]].count;
        int at = 0;
        assert(size <= length);
        while (at < open_count && open[at].used + size > length) at++;
        if (at == OPEN_ROWS) { /* the oldest is as full as it gets */
            memmove(open, open + 1, sizeof open - sizeof *open);
            at = open_count = OPEN_ROWS - 1;
        }
        if (at == open_count) {
            open[open_count].row = row_count++;
            open[open_count++].used = 0;
        }
        open[at].used += size;
        row_of[i] = open[at].row;
    }
    return row_count;
}

bool learn_epoch_make(const learn_dataset *d, int length, bool shuffled, uint64_t seed,
                      learn_epoch *out) {
    const size_t count = (size_t)d->count;
    int *order = malloc((count + 1) * sizeof *order), *row_of = malloc((count + 1) * sizeof *order);
    *out = (learn_epoch){.order = malloc((count + 1) * sizeof *order),
                         .begin = calloc(count + 2, sizeof *order)};
    const bool made = order != NULL && row_of != NULL && out->order != NULL && out->begin != NULL;
    if (made) {
        for (int i = 0; i < d->count; i++) order[i] = i;
        if (shuffled) shuffle(order, d->count, seed);
        out->row_count = place(d, order, length, row_of);
        for (int i = 0; i < d->count; i++) out->begin[row_of[i] + 1]++;
        for (int r = 0; r < out->row_count; r++) out->begin[r + 1] += out->begin[r];
        for (int i = 0; i < d->count; i++) out->order[out->begin[row_of[i]]++] = order[i];
        for (int r = out->row_count; r > 0; r--) out->begin[r] = out->begin[r - 1];
        out->begin[0] = 0;
    }
    free(order);
    free(row_of);
    if (!made) learn_epoch_free(out);
    return made;
}

void learn_epoch_free(learn_epoch *e) {
    free(e->order);
    free(e->begin);
    *e = (learn_epoch){0};
}

/* ---- Micro batches ---- */

bool learn_gathered_make(learn_gathered *g, int length) {
    const size_t n = (size_t)length;
    *g = (learn_gathered){.length = length};
    g->begin = malloc((n + 1) * sizeof *g->begin);
    g->text_at = malloc(n * sizeof *g->text_at);
    g->frame_at = malloc(n * sizeof *g->frame_at);
    g->frame_of = malloc(n * sizeof *g->frame_of);
    g->ids = malloc(n * sizeof *g->ids);
    g->text_ids = malloc(n * sizeof *g->text_ids);
    if (g->begin != NULL && g->text_at != NULL && g->frame_at != NULL && g->frame_of != NULL &&
        g->ids != NULL && g->text_ids != NULL)
        return true;
    learn_gathered_free(g);
    return false;
}

void learn_gathered_free(learn_gathered *g) {
    free(g->begin);
    free(g->text_at);
    free(g->frame_at);
    free(g->frame_of);
    free(g->ids);
    free(g->text_ids);
    free(g->heard);
    free(g->frames);
    *g = (learn_gathered){0};
}

static bool make_room(learn_gathered *g, size_t heard, size_t frames) {
    if (heard > g->heard_cap) {
        float *more = realloc(g->heard, heard * sizeof *more);
        if (more == NULL) return false;
        g->heard = more;
        g->heard_cap = heard;
    }
    if (frames > g->frame_cap) {
        int32_t *more = realloc(g->frames, frames * sizeof *more);
        if (more == NULL) return false;
        g->frames = more;
        g->frame_cap = frames;
    }
    return true;
}

/* One sample behind the others. */
static void put_sample(learn_gathered *g, const learn_sample *s, size_t width, size_t books) {
    learn_batch *b = &g->b;
    const int first = b->rows.count;
    int frame = b->frame_count;
    if (s->heard_count > 0)
        memcpy(g->heard + (size_t)b->heard_count * width, s->heard,
               (size_t)s->heard_count * width * sizeof *g->heard);
    if (s->frame_count > 0)
        memcpy(g->frames + (size_t)b->frame_count * books, s->frames,
               (size_t)s->frame_count * books * sizeof *g->frames);
    for (int t = 0; t < s->count; t++) {
        g->ids[first + t] = s->ids[t];
        if (s->learnt[t] && s->ids[t] >= 0) {
            g->text_at[b->text_count] = first + t - 1;
            g->text_ids[b->text_count++] = s->ids[t];
        } else if (s->learnt[t]) {
            g->frame_at[b->label_frame_count] = first + t - 1;
            g->frame_of[b->label_frame_count++] = frame;
        }
        frame += s->ids[t] == LEARN_ROW_FRAME;
    }
    b->heard_count += s->heard_count;
    b->frame_count += s->frame_count;
    b->rows.count += s->count;
    g->begin[++b->rows.run_count] = b->rows.count;
}

bool learn_gather(learn_gathered *g, const learn_dataset *d, const learn_epoch *e, int row,
                  int width, int books) {
    size_t heard = 0, frames = 0;
    for (int i = e->begin[row]; i < e->begin[row + 1]; i++) {
        heard += (size_t)d->samples[e->order[i]].heard_count * (size_t)width;
        frames += (size_t)d->samples[e->order[i]].frame_count * (size_t)books;
    }
    if (!make_room(g, heard, frames)) return false;
    g->b = (learn_batch){0};
    g->begin[0] = 0;
    for (int i = e->begin[row]; i < e->begin[row + 1]; i++)
        put_sample(g, &d->samples[e->order[i]], (size_t)width, (size_t)books);
    g->b.rows.begin = g->begin;
    g->b.ids = g->ids;
    g->b.heard = g->heard;
    g->b.frames = g->frames;
    g->b.text_at = g->text_at;
    g->b.text_ids = g->text_ids;
    g->b.frame_at = g->frame_at;
    g->b.frame_of = g->frame_of;
    return true;
}
