/* How far a transcript is from what was said: word and character error rates.
 *
 *     reference, hypothesis -> normalised words -> least number of edits -> counts, added up
 *
 * Normalisation (docs/BATCH.md says the same to users): letters become lower case; every character
 * that is no letter, number or mark becomes a space, but for an apostrophe between two letters
 * (typographic ones become '); runs of spaces become one. Numbers, spellings and fillers stay as
 * they are written. */
#ifndef APPS_WER_H
#define APPS_WER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct edit_counts {
    int64_t reference; /* units of the reference: words or characters */
    int64_t correct, substituted, deleted, inserted;
} edit_counts;

typedef struct wer_counts {
    edit_counts words;
    edit_counts characters; /* code points of the normalised text, single spaces included */
} wer_counts;

/* Lower case of the scripts that have one and stand in plain tables: Latin, Greek, Cyrillic,
 * Armenian. */
uint32_t wer_lower(uint32_t code_point);
/* The normalised text, terminated, allocated; *size its bytes. Invalid UTF-8 is a space. NULL: no
 * memory. */
char *wer_normalise(const char *text, size_t text_size, size_t *size);

/* The least edits that make hypothesis of reference, units compared by value; among equals the way
 * with most substitutions (so counts are the same everywhere). Time grows with length times edits,
 * memory with the edits. False: no memory. */
bool wer_edits(const uint32_t *reference, size_t reference_count, const uint32_t *hypothesis,
               size_t hypothesis_count, edit_counts *out);

/* Both rates of one text; false: no memory. */
bool wer_count(const char *reference, size_t reference_size, const char *hypothesis,
               size_t hypothesis_size, wer_counts *out);

void wer_add(wer_counts *total, const wer_counts *one);

/* (substituted + deleted + inserted) / reference. An empty reference: 0 when nothing was inserted,
 * else 1. */
double wer_rate(const edit_counts *c);

#endif
