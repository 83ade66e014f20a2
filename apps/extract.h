/* What of a generated text is the answer, and when two answers are the same (learn.md 2.3): the
 * published regular expressions as scanners. Pure. */
#ifndef APPS_EXTRACT_H
#define APPS_EXTRACT_H

#include <stdbool.h>
#include <stddef.h>

typedef enum extract_kind {
    EXTRACT_STRICT,     /* the number behind the first "#### " that has one */
    EXTRACT_FLEXIBLE,   /* the last number, or run of digits, commas, points and $ */
    EXTRACT_WHOLE,      /* everything */
    EXTRACT_AFTER_LAST, /* what follows the last marker; everything where there is none */
    EXTRACT_CHAIN       /* the number behind the first "The answer is " that has one, of a chain of
                        * thought; a further character stands behind it */
} extract_kind;

/* By its name; false: there is none. */
bool extract_find(const char *name, extract_kind *out);

/* The answer in a text: its own bytes, and *size of them. "[invalid]" when there is none. marker
 * for EXTRACT_AFTER_LAST. */
const char *extract_answer(extract_kind kind, const char *marker, const char *text, size_t *size);

/* An answer as it is compared; allocated, terminated. NULL: no memory. Ends trimmed, small letters,
 * without one point at the end; of numbers (STRICT, FLEXIBLE, CHAIN) also without commas, $, and
 * what stands before the last "#### " and that. */
char *extract_normal(extract_kind kind, const char *answer, size_t size);

#endif
