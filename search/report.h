/* What a search found, as one page of HTML that needs nothing else: the front, the volume that is
 * dominated beside that of the control, the stacks, and every number. learn.md 6.10. */
#ifndef SEARCH_REPORT_H
#define SEARCH_REPORT_H

#include <stdio.h>

#include "search/evolve.h"

typedef struct search_report {
    const search_history *found;   /* at least one evaluation */
    const search_history *control; /* drawn at random; empty: there is none */
    const search_history *given;   /* named by somebody; empty likewise */
} search_report;

/* context: a search_report. False: errno says why. */
bool search_report_write(FILE *f, const void *context);

/* A stack in a few letters for each block: "c3 c3 a8 w128:4 l4 s32", "=" behind what it shares. */
enum { SEARCH_WORDS_CAP = SEARCH_BLOCK_CAP * 16 };
void search_words(const search_space *s, const search_genome *canonical,
                  char text[SEARCH_WORDS_CAP]);

#endif
