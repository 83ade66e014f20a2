/* runnel reply: spoken questions in, spoken answers out. */
#include <stdlib.h>

#include "apps/turn.h"

/* One question; several files are turns of one conversation. */
static int answer(turn *t, const char *question, const char *sound_path) {
    t->input = question;
    t->sound_path = sound_path;
    const int code = turn_add_file(t, question);
    return code == EXIT_OK ? turn_run(t) : code;
}

static int answer_all(turn *t, const options *o) {
    const bool one = o->argument_count == 1;
    int code = o->output != NULL && !one ? make_folder(o->output) : EXIT_OK;
    if (code == EXIT_OK) code = turn_add_system(t);
    for (int i = 0; i < o->argument_count && code == EXIT_OK && !interrupted(); i++) {
        const char *question = o->arguments[i];
        char *made = answer_path(one ? NULL : o->output, question);
        if (made == NULL) return complain(EXIT_FAILED, "memory is exhausted");
        code = answer(t, question, one && o->output != NULL ? o->output : made);
        free(made);
    }
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
        "then.",
    .own = "ojsxTKAkSiDL",
    .run = run,
};
