/* The text of a block without its marks, in place: one scan, with the ends of open links kept. */
#include <stdint.h>
#include <string.h>

#include "core/utf8.h"
#include "text/markdown.h"
#include "text/markdown_inner.h"

static bool is_punctuation(char c) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}
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
    if (memchr(s->text + open, closer, end - open) == NULL) return 0; /* quick, for "[[[[[[" */
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

/* <http://...>, <!-- ... -->, <script>...</script>, <b>, </b>; a tag that breaks the line becomes a
 * space. */
static bool take_tag(strip *s) {
    const char *t = s->text + s->at;
    const size_t left = s->size - s->at;
    const line near = {t, left < SPAN_CAP ? left : SPAN_CAP};
    const int which = unspoken_at(near);
    const size_t whole = which > 0 ? unspoken_end(near, which) : 0;
    if (whole > 0) {
        s->at += whole;
        return true;
    }
    if (which == 1) return false;
    const size_t first = left > 1 && strchr("/!?", t[1]) != NULL ? 2 : 1; /* <!DOCTYPE, <?xml */
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

/* The code point of a named character; UINT32_MAX: none. 0 is to be left out. */
static uint32_t named(const char *name, size_t size) {
    static const struct {
        const char *name;
        uint32_t code_point;
    } table[] = {{"amp", '&'},      {"lt", '<'},        {"gt", '>'},        {"quot", '"'},
                 {"apos", '\''},    {"nbsp", ' '},      {"ensp", ' '},      {"emsp", ' '},
                 {"thinsp", ' '},   {"shy", 0},         {"zwnj", 0x200c},   {"mdash", 0x2014},
                 {"ndash", 0x2013}, {"minus", 0x2212},  {"hellip", 0x2026}, {"lsquo", 0x2018},
                 {"rsquo", 0x2019}, {"sbquo", 0x201a},  {"ldquo", 0x201c},  {"rdquo", 0x201d},
                 {"bdquo", 0x201e}, {"lsaquo", 0x2039}, {"rsaquo", 0x203a}, {"prime", 0x2032},
                 {"bull", 0x2022},  {"euro", 0x20ac},   {"trade", 0x2122},  {"larr", 0x2190},
                 {"rarr", 0x2192},  {"OElig", 0x152},   {"oelig", 0x153},   {"Scaron", 0x160},
                 {"scaron", 0x161}};
    /* From U+00A0 on, in order. */
    static const char latin[] =
        "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg "
        "plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 "
        "iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml "
        "Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave "
        "Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil "
        "egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde "
        "ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strlen(table[i].name) == size && memcmp(table[i].name, name, size) == 0)
            return table[i].code_point;
    uint32_t c = 0xa0;
    for (const char *at = latin; *at != '\0'; c++) {
        const size_t length = strcspn(at, " ");
        if (length == size && memcmp(at, name, size) == 0) return c;
        at += length + (at[length] == ' ');
    }
    return UINT32_MAX;
}

/* &amp; &#8212; &#x2014; */
static bool take_entity(strip *s) {
    const char *t = s->text + s->at + 1;
    const size_t left = s->size - s->at - 1;
    const char *end = memchr(t, ';', left < 10 ? left : 10);
    if (end == NULL) return false;
    const size_t size = (size_t)(end - t);
    uint32_t c = named(t, size);
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
    if (c == UINT32_MAX) return false;
    if (c != 0) s->out += utf8_put(c, s->text + s->out);
    s->at += size + 2;
    return true;
}

static bool is_alphanumeric(char c) {
    return is_letter(c) || is_digit(c);
}

/* H~2~O, x^2^: the marks go. Not 2^3^4. */
static bool take_raised(strip *s) {
    enum { RAISED_CAP = 20 };
    const char mark = s->text[s->at];
    const size_t begin = s->at + 1;
    size_t end = begin;
    while (end < s->size && end - begin < RAISED_CAP &&
           (is_alphanumeric(s->text[end]) || strchr("+-", s->text[end]) != NULL))
        end++;
    if (end == begin || end >= s->size || s->text[end] != mark) return false;
    if (mark == '^' && end + 1 < s->size && is_alphanumeric(s->text[end + 1])) return false;
    memmove(s->text + s->out, s->text + begin, end - begin);
    s->out += end - begin;
    s->at = end + 1;
    return true;
}

/* Runs of * _ ~ = that mark emphasis go; " * ", 2*3, snake_case, ~5 and a == b stay. */
static void take_emphasis(strip *s) {
    const char mark = s->text[s->at];
    const size_t run = run_of((line){s->text + s->at, s->size - s->at}, mark);
    const char before = s->at > 0 ? s->text[s->at - 1] : ' ';
    const char after = s->at + run < s->size ? s->text[s->at + run] : ' ';
    bool kept = is_blank(before) && is_blank(after);
    if (mark == '*') kept = kept || (is_digit(before) && is_digit(after));
    if (mark == '_' || mark == '=')
        kept = kept || (is_alphanumeric(before) && is_alphanumeric(after));
    if (mark == '~') kept = kept || run < 2;
    if (mark == '=') kept = kept || run != 2;
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
    case '^':
        if (take_raised(s)) return;
        break;
    case '~':
    case '*':
    case '_':
    case '=':
        if (c == '~' && take_raised(s)) return;
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
