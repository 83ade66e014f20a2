/* runnel say: text in, speech out. */
#include <stdio.h>
#include <string.h>

#include "apps/book.h"
#include "apps/commands.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "text/voices.h"

/* The system prompt of --system, --voice, or the model; NULL after a complaint. */
static const char *find_prompt(const options *o, const rnl_model *model) {
    if (o->system != NULL) return o->system;
    if (o->voice == NULL) {
        const char *prompt = rnl_model_system_prompt(model, RNL_MODE_SPEAK);
        return prompt != NULL ? prompt : "";
    }
    const char *prompt = voice_prompt(o->voice, strlen(o->voice));
    if (prompt == NULL) (void)complain(EXIT_USAGE, "--voice: '%s' is not " VOICE_NAMES, o->voice);
    return prompt;
}

static int speak(const options *o, rnl_model *model, rnl_session *session) {
    const char *prompt = find_prompt(o, model);
    return prompt != NULL ? book_speak(o, model, session, prompt) : EXIT_USAGE;
}

static int run(const options *o) {
    if (o->text_file != NULL && o->argument_count > 0)
        return complain(EXIT_USAGE, "say: give either a text or a file of -f, not both");
    if (o->text_file == NULL && o->argument_count != 1)
        return complain(EXIT_USAGE, "say: give the text as one argument, - for standard input, or "
                                    "a text file with -f");
    bool finished;
    int code = book_check(o, &finished);
    if (code != EXIT_OK) return code;
    if (finished) {
        book_tell_finished(o);
        return EXIT_OK;
    }
    rnl_model *model = open_model(o, &code);
    rnl_session *session = model != NULL ? open_session(o, model, &code) : NULL;
    if (session != NULL) code = speak(o, model, session);
    rnl_session_destroy(&session);
    rnl_model_close(&model);
    return code;
}

static const option_row rows[] = {
    {.name = "voice",
     .value = "NAME",
     .help = VOICE_NAMES,
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(voice),
     .changes_result = true},
    {.name = "file",
     .letter = 'f',
     .value = "FILE",
     .help = "speak a text file (- for standard input), sentence by sentence",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(text_file)},
    {.name = "plain",
     .help = "the text is no Markdown, speak every character",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(plain),
     .changes_result = true},
    {.name = "sentence-max",
     .value = "N",
     .help = "longest piece in characters (default 300)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(sentence_max),
     .min = 40,
     .max = 1000,
     .changes_result = true},
    {.name = "pause-sentence",
     .value = "S",
     .help = "seconds after a sentence (default 0.3)",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(pause_sentence),
     .min = 0,
     .max = 10,
     .changes_result = true},
    {.name = "pause-paragraph",
     .value = "S",
     .help = "seconds after a paragraph (default 0.7)",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(pause_paragraph),
     .min = 0,
     .max = 10,
     .changes_result = true},
    {.name = "pause-heading",
     .value = "S",
     .help = "seconds around a heading (default 1.2)",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(pause_heading),
     .min = 0,
     .max = 10,
     .changes_result = true},
};
static const option_list own = OPTION_LIST(rows);

const command command_say = {
    .name = "say",
    .summary = "speak a text",
    .synopsis = "[options] \"text\" | - | -f FILE [--voice NAME] [-o OUT]",
    .about =
        "The sound goes to OUT, whose suffix decides: .wav, .flac, .opus, .mp3 (default: "
        "say.wav).\n"
        "A text of any length, Markdown or plain, is spoken sentence by sentence, with pauses.\n"
        "What is done lies in the folder OUT.parts until all of it is; after Ctrl-C or a crash\n"
        "the same command with --resume goes on. --json gives one object a sentence.",
    .options = {&options_output, &options_json, &options_system, &options_sampling, &options_answer,
                &options_turns, &options_lora, &options_device, &options_cache, &options_resume,
                &own},
    .run = run,
};
