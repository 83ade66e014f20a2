/* A model to train that there is not yet. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/folders.h"
#include "apps/messages.h"
#include "apps/replace.h"
#include "apps/train.h"
#include "learn/scratch.h"

enum { PATH_CAP = 4096 };

/* The folder that a config.json is in: a path of either. */
static int scratch_folder(const char *given, char folder[PATH_CAP]) {
    static const char name[] = "config.json";
    const size_t size = strlen(given), tail = sizeof name - 1;
    if (size >= PATH_CAP - tail - 2) return complain(EXIT_USAGE, "%.60s...: too long", given);
    (void)strcpy(folder, given);
    if (size < tail || strcmp(given + size - tail, name) != 0) return EXIT_OK;
    folder[size - tail] = '\0';
    if (folder[0] == '\0') (void)strcpy(folder, ".");
    return EXIT_OK;
}

int train_begin_from_scratch(const options *o, char *start, size_t cap) {
    char folder[PATH_CAP], tokens[PATH_CAP + 32];
    rnl_error error = {0};
    int code = scratch_folder(o->from_scratch, folder);
    if (code != EXIT_OK) return code;
    if ((size_t)snprintf(start, cap, "%s/start.gguf", o->output) >= cap)
        return complain(EXIT_USAGE, "%.60s...: the name is too long", o->output);
    (void)snprintf(tokens, sizeof tokens, "%s/tokenizer.json", folder);
    if (!folders_make(o->output, 0777))
        return complain(EXIT_FAILED, "%s: cannot be made: %s", o->output, strerror(errno));
    if (o->resume && access(start, F_OK) == 0) return EXIT_OK;
    code = check_target(start);
    if (code != EXIT_OK) return code;
    if (learn_scratch_write(folder, o->tokenizer != NULL ? o->tokenizer : tokens, o->seed,
                            o->threads > 0 ? o->threads : 1, start, &error) == RNL_OK)
        return EXIT_OK;
    return complain(error.status == RNL_ERR_FORMAT ? EXIT_INPUT : exit_code(&error), "%s",
                    error.text);
}
