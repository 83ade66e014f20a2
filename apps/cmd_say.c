/* runnel say: text in, speech out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/turn.h"

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

static int speak(turn *t, const char *prompt, const char *text) {
    if (is_blank(text)) return complain(EXIT_INPUT, "say: there is no text to speak");
    int code = *prompt != '\0' ? turn_add_text(t, RNL_ROLE_SYSTEM, prompt) : EXIT_OK;
    if (code == EXIT_OK) code = turn_add_text(t, RNL_ROLE_USER, text);
    return code == EXIT_OK ? turn_run(t) : code;
}

static int run(const options *o) {
    if (o->argument_count != 1)
        return complain(EXIT_USAGE, "say: give the text as one argument, or - for standard input");
    char *text = read_text(o->arguments[0]);
    if (text == NULL) return EXIT_INPUT;
    int code;
    rnl_model *model = open_model(o, &code);
    rnl_session *session = model != NULL ? open_session(o, model, &code) : NULL;
    const char *prompt = session != NULL ? find_prompt(o, model) : NULL;
    if (session != NULL && prompt == NULL) code = EXIT_USAGE;
    turn t = {.options = o,
              .model = model,
              .session = session,
              .mode = RNL_MODE_SPEAK,
              .sound_path = o->output != NULL ? o->output : "say.wav"};
    if (prompt != NULL) code = speak(&t, prompt, text);
    rnl_session_destroy(&session);
    rnl_model_close(&model);
    free(text);
    return code;
}

const command command_say = {
    .name = "say",
    .summary = "speak a text",
    .synopsis = "[options] \"text\" | - [--voice NAME] [-o OUT.wav]",
    .about = "The sound goes to OUT.wav (default: say.wav).",
    .own = "ojsvxTKAkSiDL",
    .run = run,
};
