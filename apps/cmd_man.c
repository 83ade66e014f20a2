/* runnel man: the manual page of a command, written from the same rows that parse its options. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/folders.h"
#include "apps/messages.h"
#include "apps/replace.h"

enum { PATH_CAP = 4096 };

/* Writes a text so that troff shows it as it is; the caller begins lines with something else than a
 * point. */
static void put(FILE *f, const char *text) {
    static const struct {
        char c;
        const char *name;
    } names[] = {{'-', "\\-"},   {'\\', "\\e"},  {'\'', "\\(aq"}, {'`', "\\(ga"},
                 {'^', "\\(ha"}, {'~', "\\(ti"}, {'"', "\\(dq"}};
    for (; *text != '\0'; text++) {
        size_t i = 0;
        while (i < sizeof names / sizeof *names && names[i].c != *text) i++;
        if (i < sizeof names / sizeof *names)
            (void)fputs(names[i].name, f);
        else
            (void)fputc(*text, f);
    }
}

/* A text of several lines as it stands. */
static void put_lines(FILE *f, const char *text) {
    char line[256];
    (void)fputs(".nf\n", f);
    while (*text != '\0') {
        const size_t size = strcspn(text, "\n");
        (void)snprintf(line, sizeof line, "%.*s", (int)size, text);
        (void)fputs("\\&", f);
        put(f, line);
        (void)fputc('\n', f);
        text += size + (text[size] == '\n');
    }
    (void)fputs(".fi\n", f);
}

static void put_option(FILE *f, char letter, const char *name, const char *value,
                       const char *help) {
    (void)fputs(".TP\n", f);
    if (letter != 0) (void)fprintf(f, "\\fB\\-%c\\fR, ", letter);
    (void)fputs("\\fB\\-\\-", f);
    put(f, name);
    (void)fputs("\\fR", f);
    if (value != NULL) {
        (void)fputs(" \\fI", f);
        put(f, value);
        (void)fputs("\\fR", f);
    }
    (void)fputs("\n\\&", f);
    put(f, help);
    (void)fputc('\n', f);
}

static void put_range(FILE *f, const option_row *row) {
    if (row->kind == OPTION_INT) (void)fprintf(f, "\\&(%.0f to %.0f)\n", row->min, row->max);
    if (row->kind == OPTION_REAL) (void)fprintf(f, "\\&(%g to %g)\n", row->min, row->max);
}

static bool write_page(FILE *f, const void *context) {
    const command *c = context;
    const option_row *row;
    (void)fprintf(f,
                  ".\\\" Written by `runnel man %s`.\n"
                  ".TH runnel-%s 1 \"\" \"runnel %s\" \"Runnel\"\n"
                  ".SH NAME\nrunnel\\-%s \\- ",
                  c->name, c->name, rnl_version(), c->name);
    put(f, c->summary);
    (void)fprintf(f, "\n.SH SYNOPSIS\n.B runnel %s\n\\&", c->name);
    put(f, c->synopsis);
    (void)fputc('\n', f);
    if (c->about != NULL) {
        (void)fputs(".SH DESCRIPTION\n", f);
        put_lines(f, c->about);
    }
    (void)fputs(".SH OPTIONS\n", f);
    for (int i = 0; (row = command_option(c, i)) != NULL; i++) {
        put_option(f, row->letter, row->name, row->value, row->help);
        put_range(f, row);
    }
    put_option(f, 'h', "help", NULL, "what the command takes");
    put_option(f, 0, "version", NULL, "the version of runnel");
    return fputs(".SH SEE ALSO\n.BR runnel (1):\nexit codes, environment, files, kinds of models "
                 "and sounds\n",
                 f) >= 0 &&
           ferror(f) == 0;
}

static int write_all(const char *folder) {
    char path[PATH_CAP];
    const command *c;
    rnl_error error = {0};
    if (!folders_make(folder, 0777))
        return complain(EXIT_FAILED, "%s: cannot be made: %s", folder, strerror(errno));
    for (int i = 0; (c = command_at(i)) != NULL; i++) {
        if ((size_t)snprintf(path, sizeof path, "%s/runnel-%s.1", folder, c->name) >= sizeof path)
            return complain(EXIT_FAILED, "%.60s...: the path is too long", folder);
        if (!replace_file(path, write_page, c, &error))
            return complain(EXIT_FAILED, "%s", error.text);
    }
    return EXIT_OK;
}

static int run(const options *o) {
    const command *c;
    if (o->output != NULL && o->argument_count == 0) return write_all(o->output);
    if (o->output != NULL || o->argument_count != 1)
        return complain(EXIT_USAGE, "man: takes the name of one command, or -o and a folder for "
                                    "the pages of all");
    for (int i = 0; (c = command_at(i)) != NULL; i++) {
        if (strcmp(o->arguments[0], c->name) != 0) continue;
        (void)write_page(stdout, c);
        return flush_output();
    }
    return complain(EXIT_USAGE, "man: '%s' is no command; see `runnel --help`", o->arguments[0]);
}

const command command_man = {
    .name = "man",
    .summary = "the manual page of a command",
    .synopsis = "COMMAND | -o DIR",
    .about = "A page for man(1), on standard output: runnel man reply | man -l -\n"
             "With -o the pages of all commands, as runnel-COMMAND.1 in this folder. `cmake "
             "--install`\nputs them where man looks.",
    .options = {&options_output},
    .run = run,
};
