/* The characters that end a sentence in any script (Unicode's Sentence_Terminal). The table is made
 * by tools/make_unicode_tables.py. */
#ifndef TEXT_SENTENCE_ENDS_H
#define TEXT_SENTENCE_ENDS_H

#include "tokenizer/unicode.h"

extern const unicode_range unicode_sentence_ends[]; /* ascending, not overlapping */
extern const size_t unicode_sentence_ends_count;

#endif
