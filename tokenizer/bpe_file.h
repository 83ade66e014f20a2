/* A vocabulary from tokenizer.json or from GGUF keys, and back to GGUF keys. backbone.md 4.4,
 * 4.6. */
#ifndef TOKENIZER_BPE_FILE_H
#define TOKENIZER_BPE_FILE_H

#include "core/gguf.h"
#include "tokenizer/bpe.h"

/* vocab_count: rows of the model's text embedding; every id of the vocabulary must be below it.
 * moved_count: added tokens that have not the id which the file says, because the vocabulary gives
 * it to another text or has no such row: they got another, or were left out. NULL: not asked.
 * RNL_ERR_FORMAT names file and field; RNL_ERR_IO; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status bpe_from_json(const char *path, int vocab_count, bpe **out,
                                      int *moved_count, rnl_error *error);
/* vocab_count likewise; the file may list fewer tokens, not more. */
RNL_MUST_USE rnl_status bpe_from_gguf(const gguf *g, int vocab_count, bpe **out, rnl_error *error);

/* Writes tokenizer.ggml.*, one entry for each row of the text embedding: ids that are no token
 * become unused placeholders. RNL_ERR_MEMORY; other failures show in the writer. */
RNL_MUST_USE rnl_status bpe_to_gguf(const bpe *b, gguf_writer *w);

#endif
