/* runnel chat: a typed conversation, line by line; @FILE in a line adds a sound or a picture to the
 * turn, /image and /video lines before it show what it is about. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/answer.h"
#include "apps/commands.h"
#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/sources.h"
#include "core/utf8.h"

typedef struct chat {
    answer a;
    picture_log pictures;
    int turn_count;
    held held;
    calls_made made;  /* by the last answer */
    int result_count; /* that came of them */
} chat;

/* The call whose result is awaited, or NULL. */
static const char *awaited(const chat *c) {
    return c->result_count < c->made.count ? c->made.names[c->result_count] : NULL;
}

/* The next word @FILE from p on, or NULL. A word begins with the line or after a space. */
static char *find_sound(const char *line, char *p) {
    for (; *p != '\0'; p++)
        if (*p == '@' && (p == line || p[-1] == ' ') && p[1] != '\0' && p[1] != ' ') return p;
    return NULL;
}

/* Looks at the text and reads every @FILE of the line before any of it is added: after a slip, such
 * as a wrong name, the turn holds nothing of the line. */
static int check_line(const chat *c, char *line) {
    int code = EXIT_OK;
    if (!utf8_is_valid(line, strlen(line)))
        return complain(EXIT_INPUT, "chat: the line is not UTF-8; convert it with iconv");
    for (char *p = line; code == EXIT_OK && (p = find_sound(line, p)) != NULL;) {
        char *end = p + strcspn(p, " ");
        const char kept = *end;
        *end = '\0';
        code = answer_check_file(&c->a, p + 1);
        *end = kept;
        p = end;
    }
    return code;
}

/* Adds the line's text and sounds in their order. Words are parted by spaces; text between two
 * sounds stays together as it was typed. */
static int add_line(const chat *c, char *line) {
    char *text = line;
    for (char *p; (p = find_sound(text, text)) != NULL;) {
        char *end = p + strcspn(p, " ");
        const bool last = *end == '\0';
        *end = '\0';
        *p = '\0';
        if (p > text && p[-1] == ' ') p[-1] = '\0';
        int code = *text != '\0' ? answer_add_text(&c->a, RNL_ROLE_USER, text) : EXIT_OK;
        if (code == EXIT_OK) code = answer_add_file(&c->a, p + 1);
        if (code != EXIT_OK) return code;
        text = last ? end : end + 1;
    }
    return *text != '\0' ? answer_add_text(&c->a, RNL_ROLE_USER, text) : EXIT_OK;
}

/* Answers what was added. */
static int answer_now(chat *c) {
    char path[4096];
    const options *o = c->a.options;
    c->a.sound_path = NULL;
    if (o->output != NULL && c->a.mode == RNL_MODE_INTERLEAVED) {
        do /* not over a sound that was listened to */
            (void)snprintf(path, sizeof path, "%s/turn-%02d.wav", o->output, ++c->turn_count);
        while (source_is(path));
        c->a.sound_path = path;
    }
    c->result_count = 0;
    return answer_run(&c->a);
}

/* "/image PATH" or "/video PATH": shown before the question that follows. False: another line. */
static bool show(const chat *c, const char *line, int *code) {
    const picture_target target = answer_pictures(&c->a);
    if (strncmp(line, "/image ", 7) == 0)
        *code = pictures_add(&target, line + 7);
    else if (strncmp(line, "/video ", 7) == 0)
        *code = pictures_add_film(&target, line + 7);
    else
        return false;
    return true;
}

static int answer_line(chat *c, char *line) {
    int code = check_line(c, line);
    if (code == EXIT_OK) code = add_line(c, line);
    return code == EXIT_OK ? answer_now(c) : code;
}

/* A line with the result of the call that is awaited; the last of them is answered. */
static int take_result(chat *c, const char *line) {
    size_t size;
    rnl_error error = {0};
    char *result = result_of_line(line, awaited(c), &size);
    if (result == NULL) return EXIT_INPUT;
    const rnl_status status =
        rnl_session_add_text(c->a.session, RNL_ROLE_TOOL, result, size, &error);
    free(result);
    if (status != RNL_OK) return complain(exit_code(&error), "%s", error.text);
    c->result_count++;
    return awaited(c) != NULL ? EXIT_OK : answer_now(c);
}

/* A line of standard input, its end and byte order marks taken off. */
static int take_line(chat *c, char *line, size_t size) {
    if (memchr(line, '\0', size) != NULL)
        return complain(EXIT_INPUT, "chat: the line holds a NUL byte; give plain text");
    while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r')) line[--size] = '\0';
    line += utf8_mark_size(line, size);
    int code = EXIT_OK;
    if (is_blank(line)) return EXIT_OK;
    if (awaited(c) != NULL) return take_result(c, line);
    return show(c, line, &code) ? code : answer_line(c, line);
}

/* What a person at a terminal is asked for. */
static void prompt(const chat *c) {
    if (awaited(c) != NULL) {
        (void)fputs("result of ", stderr);
        put_name(stderr, awaited(c));
    }
    (void)fputs("> ", stderr);
}

static int converse(chat *c) {
    const bool typed = isatty(STDIN_FILENO) != 0;
    char *line = NULL;
    size_t cap = 0, count = 0;
    int code = EXIT_OK, slip = EXIT_OK;
    while (code == EXIT_OK && !interrupted()) {
        if (typed) prompt(c);
        if (typed && !wait_for_input()) break;
        const ssize_t size = getline(&line, &cap, stdin);
        if (size < 0) break;
        count++;
        code = take_line(c, line, (size_t)size);
        /* The talk goes on after a slip such as a wrong file name. A person at a terminal sees it
         * and may try again; for others it shows in the exit code. */
        if (code != EXIT_INPUT && code != EXIT_USAGE) continue;
        if (!typed) (void)fprintf(stderr, "line %zu is passed over\n", count);
        if (!typed && slip == EXIT_OK) slip = code;
        code = EXIT_OK;
    }
    free(line);
    if (code == EXIT_OK && c->pictures.count > 0 && !interrupted())
        code = complain(EXIT_INPUT, "chat: a picture came without a question behind it");
    return code != EXIT_OK ? code : slip;
}

/* The mode of --mode, or what the model can do; false after a complaint. */
static bool find_mode(const options *o, const rnl_model *model, rnl_mode *mode) {
    const bool speaks = rnl_model_can(model, RNL_MODE_INTERLEAVED) && o->json_schema == NULL;
    *mode = speaks ? RNL_MODE_INTERLEAVED : RNL_MODE_TEXT;
    if (o->mode == NULL) return true;
    const bool text = strcmp(o->mode, "text") == 0;
    if (!text && strcmp(o->mode, "interleaved") != 0) {
        (void)complain(EXIT_USAGE, "--mode: '%s' is not text or interleaved", o->mode);
        return false;
    }
    *mode = text ? RNL_MODE_TEXT : RNL_MODE_INTERLEAVED;
    if (text || o->json_schema == NULL) return true;
    (void)complain(EXIT_USAGE,
                   "--json-schema: such an answer is text; leave out --mode interleaved");
    return false;
}

static int begin(chat *c) {
    const options *o = c->a.options;
    int code = answer_add_system(&c->a);
    if (code == EXIT_OK && o->output != NULL) code = make_folder(o->output);
    if (code != EXIT_OK) return code;
    const picture_target target = answer_pictures(&c->a);
    code = pictures_add_options(&target);
    if (code != EXIT_OK) return code;
    if (o->argument_count == 0) return converse(c);
    if (is_blank(o->arguments[0])) return complain(EXIT_INPUT, "chat: the message has no text");
    code = answer_line(c, o->arguments[0]);
    /* The results of its calls, if anybody gives them. */
    return code == EXIT_OK && awaited(c) != NULL ? converse(c) : code;
}

static int run(const options *o) {
    if (o->argument_count > 1)
        return complain(EXIT_USAGE, "chat: give the message as one argument, in quotes");
    for (int i = 0; i < o->images.count && o->argument_count == 0; i++)
        if (strcmp(o->images.at[i], "-") == 0)
            return complain(EXIT_USAGE, "chat: with --image - give the message as an argument");
    int code;
    rnl_model *model = open_model(o, &code);
    rnl_session *session = model != NULL ? open_session(o, model, &code) : NULL;
    chat c = {.a = {.options = o, .model = model, .session = session}};
    c.a.pictures = &c.pictures;
    c.a.held = &c.held;
    c.a.made = &c.made;
    if (session != NULL) code = find_mode(o, model, &c.a.mode) ? EXIT_OK : EXIT_USAGE;
    if (session != NULL && code == EXIT_OK) code = held_open(o, model, &c.held);
    if (session != NULL && code == EXIT_OK) code = begin(&c);
    rnl_session_destroy(&session);
    held_close(&c.held);
    rnl_model_close(&model);
    return code;
}

static const option_row rows[] = {
    {.name = "mode",
     .value = "MODE",
     .help = "text or interleaved",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(mode),
     .changes_result = true},
    {.name = "json-schema",
     .value = "FILE",
     .help = "answers are JSON that fits this schema",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(json_schema),
     .changes_result = true},
    {.name = "think",
     .value = "WHAT",
     .help = "thinking before an answer: show, hide or only",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(think),
     .changes_result = true},
};
static const option_list own = OPTION_LIST(rows);

const command command_chat = {
    .name = "chat",
    .summary = "talk by keyboard; @FILE adds a sound or a picture",
    .synopsis = "[options] [--mode text|interleaved] [--image FILE]... [MESSAGE]",
    .about =
        "Reads a line a turn until the end of input, or takes one MESSAGE and ends. With\n"
        "-o FOLDER the spoken answers are written there. A line that cannot be taken, such as one\n"
        "with a wrong file name, is told and passed over; the exit code is 5 then. @FILE is a\n"
        "sound or a picture, as its bytes say; lines /image PATH and /video PATH show what the\n"
        "next line asks about, as --image and --video do for the first.\n"
        "With --tools a call is a line {\"tool\":\"f\",\"arguments\":{...}} of the output, and\n"
        "the next line of the input is its result, {\"result\": ...}; when all are there, the\n"
        "model goes on.",
    .options = {&options_output, &options_json, &options_system, &options_sampling, &options_answer,
                &options_turns, &options_lora, &options_device, &options_cache, &options_images,
                &options_tools, &own},
    .run = run,
};
