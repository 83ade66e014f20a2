/* What becomes of a piece's tokens: words, sentences, their times; loops that a model falls into.
 * Pure functions. */
#ifndef ENGINE_TRANSCRIPT_TEXT_H
#define ENGINE_TRANSCRIPT_TEXT_H

#include <runnel/runnel_transcript.h>

#include "core/arena.h"

/* Splits text into words: at white space, and between tokens before a character of a script that
 * writes none (Chinese, Japanese). token_ends [token_count]: where in the text each token ends,
 * ascending; confidences [token_count]. Times are left 0. words needs room for token_count +
 * size / 2 + 1; returns how many there are. */
size_t text_words(const char *text, size_t size, const uint32_t *token_ends,
                  const float *confidences, size_t token_count, rnl_word *words);

/* Groups words into sentences: one ends with . ! ? or their wide forms, closing quotes behind them
 * allowed, but not after an abbreviation or a single letter. segments needs room for word_count;
 * returns how many there are. Times and confidences come from the words and tokens. */
size_t text_segments(const char *text, const rnl_word *words, size_t word_count,
                     const float *confidences, size_t token_count, rnl_segment *segments);

/* Whether the tokens end in a loop: at most 32 of them, again and again, four times and 24 tokens
 * at least. Returns how many tokens stand before the second round; 0: no loop. */
size_t text_loop(const int32_t *tokens, size_t token_count);

/* Mean of values, 0 for none. */
float text_mean(const float *values, size_t count);

/* Whether two words sound the same: letters and digits compared, ASCII case ignored. */
bool text_same_word(const char *a, size_t a_size, const char *b, size_t b_size);

/* ---- Times of words ----
 *
 * The words fill the frames that are not quiet, each about as long as its letters ask for, and
 * borders like quiet places: at a pause between two words, in a dip of the level. The cheapest way
 * is found by dynamic programming. Models are not asked: their attention does not follow the sound
 * closely enough (docs/BATCH.md has the figures). */

typedef struct text_times {
    int frame_cap, word_cap;
    float *levels;    /* [frame_cap] dB, filled by the caller: frames of the piece's speech */
    int32_t *voiced;  /* [frame_cap + 1] scratch, as all below */
    float *dips;      /* [frame_cap + 1] */
    float *cost[2];   /* [frame_cap + 1] */
    float *lengths;   /* [frame_cap + 1] */
    uint16_t *from;   /* [word_cap, frame_cap + 1] */
    int32_t *borders; /* [word_cap + 1] */
} text_times;

/* word_cap words and frame_cap < 65535 frames; what has more is spread evenly. */
void text_times_layout(text_times *t, int frame_cap, int word_cap, arena *a);

/* Fills begin and end of the words, in [begin, begin + frame_count * frame_seconds]. */
void text_times_fill(const text_times *t, const char *text, rnl_word *words, size_t word_count,
                     int frame_count, double begin, double frame_seconds);

#endif
