/* How good a stack is, by two short trainings of its proxy. learn.md 6.8.
 *
 *     recall    does it find again what it has read? The share of values that are right, of rows
 *               with more pairs than were learnt as well
 *     text      bits for each byte of a text that it has not read
 *
 * Everything follows from the candidate, the seed and the lesson: not from threads. Those that
 * differ in seed or lesson may be taught beside each other. */
#ifndef SEARCH_QUALITY_H
#define SEARCH_QUALITY_H

#include "search/page.h"
#include "search/proxy.h"

typedef struct search_lesson {
    int d;            /* width, 4 heads */
    int length, rows; /* of a step */
    int steps;
    double rate; /* at its peak */
} search_lesson;

typedef struct search_school {
    const char *folder; /* for files that stand a moment, below names of the lesson and the seed */
    int thread_count;
    search_lesson recall, text;
    int hopeless_step; /* recall ends there when it is still below */
    double hopeless_below;
    bool (*goes_on)(void *context); /* asked before each step; false ends it. NULL: not asked */
    void *context;
} search_school;
/* learn.md 6.8: 300 steps of recall, 0.7 million bytes of text. */
search_school search_school_default(void);

enum { SEARCH_RECALLS = 3, SEARCH_CURVE_CAP = 32, SEARCH_CURVE_STEP = 25 };
extern const int search_recall_pairs[SEARCH_RECALLS]; /* 4, 8, 16 */

typedef struct search_marks {
    double recall_at[SEARCH_RECALLS]; /* shares of right values, by the pairs of a row */
    double recall;                    /* of 8 and 16 pairs, the mean */
    double bits;                      /* of a byte */
    int steps;
    bool diverged;                 /* losses were no numbers: the worst marks */
    float curve[SEARCH_CURVE_CAP]; /* [curve_count] losses, every SEARCH_CURVE_STEP steps */
    int curve_count;
} search_marks;

/* RNL_ERR_STATE: it was to end; what making the proxy says. */
RNL_MUST_USE rnl_status search_teach_recall(const search_school *s, const search_candidate *c,
                                            uint64_t seed, search_marks *out, rnl_error *error);
RNL_MUST_USE rnl_status search_teach_text(const search_school *s, const search_corpus *corpus,
                                          const search_candidate *c, uint64_t seed,
                                          search_marks *out, rnl_error *error);

#endif
