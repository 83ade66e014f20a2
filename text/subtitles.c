/* Subtitles. A segment is cut into parts by the cheapest sum of penalties over all ways to cut it;
 * then neighbours that would be shown too briefly are joined, or shown longer. */
#include "text/subtitles.h"

#include <float.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "tokenizer/unicode.h"

static bool is_wide(uint32_t c) {
    return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) ||
           (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
           (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1FAFF) ||
           (c >= 0x20000 && c <= 0x3FFFD);
}

static int columns_of(uint32_t c) {
    if ((c >= 0x300 && c <= 0x36F) || c == 0x200B || c == 0x200D) return 0;
    return is_wide(c) ? 2 : 1;
}

int subtitle_columns(const char *text, size_t size) {
    int columns = 0;
    for (size_t at = 0; at < size;) {
        uint32_t c;
        at += utf8_next(text + at, size - at, &c);
        columns += columns_of(c);
    }
    return columns;
}

/* ---- Lines ---- */

/* White space to single spaces, none at the ends; false: does not fit. */
static bool collapse(const char *text, size_t size, char *out, size_t *out_size) {
    size_t used = 0;
    bool space = false;
    for (size_t at = 0; at < size;) {
        uint32_t c;
        const size_t length = utf8_next(text + at, size - at, &c);
        if (unicode_is_space(c) || c < 0x20) {
            space = used > 0;
        } else {
            if (used + 6 >= SUBTITLE_TEXT_CAP - 2) return false;
            if (space) out[used++] = ' ';
            used += utf8_put(c, out + used);
            space = false;
        }
        at += length;
    }
    out[used] = '\0';
    *out_size = used;
    return true;
}

/* The best place to begin a second line, both sides at most a line long; 0: none. hard: inside a
 * word, when it must be. */
static size_t find_break(const char *text, size_t size, bool hard) {
    size_t best = 0;
    int left = 0, best_apart = INT32_MAX;
    const int total = subtitle_columns(text, size);
    for (size_t at = 0; at < size;) {
        uint32_t c;
        const size_t length = utf8_next(text + at, size - at, &c);
        const bool may = at > 0 && (c == ' ' || hard || (is_wide(c) && text[at - 1] != ' '));
        const int right = total - left - (c == ' ' ? 1 : 0);
        if (may && left <= SUBTITLE_COLUMNS && right <= SUBTITLE_COLUMNS) {
            /* A comma at the end of the first line is worth six columns. */
            int apart = abs(left - right);
            if (strchr(",;:.!?", text[at - 1]) != NULL) apart -= 6;
            if (apart < best_apart) {
                best_apart = apart;
                best = at;
            }
        }
        left += columns_of(c);
        at += length;
    }
    return best;
}

bool subtitle_wrap(const char *text, size_t size, char *out) {
    size_t used;
    if (!collapse(text, size, out, &used)) return false;
    if (subtitle_columns(out, used) <= SUBTITLE_COLUMNS) return true;
    size_t at = find_break(out, used, false);
    if (at == 0) at = find_break(out, used, true);
    if (at == 0) return false;
    if (out[at] != ' ') { /* between wide characters, or inside a word */
        memmove(out + at + 1, out + at, used - at + 1);
    }
    out[at] = '\n';
    return true;
}

/* ---- Parts of a segment ---- */

/* A word, or a piece of one that is longer than a line. */
typedef struct unit {
    size_t at, size;
    double begin, end;
} unit;

static size_t piece_of(const char *text, size_t size) {
    int columns = 0;
    size_t at = 0;
    while (at < size) {
        uint32_t c;
        const size_t length = utf8_next(text + at, size - at, &c);
        columns += columns_of(c);
        if ((columns > SUBTITLE_COLUMNS || at + length > 250) && at > 0) break;
        at += length;
    }
    return at;
}

/* units [word_count + bytes / 20]: a piece has at least 21 columns, or 200 bytes. */
static size_t make_units(const char *text, const rnl_word *words, size_t word_count, unit *units) {
    size_t count = 0;
    for (size_t i = 0; i < word_count; i++) {
        const rnl_word *w = &words[i];
        for (size_t done = 0; done < w->text_size;) {
            const size_t at = w->text_at + done;
            const size_t size = piece_of(text + at, w->text_size - done);
            const double length = (w->end - w->begin) / (double)w->text_size;
            units[count++] = (unit){.at = at,
                                    .size = size,
                                    .begin = w->begin + length * (double)done,
                                    .end = w->begin + length * (double)(done + size)};
            done += size;
        }
    }
    return count;
}

/* What it costs to end a part with this unit. */
static double break_cost(const char *text, const unit *units, size_t count, size_t last) {
    if (last + 1 == count) return 0.0;
    const unit *u = &units[last];
    const char end = text[u->at + u->size - 1];
    if (strchr(".!?", end) != NULL) return 0.0;
    if (strchr(",;:", end) != NULL) return 0.3;
    return units[last + 1].begin - u->end >= 0.3 ? 0.3 : 1.0;
}

/* What a part [first, last] costs; DBL_MAX when it cannot be shown. */
static double part_cost(const char *text, const unit *units, size_t count, size_t first,
                        size_t last) {
    char lines[SUBTITLE_TEXT_CAP];
    const size_t begin = units[first].at, end = units[last].at + units[last].size;
    const double seconds = units[last].end - units[first].begin;
    if (first < last && seconds > SUBTITLE_SECONDS_MAX) return DBL_MAX;
    if (!subtitle_wrap(text + begin, end - begin, lines)) return first < last ? DBL_MAX : 100.0;
    const double room = (double)SUBTITLE_COLUMNS * SUBTITLE_LINES;
    const double empty = 1.0 - (double)subtitle_columns(text + begin, end - begin) / room;
    return 2.0 + break_cost(text, units, count, last) + empty * empty +
           (seconds < SUBTITLE_SECONDS_MIN ? 1.0 : 0.0);
}

static bool show(subtitles *s) {
    return s->emit(s->context, &s->pending);
}

static bool is_short(const subtitle *s) {
    return s->end - s->begin < SUBTITLE_SECONDS_MIN;
}

/* Joins next to what waits when one of them would be shown too briefly and both fit. */
static bool join(subtitle *waiting, const subtitle *next) {
    char both[2 * SUBTITLE_TEXT_CAP], lines[SUBTITLE_TEXT_CAP];
    if (!is_short(waiting) && !is_short(next)) return false;
    if (next->begin - waiting->end > 0.5) return false;
    if (next->end - waiting->begin > SUBTITLE_SECONDS_MAX) return false;
    const size_t left = strlen(waiting->text), right = strlen(next->text);
    memcpy(both, waiting->text, left);
    both[left] = ' ';
    memcpy(both + left + 1, next->text, right);
    if (!subtitle_wrap(both, left + 1 + right, lines)) return false;
    memcpy(waiting->text, lines, sizeof lines);
    waiting->end = next->end;
    return true;
}

static bool put(subtitles *s, const subtitle *next) {
    if (s->has_pending && join(&s->pending, next)) return true;
    if (s->has_pending) {
        subtitle *p = &s->pending;
        if (is_short(p)) p->end = p->begin + SUBTITLE_SECONDS_MIN;
        if (p->end > next->begin) p->end = next->begin;
        if (p->end > p->begin && !show(s)) return false;
    }
    s->pending = *next;
    s->has_pending = true;
    return true;
}

static bool put_part(subtitles *s, const char *text, const unit *first, const unit *last) {
    subtitle next = {.begin = first->begin, .end = last->end};
    const double longest = next.begin + SUBTITLE_SECONDS_MAX;
    if (next.end > longest) next.end = longest;
    if (s->has_pending && next.begin < s->pending.begin) next.begin = s->pending.begin;
    if (!subtitle_wrap(text + first->at, last->at + last->size - first->at, next.text)) return true;
    return next.text[0] == '\0' ? true : put(s, &next);
}

/* from[i]: where the part that ends with unit i - 1 begins, on the cheapest way. */
static void cut(const char *text, const unit *units, size_t count, double *cost, size_t *from) {
    cost[0] = 0.0;
    for (size_t end = 1; end <= count; end++) {
        cost[end] = DBL_MAX;
        for (size_t begin = end; begin-- > 0;) {
            const double part = part_cost(text, units, count, begin, end - 1);
            /* Longer parts fit no better. */
            if (part == DBL_MAX) break;
            if (cost[begin] + part >= cost[end]) continue;
            cost[end] = cost[begin] + part;
            from[end] = begin;
        }
    }
}

static bool put_parts(subtitles *s, const char *text, const unit *units, size_t count,
                      const size_t *from, size_t *ends) {
    size_t part_count = 0;
    for (size_t end = count; end > 0; end = from[end]) ends[part_count++] = end;
    for (size_t begin = 0; part_count-- > 0;) {
        const size_t end = ends[part_count];
        if (!put_part(s, text, &units[begin], &units[end - 1])) return false;
        begin = end;
    }
    return true;
}

void subtitles_begin(subtitles *s, subtitle_fn emit, void *context) {
    s->emit = emit;
    s->context = context;
    s->has_pending = false;
}

bool subtitles_add(subtitles *s, const char *text, const rnl_word *words, size_t word_count) {
    size_t cap = word_count + 1;
    for (size_t i = 0; i < word_count; i++) cap += words[i].text_size / 20;
    unit *units = malloc(cap * sizeof *units);
    double *cost = malloc((cap + 1) * sizeof *cost);
    size_t *from = malloc(2 * (cap + 1) * sizeof *from);
    bool done = units != NULL && cost != NULL && from != NULL;
    if (done) {
        const size_t count = make_units(text, words, word_count, units);
        cut(text, units, count, cost, from);
        done = put_parts(s, text, units, count, from, from + cap + 1);
    }
    free(units);
    free(cost);
    free(from);
    return done;
}

bool subtitles_end(subtitles *s) {
    if (!s->has_pending) return true;
    s->has_pending = false;
    if (is_short(&s->pending)) s->pending.end = s->pending.begin + SUBTITLE_SECONDS_MIN;
    return show(s);
}
