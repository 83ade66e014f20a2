/* Calls of tools in a spoken conversation: each is a line of standard output, and its result comes
 * as a line of standard input. Results are taken in the order of the calls; one whose turn was
 * interrupted meanwhile is still read, and dropped. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/talk.h"
#include "apps/tools.h"

enum { WAITING_CAP = CALLS_MADE_CAP, LINE_CAP = 1 << 20 };

struct talk_tools {
    talk_view *view;
    held held;
    bool typed;       /* somebody sits at a terminal */
    calls_made calls; /* whose results have not come, */
    int stale;        /* the first ones: nobody wants them any more */
    char *result;     /* of the first, where the reply was not ready for it yet; else NULL */
    size_t result_size;
    char *line; /* [LINE_CAP] what was read of standard input and not looked at yet */
    size_t line_size;
    char *call; /* [RNL_CALL_SIZE_MAX] */
};

talk_tools *tools_open(const options *o, rnl_model *model, talk_view *view, int *code) {
    *code = EXIT_OK;
    if (o->tools == NULL) return NULL;
    if (o->push_to_talk) {
        *code = complain(EXIT_USAGE, "--tools: results come by standard input, and so does the key "
                                     "of --push-to-talk; leave one of them out");
        return NULL;
    }
    talk_tools *t = calloc(1, sizeof *t);
    if (t != NULL) t->line = malloc(LINE_CAP);
    if (t != NULL) t->call = malloc(RNL_CALL_SIZE_MAX);
    if (t == NULL || t->line == NULL || t->call == NULL)
        *code = complain(EXIT_FAILED, "memory is exhausted");
    else
        *code = held_open(o, model, &t->held);
    if (*code != EXIT_OK) {
        tools_close(&t);
        return NULL;
    }
    t->view = view;
    t->typed = isatty(STDIN_FILENO) != 0;
    return t;
}

void tools_close(talk_tools **t) {
    if (*t == NULL) return;
    held_close(&(*t)->held);
    free((*t)->result);
    free((*t)->line);
    free((*t)->call);
    free(*t);
    *t = NULL;
}

rnl_constraint *tools_constraint(const talk_tools *t) {
    return t != NULL ? t->held.tools : NULL;
}

/* ---- Calls ---- */

static void ask(const talk_tools *t, const char *name) {
    char sentence[CALL_NAME_CAP + 64];
    if (!t->typed) return;
    (void)snprintf(sentence, sizeof sentence, "result of %s, as a line {\"result\": ...}:", name);
    view_say(t->view, sentence);
}

int tools_take_calls(talk_tools *t, rnl_live *live) {
    size_t size;
    if (t == NULL) return EXIT_OK;
    while (rnl_live_pull_call(live, t->call, RNL_CALL_SIZE_MAX, &size) == RNL_OK) {
        view_clear(t->view);
        (void)fwrite(t->call, 1, size, stdout);
        (void)putchar('\n');
        if (t->calls.count == WAITING_CAP)
            return complain(EXIT_FAILED, "%d calls wait for their results", WAITING_CAP);
        calls_note(&t->calls, t->call, size);
        ask(t, t->calls.names[t->calls.count - 1]);
    }
    return flush_output();
}

void tools_end_turn(talk_tools *t) {
    if (t != NULL) t->stale = t->calls.count;
}

/* ---- Results ---- */

static void drop_first(talk_tools *t) {
    calls_made *c = &t->calls;
    memmove(c->names, c->names + 1, (size_t)(--c->count) * sizeof *c->names);
    t->stale -= t->stale > 0;
    free(t->result);
    t->result = NULL;
}

/* A line, where one is whole: its end becomes a NUL; *next behind it. NULL: not yet. */
static char *whole_line(talk_tools *t, size_t *next) {
    char *end = memchr(t->line, '\n', t->line_size);
    if (end == NULL) return NULL;
    *end = '\0';
    *next = (size_t)(end + 1 - t->line);
    return t->line;
}

/* Reads what is there; with `waits` until there is something. EXIT_OK also when Ctrl-C came. */
static int read_more(talk_tools *t, bool waits) {
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    const int found = poll(&in, 1, waits ? -1 : 0);
    if (found <= 0) return EXIT_OK;
    if (t->line_size == LINE_CAP)
        return complain(EXIT_INPUT, "the result of %s has more than %d bytes", t->calls.names[0],
                        LINE_CAP);
    const ssize_t got = read(STDIN_FILENO, t->line + t->line_size, LINE_CAP - t->line_size);
    if (got < 0) return errno == EINTR ? EXIT_OK : complain(EXIT_INPUT, "standard input fails");
    if (got == 0 && t->line_size > 0) { /* its last line has no end */
        t->line[t->line_size++] = '\n';
        return EXIT_OK;
    }
    if (got == 0)
        return complain(EXIT_INPUT, "standard input ended before the result of %s",
                        t->calls.names[0]);
    t->line_size += (size_t)got;
    return EXIT_OK;
}

/* The result of the first call, where its line is there. A line that is none is told, and the next
 * one is looked at. */
static void parse_result(talk_tools *t) {
    size_t next;
    char *line;
    while (t->result == NULL && (line = whole_line(t, &next)) != NULL) {
        if (!is_blank(line)) {
            view_clear(t->view);
            t->result = result_of_line(line, t->calls.names[0], &t->result_size);
        }
        t->line_size -= next;
        memmove(t->line, t->line + next, t->line_size);
    }
}

int tools_give_results(talk_tools *t, rnl_live *live, bool waits) {
    if (t == NULL) return EXIT_OK;
    while (t->calls.count > 0 && !interrupted()) {
        rnl_error error = {0};
        parse_result(t);
        if (t->result == NULL) {
            const size_t before = t->line_size;
            const int code = read_more(t, waits);
            if (code != EXIT_OK) return code;
            if (t->line_size == before) return EXIT_OK;
            continue;
        }
        if (t->stale == 0) {
            const rnl_status status = rnl_live_add_result(live, t->result, t->result_size, &error);
            if (status == RNL_AGAIN) return EXIT_OK;
            if (status == RNL_ERR_CONTEXT_FULL || status == RNL_ERR_DATA) {
                (void)complain(EXIT_INPUT, "%s", error.text); /* another one, please */
                free(t->result);
                t->result = NULL;
                ask(t, t->calls.names[0]);
                continue;
            }
        }
        drop_first(t);
    }
    return EXIT_OK;
}
