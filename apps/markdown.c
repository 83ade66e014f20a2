#include "apps/markdown.h"

#include <stdint.h>
#include <string.h>

#include "core/utf8.h"

static bool is_punctuation(char c) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}
static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* ---- Lines ---- */

typedef struct line {
    const char *text;
    size_t size;
} line;

static line trimmed(line l) {
    while (l.size > 0 && is_blank(l.text[0])) l.text++, l.size--;
    while (l.size > 0 && is_blank(l.text[l.size - 1])) l.size--;
    return l;
}

static line without(line l, size_t count) {
    return trimmed((line){l.text + count, l.size - count});
}

static size_t run_of(line l, char c) {
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

/* Opens or closes a code block, or is inside one. */
static bool take_fence(markdown *m, line l) {
    const char mark = l.size > 0 ? l.text[0] : '\0';
    const size_t run = mark == '`' || mark == '~' ? run_of(l, mark) : 0;
    if (m->fence != '\0') {
        if (mark == m->fence && run >= m->fence_size && run == l.size) m->fence = '\0';
        return true;
    }
    if (run < 3 || (mark == '`' && memchr(l.text + run, '`', l.size - run) != NULL)) return false;
    m->fence = mark;
    m->fence_size = run;
    return true;
}

/* "key: value", lists and comments between two --- that open the file. What looks otherwise ends
 * it: a book may begin with a line of dashes. */
static bool take_front_matter(markdown *m, line raw, line l) {
    if (m->line_count == 1 && l.size == 3 && memcmp(l.text, "---", 3) == 0)
        return m->front_matter = true;
    if (!m->front_matter) return false;
    const bool closes =
        l.size == 3 && (memcmp(l.text, "---", 3) == 0 || memcmp(l.text, "...", 3) == 0);
    size_t key = 0;
    while (key < l.size && (is_letter(l.text[key]) || is_digit(l.text[key]) || l.text[key] == '_' ||
                            l.text[key] == '-'))
        key++;
    const bool belongs = l.size == 0 || l.text[0] == '#' || l.text[0] == '-' ||
                         raw.text != l.text || (key > 0 && key < l.size && l.text[key] == ':');
    m->front_matter = belongs && !closes;
    return belongs || closes;
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
    if (l->size < 5 || l->text[0] != '[') return false;
    const char *end = memchr(l->text, ']', l->size);
    if (end == NULL || end + 1 >= l->text + l->size || end[1] != ':') return false;
    *note = l->text[1] == '^';
    if (*note) *l = without(*l, (size_t)(end + 2 - l->text));
    return true;
}

/* "# Title", "## Title ##": moves to the title. */
static bool is_heading(line *l) {
    const size_t marks = run_of(*l, '#');
    if (marks < 1 || marks > 6 || (marks < l->size && !is_blank(l->text[marks]))) return false;
    *l = without(*l, marks);
    size_t end = l->size;
    while (end > 0 && l->text[end - 1] == '#') end--;
    if (end == 0 || is_blank(l->text[end - 1])) l->size = end;
    *l = trimmed(*l);
    return true;
}

/* Of a line that is neither code nor blank. */
static line_kind classify(markdown *m, line *l, bool in_paragraph) {
    size_t count, skipped;
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
    if (is_item(*l, in_paragraph, &skipped)) {
        *l = without(*l, skipped);
        return LINE_ITEM;
    }
    if (!is_definition(l, &note)) return LINE_TEXT;
    return note ? LINE_ITEM : LINE_SKIPPED;
}

line_kind markdown_line(markdown *m, const char **text, size_t *size, bool in_paragraph) {
    const line raw = {*text, *size};
    line l = trimmed(raw);
    m->line_count++;
    line_kind kind = LINE_SKIPPED;
    if (!take_front_matter(m, raw, l) && !take_fence(m, l)) {
        while (l.size > 0 && l.text[0] == '>') l = without(l, 1);
        kind = l.size == 0 ? LINE_BLANK : classify(m, &l, in_paragraph);
        if (kind == LINE_BLANK) m->table = false;
    }
    *text = l.text;
    *size = l.size;
    return kind;
}

/* ---- Inside a block ---- */

enum { LINK_CAP = 8, SPAN_CAP = 4096 };

typedef struct strip {
    char *text;
    size_t size, at, out; /* text[0, out) is done, text[at, size) is to come; out <= at */
    struct {
        size_t close, resume; /* the ] of a link's text, and what follows its address */
    } links[LINK_CAP];
    int link_count;
    bool row;
} strip;

static void put(strip *s, char c) {
    s->text[s->out++] = c;
}

/* The place of the bracket that closes the one at `open`, or 0. Not farther than SPAN_CAP: a
 * bracket that is never closed must not be looked for again and again in a whole book. */
static size_t closing(const strip *s, size_t open, char opener, char closer) {
    int depth = 0;
    const size_t end = s->size - open > SPAN_CAP ? open + SPAN_CAP : s->size;
    for (size_t i = open; i < end; i++) {
        if (s->text[i] == '\\')
            i++;
        else if (s->text[i] == opener)
            depth++;
        else if (s->text[i] == closer && --depth == 0)
            return i;
    }
    return 0;
}

/* [text](address), ![text](address), [text][name], [^note]. */
static bool take_link(strip *s) {
    const size_t open = s->at + (s->text[s->at] == '!');
    if (open >= s->size || s->text[open] != '[' || s->link_count == LINK_CAP) return false;
    const size_t close = closing(s, open, '[', ']');
    if (close == 0) return false;
    if (s->text[open + 1] == '^') {
        s->at = close + 1;
        return true;
    }
    size_t end = 0;
    if (close + 1 < s->size && s->text[close + 1] == '(') end = closing(s, close + 1, '(', ')');
    if (close + 1 < s->size && s->text[close + 1] == '[') end = closing(s, close + 1, '[', ']');
    if (end == 0) return false;
    s->links[s->link_count].close = close;
    s->links[s->link_count++].resume = end + 1;
    s->at = open + 1;
    return true;
}

/* `code`, ``co`de``: what is inside stays as it is. */
static void take_code(strip *s) {
    const line rest = {s->text + s->at, s->size - s->at};
    const size_t run = run_of(rest, '`');
    const size_t begin = s->at + run;
    const size_t cap = s->size - begin > SPAN_CAP ? begin + SPAN_CAP : s->size;
    s->at = begin; /* without its end it is a lone mark, which nobody speaks */
    for (size_t i = begin; i < cap; i++) {
        const size_t here = run_of((line){s->text + i, cap - i}, '`');
        if (here == run) {
            memmove(s->text + s->out, s->text + begin, i - begin);
            s->out += i - begin;
            s->at = i + run;
            return;
        }
        if (here > 0) i += here - 1;
    }
}

/* <http://...>, <!-- ... -->, <b>, </b>; a tag that breaks the line becomes a space. */
static bool take_tag(strip *s) {
    const char *t = s->text + s->at;
    const size_t left = s->size - s->at;
    if (left >= 4 && memcmp(t, "<!--", 4) == 0) {
        for (size_t i = 4; i + 3 <= left && i < SPAN_CAP; i++) {
            if (memcmp(t + i, "-->", 3) != 0) continue;
            s->at += i + 3;
            return true;
        }
        return false;
    }
    const size_t first = left > 1 && t[1] == '/' ? 2 : 1;
    if (left <= first || !is_letter(t[first]) || (unsigned char)t[first] >= 0x80) return false;
    size_t end = first;
    while (end < left && end < SPAN_CAP && t[end] != '>' && t[end] != '<') end++;
    if (end >= left || t[end] != '>') return false;
    const bool address = memchr(t, ':', end) != NULL || memchr(t, '@', end) != NULL;
    if (address && memchr(t, ' ', end) == NULL) {
        memmove(s->text + s->out, t + 1, end - 1);
        s->out += end - 1;
    } else if (t[1] == 'b' || t[1] == 'p' || t[1] == '/') {
        put(s, ' ');
    }
    s->at += end + 1;
    return true;
}

/* &amp; &#8212; &#x2014; */
static bool take_entity(strip *s) {
    static const struct {
        const char *name;
        uint32_t code_point;
    } table[] = {{"amp", '&'},       {"lt", '<'},       {"gt", '>'},       {"quot", '"'},
                 {"apos", '\''},     {"nbsp", ' '},     {"mdash", 0x2014}, {"ndash", 0x2013},
                 {"hellip", 0x2026}, {"lsquo", 0x2018}, {"rsquo", 0x2019}, {"ldquo", 0x201c},
                 {"rdquo", 0x201d},  {"shy", 0}};
    const char *t = s->text + s->at + 1;
    const size_t left = s->size - s->at - 1;
    const char *end = memchr(t, ';', left < 10 ? left : 10);
    if (end == NULL) return false;
    const size_t size = (size_t)(end - t);
    uint32_t c = UINT32_MAX;
    if (size >= 2 && t[0] == '#') {
        const bool hex = (t[1] | 32) == 'x';
        c = 0;
        for (size_t i = hex ? 2 : 1; i < size; i++) {
            const char *digits = "0123456789abcdef";
            const char *digit = t[i] != '\0' ? strchr(digits, t[i] | 32) : NULL;
            if (digit == NULL || digit - digits >= (hex ? 16 : 10)) return false;
            c = c * (hex ? 16 : 10) + (uint32_t)(digit - digits);
        }
        if (c < ' ' || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return false;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strlen(table[i].name) == size && memcmp(table[i].name, t, size) == 0)
            c = table[i].code_point;
    if (c == UINT32_MAX) return false;
    if (c != 0) s->out += utf8_put(c, s->text + s->out);
    s->at += size + 2;
    return true;
}

/* Runs of * _ ~ that mark emphasis go; " * ", 2*3, snake_case and ~5 stay. */
static void take_emphasis(strip *s) {
    const char mark = s->text[s->at];
    const size_t run = run_of((line){s->text + s->at, s->size - s->at}, mark);
    const char before = s->at > 0 ? s->text[s->at - 1] : ' ';
    const char after = s->at + run < s->size ? s->text[s->at + run] : ' ';
    bool kept = is_blank(before) && is_blank(after);
    if (mark == '*') kept = kept || (is_digit(before) && is_digit(after));
    if (mark == '_')
        kept = kept ||
               ((is_letter(before) || is_digit(before)) && (is_letter(after) || is_digit(after)));
    if (mark == '~') kept = kept || run < 2;
    for (size_t i = 0; kept && i < run; i++) put(s, mark);
    s->at += run;
}

/* A | of a table: a comma between two cells, nothing at the ends. */
static void take_bar(strip *s) {
    s->at++;
    while (s->out > 0 && is_blank(s->text[s->out - 1])) s->out--;
    while (s->at < s->size && is_blank(s->text[s->at])) s->at++;
    if (s->out == 0 || s->at == s->size || s->text[s->at] == '|') return;
    if (s->text[s->out - 1] != ',') put(s, ',');
    if (s->out < s->at) put(s, ' '); /* "a|b": there is no room for it */
}

static void take_one(strip *s) {
    const char c = s->text[s->at];
    while (s->link_count > 0 && s->at >= s->links[s->link_count - 1].close) {
        s->link_count--; /* code may have reached over the end of a text that holds it: no link */
        if (s->at > s->links[s->link_count].close) continue;
        s->at = s->links[s->link_count].resume;
        return;
    }
    switch (c) {
    case '\\':
        if (s->at + 1 == s->size || is_blank(s->text[s->at + 1])) { /* a line that ends here */
            s->at++;
            return;
        }
        if (is_punctuation(s->text[s->at + 1])) s->at++;
        break;
    case '`':
        take_code(s);
        return;
    case '!':
    case '[':
        if (take_link(s)) return;
        break;
    case '<':
        if (take_tag(s)) return;
        break;
    case '&':
        if (take_entity(s)) return;
        break;
    case '*':
    case '_':
    case '~':
        take_emphasis(s);
        return;
    case '|':
        if (!s->row) break;
        take_bar(s);
        return;
    default:
        break;
    }
    put(s, s->text[s->at++]);
}

size_t markdown_strip(char *text, size_t size, bool row) {
    strip s = {.text = text, .size = size, .row = row};
    while (s.at < s.size) take_one(&s);
    return s.out;
}
