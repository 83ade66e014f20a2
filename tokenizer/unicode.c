#include "tokenizer/unicode.h"

bool unicode_table_has(const unicode_range *table, size_t count, uint32_t c) {
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (c < table[middle].first)
            high = middle;
        else if (c > table[middle].last)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

bool unicode_is_letter(uint32_t c) {
    return unicode_table_has(unicode_letters, unicode_letters_count, c);
}

bool unicode_is_number(uint32_t c) {
    return unicode_table_has(unicode_numbers, unicode_numbers_count, c);
}

bool unicode_is_space(uint32_t c) {
    return unicode_table_has(unicode_spaces, unicode_spaces_count, c);
}
