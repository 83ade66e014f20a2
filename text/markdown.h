/* Markdown as a reader would speak it: what a line is, and a text without its marks. Only what is
 * common; indented text is a paragraph, because books are set so. */
#ifndef TEXT_MARKDOWN_H
#define TEXT_MARKDOWN_H

#include <stdbool.h>
#include <stddef.h>

typedef enum line_kind {
    LINE_BLANK,
    LINE_TEXT,      /* goes on with the block before, or begins a paragraph */
    LINE_HEADING,   /* "# ..." */
    LINE_UNDERLINE, /* === or ---: makes the paragraph before it a heading; without one a break */
    LINE_BREAK,     /* ***, - - -: a break between scenes */
    LINE_ITEM,      /* of a list */
    LINE_ROW,       /* of a table */
    LINE_RULE,      /* |---|---| of a table */
    LINE_SKIPPED    /* code, formulas, scripts, comments, front matter, a link's definition */
} line_kind;

/* What was seen before; zero at the beginning of a text. */
typedef struct markdown {
    char fence;        /* ` or ~ while inside a code block, $ inside a formula, else 0 */
    size_t fence_size; /* its length */
    int html;          /* inside HTML that is not spoken: which, counted from 1; else 0 */
    bool table;        /* in a table whose rows may do without a leading | */
    char front_matter; /* - or +: between two --- or +++ at the very beginning, else 0 */
    size_t line_count; /* lines seen */
} markdown;

/* Says what a line (without its end) is and moves *text and *size to what is to be spoken of it.
 * in_paragraph: a paragraph is open, which decides about underlines and numbered items. */
line_kind markdown_line(markdown *m, const char **text, size_t *size, bool in_paragraph);

/* The same for a later part of a line that is too long for one piece. */
line_kind markdown_rest(markdown *m, const char **text, size_t *size);

/* Takes links, images, emphasis, code marks, tags, entities and escapes out of a block, in place;
 * returns its new size, never more than before. In a row (of a table) cells are parted by commas.
 * Valid UTF-8 stays valid. */
size_t markdown_strip(char *text, size_t size, bool row);

#endif
