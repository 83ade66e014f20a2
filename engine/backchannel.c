/* A text in words, and the words against the list: the longest entry first, as a greedy reader
 * takes them. */
#include "engine/backchannel.h"

#include <string.h>

enum { TEXT_CAP = 256 }; /* bytes; who says more than that asks for something */

/* Marks of other scripts that part words as ASCII punctuation does. */
static const char *const marks[] = {"…", "“", "”",  "„",  "«",  "»",  "¿", "¡",
                                    "–", "—", "、", "。", "！", "？", "，"};

static bool is_letter(unsigned char c) {
    return c >= 0x80 || c == '\'' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

/* Bytes of the mark that the text begins with; 0: it begins with none. */
static size_t mark_at(const char *text, size_t size) {
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const size_t length = strlen(marks[i]);
        if (length <= size && memcmp(text, marks[i], length) == 0) return length;
    }
    return 0;
}

/* Words in lower case, each with one space behind it, and a zero. False: too long. */
static bool spell(const char *text, size_t size, char words[TEXT_CAP]) {
    static const char quote[] = "’"; /* of "d’accord" */
    size_t count = 0;
    for (size_t i = 0; i < size;) {
        const size_t mark = mark_at(text + i, size - i), q = sizeof quote - 1;
        const bool quoted = q <= size - i && memcmp(text + i, quote, q) == 0;
        const char c = quoted ? '\'' : text[i];
        const bool letter = mark == 0 && is_letter((unsigned char)c);
        if (count + 2 >= TEXT_CAP) return false;
        if (letter)
            words[count++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        else if (count > 0 && words[count - 1] != ' ')
            words[count++] = ' ';
        i += mark > 0 ? mark : quoted ? q : 1;
    }
    if (count > 0 && words[count - 1] != ' ') words[count++] = ' ';
    words[count] = '\0';
    return true;
}

/* Bytes of the longest entry that the words begin with, its space included; 0: none. */
static size_t entry_at(const char *words) {
    size_t longest = 0;
    for (const char *const *const *list = backchannel_words; *list != NULL; list++)
        for (const char *const *entry = *list; **entry != '\0'; entry++) {
            const size_t length = strlen(*entry);
            if (length < longest || strncmp(words, *entry, length) != 0) continue;
            if (words[length] == ' ') longest = length + 1;
        }
    return longest;
}

bool backchannel_is(const char *text, size_t size) {
    char words[TEXT_CAP];
    if (!spell(text, size, words)) return false;
    size_t at = 0;
    for (size_t length; (length = entry_at(words + at)) > 0;) at += length;
    return words[at] == '\0';
}
