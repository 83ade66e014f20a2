/* All tensors of a model under their canonical names, whatever files they come from, and a loader
 * that fetches them by name *and* shape. Canonical names are those of the official GGUF set
 * (audio.md 10.3, backbone.md 5.3); the detokenizer's own LFM2 carries the prefix "detok.", Mimi's
 * tensors the prefix "mimi.". Mapped data is borrowed from files that the set owns; small vectors
 * that need float32 are converted once and owned by the set.
 * Built by one thread; read-only and shared afterwards. */
#ifndef CORE_WEIGHTS_H
#define CORE_WEIGHTS_H

#include <runnel/runnel.h>

#include "core/tensor.h"

typedef struct weights weights;
struct pool;

RNL_MUST_USE rnl_status weights_create(weights **out);
void weights_destroy(weights **w); /* also runs every closer given to weights_own */

/* Adds a tensor under t->name (copied). file: where it comes from (copied).
 * RNL_ERR_FORMAT for a name that is there already. */
RNL_MUST_USE rnl_status weights_add(weights *w, const tensor *t, const char *file,
                                    rnl_error *error);

/* Hands an object (a mapped file, an allocation) to the set, which closes it at destroy, in reverse
 * order. On failure the object is closed at once. */
RNL_MUST_USE rnl_status weights_own(weights *w, void *object, void (*close)(void *object));

/* NULL when there is none. */
const tensor *weights_find(const weights *w, const char *name);

/* Its index, or weights_count when there is none. */
size_t weights_index(const weights *w, const char *name);

size_t weights_count(const weights *w);
const tensor *weights_at(const weights *w, size_t index); /* in the order of adding */
bool weights_is_used(const weights *w, size_t index);     /* a loader has fetched it, */
bool weights_is_stack(const weights *w, size_t index);    /* as a stack of matrices */
/* The files that the tensors come from, in the order of their first tensors. A file whose tensors
 * were added with those of others between them may be there twice. */
size_t weights_file_count(const weights *w);
const char *weights_file(const weights *w, size_t index);

/* Packs the matrices that were loaded with loader.pack, into memory of the set, and gives their
 * pages of the file back, tensor by tensor. Call once, after loading and before computing.
 * progress: called behind each tensor with the bytes packed so far, of all; NULL: not called.
 * RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status weights_pack(weights *w, struct pool *p, bool huge_pages,
                                     void (*progress)(void *context, size_t done, size_t total),
                                     void *context);

/* Loading with a sticky error: after the first failure every call returns empty and changes
 * nothing; check status once at the end. Names are printf formats. */
typedef struct loader {
    weights *w;
    const char *prefix; /* put before every name; "" for none */
    const char *file;   /* named in the sentence of a missing tensor */
    rnl_error *error;
    rnl_status status; /* RNL_OK until the first failure */
    bool pack;         /* matrices are to be packed (weights_pack), not computed with as stored */
    bool aside;        /* vectors are made into other tensors: fetching them is no use of them */
} loader;

/* count float32 values; the tensor may have any rank and any readable type. NULL on failure. */
const float *load_vector(loader *l, int64_t count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, but NULL without failure where the tensor does not exist. */
const float *load_vector_if(loader *l, int64_t count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A matrix as stored: [row_count, col_count], trailing dimensions of 1 allowed. 0 for either: taken
 * from the file (at least 1, at most 2^24). row_count == 0 on failure. */
matrix load_matrix(loader *l, int64_t row_count, int64_t col_count, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A matrix that is only read by rows (an embedding): never packed. */
matrix load_table(loader *l, int64_t row_count, int64_t col_count, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* count matrices of one shape in one tensor [count, row_count, col_count], all of them known and at
 * least 1: an array of the set's. NULL on failure. */
const matrix *load_matrices(loader *l, int64_t count, int64_t row_count, int64_t col_count,
                            const char *format, ...) __attribute__((format(printf, 5, 6)));
bool load_has(const loader *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
