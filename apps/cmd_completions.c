/* runnel completions: what bash, zsh and fish need to complete commands and options, written from
 * the same rows that parse them. */
#include <stdio.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/messages.h"

/* Whether the value of an option is the name of a file or folder. */
static bool takes_path(const option_row *row) {
    static const char *const values[] = {"FILE", "PATH", "DIR", "MODEL"};
    for (size_t i = 0; row->value != NULL && i < sizeof values / sizeof *values; i++)
        if (strcmp(row->value, values[i]) == 0) return true;
    return false;
}

/* Writes a text for between two single quotes; `escaped` get a backslash, a quote is `quote`. */
static void put(const char *text, const char *escaped, const char *quote) {
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            (void)fputs(quote, stdout);
            continue;
        }
        if (strchr(escaped, *text) != NULL) putchar('\\');
        putchar(*text);
    }
}

/* ---- bash */

typedef enum bash_set { BASH_ALL, BASH_PATHS, BASH_VALUES } bash_set;

/* One set of a command's options, a blank before and behind each, so that one can be looked up. */
static void bash_options(const command *c, const char *name, bash_set set) {
    printf("        %s=' ", name);
    const option_row *row;
    for (int i = 0; (row = command_option(c, i)) != NULL; i++) {
        const bool in = set == BASH_ALL || (set == BASH_PATHS && takes_path(row)) ||
                        (set == BASH_VALUES && row->value != NULL && !takes_path(row));
        if (!in) continue;
        printf("--%s ", row->name);
        if (row->letter != 0) printf("-%c ", row->letter);
    }
    printf(set == BASH_ALL ? "--help -h --version '\n" : "'\n");
}

static void write_bash(void) {
    const command *c;
    printf("# Completion of runnel for bash, written by `runnel completions bash`.\n"
           "_runnel() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
           "    local all='' paths='' values='' arguments=''\n"
           "    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W '");
    for (int i = 0; (c = command_at(i)) != NULL; i++) printf("%s ", c->name);
    printf("--help --version' -- \"$word\"))\n"
           "        return\n"
           "    fi\n"
           "    case ${COMP_WORDS[1]} in\n");
    for (int i = 0; (c = command_at(i)) != NULL; i++) {
        printf("    %s)\n", c->name);
        bash_options(c, "all", BASH_ALL);
        bash_options(c, "paths", BASH_PATHS);
        bash_options(c, "values", BASH_VALUES);
        if (c->words != NULL) printf("        arguments='%s'\n", c->words);
        printf("        ;;\n");
    }
    printf("    esac\n"
           "    # Where nothing is said here, bash goes on with the names of files.\n"
           "    if [[ $paths == *\" $before \"* ]]; then return; fi\n"
           "    if [[ $values == *\" $before \"* ]]; then\n"
           "        compopt +o default 2> /dev/null\n"
           "    elif [[ $word == -* ]]; then\n"
           "        COMPREPLY=($(compgen -W \"$all\" -- \"$word\"))\n"
           "    elif [ -n \"$arguments\" ]; then\n"
           "        COMPREPLY=($(compgen -W \"$arguments\" -- \"$word\"))\n"
           "    fi\n"
           "}\n"
           "complete -o default -F _runnel runnel\n");
}

/* ---- zsh */

static const char zsh_quote[] = "'\\''";

static void zsh_option(const option_row *row) {
    const char *again = row->kind == OPTION_SETS || row->kind == OPTION_TEXTS ? "*" : "";
    const char *next = row->value != NULL ? "=" : "", *joined = row->value != NULL ? "+" : "";
    if (row->letter != 0)
        printf("            '(-%c --%s)'{-%c%s,--%s%s}'", row->letter, row->name, row->letter,
               joined, row->name, next);
    else
        printf("            '%s--%s%s", again, row->name, next);
    printf("[");
    put(row->help, "[]\\", zsh_quote);
    printf("]");
    if (row->value != NULL) {
        printf(":");
        put(row->value, ":", zsh_quote);
        printf(":%s", takes_path(row) ? "_files" : "");
    }
    printf("' \\\n");
}

static void write_zsh(void) {
    const command *c;
    const option_row *row;
    printf("#compdef runnel\n"
           "# Completion of runnel for zsh, written by `runnel completions zsh`.\n"
           "_runnel() {\n"
           "    local -a commands\n"
           "    commands=(\n");
    for (int i = 0; (c = command_at(i)) != NULL; i++) {
        printf("        '%s:", c->name);
        put(c->summary, "", zsh_quote);
        printf("'\n");
    }
    printf("    )\n"
           "    if (( CURRENT == 2 )); then\n"
           "        _describe command commands\n"
           "        return\n"
           "    fi\n"
           "    local command=$words[2]\n"
           "    shift words\n"
           "    (( CURRENT-- ))\n"
           "    case $command in\n");
    for (int i = 0; (c = command_at(i)) != NULL; i++) {
        printf("    %s)\n        _arguments -s \\\n", c->name);
        for (int k = 0; (row = command_option(c, k)) != NULL; k++) zsh_option(row);
        printf("            '(-h --help)'{-h,--help}'[this text]' \\\n"
               "            '--version[the version of runnel]' \\\n"
               "            '*:");
        if (c->words != NULL)
            printf("argument:(%s)'\n", c->words);
        else
            printf("file:_files'\n");
        printf("        ;;\n");
    }
    printf("    esac\n"
           "}\n"
           "if [ \"$funcstack[1]\" = _runnel ]; then _runnel \"$@\"; else compdef _runnel runnel; "
           "fi\n");
}

/* ---- fish */

static void fish_option(const command *c, const option_row *row) {
    printf("complete -c runnel -n '__fish_seen_subcommand_from %s' -l %s", c->name, row->name);
    if (row->letter != 0) printf(" -s %c", row->letter);
    if (row->value != NULL) printf(takes_path(row) ? " -r -F" : " -x");
    printf(" -d '");
    put(row->help, "\\", "\\'");
    printf("'\n");
}

static void write_fish(void) {
    const command *c;
    const option_row *row;
    printf("# Completion of runnel for fish, written by `runnel completions fish`.\n"
           "complete -c runnel -n __fish_use_subcommand -f\n"
           "complete -c runnel -s h -l help -d 'this text'\n"
           "complete -c runnel -l version -d 'the version of runnel'\n");
    for (int i = 0; (c = command_at(i)) != NULL; i++) {
        printf("complete -c runnel -n __fish_use_subcommand -a %s -d '", c->name);
        put(c->summary, "\\", "\\'");
        printf("'\n");
        if (c->words != NULL)
            printf("complete -c runnel -n '__fish_seen_subcommand_from %s' -f -a '%s'\n", c->name,
                   c->words);
        for (int k = 0; (row = command_option(c, k)) != NULL; k++) fish_option(c, row);
    }
}

static int run(const options *o) {
    static const struct {
        const char *name;
        void (*write)(void);
    } shells[] = {{"bash", write_bash}, {"zsh", write_zsh}, {"fish", write_fish}};
    if (o->argument_count != 1)
        return complain(EXIT_USAGE, "completions: takes the name of one shell: bash, zsh or fish");
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(o->arguments[0], shells[i].name) != 0) continue;
        shells[i].write();
        return EXIT_OK;
    }
    return complain(EXIT_USAGE, "completions: '%s' is none of bash, zsh and fish", o->arguments[0]);
}

const command command_completions = {
    .name = "completions",
    .summary = "what a shell completes after `runnel`",
    .synopsis = "bash|zsh|fish",
    .about = "A script for this shell, on standard output. `cmake --install` puts all three where\n"
             "shells look; by hand, for bash: . <(runnel completions bash)",
    .run = run,
    .words = "bash zsh fish",
};
