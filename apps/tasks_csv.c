#include "apps/tasks_csv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/text.h"
#include "core/json.h"
#include "core/status.h"
#include "core/utf8.h"

enum { FIELD_COUNT = 6, SUBJECT_CAP = 256 };

typedef struct rows {
    const char *text, *end; /* what is left */
    chat_text fields[FIELD_COUNT];
    int count; /* fields of the row at hand */
    const char *fault;
} rows;

static bool ends(const char *name, size_t size, const char *ending) {
    const size_t tail = strlen(ending);
    return size > tail && memcmp(name + size - tail, ending, tail) == 0;
}

bool tasks_is_csv(const char *path) {
    return ends(path, strlen(path), ".csv");
}

static void subject_of(const char *path, char subject[SUBJECT_CAP]) {
    static const char *const endings[] = {"_test", "_val", "_dev"};
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t size = strlen(name) - strlen(".csv");
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends(name, size, endings[i])) {
            size -= strlen(endings[i]);
            break;
        }
    (void)snprintf(subject, SUBJECT_CAP, "%.*s", (int)(size < SUBJECT_CAP ? size : 0), name);
}

/* What stands between quotes, two of which are one; behind the last of them. */
static void quoted(rows *r, chat_text *out) {
    while (r->text < r->end) {
        const char *quote = memchr(r->text, '"', (size_t)(r->end - r->text));
        const char *stop = quote != NULL ? quote : r->end;
        chat_put(out, r->text, (size_t)(stop - r->text));
        r->text = stop;
        if (quote == NULL) break;
        r->text++;
        if (r->text == r->end || *r->text != '"') return;
        chat_put(out, "\"", 1);
        r->text++;
    }
    r->fault = "a quotation mark is not closed";
}

static void field(rows *r, chat_text *out) {
    if (r->text < r->end && *r->text == '"') {
        r->text++;
        quoted(r, out);
        return;
    }
    const char *begin = r->text;
    while (r->text < r->end && strchr(",\r\n", *r->text) == NULL) r->text++;
    chat_put(out, begin, (size_t)(r->text - begin));
}

/* The fields of the next row. */
static void next_row(rows *r) {
    for (r->count = 0; r->fault == NULL;) {
        chat_text *out = &r->fields[r->count < FIELD_COUNT ? r->count : FIELD_COUNT - 1];
        out->size = 0;
        field(r, out);
        r->count++;
        if (r->text < r->end && *r->text == ',') {
            r->text++;
            continue;
        }
        if (r->text < r->end && *r->text == '\r') r->text++;
        if (r->text < r->end && *r->text != '\n' && r->fault == NULL)
            r->fault = "something stands behind a quotation mark or a carriage return";
        if (r->text < r->end) r->text++;
        break;
    }
    if (r->fault == NULL && r->count != FIELD_COUNT)
        r->fault = "it has not the six fields question, A, B, C, D, answer";
}

static char *line_of(const rows *r, const char *subject) {
    json_draft *o = json_new_object(), *choices = json_new_array();
    const chat_text *f = r->fields;
    json_set(o, "question", json_new_string(f[0].data != NULL ? f[0].data : "", f[0].size));
    for (int i = 1; i < FIELD_COUNT - 1; i++)
        json_append(choices, json_new_string(f[i].data != NULL ? f[i].data : "", f[i].size));
    json_set(o, "choices", choices);
    json_set(o, "answer", json_new_string(f[5].data != NULL ? f[5].data : "", f[5].size));
    if (subject[0] != '\0') json_set(o, "subject", json_new_string(subject, strlen(subject)));
    char *text = json_text(o);
    json_drop(&o);
    return text;
}

rnl_status tasks_from_csv(const char *name, const char *text, size_t size, char **out,
                          size_t *out_size, rnl_error *error) {
    char subject[SUBJECT_CAP];
    const size_t mark = utf8_mark_size(text, size);
    rows r = {.text = text + mark, .end = text + size};
    chat_text lines = {0};
    bool memory = true;
    size_t row = 0;
    subject_of(name, subject);
    while (r.text < r.end && memory) {
        row++;
        next_row(&r);
        if (r.fault != NULL) break;
        char *line = line_of(&r, subject);
        memory = line != NULL;
        if (memory) chat_puts(&lines, line);
        if (memory) chat_puts(&lines, "\n");
        free(line);
        for (int i = 0; i < FIELD_COUNT; i++) memory = memory && !r.fields[i].failed;
        memory = memory && !lines.failed;
    }
    for (int i = 0; i < FIELD_COUNT; i++) chat_text_free(&r.fields[i]);
    *out_size = lines.size;
    *out = lines.data;
    if (r.fault == NULL && memory) return RNL_OK;
    chat_text_free(&lines);
    *out = NULL;
    if (!memory) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    return status_fail(error, RNL_ERR_FORMAT, "%s: row %zu: %s", name, row, r.fault);
}
