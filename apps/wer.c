/* Normalising and counting edits. Words become numbers first, so that one routine counts both
 * kinds. */
#include "apps/wer.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash_table.h"
#include "core/utf8.h"
#include "tokenizer/unicode.h"

/* towlower would depend on the locale. */
uint32_t wer_lower(uint32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c >= 0xC0 && c <= 0xDE && c != 0xD7) return c + 32;
    if (c == 0x130) return 'i';
    if (c == 0x178) return 0xFF;
    /* Pairs whose capital is the odd one, and the rest of Latin Extended-A. */
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E)) return c + (c & 1);
    if (c >= 0x100 && c <= 0x177 && c != 0x138) return c | 1;
    if ((c >= 0x200 && c <= 0x21F) || (c >= 0x1E00 && c <= 0x1E95) || (c >= 0x1EA0 && c <= 0x1EFF))
        return c | 1;
    if (c >= 0x388 && c <= 0x38A) return c + 37;
    if (c == 0x386) return 0x3AC;
    if (c == 0x38C) return 0x3CC;
    if (c == 0x38E || c == 0x38F) return c + 63;
    if (c >= 0x391 && c <= 0x3AB && c != 0x3A2) return c + 32;
    if (c >= 0x400 && c <= 0x40F) return c + 80;
    if (c >= 0x410 && c <= 0x42F) return c + 32;
    if ((c >= 0x460 && c <= 0x481) || (c >= 0x48A && c <= 0x4BF) || (c >= 0x4D0 && c <= 0x52F))
        return c | 1;
    if (c >= 0x531 && c <= 0x556) return c + 48;
    return c;
}

static bool is_mark(uint32_t c) { /* combining marks in common use */
    return (c >= 0x300 && c <= 0x36F) || (c >= 0x591 && c <= 0x5BD) || (c >= 0x64B && c <= 0x65F) ||
           (c >= 0x900 && c <= 0x903) || (c >= 0x93A && c <= 0x94F) ||
           (c >= 0xE31 && c <= 0xE4E && c != 0xE32 && c != 0xE33) || c == 0x3099 || c == 0x309A;
}

static bool is_unit(uint32_t c) {
    return unicode_is_letter(c) || unicode_is_number(c) || is_mark(c);
}

static bool is_apostrophe(uint32_t c) {
    return c == '\'' || c == 0x2019 || c == 0x2BC;
}

char *wer_normalise(const char *text, size_t text_size, size_t *size) {
    char *out = malloc(2 * text_size + 4); /* lower case may take a byte more than the capital */
    if (out == NULL) return NULL;
    size_t used = 0;
    bool space = false, after_letter = false;
    for (size_t at = 0; at < text_size;) {
        uint32_t c, next = 0;
        at += utf8_next(text + at, text_size - at, &c);
        if (at < text_size) (void)utf8_next(text + at, text_size - at, &next);
        if (after_letter && is_apostrophe(c) && unicode_is_letter(next)) {
            out[used++] = '\'';
            after_letter = false;
        } else if (is_unit(c)) {
            if (space && used > 0) out[used++] = ' ';
            used += utf8_put(wer_lower(c), out + used);
            space = false;
            after_letter = unicode_is_letter(c) || is_mark(c);
        } else {
            space = true;
            after_letter = false;
        }
    }
    out[used] = '\0';
    *size = used;
    return out;
}

/* The best way to a cell. Fewer edits win, then more substitutions. */
typedef struct cell {
    int64_t cost, substituted, deleted, inserted;
} cell;

static bool is_better(const cell *a, const cell *b) {
    return a->cost != b->cost ? a->cost < b->cost : a->substituted > b->substituted;
}

static const cell unreachable = {.cost = INT64_MAX / 2};

/* One band of the table: cells with column - row in [-band, band]; row holds 2 * band + 1 cells and
 * moves with the diagonal. The result is the true one when its cost is at most band. */
static cell walk(const uint32_t *reference, size_t n, const uint32_t *hypothesis, size_t m,
                 size_t band, cell *row) {
    const size_t width = 2 * band + 1;
    for (size_t i = 0; i <= n; i++) {
        cell left = unreachable;
        for (size_t k = 0; k < width; k++) {
            /* Column j = i + k - band; row[k] still holds cell (i - 1, j - 1), row[k + 1] cell
             * (i - 1, j). */
            if (i + k < band || i + k - band > m) {
                row[k] = left = unreachable;
                continue;
            }
            const size_t j = i + k - band;
            cell best = i == 0 && j == 0 ? (cell){0} : unreachable;
            if (i > 0 && j > 0) {
                best = row[k];
                if (reference[i - 1] != hypothesis[j - 1]) best.cost++, best.substituted++;
            }
            if (i > 0 && k + 1 < width) {
                cell down = row[k + 1];
                down.cost++, down.deleted++;
                if (is_better(&down, &best)) best = down;
            }
            if (j > 0 && k > 0) {
                cell right = left;
                right.cost++, right.inserted++;
                if (is_better(&right, &best)) best = right;
            }
            row[k] = left = best;
        }
    }
    return row[m + band - n];
}

bool wer_edits(const uint32_t *reference, size_t n, const uint32_t *hypothesis, size_t m,
               edit_counts *out) {
    const size_t longer = n > m ? n : m, apart = n > m ? n - m : m - n;
    size_t band = apart + 16;
    for (;; band *= 2) {
        if (band > longer) band = longer;
        cell *row = malloc((2 * band + 1) * sizeof *row);
        if (row == NULL) return false;
        const cell end = walk(reference, n, hypothesis, m, band, row);
        free(row);
        if (end.cost > (int64_t)band && band < longer) continue;
        *out = (edit_counts){.reference = (int64_t)n,
                             .correct = (int64_t)n - end.substituted - end.deleted,
                             .substituted = end.substituted,
                             .deleted = end.deleted,
                             .inserted = end.inserted};
        return true;
    }
}

/* Words of both texts with a number each: equal words, equal numbers. Open addressing. */
typedef struct dictionary {
    const char **words;
    size_t *sizes;
    size_t cap, count; /* cap: a power of two, over twice the words */
} dictionary;

static bool dictionary_create(dictionary *d, size_t word_cap) {
    d->cap = 16;
    d->count = 0;
    while (d->cap < 2 * word_cap) d->cap *= 2;
    d->words = calloc(d->cap, sizeof *d->words);
    d->sizes = calloc(d->cap, sizeof *d->sizes);
    return d->words != NULL && d->sizes != NULL;
}

static uint32_t dictionary_number(dictionary *d, const char *word, size_t size) {
    size_t at = (size_t)hash_bytes(HASH_START, word, size) & (d->cap - 1);
    while (d->words[at] != NULL && (d->sizes[at] != size || memcmp(d->words[at], word, size) != 0))
        at = (at + 1) & (d->cap - 1);
    d->words[at] = word;
    d->sizes[at] = size;
    return (uint32_t)at;
}

static size_t split_words(dictionary *d, const char *text, size_t size, uint32_t *out) {
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        const char *space = memchr(text + at, ' ', size - at);
        const size_t end = space != NULL ? (size_t)(space - text) : size;
        out[count++] = dictionary_number(d, text + at, end - at);
        at = end + 1;
    }
    return count;
}

static size_t split_characters(const char *text, size_t size, uint32_t *out) {
    size_t count = 0;
    for (size_t at = 0; at < size;) at += utf8_next(text + at, size - at, &out[count++]);
    return count;
}

static bool count_normalised(const char *a, size_t a_size, const char *b, size_t b_size,
                             uint32_t *units, dictionary *d, wer_counts *out) {
    uint32_t *left = units, *right = units + a_size;
    size_t n = split_words(d, a, a_size, left);
    size_t m = split_words(d, b, b_size, right);
    if (!wer_edits(left, n, right, m, &out->words)) return false;
    n = split_characters(a, a_size, left);
    m = split_characters(b, b_size, right);
    return wer_edits(left, n, right, m, &out->characters);
}

bool wer_count(const char *reference, size_t reference_size, const char *hypothesis,
               size_t hypothesis_size, wer_counts *out) {
    size_t a_size = 0, b_size = 0;
    char *a = wer_normalise(reference, reference_size, &a_size);
    char *b = wer_normalise(hypothesis, hypothesis_size, &b_size);
    uint32_t *units = malloc((a_size + b_size + 1) * sizeof *units);
    dictionary d = {0};
    const bool done = a != NULL && b != NULL && units != NULL &&
                      dictionary_create(&d, (a_size + b_size) / 2 + 2) &&
                      count_normalised(a, a_size, b, b_size, units, &d, out);
    free(d.words);
    free(d.sizes);
    free(units);
    free(a);
    free(b);
    return done;
}

static void add(edit_counts *total, const edit_counts *one) {
    total->reference += one->reference;
    total->correct += one->correct;
    total->substituted += one->substituted;
    total->deleted += one->deleted;
    total->inserted += one->inserted;
}

void wer_add(wer_counts *total, const wer_counts *one) {
    add(&total->words, &one->words);
    add(&total->characters, &one->characters);
}

double wer_rate(const edit_counts *c) {
    if (c->reference == 0) return c->inserted > 0 ? 1.0 : 0.0;
    return (double)(c->substituted + c->deleted + c->inserted) / (double)c->reference;
}
