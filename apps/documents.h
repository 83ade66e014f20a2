/* Texts as a model reads them: files -> ids behind <|startoftext|>. */
#ifndef APPS_DOCUMENTS_H
#define APPS_DOCUMENTS_H

#include <stddef.h>
#include <stdint.h>

#include <runnel/runnel.h>

typedef struct document {
    const char *name; /* borrowed */
    int32_t *ids;     /* [count] the first is <|startoftext|>; count >= 2 */
    size_t count;
    size_t byte_count; /* of UTF-8; 0: it was given as ids */
    size_t
        word_count; /* what a split at runs of white space gives, empty ends too (learn.md 1.4) */
} document;

/* Ids of text [size], special tokens in it meant; room for first ids in front, which the caller
 * writes. *ids [*count, those included]: free() it. RNL_ERR_UNSUPPORTED: no vocabulary,
 * RNL_ERR_DATA: no UTF-8, RNL_ERR_MEMORY; the sentence names `name`. */
RNL_MUST_USE rnl_status document_encode(const rnl_model *m, const char *name, const char *text,
                                        size_t size, size_t first, int32_t **ids, size_t *count,
                                        rnl_error *error);
/* The text of a file ("-": standard input). EXIT_OK, or the code of a complaint; free it in any
 * case. path outlives it. */
int document_read(const rnl_model *m, const char *path, document *out);
/* A file of ids (.npy), of which the first stands for <|startoftext|>: also for a model without a
 * vocabulary. Likewise. */
int document_read_ids(const char *path, document *out);
void document_free(document *d); /* a zeroed one is fine */

#endif
