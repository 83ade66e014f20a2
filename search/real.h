/* Candidates as they are: their targets measured on a machine, their proxies taught here.
 * learn.md 6.8, 6.9.
 *
 *     config.json of the targets of a generation ─► meter: times beside a yardstick, bytes
 *     proxies of one ─► recall and text, beside each other ─► quality = bits a byte + 1 - recall
 *
 * Targets are measured together, so that they take turns, and trainings never run meanwhile. Times
 * are told as if the yardstick had always been as fast as when the first candidate was measured.
 * The first candidate is taught with three seeds, which tells how much chance there is in marks;
 * who would join the front is taught recall a second time when the first mark may have been bad
 * luck, and the better one counts. One thread at a time. */
#ifndef SEARCH_REAL_H
#define SEARCH_REAL_H

#include "search/evolve.h"
#include "search/quality.h"

typedef enum search_time {
    SEARCH_PREFILL_1K,
    SEARCH_PREFILL_4K,
    SEARCH_DECODE_1K,
    SEARCH_DECODE_4K,
    SEARCH_TIME_COUNT
} search_time;

/* What a target costs. */
typedef struct search_cost {
    double ms[SEARCH_TIME_COUNT];        /* of all positions of a prefill; of a token */
    double spread[SEARCH_TIME_COUNT];    /* half the range of ms */
    double yardstick[SEARCH_TIME_COUNT]; /* ms of what was measured beside it, always the same */
    size_t cache, activation;            /* bytes, at 4,096 positions */
} search_cost;

enum { SEARCH_AHEAD = 8 }; /* targets that are measured together, at most */

typedef struct search_meter {
    /* Of these config.json [count]: costs, and of each what else the log keeps, or NULL; the latter
     * is the caller's whatever came of it. RNL_ERR_STATE: it was to end. */
    rnl_status (*measure)(void *context, const char *const *paths, int count, search_cost *out,
                          json_draft **raw, rnl_error *error);
    void *context;
} search_meter;

typedef struct search_priced {
    char key[SEARCH_KEY_CAP];
    search_cost cost;
    double seconds; /* that its measuring took, a share of that of all */
    json_draft *raw;
} search_priced;

typedef struct search_real {
    search_meter meter;
    search_school school; /* its folder is where config.json of targets stands, too */
    search_corpus corpus;
    double yardstick[SEARCH_TIME_COUNT]; /* of the first candidate; 0: not known yet */
    search_priced ahead[SEARCH_AHEAD];   /* [ahead_count] measured, but not asked for yet */
    int ahead_count;
} search_real;

/* r outlives it. */
search_device search_real_device(search_real *r);
/* The yardstick that a line of a log has: of the first candidate, for another log beside that one.
 * RNL_ERR_FORMAT: it has none. */
RNL_MUST_USE rnl_status search_real_take_yardstick(search_real *r, const json *line,
                                                   rnl_error *error);
void search_real_free(search_real *r); /* what was measured ahead */

#endif
