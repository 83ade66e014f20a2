/* runnel reply: spoken questions in, spoken answers out. */
#include <stdlib.h>
#include <string.h>

#include "apps/answer.h"
#include "apps/commands.h"
#include "apps/ending.h"
#include "apps/inputs.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/sources.h"

/* One question; several files are turns of one conversation. */
static int answer_one(answer *a, const char *question, const char *sound_path) {
    a->input = question;
    a->sound_path = sound_path;
    const int code = answer_add_file(a, question);
    return code == EXIT_OK ? answer_run(a) : code;
}

/* Whether -o names the folder of the answers. */
static bool into_folder(const options *o) {
    return o->output != NULL && (o->argument_count > 1 || is_folder(o->output));
}

/* Whether the name is that of an earlier answer, or of a file that is read. */
static bool taken(char *const *paths, int index) {
    if (source_is(paths[index])) return true;
    for (int i = 0; i < index; i++)
        if (strcmp(paths[i], paths[index]) == 0) return true;
    return false;
}

/* Where each answer goes. No two in one file: a second question called NAME is answered in
 * NAME.2.answer.wav. False: no memory. */
static bool name_answers(const options *o, char **paths) {
    const bool folder = into_folder(o);
    if (o->output != NULL && !folder) return (paths[0] = strdup(o->output)) != NULL;
    for (int i = 0; i < o->argument_count; i++) {
        int number = 0;
        do {
            free(paths[i]);
            paths[i] = answer_path(folder ? o->output : NULL, o->arguments[i], ++number);
            if (paths[i] == NULL) return false;
        } while (taken(paths, i));
    }
    return true;
}

static int answer_all(answer *a, const options *o) {
    char **paths = calloc((size_t)o->argument_count, sizeof *paths);
    int code = EXIT_OK;
    if (paths == NULL || !name_answers(o, paths))
        code = complain(EXIT_FAILED, "memory is exhausted");
    if (code == EXIT_OK && o->output != NULL && o->argument_count > 1)
        code = make_folder(o->output);
    if (code == EXIT_OK) code = answer_add_system(a);
    for (int i = 0; i < o->argument_count && code == EXIT_OK && !interrupted(); i++)
        code = answer_one(a, o->arguments[i], paths[i]);
    for (int i = 0; paths != NULL && i < o->argument_count; i++) free(paths[i]);
    free(paths);
    return code;
}

static int run(const options *o) {
    if (o->argument_count == 0)
        return complain(EXIT_USAGE, "reply: no question was named; give a sound file");
    int code = EXIT_OK;
    for (int i = 0; i < o->argument_count; i++) source_note(o->arguments[i]);
    if (o->output != NULL && !into_folder(o)) code = answer_check_sound_path(o->output);
    if (code != EXIT_OK) return code;
    rnl_model *model = open_model(o, &code);
    if (model == NULL) return code;
    rnl_session *session = open_session(o, model, &code);
    answer a = {.options = o, .model = model, .session = session, .mode = RNL_MODE_INTERLEAVED};
    if (session != NULL) code = answer_all(&a, o);
    rnl_session_destroy(&session);
    rnl_model_close(&model);
    return code;
}

const command command_reply = {
    .name = "reply",
    .summary = "answer spoken questions with text and speech",
    .synopsis = "[options] QUESTION ... [-o ANSWER | FOLDER]",
    .about =
        "A question is a sound file of any common kind, or - for standard input (WAV, Ogg Opus or\n"
        "samples without a header). Text goes to stdout as it comes, the sound to ANSWER, whose\n"
        "suffix decides: .wav, .flac, .opus, .mp3 (default: NAME.answer.wav in this folder).\n"
        "Several files are the turns of one conversation; -o is a folder then, made if missing; a\n"
        "name that comes twice is numbered: NAME.2.answer.wav.",
    .options = {&options_output, &options_json, &options_system, &options_sampling, &options_answer,
                &options_turns, &options_lora, &options_device, &options_cache, &options_channel,
                &options_raw},
    .run = run,
};
