/* The canonical tensors of a model: a list in the order of adding, a hash over the names, and what
 * the set owns (mapped files, converted vectors), closed in reverse order. */
#include "core/weights.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/mapped.h"
#include "core/pool.h"
#include "core/status.h"
#include "core/hash_table.h"

enum { NAME_CAP = 512, SIDE_CAP = 1 << 24 /* rows or columns of a matrix */ };

typedef struct owned {
    void *object;
    void (*close)(void *object);
} owned;

typedef struct entry {
    tensor t;            /* t.name is ours */
    float *vector;       /* converted by load_vector, or NULL */
    packed_rows *packed; /* wanted by load_matrix, filled by weights_pack; or NULL */
    bool used;           /* a stage has loaded it, */
    bool stacked;        /* as a stack of matrices [count, rows, cols] */
} entry;

struct weights {
    entry *entries;
    size_t count, cap;
    hash_table names; /* of the entries */
    owned *owns;
    size_t own_count, own_cap;
    char **files; /* [file_count] see weights_file */
    size_t file_count;
    mapped slabs; /* of all packed matrices */
};

rnl_status weights_create(weights **out) {
    *out = calloc(1, sizeof **out);
    return *out != NULL ? RNL_OK : RNL_ERR_MEMORY;
}

void weights_destroy(weights **w) {
    weights *q = *w;
    if (q == NULL) return;
    *w = NULL;
    for (size_t i = q->own_count; i > 0; i--) q->owns[i - 1].close(q->owns[i - 1].object);
    for (size_t i = 0; i < q->count; i++) {
        free((char *)q->entries[i].t.name);
        free(q->entries[i].vector);
        free(q->entries[i].packed);
    }
    for (size_t i = 0; i < q->file_count; i++) free(q->files[i]);
    free(q->files);
    mapped_close(&q->slabs);
    free(q->entries);
    hash_table_free(&q->names);
    free(q->owns);
    free(q);
}

rnl_status weights_own(weights *w, void *object, void (*close)(void *object)) {
    if (w->own_count == w->own_cap) {
        const size_t cap = w->own_cap == 0 ? 16 : 2 * w->own_cap;
        owned *grown = realloc(w->owns, cap * sizeof *grown);
        if (grown == NULL) {
            close(object);
            return RNL_ERR_MEMORY;
        }
        w->owns = grown;
        w->own_cap = cap;
    }
    w->owns[w->own_count++] = (owned){object, close};
    return RNL_OK;
}

static uint64_t hash_of(const char *name) {
    return hash_bytes(HASH_START, name, strlen(name));
}

static bool has_name(const void *entries, size_t index, const void *name) {
    return strcmp(((const entry *)entries)[index].t.name, name) == 0;
}

static entry *find(const weights *w, const char *name) {
    const size_t at = hash_table_find(&w->names, hash_of(name), has_name, w->entries, name);
    return at != HASH_NONE ? &w->entries[at] : NULL;
}

static bool grow(weights *w) {
    const size_t cap = w->cap == 0 ? 256 : 2 * w->cap;
    entry *entries = realloc(w->entries, cap * sizeof *entries);
    if (entries == NULL) return false;
    w->entries = entries;
    w->cap = cap;
    return true;
}

static bool note_file(weights *w, const char *file) {
    if (w->file_count > 0 && strcmp(w->files[w->file_count - 1], file) == 0) return true;
    char **grown = realloc(w->files, (w->file_count + 1) * sizeof *grown);
    if (grown == NULL) return false;
    w->files = grown;
    grown[w->file_count] = strdup(file);
    if (grown[w->file_count] == NULL) return false;
    w->file_count++;
    return true;
}

rnl_status weights_add(weights *w, const tensor *t, const char *file, rnl_error *error) {
    if (find(w, t->name) != NULL)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: tensor '%s' is there twice; the files do not belong together", file,
                           t->name);
    char *name = strdup(t->name);
    if (name == NULL || !note_file(w, file) || (w->count == w->cap && !grow(w)) ||
        !hash_table_add(&w->names, hash_of(name), w->count)) {
        free(name);
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", file);
    }
    entry *e = &w->entries[w->count++];
    *e = (entry){.t = *t};
    e->t.name = name;
    return RNL_OK;
}

const tensor *weights_find(const weights *w, const char *name) {
    const entry *e = find(w, name);
    return e != NULL ? &e->t : NULL;
}

size_t weights_index(const weights *w, const char *name) {
    const entry *e = find(w, name);
    return e != NULL ? (size_t)(e - w->entries) : w->count;
}

size_t weights_count(const weights *w) {
    return w->count;
}

const tensor *weights_at(const weights *w, size_t index) {
    return &w->entries[index].t;
}

bool weights_is_used(const weights *w, size_t index) {
    return w->entries[index].used;
}

bool weights_is_stack(const weights *w, size_t index) {
    return w->entries[index].stacked;
}

size_t weights_file_count(const weights *w) {
    return w->file_count;
}

const char *weights_file(const weights *w, size_t index) {
    return w->files[index];
}

/* ---- Loading ---- */

#define FULL_NAME(l, format, name)                                                                 \
    do {                                                                                           \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        full_name(l, format, arguments, name);                                                     \
        va_end(arguments);                                                                         \
    } while (0)

static void full_name(const loader *l, const char *format, va_list arguments, char *name) {
    const int used = snprintf(name, NAME_CAP, "%s", l->prefix);
    (void)vsnprintf(name + used, NAME_CAP - (size_t)used, format, arguments);
}

static void fail(loader *l, rnl_status status, const char *name, const char *what) {
    l->status = status_fail(l->error, status, "%s: tensor '%s' %s", l->file, name, what);
}

static void shape_text(const tensor *t, char *text, size_t cap) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < t->rank && used < cap; i++)
        used += (size_t)snprintf(text + used, cap - used, "%s%lld", i > 0 ? " x " : "",
                                 (long long)t->shape[i]);
}

static int64_t element_count(const tensor *t) {
    int64_t count = 1; /* the file's reader has checked the product */
    for (int i = 0; i < t->rank; i++) count *= t->shape[i];
    return count;
}

static bool is_readable(loader *l, const tensor *t) {
    char what[192];
    if (t->foreign != NULL) {
        (void)snprintf(what, sizeof what,
                       "is %.96s, which Runnel reads no weights from; take the model in BF16, F16 "
                       "or F32",
                       t->foreign);
        fail(l, RNL_ERR_UNSUPPORTED, t->name, what);
        return false;
    }
    if (quant_describe((uint32_t)t->type)->is_weight) return true;
    (void)snprintf(what, sizeof what, "is of type %s, which holds no weights; the file is damaged",
                   quant_describe((uint32_t)t->type)->name);
    fail(l, RNL_ERR_FORMAT, t->name, what);
    return false;
}

static const float *as_vector(loader *l, entry *e, int64_t count) {
    const tensor *t = &e->t;
    if (!is_readable(l, t)) return NULL;
    if (t->data == NULL) {
        fail(l, RNL_ERR_FORMAT, t->name, "is packed, which only matrices are; the file is damaged");
        return NULL;
    }
    if (element_count(t) != count) {
        char shape[96], what[192];
        shape_text(t, shape, sizeof shape);
        (void)snprintf(what, sizeof what,
                       "has shape %s, but %lld values are expected; the file is "
                       "damaged or of another model",
                       shape, (long long)count);
        fail(l, RNL_ERR_FORMAT, t->name, what);
        return NULL;
    }
    if (t->type == QUANT_F32 && (uintptr_t)t->data % sizeof(float) == 0)
        return (const float *)(const void *)t->data;
    if (e->vector != NULL) return e->vector;
    const quant_info *info = quant_describe((uint32_t)t->type);
    if (count % info->block_len != 0) {
        fail(l, RNL_ERR_FORMAT, t->name, "is no whole number of blocks; the file is damaged");
        return NULL;
    }
    e->vector = malloc((size_t)count * sizeof *e->vector);
    if (e->vector == NULL) {
        fail(l, RNL_ERR_MEMORY, t->name, "does not fit into memory");
        return NULL;
    }
    quant_dequantise(t->type, t->data, e->vector, count);
    return e->vector;
}

static const float *vector(loader *l, int64_t count, const char *name, bool required) {
    if (l->status != RNL_OK) return NULL;
    entry *e = find(l->w, name);
    if (e != NULL && !l->aside) e->used = true;
    if (e != NULL) return as_vector(l, e, count);
    if (required)
        fail(l, RNL_ERR_FORMAT, name, "is missing; the file is incomplete or of another model");
    return NULL;
}

const float *load_vector(loader *l, int64_t count, const char *format, ...) {
    char name[NAME_CAP];
    FULL_NAME(l, format, name);
    return vector(l, count, name, true);
}

const float *load_vector_if(loader *l, int64_t count, const char *format, ...) {
    char name[NAME_CAP];
    FULL_NAME(l, format, name);
    return vector(l, count, name, false);
}

bool load_has(const loader *l, const char *format, ...) {
    char name[NAME_CAP];
    FULL_NAME(l, format, name);
    return find(l->w, name) != NULL;
}

/* [rows, cols], with any further dimensions of one element. */
static bool matrix_shape(const tensor *t, int64_t *rows, int64_t *cols) {
    *rows = t->rank > 0 ? t->shape[0] : 1;
    *cols = t->rank > 1 ? t->shape[1] : 1;
    for (int i = 2; i < t->rank; i++)
        if (t->shape[i] != 1) return false;
    return *rows >= 1 && *cols >= 1 && *rows <= SIDE_CAP && *cols <= SIDE_CAP;
}

/* count 0: one matrix. */
static void wrong_shape(loader *l, const tensor *t, int64_t count, int64_t row_count,
                        int64_t col_count) {
    char shape[96], stack[32] = "", rows[32] = "any", cols[32] = "any", what[320];
    shape_text(t, shape, sizeof shape);
    if (count > 0) (void)snprintf(stack, sizeof stack, "%lld x ", (long long)count);
    if (row_count > 0) (void)snprintf(rows, sizeof rows, "%lld", (long long)row_count);
    if (col_count > 0) (void)snprintf(cols, sizeof cols, "%lld", (long long)col_count);
    (void)snprintf(
        what, sizeof what,
        "has shape %s, but %s%s x %s is expected; the file is damaged or of another model", shape,
        stack, rows, cols);
    fail(l, RNL_ERR_FORMAT, t->name, what);
}

/* Remembers that a matrix has slabs; where they lie is settled in weights_pack, unless the file
 * holds them. */
static void want_packed(loader *l, const char *name, matrix *m) {
    entry *e = find(l->w, name);
    if (packed_describe(m->type)->low_bits == 0) return;
    if (e->packed == NULL) {
        e->packed = calloc(1, sizeof *e->packed);
        if (e->packed == NULL) {
            fail(l, RNL_ERR_MEMORY, name, "does not fit into memory");
            return;
        }
        e->packed->slabs = e->t.slabs;
        e->packed->slab_size = packed_slab_size(m->type, m->col_count);
    }
    m->packed = e->packed;
}

/* The entry of a matrix or a stack of some, in use from here on; NULL after a failure. */
static entry *find_readable(loader *l, const char *name) {
    if (l->status != RNL_OK) return NULL;
    entry *e = find(l->w, name);
    if (e == NULL) {
        fail(l, RNL_ERR_FORMAT, name, "is missing; the file is incomplete or of another model");
        return NULL;
    }
    if (!is_readable(l, &e->t)) return NULL;
    e->used = true;
    return e;
}

/* A matrix of that shape as it lies in the file; of a stack the first one. */
static matrix matrix_of(loader *l, const entry *e, int64_t rows, int64_t cols, bool pack) {
    const matrix none = {0};
    const tensor *t = &e->t;
    const char *name = t->name;
    const quant_info *info = quant_describe((uint32_t)t->type);
    if (cols % info->block_len != 0) {
        fail(l, RNL_ERR_FORMAT, name, "has rows of no whole number of blocks; the file is damaged");
        return none;
    }
    matrix m = {.data = t->data,
                .type = t->type,
                .row_count = rows,
                .col_count = cols,
                .row_size = (size_t)cols / info->block_len * info->block_size};
    if (t->slabs != NULL || pack) want_packed(l, name, &m);
    return l->status == RNL_OK ? m : none;
}

static matrix find_matrix(loader *l, const char *name, int64_t row_count, int64_t col_count,
                          bool pack) {
    const matrix none = {0};
    entry *e = find_readable(l, name);
    if (e == NULL) return none;
    int64_t rows, cols;
    if (!matrix_shape(&e->t, &rows, &cols) || (row_count > 0 && rows != row_count) ||
        (col_count > 0 && cols != col_count)) {
        wrong_shape(l, &e->t, 0, row_count, col_count);
        return none;
    }
    matrix m = matrix_of(l, e, rows, cols, pack);
    m.tensor = (size_t)(e - l->w->entries) + 1;
    return m;
}

matrix load_matrix(loader *l, int64_t row_count, int64_t col_count, const char *format, ...) {
    char name[NAME_CAP];
    FULL_NAME(l, format, name);
    return find_matrix(l, name, row_count, col_count, l->pack);
}

matrix load_table(loader *l, int64_t row_count, int64_t col_count, const char *format, ...) {
    char name[NAME_CAP];
    FULL_NAME(l, format, name);
    return find_matrix(l, name, row_count, col_count, false);
}

/* Slabs of a matrix: each of a stack begins with one of its own. */
static int64_t slabs_of_rows(int64_t rows) {
    return (rows + PACKED_ROWS - 1) / PACKED_ROWS;
}

const matrix *load_matrices(loader *l, int64_t count, int64_t row_count, int64_t col_count,
                            const char *format, ...) {
    char name[NAME_CAP];
    FULL_NAME(l, format, name);
    entry *e = find_readable(l, name);
    if (e == NULL) return NULL;
    const tensor *t = &e->t;
    if (t->rank != 3 || t->shape[0] != count || t->shape[1] != row_count ||
        t->shape[2] != col_count) {
        wrong_shape(l, t, count, row_count, col_count);
        return NULL;
    }
    e->stacked = true;
    const matrix first = matrix_of(l, e, row_count, col_count, l->pack);
    if (l->status != RNL_OK) return NULL;
    matrix *all = calloc((size_t)count, sizeof *all);
    if (all == NULL || weights_own(l->w, all, free) != RNL_OK) {
        fail(l, RNL_ERR_MEMORY, name, "does not fit into memory");
        return NULL;
    }
    for (int64_t i = 0; i < count; i++) {
        all[i] = first;
        if (t->data != NULL) all[i].data = tensor_member(t, i);
        all[i].slab = i * slabs_of_rows(row_count);
    }
    return all;
}

/* ---- Packing ---- */

static int64_t member_count_of(const entry *e) {
    return e->stacked ? e->t.shape[0] : 1;
}

static int64_t rows_of(const entry *e) {
    return e->stacked ? e->t.shape[1] : e->t.rank > 0 ? e->t.shape[0] : 1;
}

static int64_t slab_count_of(const entry *e) {
    return member_count_of(e) * slabs_of_rows(rows_of(e));
}

typedef struct pack_job {
    const entry *e;
    unsigned char *slabs;
} pack_job;

static void pack_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const pack_job *j = context;
    const tensor *t = &j->e->t;
    const int64_t rows = rows_of(j->e), per_member = slabs_of_rows(rows);
    const int64_t all_rows = rows * member_count_of(j->e);
    const int64_t cols = element_count(t) / all_rows;
    const size_t row_size = t->size / (size_t)all_rows;
    (void)thread_index;
    for (int64_t s = begin; s < end; s++) {
        const int64_t member = s / per_member, row = s % per_member * PACKED_ROWS;
        const int64_t count = rows - row < PACKED_ROWS ? rows - row : PACKED_ROWS;
        const unsigned char *data = j->e->stacked ? tensor_member(t, member) : t->data;
        packed_write(t->type, data + (size_t)row * row_size, row_size, count, cols,
                     j->slabs + (size_t)s * j->e->packed->slab_size);
    }
}

static void forget(const entry *e) {
    const tensor *t = &e->t;
    if (t->members == NULL) {
        mapped_forget(t->data, t->size);
        return;
    }
    const size_t size = t->size / (size_t)t->shape[0];
    for (int64_t i = 0; i < t->shape[0]; i++) mapped_forget(t->members[i], size);
}

rnl_status weights_pack(weights *w, pool *p, bool huge_pages,
                        void (*progress)(void *context, size_t done, size_t total), void *context) {
    size_t total = 0;
    for (size_t i = 0; i < w->count; i++) {
        const entry *e = &w->entries[i];
        size_t size;
        if (e->packed == NULL || e->t.slabs != NULL) continue;
        if (!checked_mul((size_t)slab_count_of(e), e->packed->slab_size, &size) ||
            !checked_add(total, size, &total))
            return RNL_ERR_MEMORY;
    }
    if (total == 0) return RNL_OK;
    if (mapped_memory(total, huge_pages, &w->slabs) != RNL_OK) return RNL_ERR_MEMORY;
    unsigned char *at = (unsigned char *)w->slabs.data;
    for (size_t i = 0; i < w->count; i++) {
        const entry *e = &w->entries[i];
        if (e->packed == NULL || e->t.slabs != NULL) continue;
        pack_job job = {.e = e, .slabs = at};
        e->packed->slabs = at;
        pool_run(p, slab_count_of(e), 1, pack_part, &job);
        at += (size_t)slab_count_of(e) * e->packed->slab_size;
        forget(e);
        if (progress != NULL) progress(context, (size_t)(at - w->slabs.data), total);
    }
    return RNL_OK;
}
