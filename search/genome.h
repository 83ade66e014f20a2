/* Candidates of the search as lists of genes, what they mean, and how they change. learn.md 6.6,
 * 6.7.
 *
 *     genome: a gene for each block, five indices into tables of alleles
 *        -> repair: in range, sharing has a target, one factor for all widths meets the budget
 *        -> canonical form: skips gone, unused indices 0; its digits are the candidate's key
 *        -> blocks: operators with numbers of heads, windows, widths
 *
 * Draws come from core/random in the order of the reference, so that a seed is one search
 * everywhere. Pure: no memory is taken, nothing is kept. */
#ifndef SEARCH_GENOME_H
#define SEARCH_GENOME_H

#include <stdbool.h>
#include <stdint.h>

#include "core/random.h"

enum { SEARCH_BLOCK_CAP = 64 };

typedef enum search_operator {
    SEARCH_SKIP,        /* the block is left out */
    SEARCH_CONVOLUTION, /* p1 taps */
    SEARCH_FULL,        /* attention; p1 quarters of the heads that have keys */
    SEARCH_SLIDING,     /* the same over a window of p2 at a length of 256 */
    SEARCH_LINEAR,      /* attention; p1 0 sum, 1 decay; p2 quarters of heads */
    SEARCH_SSD,         /* state space; p1 its state; p2 quarters of heads */
    SEARCH_OPERATOR_COUNT
} search_operator;
/* Of colours and words: "skip", "conv", "gqa", "swa", "lin", "ssd". */
extern const char *const search_operator_names[SEARCH_OPERATOR_COUNT];

typedef enum search_share {
    SEARCH_OWN,
    SEARCH_SHARE_FF,  /* the feed-forward part of the nearest block above that has its own */
    SEARCH_SHARE_KEYS /* SEARCH_FULL: keys and values of the nearest such block above likewise */
} search_share;

/* Places in a gene. */
enum { SEARCH_OP, SEARCH_P1, SEARCH_P2, SEARCH_FF, SEARCH_SHARING, SEARCH_PLACE_COUNT };

typedef struct search_gene {
    int at[SEARCH_PLACE_COUNT]; /* indices of alleles; repair brings any >= 0 into range */
} search_gene;

typedef struct search_genome {
    search_gene genes[SEARCH_BLOCK_CAP];
    int count;
} search_genome;

/* What all candidates have in common: the target, whose parameters are counted. */
typedef struct search_space {
    int d;            /* width, a multiple of 2 * heads; default 1024 */
    int heads;        /* a multiple of 4; default 16 */
    int blocks;       /* [1, SEARCH_BLOCK_CAP]; default 8 */
    int64_t params;   /* the budget, >= 1; default 212 million */
    double tolerance; /* share of it that a candidate may be off, (0, 1); default 0.03 */
    int vocab;        /* rows of the embedding, >= 1; default 65536 */
    int ff_multiple;  /* widths of feed-forward parts are multiples of it, >= 1; default 256 */
    int length;       /* windows grow with it; as the alleles say at 256; >= 1; default 4096 */
    bool need_far;    /* without a block that looks far back one is made; default false */
} search_space;

/* What a gene says, its indices being in range. */
typedef struct search_block {
    search_operator op;
    int p1, p2;   /* alleles */
    int quarters; /* of d, before the factor of all widths */
    search_share share;
} search_block;
search_block search_block_of(const search_gene *g);

/* The genome without skips and with zeros where an index means nothing. Indices are in range. */
void search_canonical(const search_genome *g, search_genome *out);

/* Digits of the canonical form, "10020-21020". */
enum { SEARCH_KEY_CAP = SEARCH_BLOCK_CAP * (SEARCH_PLACE_COUNT + 1) };
void search_key(const search_genome *canonical, char key[SEARCH_KEY_CAP]);
/* Reads one back; false when it is none, or its indices are out of range. */
bool search_key_read(const char *key, search_genome *canonical);

int search_window(const search_space *s, int p2); /* at least 1 */
/* Width of a feed-forward part of so many quarters, by the factor of the candidate. */
int search_ff_width(const search_space *s, int quarters, double factor);
/* Parameters of the target, of a genome whose indices are in range. */
int64_t search_params(const search_space *s, const search_genome *g, double factor);

/* Mends g in place and finds the factor of its widths. False: it cannot be mended. */
bool search_repair(const search_space *s, search_genome *g, double *factor);

/* ⌊unit · n⌋, n >= 1. */
int search_below(random_state *r, int n);
void search_random_genome(random_state *r, const search_space *s, search_genome *out);
/* A part of b in the midst of a, both of one length. */
void search_cross(random_state *r, const search_genome *a, const search_genome *b,
                  search_genome *out);
/* Each index new at this rate, and two blocks swapped at this rate. */
void search_mutate(random_state *r, search_genome *g, double rate);

/* Those that every search begins with: as LFM2 (every third block attends, the last does not), all
 * attention, all convolutions. */
enum { SEARCH_SEED_COUNT = 3 };
void search_seed_genome(const search_space *s, int which, search_genome *out);

#endif
