/* The three character classes of the pre-tokeniser, in Unicode 16. The tables are made by
 * tools/make_unicode_tables.py: no library of Debian 12 has this version. */
#ifndef TOKENIZER_UNICODE_H
#define TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool unicode_is_letter(uint32_t code_point); /* \p{L} */
bool unicode_is_number(uint32_t code_point); /* \p{N} */
bool unicode_is_space(uint32_t code_point);  /* \s */

/* The tables: ascending, not overlapping. */
typedef struct unicode_range {
    uint32_t first, last;
} unicode_range;
extern const unicode_range unicode_letters[], unicode_numbers[], unicode_spaces[];
extern const size_t unicode_letters_count, unicode_numbers_count, unicode_spaces_count;

/* Whether a code point is in a table of that kind. */
bool unicode_table_has(const unicode_range *table, size_t count, uint32_t code_point);

#endif
