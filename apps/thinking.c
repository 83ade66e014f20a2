#include "apps/thinking.h"

#include <string.h>

#include "apps/messages.h"

int thinking_begin(thinking *t, const char *how, bool within) {
    static const char *const names[] = {"show", "hide", "only"};
    *t = (thinking){.place = within ? THINK_WITHIN : THINK_UNKNOWN};
    for (int i = 0; how != NULL && i < 3; i++) {
        t->how = i;
        if (strcmp(how, names[i]) == 0) return EXIT_OK;
    }
    if (how == NULL) return EXIT_OK;
    return complain(EXIT_USAGE, "--think: '%s' is not show, hide or only", how);
}

static bool is_shown(const thinking *t) {
    return t->how == THINK_SHOW || (t->how == THINK_ONLY) == (t->place == THINK_WITHIN);
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static int give(thinking *t, const char *text, size_t size, thinking_fn fn, void *context) {
    if (!is_shown(t)) return EXIT_OK;
    while (t->trims && size > 0 && is_space(*text)) {
        text++;
        size--;
    }
    if (size == 0) return EXIT_OK;
    t->trims = false;
    return fn(context, text, size);
}

/* The mark that is looked for: the end of thinking, or its beginning, which comes first of all. */
static const char *mark_of(const thinking *t) {
    return t->place == THINK_WITHIN ? "</think>" : "<think>";
}

/* A byte: part of a mark that grows, or what is there as it is. */
static int take(thinking *t, char byte, thinking_fn fn, void *context) {
    const char *mark = mark_of(t);
    if (t->place == THINK_UNKNOWN && t->kept_size == 0 && is_space(byte))
        return give(t, &byte, 1, fn, context);
    if (byte == mark[t->kept_size]) {
        t->kept[t->kept_size++] = byte;
        if (mark[t->kept_size] != '\0') return EXIT_OK;
        t->kept_size = 0;
        t->place = t->place == THINK_WITHIN ? THINK_OVER : THINK_WITHIN;
        t->trims = true;
        return EXIT_OK;
    }
    const size_t kept = t->kept_size;
    t->kept_size = 0;
    if (t->place == THINK_UNKNOWN) t->place = THINK_OVER; /* it begins with something else */
    int code = kept > 0 ? give(t, t->kept, kept, fn, context) : EXIT_OK;
    if (code != EXIT_OK) return code;
    if (t->place == THINK_WITHIN && byte == '<') {
        t->kept[t->kept_size++] = byte;
        return EXIT_OK;
    }
    return give(t, &byte, 1, fn, context);
}

int thinking_push(thinking *t, const char *text, size_t size, thinking_fn fn, void *context) {
    int code = EXIT_OK;
    if (t->how == THINK_SHOW) return fn(context, text, size);
    for (size_t i = 0; i < size && code == EXIT_OK; i++) {
        if (t->place != THINK_OVER) {
            code = take(t, text[i], fn, context);
            continue;
        }
        return give(t, text + i, size - i, fn, context);
    }
    return code;
}

int thinking_end(thinking *t, thinking_fn fn, void *context) {
    const size_t size = t->kept_size;
    t->kept_size = 0;
    return size > 0 ? give(t, t->kept, size, fn, context) : EXIT_OK;
}
