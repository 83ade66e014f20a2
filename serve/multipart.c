/* See multipart.h. Bytes of data are looked through for the delimiter only; since CR stands nowhere
 * in it but at its beginning, a match that fails can begin anew at the byte that failed. */
#include "serve/multipart.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

const char *multipart_fault_text(multipart_fault fault) {
    static const char *const texts[] = {
#define MULTIPART_FAULT_TEXT(name, sentence) sentence,
        MULTIPART_FAULT_LIST(MULTIPART_FAULT_TEXT)
#undef MULTIPART_FAULT_TEXT
    };
    return texts[fault];
}

/* ---- Header values: word; name=value; name="value" ---- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static void skip_blanks(const char **at, const char *end) {
    while (*at < end && is_blank(**at)) (*at)++;
}

/* Letters of tokens (RFC 9110). */
static bool is_token(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Takes a word of bytes of tokens, or of tokens and '/'. */
static size_t take_word(const char **at, const char *end, bool slash) {
    const char *from = *at;
    while (*at < end && (is_token(**at) || (slash && **at == '/'))) (*at)++;
    return (size_t)(*at - from);
}

/* Takes a value, in quotes or not, into out [cap]; false: damaged, or too long. */
static bool take_value(const char **at, const char *end, char *out, size_t cap) {
    size_t size = 0;
    const bool quoted = *at < end && **at == '"';
    if (quoted) (*at)++;
    for (;; (*at)++) {
        if (*at == end || (quoted ? **at == '"' : **at == ';' || is_blank(**at))) break;
        /* A backslash stands before a quote or another; before all else it is itself, as in the
         * paths that some browsers send. */
        if (quoted && **at == '\\' && end - *at > 1 && ((*at)[1] == '"' || (*at)[1] == '\\'))
            (*at)++;
        const unsigned char c = (unsigned char)**at;
        if (c < 0x20 || c == 0x7f || size + 1 >= cap) return false;
        out[size++] = (char)c;
    }
    out[size] = '\0';
    if (!quoted) return size > 0;
    if (*at == end) return false;
    (*at)++;
    return true;
}

/* Steps to the next parameter, "; name=", and gives its name; *at is then where its value begins.
 * False: there is none, with *damaged when something else stands there. */
static bool next_parameter(const char **at, const char *end, const char **name, size_t *size,
                           bool *damaged) {
    skip_blanks(at, end);
    *damaged = *at < end;
    if (*at == end || **at != ';') return false;
    (*at)++;
    skip_blanks(at, end);
    if (*at == end) { /* a semicolon at the end is common */
        *damaged = false;
        return false;
    }
    *name = *at;
    *size = take_word(at, end, false);
    if (*size == 0 || *at == end || **at != '=') return false;
    (*at)++;
    *damaged = false;
    return true;
}

static bool is_word(const char *text, size_t size, const char *word) {
    return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

bool multipart_boundary(const char *content_type, size_t size,
                        char boundary[MULTIPART_BOUNDARY_CAP + 1]) {
    const char *at = content_type, *end = content_type + size, *name;
    size_t name_size;
    bool damaged, found = false;
    boundary[0] = '\0';
    skip_blanks(&at, end);
    const char *type = at;
    if (!is_word(type, take_word(&at, end, true), "multipart/form-data")) return false;
    while (next_parameter(&at, end, &name, &name_size, &damaged)) {
        char value[MULTIPART_HEADER_CAP];
        if (!take_value(&at, end, value, sizeof value)) return false;
        if (!is_word(name, name_size, "boundary")) continue;
        const size_t length = strlen(value);
        if (found || length == 0 || length > MULTIPART_BOUNDARY_CAP) return false;
        memcpy(boundary, value, length + 1);
        found = true;
    }
    return found && !damaged;
}

/* ---- A part's header ---- */

static multipart_fault read_disposition(multipart *m, const char *at, const char *end) {
    const char *name;
    size_t size;
    bool damaged;
    const char *kind = at;
    if (!is_word(kind, take_word(&at, end, false), "form-data")) return MULTIPART_DISPOSITION;
    while (next_parameter(&at, end, &name, &size, &damaged)) {
        char other[MULTIPART_HEADER_CAP];
        const bool is_name = is_word(name, size, "name");
        const bool is_file = is_word(name, size, "filename");
        char *out = is_name ? m->part.name : is_file ? m->part.file : other;
        const size_t cap = is_name || is_file ? MULTIPART_NAME_CAP : sizeof other;
        if ((is_name && m->part.name[0] != '\0') || (is_file && m->part.is_file))
            return MULTIPART_NAME; /* twice */
        if (!take_value(&at, end, out, cap)) return MULTIPART_NAME;
        if (is_name && out[0] == '\0') return MULTIPART_NAME;
        m->part.is_file = m->part.is_file || is_file;
    }
    return damaged ? MULTIPART_NAME : MULTIPART_NONE;
}

/* One line without its end. */
static multipart_fault read_line(multipart *m) {
    const char *end = m->line + m->line_size, *at = m->line;
    const size_t name_size = take_word(&at, end, false);
    if (name_size == 0 || at == end || *at != ':') return MULTIPART_LINE;
    at++;
    skip_blanks(&at, end);
    while (end > at && is_blank(end[-1])) end--;
    if (is_word(m->line, name_size, "content-disposition"))
        return m->part.name[0] == '\0' ? read_disposition(m, at, end) : MULTIPART_DISPOSITION;
    if (is_word(m->line, name_size, "content-type")) {
        size_t size = (size_t)(end - at);
        if (size >= MULTIPART_NAME_CAP) return MULTIPART_NAME;
        for (size_t i = 0; i < size; i++)
            if ((unsigned char)at[i] < 0x20 || at[i] == 0x7f) return MULTIPART_LINE;
        memcpy(m->part.type, at, size);
        m->part.type[size] = '\0';
    }
    return MULTIPART_NONE;
}

/* A line of the header is whole. */
static multipart_fault end_line(multipart *m) {
    multipart_fault fault;
    if (m->line_size > 0) {
        fault = read_line(m);
        m->line_size = 0;
        return fault;
    }
    if (m->part.name[0] == '\0') return MULTIPART_DISPOSITION;
    m->state = MULTIPART_DATA;
    m->part_size = 0;
    m->matched = 0;
    return m->sink.begin(m->sink.context, &m->part) ? MULTIPART_NONE : MULTIPART_STOPPED;
}

static multipart_fault scan_head(multipart *m, char c) {
    if (m->head_size == MULTIPART_HEADER_CAP) return MULTIPART_HEADER;
    m->head_size++;
    if (c == '\n' && m->line_size > 0 && m->line[m->line_size - 1] == '\r') {
        m->line_size--;
        return end_line(m);
    }
    if (c == '\n' || c == '\0') return MULTIPART_LINE;
    if (m->line_size > 0 && m->line[m->line_size - 1] == '\r') return MULTIPART_LINE;
    m->line[m->line_size++] = c; /* fits: the line is part of the header */
    return MULTIPART_NONE;
}

/* ---- The body ---- */

static multipart_fault scan_behind(multipart *m, char c) {
    const char before = m->behind;
    m->behind = c;
    if (before == '-') {
        if (c != '-') return MULTIPART_DELIMITER;
        m->state = MULTIPART_EPILOGUE;
        return MULTIPART_NONE;
    }
    if (before == '\r') {
        if (c != '\n') return MULTIPART_DELIMITER;
        if (m->part_count == MULTIPART_PART_CAP) return MULTIPART_PARTS;
        m->part_count++;
        m->state = MULTIPART_HEAD;
        m->line_size = m->head_size = 0;
        memset(&m->part, 0, sizeof m->part);
        return MULTIPART_NONE;
    }
    if ((c == '-' && before == '\0') || c == '\r') return MULTIPART_NONE;
    if (!is_blank(c)) return MULTIPART_DELIMITER;
    m->behind = ' ';
    return MULTIPART_NONE;
}

/* Bytes that turned out to be no delimiter. */
static multipart_fault give(multipart *m, const char *bytes, size_t size) {
    if (size == 0 || m->state == MULTIPART_PREAMBLE) return MULTIPART_NONE;
    m->part_size += size;
    if (!m->part.is_file && m->part_size > MULTIPART_FIELD_CAP) return MULTIPART_FIELD;
    return m->sink.data(m->sink.context, bytes, size) ? MULTIPART_NONE : MULTIPART_STOPPED;
}

/* The delimiter is whole: the part, if any, has ended. */
static multipart_fault end_part(multipart *m) {
    const bool open = m->state == MULTIPART_DATA;
    m->state = MULTIPART_BEHIND;
    m->behind = '\0';
    m->matched = 0;
    return !open || m->sink.end(m->sink.context) ? MULTIPART_NONE : MULTIPART_STOPPED;
}

/* Data up to the delimiter or to the end of the piece; *at moves on, by one byte at least. */
static multipart_fault scan_data(multipart *m, const char *bytes, size_t size, size_t *at) {
    const size_t from = *at;
    if (m->matched == 0) {
        const char *begin = memchr(bytes + from, '\r', size - from);
        *at = begin != NULL ? (size_t)(begin - bytes) : size;
        if (begin != NULL) m->matched = 1, (*at)++;
        return give(m, bytes + from, *at - from - m->matched);
    }
    if (bytes[from] == m->delimiter[m->matched]) {
        (*at)++;
        m->matched++;
        return m->matched == m->delimiter_size ? end_part(m) : MULTIPART_NONE;
    }
    const size_t failed = m->matched;
    m->matched = 0; /* the byte itself is looked at again */
    return give(m, m->delimiter, failed);
}

void multipart_begin(multipart *m, const char *boundary, const multipart_sink *sink) {
    const size_t size = strlen(boundary);
    assert(size >= 1 && size <= MULTIPART_BOUNDARY_CAP);
    memset(m, 0, sizeof *m);
    m->sink = *sink;
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary, size);
    m->delimiter_size = 4 + size;
    m->state = MULTIPART_PREAMBLE;
    m->matched = 2; /* the first boundary needs no line end before it */
}

multipart_fault multipart_push(multipart *m, const char *bytes, size_t size) {
    size_t at = 0;
    while (at < size && m->fault == MULTIPART_NONE) {
        switch (m->state) {
        case MULTIPART_PREAMBLE:
        case MULTIPART_DATA:
            m->fault = scan_data(m, bytes, size, &at);
            break;
        case MULTIPART_BEHIND:
            m->fault = scan_behind(m, bytes[at++]);
            break;
        case MULTIPART_HEAD:
            m->fault = scan_head(m, bytes[at++]);
            break;
        case MULTIPART_EPILOGUE:
            return MULTIPART_NONE;
        }
    }
    return m->fault;
}

multipart_fault multipart_finish(multipart *m) {
    if (m->fault != MULTIPART_NONE || m->state == MULTIPART_EPILOGUE) return m->fault;
    m->fault = m->state == MULTIPART_PREAMBLE ? MULTIPART_BOUNDARY : MULTIPART_UNFINISHED;
    return m->fault;
}
