/* Inside text/markdown*.c: what lines and the text of blocks have in common. */
#ifndef TEXT_MARKDOWN_INNER_H
#define TEXT_MARKDOWN_INNER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct line {
    const char *text;
    size_t size;
} line;

/* How often the character stands at the beginning. */
size_t run_of(line l, char c);
/* HTML that is not spoken (comments, scripts, styles): which of them the text begins with, counted
 * from 1; 0: none. */
int unspoken_at(line l);
/* The place behind its end; 0: the end is not here. */
size_t unspoken_end(line l, int which);

static inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static inline bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}
static inline bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

#endif
