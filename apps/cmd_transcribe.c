/* runnel transcribe: speech in, its text out. Each file is a conversation of its own. */
#include "apps/turn.h"

static int transcribe(turn *t, const char *path) {
    rnl_session_reset(t->session);
    t->input = path;
    t->label = t->options->argument_count > 1 ? path : NULL;
    int code = turn_add_system(t);
    if (code == EXIT_OK) code = turn_add_file(t, path);
    return code == EXIT_OK ? turn_run(t) : code;
}

static int run(const options *o) {
    if (o->argument_count == 0)
        return complain(EXIT_USAGE, "transcribe: no recording was named; give a sound file");
    int code;
    rnl_model *model = open_model(o, &code);
    if (model == NULL) return code;
    rnl_session *session = open_session(o, model, &code);
    turn t = {.options = o, .model = model, .session = session, .mode = RNL_MODE_TRANSCRIBE};
    for (int i = 0; session != NULL && i < o->argument_count && code == EXIT_OK; i++)
        code = transcribe(&t, o->arguments[i]);
    rnl_session_destroy(&session);
    rnl_model_close(&model);
    return code;
}

const command command_transcribe = {
    .name = "transcribe",
    .summary = "write down what is said in sound files",
    .synopsis = "[options] FILE ...",
    .about = "The text goes to stdout; of several files each line begins with the file's name.",
    .own = "jsxTKAkSiDL",
    .run = run,
};
