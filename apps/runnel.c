/* The program: one binary, sub-commands. */
#include <stdio.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/ending.h"
#include "apps/messages.h"

static void help(FILE *out) {
    (void)fprintf(out, "usage: runnel COMMAND [options] [arguments]\n\n"
                       "Speech-to-speech with LFM2-Audio models, on this machine.\n\ncommands:\n");
    const command *c;
    for (int i = 0; (c = command_at(i)) != NULL; i++)
        (void)fprintf(out, "  %-11s %s\n", c->name, c->summary);
    (void)fprintf(out, "\n`runnel COMMAND --help` tells a command's options.\n"
                       "Without -m the model is RUNNEL_MODEL, else the demo model minnow.\n");
}

static int distance(const char *a, const char *b) {
    int row[32]; /* of the edit distance, for words shorter than 32 */
    const int n = (int)strlen(b);
    if (n >= 31) return n;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1] != '\0'; i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int changed = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            const int moved = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = changed < moved ? changed : moved;
        }
    }
    return row[n];
}

static int unknown(const char *name) {
    const command *best = command_at(0), *c;
    for (int i = 1; (c = command_at(i)) != NULL; i++)
        if (distance(name, c->name) < distance(name, best->name)) best = c;
    if (distance(name, best->name) <= 2)
        return complain(EXIT_USAGE, "'%s' is no command; did you mean '%s'?", name, best->name);
    return complain(EXIT_USAGE, "'%s' is no command; see `runnel --help`", name);
}

static int dispatch(int argc, char **argv) {
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        help(stdout);
        return EXIT_OK;
    }
    if (strcmp(name, "--version") == 0) {
        printf("runnel %s\n", rnl_version());
        return EXIT_OK;
    }
    const command *c;
    for (int i = 0; (c = command_at(i)) != NULL; i++) {
        if (strcmp(name, c->name) != 0) continue;
        options o;
        int code;
        if (options_parse(&o, c, argc - 1, argv + 1, &code)) code = c->run(&o);
        return interrupted() && !c->endless ? EXIT_STOPPED : code;
    }
    return unknown(name);
}

int main(int argc, char **argv) {
    interrupt_install();
    const int code = dispatch(argc, argv);
    return code == EXIT_OK ? flush_output() : code;
}
