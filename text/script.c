#include "text/script.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "core/utf8.h"
#include "text/markdown.h"
#include "text/sentences.h"

enum { LINE_CAP = 1 << 15, BLOCK_CAP = 1 << 16, TITLE_SIZE_CAP = 60 };

typedef enum block_kind {
    BLOCK_TEXT,
    BLOCK_HEADING,
    BLOCK_ITEM, /* of a list, or a row of a table */
    BLOCK_ROW
} block_kind;

struct script {
    FILE *file;
    const char *name;
    size_t char_max;
    bool plain;
    markdown marks;

    char line[LINE_CAP]; /* [line_size] the last line, [carry_size] what was read behind it */
    size_t line_size, carry_size;
    bool line_held;    /* it belongs to the next block */
    bool line_part;    /* its end was not read yet: it is longer than the room */
    bool line_goes_on; /* it is a later part of such a line */
    bool file_ended;
    uint64_t line_count, position; /* lines and bytes read */
    uint64_t open_line;            /* see script_open_line */

    char block[BLOCK_CAP]; /* [block_size] the block being gathered, as written */
    size_t block_size, block_lines;
    block_kind kind;
    bool block_goes_on; /* a part of it was given out already */

    char
        text[BLOCK_CAP]; /* [text_size] the block, or part of one, that is given out from text_at */
    size_t text_size, text_at;
    size_t sentence_end; /* of the sentence that is given out in pieces; text_at: none */
    script_gap gap;      /* before the next piece */
    block_kind last_kind;
    bool broken; /* a break between scenes was met since the last block */
    bool begun;  /* a block was given out */
};

double script_gap_seconds(script_gap gap) {
    static const double seconds[] = {
        [SCRIPT_GAP_SENTENCE] = 0.3, [SCRIPT_GAP_PARAGRAPH] = 0.7, [SCRIPT_GAP_HEADING] = 1.2};
    return seconds[gap];
}

script *script_create(FILE *file, const char *name, bool plain, int char_max) {
    assert(char_max >= 1 && char_max <= SCRIPT_CHAR_CAP);
    script *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->file = file;
    s->name = name;
    s->plain = plain;
    s->char_max = (size_t)char_max;
    return s;
}

void script_destroy(script **s) {
    free(*s);
    *s = NULL;
}

uint64_t script_position(const script *s) {
    const uint64_t waiting = s->carry_size + s->block_size + (s->text_size - s->text_at);
    return s->position > waiting ? s->position - waiting : 0;
}

uint64_t script_open_line(const script *s) {
    return s->open_line;
}

/* ---- Lines ---- */

/* Where a part of a line that is longer than the room ends: at its last space in sight, else at a
 * whole character. */
static size_t part_end(const char *line, size_t size) {
    for (size_t cut = size; cut > size / 2; cut--)
        if (line[cut - 1] == ' ') return cut;
    size_t cut = size - 1;
    while (cut > size - 4 && ((unsigned char)line[cut] & 0xc0) == 0x80) cut--;
    return cut;
}

static rnl_status check_line(const script *s, rnl_error *error) {
    const char *fault = NULL;
    if (!utf8_is_valid(s->line, s->line_size)) fault = "is not UTF-8; convert it with iconv";
    if (memchr(s->line, '\0', s->line_size) != NULL) fault = "holds a NUL byte; give plain text";
    if (fault == NULL) return RNL_OK;
    return status_fail(error, RNL_ERR_DATA, "%s: line %llu %s", s->name,
                       (unsigned long long)s->line_count, fault);
}

/* The next line without its end, or a part of a very long one. RNL_DONE: there is none. */
static rnl_status next_line(script *s, rnl_error *error) {
    memmove(s->line, s->line + s->line_size, s->carry_size);
    size_t size = s->carry_size;
    bool whole = false;
    s->line_size = s->carry_size = 0;
    s->line_goes_on = s->line_part;
    if (!s->line_goes_on) s->line_count++;
    while (!whole && size < LINE_CAP && !s->file_ended) {
        const int c = getc(s->file);
        if (c == EOF) {
            s->file_ended = true;
            break;
        }
        s->position++;
        whole = c == '\n' || c == '\f'; /* a new page is a new line, too */
        if (!whole) s->line[size++] = (char)c;
        if (size >= 3 && memcmp(s->line + size - 3, UTF8_MARK, 3) == 0) size -= 3;
    }
    if (ferror(s->file))
        return status_fail(error, RNL_ERR_IO, "%s: cannot be read: %s", s->name, strerror(errno));
    if (!whole && size == 0) return RNL_DONE;
    s->line_part = size == LINE_CAP && !whole;
    s->line_size = s->line_part ? part_end(s->line, size) : size;
    s->carry_size = size - s->line_size;
    return check_line(s, error);
}

/* ---- Blocks ---- */

/* Joins a line to the block; there is room. */
static void add_text(script *s, const char *text, size_t size) {
    const bool hyphen = s->block_size > 1 && s->block[s->block_size - 1] == '-' &&
                        s->block[s->block_size - 2] != ' ' && s->block[s->block_size - 2] != '-';
    if (s->block_size > 0 && !hyphen) s->block[s->block_size++] = ' ';
    memcpy(s->block + s->block_size, text, size);
    s->block_size += size;
    s->block_lines++;
}

/* "CHAPTER IV", "Chapter 4. The Sea": books without marks have their headings so. */
static bool looks_like_title(const script *s) {
    static const char *const words[] = {"chapter ", "part ", "book ", "kapitel ", "teil "};
    const char *t = s->block;
    const size_t size = s->block_size;
    if (s->kind != BLOCK_TEXT || s->block_lines != 1 || size > TITLE_SIZE_CAP) return false;
    if (strchr(".!?,;:\"", t[size - 1]) != NULL) return false;
    size_t big = 0, small = 0;
    for (size_t i = 0; i < size; i++) {
        big += t[i] >= 'A' && t[i] <= 'Z';
        small += (t[i] >= 'a' && t[i] <= 'z') || (unsigned char)t[i] >= 0x80;
    }
    if (big >= 3 && small == 0) return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const size_t length = strlen(words[i]);
        if (size <= length || t[0] < 'A' || t[0] > 'Z') continue;
        if ((t[0] | 32) != words[i][0] || memcmp(t + 1, words[i] + 1, length - 1) != 0) continue;
        const char next = t[length];
        return (next >= '0' && next <= '9') || (next >= 'A' && next <= 'Z');
    }
    return false;
}

static script_gap gap_before(const script *s) {
    if (!s->begun) return SCRIPT_GAP_NONE;
    if (s->block_goes_on) return SCRIPT_GAP_SENTENCE;
    if (s->broken || s->kind == BLOCK_HEADING || s->last_kind == BLOCK_HEADING)
        return SCRIPT_GAP_HEADING;
    return s->kind != BLOCK_TEXT && s->kind == s->last_kind ? SCRIPT_GAP_SENTENCE
                                                            : SCRIPT_GAP_PARAGRAPH;
}

/* Bytes of the sentences that are whole for certain; all when there is but one. */
static size_t whole_sentences(const char *text, size_t size) {
    size_t at = 0;
    for (;;) {
        const size_t next = at + sentence_next(text + at, size - at);
        if (next == size) return at > 0 ? at : size;
        at = next;
    }
}

/* Gives out what was gathered: all of it, or its whole sentences when it is only a part. */
static void take_block(script *s, bool part) {
    const size_t size = part ? whole_sentences(s->block, s->block_size) : s->block_size;
    if (!part && !s->block_goes_on && looks_like_title(s)) s->kind = BLOCK_HEADING;
    memcpy(s->text, s->block, size);
    s->text_size = s->plain ? size : markdown_strip(s->text, size, s->kind == BLOCK_ROW);
    s->text_at = s->sentence_end = 0;
    if (sentence_is_speakable(s->text, s->text_size)) {
        const script_gap gap = gap_before(s);
        if (gap > s->gap) s->gap = gap;
        s->begun = true;
        s->broken = false;
        s->last_kind = s->kind;
    }
    memmove(s->block, s->block + size, s->block_size - size);
    s->block_size -= size;
    s->block_goes_on = part;
    if (!part) s->block_lines = 0;
}

/* What the line is; moves *text and *size to what is to be spoken of it. */
static line_kind look_at_line(script *s, const char **text, size_t *size) {
    *text = s->line;
    *size = s->line_size;
    if (s->line_goes_on) return markdown_rest(&s->marks, text, size);
    if (!s->plain)
        return markdown_line(&s->marks, text, size, s->block_size > 0 && s->kind == BLOCK_TEXT);
    while (*size > 0 && strchr(" \t\r", (*text)[*size - 1]) != NULL) --*size;
    return *size > 0 ? LINE_TEXT : LINE_BLANK;
}

static block_kind kind_of(line_kind kind) {
    if (kind == LINE_HEADING) return BLOCK_HEADING;
    return kind == LINE_ITEM ? BLOCK_ITEM : BLOCK_ROW;
}

/* Adds the line to the block. True when the block is complete; the line then belongs to it, or to
 * none, or is held for the next one. */
static bool take_line(script *s) {
    const bool open = s->block_size > 0;
    const char *text;
    size_t size;
    const line_kind kind = look_at_line(s, &text, &size);
    if (s->marks.fence == '\0' && s->marks.html == 0)
        s->open_line = 0;
    else if (s->open_line == 0)
        s->open_line = s->line_count;
    switch (kind) {
    case LINE_TEXT:
        if (!open) s->kind = BLOCK_TEXT;
        add_text(s, text, size);
        return false;
    case LINE_UNDERLINE:
        if (!open)
            s->broken = true;
        else if (s->kind == BLOCK_TEXT)
            s->kind = BLOCK_HEADING;
        return open;
    case LINE_RULE: /* the line before it was the head of the table */
        if (open && s->kind == BLOCK_TEXT && s->block_lines == 1) s->kind = BLOCK_ROW;
        return open;
    case LINE_BREAK:
        s->broken = true;
        return open;
    case LINE_HEADING:
    case LINE_ITEM:
    case LINE_ROW:
        s->line_held = open;
        if (open || size == 0) return open;
        s->kind = kind_of(kind);
        add_text(s, text, size);
        return kind != LINE_ITEM; /* an item may go on in the next line */
    case LINE_BLANK:
    case LINE_SKIPPED:
        if (!open) s->block_goes_on = false;
        return open;
    }
    return false;
}

/* RNL_OK: there is a block, or part of one, to give out. */
static rnl_status next_block(script *s, rnl_error *error) {
    for (;;) {
        if (s->block_size > BLOCK_CAP - LINE_CAP - 2) {
            take_block(s, true);
            return RNL_OK;
        }
        const rnl_status status = s->line_held ? RNL_OK : next_line(s, error);
        if (status < 0 || (status == RNL_DONE && s->block_size == 0)) return status;
        s->line_held = false;
        if (status == RNL_DONE || take_line(s)) {
            take_block(s, false);
            return RNL_OK;
        }
    }
}

/* ---- Pieces ---- */

static bool is_blank(char c) {
    return (unsigned char)c <= ' ' || c == 0x7f;
}

/* Copies with one space for any run of blanks and none at the ends. */
static void set_text(script_piece *piece, const char *text, size_t size) {
    piece->size = 0;
    for (size_t i = 0; i < size; i++) {
        if (!is_blank(text[i]))
            piece->text[piece->size++] = text[i];
        else if (piece->size > 0 && piece->text[piece->size - 1] != ' ')
            piece->text[piece->size++] = ' ';
    }
    if (piece->size > 0 && piece->text[piece->size - 1] == ' ') piece->size--;
    piece->text[piece->size] = '\0';
}

rnl_status script_next(script *s, script_piece *piece, rnl_error *error) {
    for (;;) {
        while (s->text_at < s->text_size) {
            if (s->sentence_end <= s->text_at)
                s->sentence_end =
                    s->text_at + sentence_next(s->text + s->text_at, s->text_size - s->text_at);
            const char *text = s->text + s->text_at;
            const size_t size = sentence_cut(text, s->sentence_end - s->text_at, s->char_max);
            s->text_at += size;
            if (!sentence_is_speakable(text, size)) continue;
            set_text(piece, text, size);
            piece->gap = s->gap;
            s->gap = s->text_at < s->sentence_end ? SCRIPT_GAP_NONE : SCRIPT_GAP_SENTENCE;
            return RNL_OK;
        }
        const rnl_status status = next_block(s, error);
        if (status != RNL_OK) return status;
    }
}
