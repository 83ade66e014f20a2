/* runnel say: text in, speech out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/answer.h"
#include "apps/book.h"
#include "apps/commands.h"
#include "apps/messages.h"
#include "apps/open.h"

static const struct {
    const char *name, *prompt;
} voices[] = {
    /* audio.md 7.2 */
    {"us-male", "Perform TTS. Use the US male voice."},
    {"us-female", "Perform TTS. Use the US female voice."},
    {"uk-male", "Perform TTS. Use the UK male voice."},
    {"uk-female", "Perform TTS. Use the UK female voice."},
};

/* The system prompt of --system, --voice, or the model; NULL after a complaint. */
static const char *find_prompt(const options *o, const rnl_model *model) {
    if (o->system != NULL) return o->system;
    if (o->voice == NULL) {
        const char *prompt = rnl_model_system_prompt(model, RNL_MODE_SPEAK);
        return prompt != NULL ? prompt : "";
    }
    for (size_t i = 0; i < sizeof voices / sizeof *voices; i++)
        if (strcmp(voices[i].name, o->voice) == 0) return voices[i].prompt;
    (void)complain(EXIT_USAGE, "--voice: '%s' is not us-male, us-female, uk-male or uk-female",
                   o->voice);
    return NULL;
}

enum { STDIN_CAP = 1 << 20 };

/* The text of the argument, or of standard input for "-". Allocated; NULL after a complaint. */
static char *read_text(const char *argument) {
    const bool from_stdin = strcmp(argument, "-") == 0;
    char *text = from_stdin ? malloc(STDIN_CAP + 1) : strdup(argument);
    if (text == NULL) {
        (void)complain(EXIT_FAILED, "memory is exhausted");
        return NULL;
    }
    if (!from_stdin) return text;
    size_t size = fread(text, 1, STDIN_CAP, stdin);
    const char *fault = NULL;
    if (ferror(stdin) != 0) fault = "cannot be read";
    if (size == STDIN_CAP && getchar() != EOF) fault = "is longer than 1 MiB; speak it in parts";
    if (memchr(text, '\0', size) != NULL) fault = "holds a NUL byte; give plain UTF-8 text";
    if (fault != NULL) {
        (void)complain(EXIT_INPUT, "say: standard input %s", fault);
        free(text);
        return NULL;
    }
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) size--;
    text[size] = '\0';
    return text;
}

static int speak(const options *o, rnl_model *model, rnl_session *session, const char *text) {
    const char *prompt = find_prompt(o, model);
    if (prompt == NULL) return EXIT_USAGE;
    if (o->text_file != NULL) return book_speak(o, model, session, prompt);
    if (is_blank(text)) return complain(EXIT_INPUT, "say: there is no text to speak");
    answer a = {.options = o,
                .model = model,
                .session = session,
                .mode = RNL_MODE_SPEAK,
                .sound_path = book_output(o)};
    int code = *prompt != '\0' ? answer_add_text(&a, RNL_ROLE_SYSTEM, prompt) : EXIT_OK;
    if (code == EXIT_OK) code = answer_add_text(&a, RNL_ROLE_USER, text);
    return code == EXIT_OK ? answer_run(&a) : code;
}

/* What can be refused before the model is opened. */
static int check(const options *o, bool *finished) {
    *finished = false;
    if (o->text_file != NULL && o->argument_count > 0)
        return complain(EXIT_USAGE, "say: give either a text or a file of -f, not both");
    if (o->text_file != NULL) return book_check(o, finished);
    if (o->argument_count != 1)
        return complain(EXIT_USAGE, "say: give the text as one argument, - for standard input, or "
                                    "a text file with -f");
    if (o->resume) return complain(EXIT_USAGE, "--resume: only a text file of -f is gone on with");
    return answer_check_sound_path(book_output(o));
}

static int run(const options *o) {
    bool finished;
    int code = check(o, &finished);
    if (code != EXIT_OK) return code;
    if (finished) {
        if (!o->quiet) (void)fprintf(stderr, "%s: is finished already\n", book_output(o));
        return EXIT_OK;
    }
    char *text = o->text_file == NULL ? read_text(o->arguments[0]) : NULL;
    if (o->text_file == NULL && text == NULL) return EXIT_INPUT;
    rnl_model *model = open_model(o, &code);
    rnl_session *session = model != NULL ? open_session(o, model, &code) : NULL;
    if (session != NULL) code = speak(o, model, session, text);
    rnl_session_destroy(&session);
    rnl_model_close(&model);
    free(text);
    return code;
}

static const option_row rows[] = {
    {.name = "voice",
     .value = "NAME",
     .help = "us-male, us-female, uk-male or uk-female",
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
     .help = "-f: the text is no Markdown, speak every character",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(plain),
     .changes_result = true},
    {.name = "sentence-max",
     .value = "N",
     .help = "-f: longest piece in characters (default 300)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(sentence_max),
     .min = 40,
     .max = 1000,
     .changes_result = true},
    {.name = "pause-sentence",
     .value = "S",
     .help = "-f: seconds after a sentence (default 0.3)",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(pause_sentence),
     .min = 0,
     .max = 10,
     .changes_result = true},
    {.name = "pause-paragraph",
     .value = "S",
     .help = "-f: seconds after a paragraph (default 0.7)",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(pause_paragraph),
     .min = 0,
     .max = 10,
     .changes_result = true},
    {.name = "pause-heading",
     .value = "S",
     .help = "-f: seconds around a heading (default 1.2)",
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
        "The sound goes to OUT, whose suffix decides: .wav, .flac or .opus (default: say.wav).\n"
        "With -f a text of any length, Markdown or plain, is spoken sentence by sentence, with\n"
        "pauses. What is done lies in the folder OUT.parts until all of it is; after Ctrl-C or a\n"
        "crash the same command with --resume goes on. --json gives one object a sentence.",
    .options = {&options_output, &options_json, &options_system, &options_sampling, &options_answer,
                &options_turns, &options_cache, &options_resume, &own},
    .run = run,
};
