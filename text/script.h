/* A text of any length as a series of things to say: file -> lines -> blocks (paragraph, heading,
 * list item, table row) -> sentences -> pieces that a model can speak in one go. Memory does not
 * grow with the text: a block that is larger than the room for it is worked on in parts. */
#ifndef TEXT_SCRIPT_H
#define TEXT_SCRIPT_H

#include <stdio.h>

#include <runnel/runnel.h>

enum {
    SCRIPT_CHAR_CAP = 1000,   /* most characters of a piece */
    SCRIPT_CHAR_DEFAULT = 300 /* and as many as are good to speak in one go */
};

/* What is between a piece and the one before it. */
typedef enum script_gap {
    SCRIPT_GAP_NONE,     /* it is the first, or a part of a sentence that was cut */
    SCRIPT_GAP_SENTENCE, /* also between the items of a list, the rows of a table */
    SCRIPT_GAP_PARAGRAPH,
    SCRIPT_GAP_HEADING /* one of the two is a heading, or there is a break between scenes */
} script_gap;

/* The silence that a listener expects there, in s. */
double script_gap_seconds(script_gap gap);

typedef struct script_piece {
    char text[4 * SCRIPT_CHAR_CAP + 1]; /* UTF-8, one line, no space at its ends, terminated */
    size_t size;
    script_gap gap;
} script_piece;

typedef struct script script;

/* file is borrowed, read to its end as the script goes on; name is for error sentences, borrowed.
 * plain: the text is no Markdown. char_max: [1, SCRIPT_CHAR_CAP]. NULL: memory is exhausted. */
script *script_create(FILE *file, const char *name, bool plain, int char_max);
void script_destroy(script **s); /* NULL is fine; sets NULL */

/* The next piece with a letter or a digit in it. RNL_OK; RNL_DONE: the text is over; RNL_ERR_DATA:
 * a line that is not UTF-8 or holds a NUL byte; RNL_ERR_IO. Only destroy after an error. */
RNL_MUST_USE rnl_status script_next(script *s, script_piece *piece, rnl_error *error);

/* The line whose code block, formula, script or comment was not closed yet, so that what follows it
 * is passed over; 0: there is none. At the end of a text it is worth a warning. */
uint64_t script_open_line(const script *s);

/* Bytes of the text that lie behind the pieces given out, about: for progress. */
uint64_t script_position(const script *s);

#endif
