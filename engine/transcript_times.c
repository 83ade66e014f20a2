/* Times of words, by levels and letters: see transcript_text.h. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/utf8.h"
#include "engine/transcript_text.h"
#include "tokenizer/unicode.h"

enum {
    PAUSE = 15,    /* frames: a quiet run that holds no word; a closed lip takes less than 120 ms */
    LENGTH_MIN = 3 /* frames of a word */
};

/* Chosen on generated speech of espeak-ng and festival (docs/BATCH.md). */
static const float length_weight = 4.0f, dip_weight = 1.0f;
static const float pause_gain = 1.0f, sentence_gain = 3.0f, comma_gain = 1.5f;

void text_times_layout(text_times *t, int frame_cap, int word_cap, arena *a) {
    const size_t frames = (size_t)frame_cap + 1;
    *t = (text_times){.frame_cap = frame_cap, .word_cap = word_cap};
    t->levels = arena_take(a, frames, sizeof *t->levels);
    t->voiced = arena_take(a, frames, sizeof *t->voiced);
    t->dips = arena_take(a, frames, sizeof *t->dips);
    for (int i = 0; i < 2; i++) t->cost[i] = arena_take(a, frames, sizeof *t->cost[i]);
    t->lengths = arena_take(a, frames, sizeof *t->lengths);
    t->from = arena_take(a, (size_t)word_cap * frames, sizeof *t->from);
    t->borders = arena_take(a, (size_t)word_cap + 1, sizeof *t->borders);
}

/* Letters and digits; a digit is spoken as a word of its own. */
static float weight_of(const char *word, size_t size) {
    float weight = 0.0f;
    for (size_t at = 0; at < size;) {
        uint32_t c;
        at += utf8_next(word + at, size - at, &c);
        if (unicode_is_number(c))
            weight += 4.0f;
        else if (c >= 0x2E80)
            weight += 2.0f; /* a syllable or more */
        else if (unicode_is_letter(c))
            weight += 1.0f;
    }
    return weight > 0.0f ? weight : 0.5f;
}

/* The frames that words may fill, and what a border before each of them costs (pauses are below
 * 0). Returns how many. */
static int find_voiced(const text_times *t, int frame_count) {
    float low = FLT_MAX, high = -FLT_MAX;
    for (int i = 0; i < frame_count; i++) {
        low = fminf(low, t->levels[i]);
        high = fmaxf(high, t->levels[i]);
    }
    const float range = high - low > 1.0f ? high - low : 1.0f;
    const float quiet = low + range / 3.0f;
    int count = 0;
    bool after_pause = false;
    for (int i = 0; i < frame_count;) {
        int end = i;
        while (end < frame_count && t->levels[end] < quiet) end++;
        if (end - i >= PAUSE) {
            after_pause = true;
            i = end;
            continue;
        }
        if (end == i) end++;
        for (; i < end; i++) {
            t->voiced[count] = i;
            t->dips[count++] =
                after_pause ? -pause_gain : dip_weight * (t->levels[i] - low) / range;
            after_pause = false;
        }
    }
    return count;
}

/* A border before frame q of the voiced ones, after a word that ends so. */
static float border_cost(const text_times *t, int q, char last) {
    const float dip = t->dips[q];
    if (dip >= 0.0f) return dip;
    if (strchr(".!?", last) != NULL) return dip - sentence_gain;
    return strchr(",;:", last) != NULL ? dip - comma_gain : dip;
}

/* The cost of each length for a word that should have `expected` frames; lengths in
 * [*least, *most]. */
static void length_costs(const text_times *t, float expected, int frame_count, int *least,
                         int *most) {
    const float longest = 4.0f * expected + 8.0f;
    *least = (int)(expected / 4.0f) > LENGTH_MIN ? (int)(expected / 4.0f) : LENGTH_MIN;
    *most = longest < (float)frame_count ? (int)longest : frame_count;
    for (int n = *least; n <= *most; n++) {
        const float ratio = logf((float)n / expected);
        t->lengths[n] = length_weight * ratio * ratio;
    }
}

/* Borders by dynamic programming: cost[p] is the cheapest way to have word k begin at p. */
static bool find_borders(const text_times *t, const char *text, const rnl_word *words, int count,
                         int frames) {
    float total = 0.0f;
    for (int k = 0; k < count; k++) total += weight_of(text + words[k].text_at, words[k].text_size);
    for (int p = 0; p <= frames; p++) t->cost[0][p] = FLT_MAX;
    t->cost[0][0] = 0.0f;
    for (int k = 0; k < count; k++) {
        const float *now = t->cost[k % 2];
        float *next = t->cost[1 - k % 2];
        const rnl_word *w = &words[k];
        const char last = text[w->text_at + w->text_size - 1];
        int least, most;
        length_costs(t, (float)frames * weight_of(text + w->text_at, w->text_size) / total, frames,
                     &least, &most);
        uint16_t *from = t->from + (size_t)k * ((size_t)t->frame_cap + 1);
        for (int q = 0; q <= frames; q++) {
            next[q] = FLT_MAX;
            if ((k + 1 == count) != (q == frames)) continue;
            const float border = q < frames ? border_cost(t, q, last) : 0.0f;
            for (int n = least; n <= most && n <= q; n++) {
                if (now[q - n] == FLT_MAX) continue;
                const float cost = now[q - n] + t->lengths[n] + border;
                if (cost >= next[q]) continue;
                next[q] = cost;
                from[q] = (uint16_t)(q - n);
            }
        }
    }
    if (t->cost[count % 2][frames] == FLT_MAX) return false;
    t->borders[count] = frames;
    for (int k = count; k-- > 0;)
        t->borders[k] = t->from[(size_t)k * ((size_t)t->frame_cap + 1) + (size_t)t->borders[k + 1]];
    return true;
}

/* What remains when nothing can be found: by letters alone. */
static void spread(const char *text, rnl_word *words, size_t count, double begin, double seconds) {
    double total = 0.0, at = 0.0;
    for (size_t k = 0; k < count; k++)
        total += (double)weight_of(text + words[k].text_at, words[k].text_size);
    for (size_t k = 0; k < count; k++) {
        words[k].begin = begin + seconds * at / total;
        at += (double)weight_of(text + words[k].text_at, words[k].text_size);
        words[k].end = begin + seconds * at / total;
    }
}

void text_times_fill(const text_times *t, const char *text, rnl_word *words, size_t word_count,
                     int frame_count, double begin, double frame_seconds) {
    if (word_count == 0) return;
    const bool fits = frame_count <= t->frame_cap && word_count <= (size_t)t->word_cap;
    const int voiced = fits ? find_voiced(t, frame_count) : 0;
    if (voiced == 0 || !find_borders(t, text, words, (int)word_count, voiced)) {
        spread(text, words, word_count, begin, frame_count * frame_seconds);
        return;
    }
    for (size_t k = 0; k < word_count; k++) {
        words[k].begin = begin + t->voiced[t->borders[k]] * frame_seconds;
        words[k].end = begin + (t->voiced[t->borders[k + 1] - 1] + 1) * frame_seconds;
    }
    /* The edges are known better than a level can tell. */
    words[0].begin = begin;
    words[word_count - 1].end = begin + frame_count * frame_seconds;
}
