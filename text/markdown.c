/* What a line is. What stands inside a block: markdown_strip.c. */
#include "text/markdown.h"

#include <string.h>
#include <strings.h>

#include "text/markdown_inner.h"

static line trimmed(line l) {
    while (l.size > 0 && is_blank(l.text[0])) l.text++, l.size--;
    while (l.size > 0 && is_blank(l.text[l.size - 1])) l.size--;
    return l;
}

static line without(line l, size_t count) {
    return trimmed((line){l.text + count, l.size - count});
}

size_t run_of(line l, char c) {
    size_t count = 0;
    while (count < l.size && l.text[count] == c) count++;
    return count;
}

/* Whether it holds nothing but these characters, and how many of the first one. */
static bool only(line l, const char *allowed, size_t *count) {
    *count = 0;
    for (size_t i = 0; i < l.size; i++) {
        if (strchr(allowed, l.text[i]) == NULL || l.text[i] == '\0') return false;
        *count += l.text[i] == allowed[0];
    }
    return true;
}

/* Opens or closes a code block or a formula, or is inside one. */
static bool take_fence(markdown *m, line l) {
    const char mark = l.size > 0 ? l.text[0] : '\0';
    const size_t run = mark == '`' || mark == '~' || mark == '$' ? run_of(l, mark) : 0;
    if (m->fence != '\0') {
        if (mark == m->fence && run >= m->fence_size && run == l.size) m->fence = '\0';
        return true;
    }
    if (mark == '$' ? run != 2 || l.size != 2 : run < 3) return false;
    if (mark == '`' && memchr(l.text + run, '`', l.size - run) != NULL) return false;
    m->fence = mark;
    m->fence_size = run;
    return true;
}

/* "key: value", lists and comments between two --- that open the file; "key = value" and tables
 * between two +++. What looks otherwise ends
 * it: a book may begin with a line of dashes. */
static bool take_front_matter(markdown *m, line raw, line l) {
    const char mark = l.size == 3 && run_of(l, l.text[0]) == 3 ? l.text[0] : '\0';
    if (m->line_count == 1 && (mark == '-' || mark == '+')) {
        m->front_matter = mark;
        return true;
    }
    if (m->front_matter == '\0') return false;
    const bool closes = mark == m->front_matter || (mark == '.' && m->front_matter == '-');
    size_t key = 0;
    while (key < l.size && (is_letter(l.text[key]) || is_digit(l.text[key]) || l.text[key] == '_' ||
                            l.text[key] == '-'))
        key++;
    const bool belongs =
        l.size == 0 || l.text[0] == '#' || l.text[0] == '-' || raw.text != l.text ||
        (key > 0 && key < l.size && l.text[key] == ':') ||
        (m->front_matter == '+' &&
         (l.text[0] == '[' || l.text[l.size - 1] == ']' || memchr(l.text, '=', l.size) != NULL));
    if (closes || !belongs) m->front_matter = '\0';
    return belongs || closes;
}

/* Where a word begins, in any case; the line's size: nowhere. */
static size_t find(line l, const char *word) {
    const size_t length = strlen(word);
    for (size_t i = 0; i + length <= l.size; i++)
        if (strncasecmp(l.text + i, word, length) == 0) return i;
    return l.size;
}

static const struct {
    const char *begin, *end;
} unspoken[] = {{"<!--", "-->"}, {"<script", "</script"}, {"<style", "</style"}};
enum { UNSPOKEN_COUNT = sizeof unspoken / sizeof *unspoken };

int unspoken_at(line l) {
    for (int i = 0; i < UNSPOKEN_COUNT; i++) {
        const size_t length = strlen(unspoken[i].begin);
        if (l.size < length || strncasecmp(l.text, unspoken[i].begin, length) != 0) continue;
        if (i == 0 || l.size == length || !is_letter(l.text[length])) return i + 1;
    }
    return 0;
}

size_t unspoken_end(line l, int which) {
    const char *word = unspoken[which - 1].end;
    size_t end = find(l, word);
    if (end == l.size) return 0;
    end += strlen(word);
    if (which == 1) return end;
    end += find((line){l.text + end, l.size - end}, ">");
    return end < l.size ? end + 1 : end;
}

/* Comments, scripts and styles that a line begins with, or that an earlier one has begun, to their
 * end in any later line: moves behind them. */
static void take_html(markdown *m, line *l) {
    while (l->size > 0) {
        if (m->html == 0) m->html = unspoken_at(*l);
        if (m->html == 0) return;
        const size_t end = unspoken_end(*l, m->html);
        if (end > 0) m->html = 0;
        *l = without(*l, end > 0 ? end : l->size);
    }
}

/* The size of "- ", "12. " with a task's "[x] "; 0: no item. A number stays, a bullet does not:
 * *skipped is what is not spoken. */
static bool is_item(line l, bool in_paragraph, size_t *skipped) {
    size_t at = 0;
    *skipped = 0;
    if (l.size >= 2 && strchr("-+*", l.text[0]) != NULL && is_blank(l.text[1])) {
        at = *skipped = 2;
    } else if (l.size >= 4 && memcmp(l.text, "\xe2\x80\xa2", 3) == 0) { /* • */
        at = *skipped = 3;
    } else {
        while (at < l.size && at < 9 && is_digit(l.text[at])) at++;
        if (at == 0 || at + 1 >= l.size || (l.text[at] != '.' && l.text[at] != ')')) return false;
        /* "... in\n1984. It was": only 1 begins a list inside a paragraph, as in CommonMark. */
        return is_blank(l.text[at + 1]) && (!in_paragraph || (at == 1 && l.text[0] == '1'));
    }
    if (l.size >= at + 4 && l.text[at] == '[' && l.text[at + 2] == ']' &&
        strchr(" xX", l.text[at + 1]) != NULL && is_blank(l.text[at + 3]))
        *skipped = at + 4;
    return true;
}

/* "[name]: address" is not spoken; "[^name]: text" is a note, and moves to its text. */
static bool is_definition(line *l, bool *note) {
    const size_t open = l->size > 0 && l->text[0] == '*'; /* *[HTML]: an abbreviation */
    if (l->size < 5 || l->text[open] != '[') return false;
    const char *end = memchr(l->text, ']', l->size);
    if (end == NULL || end + 1 >= l->text + l->size || end[1] != ':') return false;
    *note = l->text[open + 1] == '^';
    if (*note) *l = without(*l, (size_t)(end + 2 - l->text));
    return true;
}

/* "Title {#name .class}" */
static line without_attributes(line l) {
    if (l.size < 4 || l.text[l.size - 1] != '}') return l;
    size_t open = l.size;
    while (open > 0 && l.text[open - 1] != '{') open--;
    if (open == 0 || memchr("#.:", l.text[open], 3) == NULL) return l;
    return trimmed((line){l.text, open - 1});
}

/* "# Title", "## Title ##": moves to the title. */
static bool is_heading(line *l) {
    const size_t marks = run_of(*l, '#');
    if (marks < 1 || marks > 6 || (marks < l->size && !is_blank(l->text[marks]))) return false;
    *l = without(*l, marks);
    size_t end = l->size;
    while (end > 0 && l->text[end - 1] == '#') end--;
    if (end == 0 || is_blank(l->text[end - 1])) l->size = end;
    *l = without_attributes(trimmed(*l));
    return true;
}

/* ":::", "::: warning", "[TOC]", "[!NOTE]": marks of dialects that stand alone in a line. */
static bool is_mark(line l) {
    if (run_of(l, ':') >= 3) return true;
    static const char *const words[] = {"[toc]",  "[[toc]]",      "[[_toc_]]",  "[!note]",
                                        "[!tip]", "[!important]", "[!warning]", "[!caution]"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == l.size && find(l, words[i]) == 0) return true;
    return false;
}

/* Items in items, quotes and headings in them, ": " of a definition: moves to what is spoken. */
static bool take_items(line *l, bool in_paragraph) {
    size_t skipped;
    bool item = false;
    if (l->size >= 2 && l->text[0] == ':' && is_blank(l->text[1])) {
        *l = without(*l, 1);
        item = true;
    }
    while (is_item(*l, in_paragraph, &skipped)) {
        item = true;
        in_paragraph = false;
        *l = without(*l, skipped);
        while (l->size > 0 && l->text[0] == '>') *l = without(*l, 1);
        if (skipped == 0) break; /* a number, which is spoken */
    }
    if (item) (void)is_heading(l);
    return item;
}

/* Of a line that is neither code nor blank. */
static line_kind classify(markdown *m, line *l, bool in_paragraph) {
    size_t count;
    bool note;
    const char mark = l->text[0];
    if (is_heading(l)) return LINE_HEADING;
    if (mark == '=' && only(*l, "=", &count)) return LINE_UNDERLINE;
    if (mark == '-' && in_paragraph && only(*l, "-", &count)) return LINE_UNDERLINE;
    if ((only(*l, "- ", &count) || only(*l, "* ", &count) || only(*l, "_ ", &count)) && count >= 3)
        return LINE_BREAK;
    if (only(*l, "-|: ", &count) && count > 0 && memchr(l->text, '|', l->size) != NULL) {
        m->table = true;
        return LINE_RULE;
    }
    const bool piped = memchr(l->text, '|', l->size) != NULL;
    if (mark == '|' || (m->table && piped)) return LINE_ROW;
    m->table = false;
    if (is_mark(*l)) return LINE_SKIPPED;
    if (take_items(l, in_paragraph)) return LINE_ITEM;
    if (!is_definition(l, &note)) return LINE_TEXT;
    return note ? LINE_ITEM : LINE_SKIPPED;
}

line_kind markdown_line(markdown *m, const char **text, size_t *size, bool in_paragraph) {
    const line raw = {*text, *size};
    line l = trimmed(raw);
    m->line_count++;
    line_kind kind = LINE_SKIPPED;
    if (!take_front_matter(m, raw, l) && (m->html != 0 || !take_fence(m, l))) {
        while (m->html == 0 && l.size > 0 && l.text[0] == '>') l = without(l, 1);
        const bool blank = m->html == 0 && l.size == 0;
        take_html(m, &l);
        kind = blank ? LINE_BLANK : l.size == 0 ? LINE_SKIPPED : classify(m, &l, in_paragraph);
        if (blank) m->table = false;
    }
    *text = l.text;
    *size = l.size;
    return kind;
}

line_kind markdown_rest(markdown *m, const char **text, size_t *size) {
    line l = {*text, *size};
    if (m->fence != '\0') return LINE_SKIPPED;
    if (m->html != 0) take_html(m, &l);
    *text = l.text;
    *size = l.size;
    return l.size > 0 ? LINE_TEXT : LINE_SKIPPED;
}
