/* One scan over the characters; at each full stop, question or exclamation mark the word before
 * and the character behind decide. Marks of other scripts than Latin, Greek and Cyrillic are
 * certain by themselves. */
#include "text/sentences.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/utf8.h"
#include "text/sentence_ends.h"

/* The text goes on after these, whatever follows. */
static const char *const titles[] = {
    "mr",  "mrs", "ms",  "messrs", "mme",  "mlle", "dr",     "drs", "prof", "rev", "hon",
    "st",  "ste", "mt",  "gen",    "col",  "maj",  "capt",   "lt",  "sgt",  "cpl", "cmdr",
    "adm", "gov", "sen", "rep",    "pres", "supt", "insp",   "vs",  "viz",  "cf",  "e.g",
    "i.e", "eg",  "ie",  "ca",     "resp", "incl", "approx", "bzw", "z.b",  "d.h", "u.a",
    "hr",  "fr",  "frl", "dipl",   "sra",  "srta", "dna",    "sig", "mgr",  "bros"};
/* After these when a number follows. */
static const char *const counted[] = {
    "no",  "nos", "nr",  "fig", "figs", "eq",  "p",   "pp",  "vol", "vols", "ch",  "chap",
    "sec", "art", "abs", "bd",  "s",    "vgl", "op",  "al",  "jan", "feb",  "mar", "apr",
    "jun", "jul", "aug", "sep", "sept", "oct", "okt", "nov", "dec", "dez",  "tel", "ext"};
/* Words that begin a sentence far more often than they follow an abbreviation. */
static const char *const openers[] = {
    "The",  "This", "That",  "These", "Those", "There",  "Then", "Thus", "They",    "He",
    "She",  "It",   "We",    "You",   "I",     "A",      "An",   "In",   "On",      "At",
    "As",   "But",  "And",   "Or",    "So",    "For",    "If",   "When", "While",   "What",
    "Who",  "Why",  "How",   "Where", "After", "Before", "His",  "Her",  "Its",     "My",
    "Our",  "Your", "Their", "No",    "Not",   "Yes",    "One",  "Some", "Many",    "Most",
    "All",  "Each", "Every", "Both",  "From",  "With",   "By",   "To",   "However", "Der",
    "Die",  "Das",  "Ein",   "Eine",  "Er",    "Sie",    "Es",   "Wir",  "Ich",     "Und",
    "Aber", "Im",   "Am",    "Auf",   "Nach"};
static const char *const months[] = {"Januar",   "Februar",  "März",   "April",     "Mai",
                                     "Juni",     "Juli",     "August", "September", "Oktober",
                                     "November", "Dezember", "Jänner"};

typedef struct word {
    const char *text;
    size_t size;
} word;

static bool is_one_of(word w, const char *const *table, size_t count, bool any_case) {
    for (size_t i = 0; i < count; i++) {
        if (strlen(table[i]) != w.size) continue;
        if (any_case ? strncasecmp(table[i], w.text, w.size) == 0
                     : memcmp(table[i], w.text, w.size) == 0)
            return true;
    }
    return false;
}
#define IS_ONE_OF(word, table, any_case)                                                           \
    is_one_of(word, table, sizeof(table) / sizeof *(table), any_case)

static bool is_space(uint32_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x202f || c == 0x3000;
}
static bool is_digit(uint32_t c) {
    return c >= '0' && c <= '9';
}
static bool ends_sentences(uint32_t c) {
    return unicode_table_has(unicode_sentence_ends, unicode_sentence_ends_count, c);
}
static bool is_stop(uint32_t c) {
    return ends_sentences(c) || c == 0x2026 || c == 0x37e; /* … and the Greek question mark */
}
/* A full stop of a script that uses it for nothing else: no space need follow, and no capital. */
static bool is_sure_stop(uint32_t c) {
    const bool latin = c < 0x100 || (c >= 0x2000 && c <= 0x20ff) || (c >= 0x2e00 && c <= 0x2e7f);
    return !latin && ends_sentences(c);
}
static bool is_point(uint32_t c) { /* wide forms of the full stop: also in numbers */
    return c == 0xff0e || c == 0xfe52;
}
static bool is_closer(uint32_t c) {
    return c == '"' || c == '\'' || c == ')' || c == ']' || c == '}' || c == 0xbb || c == 0x2019 ||
           c == 0x201d || c == 0x203a || c == 0x201c || c == 0x300d || c == 0x300f || c == 0xff09 ||
           c == 0x200e || c == 0x200f || c == 0x202c || c == 0x2069; /* marks of direction */
}
static bool is_opener(uint32_t c) {
    return c == '"' || c == '\'' || c == '(' || c == '[' || c == '{' || c == 0xab || c == 0xbb ||
           c == 0x2018 || c == 0x201c || c == 0x201e || c == 0x201a || c == 0x2039 || c == '-' ||
           c == 0x2013 || c == 0x2014 || c == 0xbf || c == 0xa1;
}
static bool is_any_digit(uint32_t c) {
    return is_digit(c) || (c >= 0xff10 && c <= 0xff19);
}
static bool is_small(uint32_t c) {
    if (c >= 'a' && c <= 'z') return true;
    if (c >= 0xdf && c <= 0xff) return c != 0xf7;
    if (c >= 0x100 && c <= 0x137) return (c & 1) != 0;
    if (c >= 0x139 && c <= 0x148) return (c & 1) == 0;
    if (c >= 0x14a && c <= 0x177) return (c & 1) != 0;
    return (c >= 0x3ac && c <= 0x3ce) || (c >= 0x430 && c <= 0x45f);
}
static bool is_word(uint32_t c) {
    if (c < 0x80) return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z');
    return c >= 0xc0 && c != 0xd7 && c != 0xf7 && !(c >= 0x2000 && c <= 0x2bff) &&
           !(c >= 0x3000 && c <= 0x303f) && !(c >= 0xff00 && c <= 0xff0f) && !ends_sentences(c);
}

/* The letters, digits and inner dots right before `end`. */
static word word_before(const char *text, size_t end) {
    size_t begin = end;
    while (begin > 0) {
        const unsigned char c = (unsigned char)text[begin - 1];
        if (c < 0x80 && !is_word(c) && c != '.') break;
        if (c >= 0x80 && begin >= 2 && (unsigned char)text[begin - 2] == 0xe2) break;
        if (c >= 0x80 && begin >= 3 && (unsigned char)text[begin - 3] == 0xe2) break; /* “ — */
        begin--;
    }
    return (word){text + begin, end - begin};
}

/* The letters and digits at the beginning. */
static word word_after(const char *text, size_t size) {
    size_t at = 0;
    uint32_t c;
    while (at < size) {
        const size_t step = utf8_next(text + at, size - at, &c);
        if (!is_word(c)) break;
        at += step;
    }
    return (word){text, at};
}

/* "U.S", "J": capital letters, each but the last with a dot. */
static bool is_initials(word w) {
    size_t at = 0;
    uint32_t c;
    while (at < w.size) {
        at += utf8_next(w.text + at, w.size - at, &c);
        if (!is_word(c) || is_small(c) || is_digit(c)) return false;
        if (at == w.size) return true;
        if (w.text[at++] != '.') return false;
    }
    return false;
}

static bool is_small_letter(word w) {
    uint32_t c;
    return w.size > 0 && utf8_next(w.text, w.size, &c) == w.size && is_small(c);
}

static bool is_number(word w) {
    for (size_t i = 0; i < w.size; i++)
        if (!is_digit((unsigned char)w.text[i])) return false;
    return w.size > 0;
}

static bool is_roman(word w) {
    return w.size > 0 && strspn(w.text, "IVXLCDM") >= w.size;
}

/* Whether a sentence goes on after "word." although a space follows. next: what follows; dotted: it
 * has a full stop itself. */
static bool goes_on(word before, bool opens_text, word next, bool dotted) {
    const bool next_digit = next.size > 0 && is_digit((unsigned char)next.text[0]);
    if (IS_ONE_OF(before, titles, true)) return true;
    if (IS_ONE_OF(before, counted, true) && (next_digit || is_roman(next))) return true;
    if (is_small_letter(before)) return true; /* г. Москва, z. B. */
    if (is_number(before) && before.size <= 3) {
        if (opens_text) return true;
        if (before.size <= 2) return next_digit || IS_ONE_OF(next, months, false);
    }
    return is_initials(before) && (dotted || !IS_ONE_OF(next, openers, false));
}

/* Bytes of the characters from `at` on that satisfy `is`. */
static size_t skip(const char *text, size_t size, size_t at, bool (*is)(uint32_t)) {
    uint32_t c;
    while (at < size) {
        const size_t step = utf8_next(text + at, size - at, &c);
        if (!is(c)) break;
        at += step;
    }
    return at;
}

/* Whether a sentence ends with the stops in [stop, after) when `next` is where text goes on. */
static bool ends(const char *text, size_t size, size_t stop, size_t after, size_t next) {
    uint32_t c = 0;
    const size_t begin = skip(text, size, next, is_opener);
    if (begin == size) return true;
    (void)utf8_next(text + begin, size - begin, &c);
    if (is_small(c)) return false;
    if (text[stop] != '.' || after - stop != 1) return true;
    const word before = word_before(text, stop);
    const bool opens_text = skip(text, size, 0, is_space) == (size_t)(before.text - text);
    const word after_it = word_after(text + begin, size - begin);
    const bool dotted = begin + after_it.size < size && after_it.text[after_it.size] == '.';
    return !goes_on(before, opens_text, after_it, dotted);
}

size_t sentence_next(const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        uint32_t c, following = 0;
        const size_t stop = at;
        at += utf8_next(text + at, size - at, &c);
        if (!is_stop(c)) continue;
        bool sure = is_sure_stop(c);
        if (at < size) (void)utf8_next(text + at, size - at, &following);
        if (is_point(c) && is_any_digit(following)) continue;
        size_t after = at;
        while (after < size) {
            const size_t step = utf8_next(text + after, size - after, &c);
            if (!is_stop(c)) break;
            sure = sure || is_sure_stop(c);
            after += step;
        }
        const size_t closed = skip(text, size, after, is_closer);
        const size_t next = skip(text, size, closed, is_space);
        at = after;
        if (next == size) return size;
        if (sure || (next > closed && ends(text, size, stop, after, next))) return next;
    }
    return size;
}

/* How welcome a cut behind this character is: the distance in characters that it outweighs. */
static int cost_of(uint32_t c) {
    enum { NO_CUT = 1 << 20 };
    if (c == ';' || c == ':' || c == 0x2014 || c == 0x2013 || c == 0xff1b || c == 0x61b) return 0;
    if (c == ',' || c == ')' || c == 0x3001 || c == 0xff0c || c == 0x60c) return 20;
    return is_space(c) ? 80 : NO_CUT;
}

size_t sentence_cut(const char *text, size_t size, size_t char_max) {
    uint32_t c, before = 0;
    size_t total = 0, count = 0, best = 0, last = 0;
    /* Of a text without sentences only what matters is counted, else each piece would count it. */
    for (size_t at = 0; at < size && total <= 4 * char_max; total++)
        at += utf8_next(text + at, size - at, &c);
    if (total <= char_max) return size;
    const size_t pieces = (total + char_max - 1) / char_max;
    const long goal = (long)((total + pieces - 1) / pieces);
    long best_cost = 1 << 20;
    for (size_t at = 0; count < char_max; count++) {
        last = at += utf8_next(text + at, size - at, &c);
        const long distance = labs((long)count + 1 - goal);
        const bool spaced = is_space(c); /* the mark counts at the space behind it: not in 3:45 */
        const int mark = spaced ? cost_of(before) : 1 << 20, space = cost_of(' ');
        const int own = c >= 0x3000 ? cost_of(c) : !spaced ? 1 << 20 : mark < space ? mark : space;
        if (own + distance < best_cost) {
            best_cost = own + distance;
            best = at;
        }
        before = c;
    }
    return best > 0 ? best : last;
}

bool sentence_is_speakable(const char *text, size_t size) {
    uint32_t c;
    for (size_t at = 0; at < size;) {
        at += utf8_next(text + at, size - at, &c);
        if (is_word(c)) return true;
    }
    return false;
}
