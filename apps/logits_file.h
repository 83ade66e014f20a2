/* The log-probabilities of a reference model, kept for `perplexity --kl-base`: the file that
 * llama-perplexity writes and reads (learn.md 1.5). Little-endian.
 *
 *     "_logits_", i32 window n, i32 vocabulary V, i32 chunks; i32 tokens [chunks, n];
 *     per chunk n - 1 - n / 2 rows of 2 * ((V + 1) / 2) + 4 u16: f32 scale, f32 least, V codes */
#ifndef APPS_LOGITS_FILE_H
#define APPS_LOGITS_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include <runnel/runnel.h>

typedef struct logits_file {
    const char *path; /* borrowed */
    FILE *file;
    int window, vocab_count, chunk_count;
    int32_t *tokens;    /* [chunk_count, window] */
    unsigned char *row; /* [logits_row_size] scratch */
} logits_file;

/* Whether a file of that kind stands there. */
bool logits_file_is(const char *path);
/* Reads all but the rows, which follow in order. RNL_ERR_IO, RNL_ERR_FORMAT (also of a file that is
 * shorter or longer than it says), RNL_ERR_MEMORY; free it in any case. */
RNL_MUST_USE rnl_status logits_file_open(const char *path, logits_file *out, rnl_error *error);
/* The next row: log-probabilities [vocab_count]. RNL_ERR_IO, RNL_ERR_FORMAT. */
RNL_MUST_USE rnl_status logits_file_next(logits_file *f, float *row, rnl_error *error);
void logits_file_close(logits_file *f); /* a zeroed one is fine */

size_t logits_row_size(int vocab_count);
/* Puts the beginning, and a row of logits [vocab_count] whose normaliser is scoring_normaliser's,
 * with row [logits_row_size] as scratch. False: errno has the reason. */
bool logits_put_head(FILE *f, int window, int vocab_count, int chunk_count, const int32_t *tokens);
bool logits_put_row(FILE *f, const float *logits, int vocab_count, double normaliser,
                    unsigned char *row);

#endif
