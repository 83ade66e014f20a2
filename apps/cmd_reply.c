/* runnel reply: spoken questions in, spoken answers out. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/turn.h"

/* One question; several files are turns of one conversation. */
static int answer(turn *t, const char *question, const char *sound_path) {
    t->input = question;
    t->sound_path = sound_path;
    const int code = turn_add_file(t, question);
    return code == EXIT_OK ? turn_run(t) : code;
}

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool taken(char *const *paths, int index) {
    for (int i = 0; i < index; i++)
        if (strcmp(paths[i], paths[index]) == 0) return true;
    return false;
}

/* Where each answer goes. No two in one file: a second question called NAME is answered in
 * NAME.2.answer.wav. False: no memory. */
static bool name_answers(const options *o, char **paths) {
    const bool into_folder = o->output != NULL && (o->argument_count > 1 || is_folder(o->output));
    if (o->output != NULL && !into_folder) return (paths[0] = strdup(o->output)) != NULL;
    for (int i = 0; i < o->argument_count; i++) {
        int number = 0;
        do {
            free(paths[i]);
            paths[i] = answer_path(into_folder ? o->output : NULL, o->arguments[i], ++number);
            if (paths[i] == NULL) return false;
        } while (taken(paths, i));
    }
    return true;
}

static int answer_all(turn *t, const options *o) {
    char **paths = calloc((size_t)o->argument_count, sizeof *paths);
    int code = EXIT_OK;
    if (paths == NULL || !name_answers(o, paths))
        code = complain(EXIT_FAILED, "memory is exhausted");
    if (code == EXIT_OK && o->output != NULL && o->argument_count > 1)
        code = make_folder(o->output);
    if (code == EXIT_OK) code = turn_add_system(t);
    for (int i = 0; i < o->argument_count && code == EXIT_OK && !interrupted(); i++)
        code = answer(t, o->arguments[i], paths[i]);
    for (int i = 0; paths != NULL && i < o->argument_count; i++) free(paths[i]);
    free(paths);
    return code;
}

static int run(const options *o) {
    if (o->argument_count == 0)
        return complain(EXIT_USAGE, "reply: no question was named; give a sound file");
    int code;
    rnl_model *model = open_model(o, &code);
    if (model == NULL) return code;
    rnl_session *session = open_session(o, model, &code);
    turn t = {.options = o, .model = model, .session = session, .mode = RNL_MODE_INTERLEAVED};
    if (session != NULL) code = answer_all(&t, o);
    rnl_session_destroy(&session);
    rnl_model_close(&model);
    return code;
}

const command command_reply = {
    .name = "reply",
    .summary = "answer spoken questions with text and speech",
    .synopsis = "[options] QUESTION.wav ... [-o ANSWER.wav | FOLDER]",
    .about =
        "Text goes to stdout as it comes, the sound to ANSWER.wav (default: NAME.answer.wav in\n"
        "the current folder). Several files are the turns of one conversation; -o is a folder\n"
        "then, made if missing; a name that comes twice is numbered: NAME.2.answer.wav.",
    .own = "ojsxTKAkSiDL",
    .run = run,
};
