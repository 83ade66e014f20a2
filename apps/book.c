#include "apps/book.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/commands.h"
#include "apps/ending.h"
#include "apps/fingerprint.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/parts.h"
#include "apps/progress.h"
#include "apps/replace.h"
#include "apps/reply_json.h"
#include "apps/sources.h"
#include "audio/file.h"
#include "core/clock.h"
#include "core/hash_table.h"
#include "core/json.h"
#include "text/script.h"

enum { CLOCK_CAP = 64 };

typedef struct book {
    const options *o;
    rnl_model *model;
    rnl_session *session;
    const char *prompt, *name; /* name: of the text, for complaints */
    FILE *file;
    script *script;
    parts *parts;
    progress progress;
    script_piece piece;
    uint64_t text_size; /* bytes; 0: not known (a pipe) */
    double began;       /* when this run began to speak, and where in the text and sound: */
    uint64_t began_at;
    int64_t began_samples;
    bool speaking;
    int cut_count, silent_count; /* sentences that hit the limit, that gave no sound */
    rnl_reply reply;             /* of the sentence spoken last */
    reply_times times;
    uint64_t made[2]; /* two hashes of the settings and of all pieces with the gaps before them */
} book;

static double pause_of(const options *o, script_gap gap) {
    double asked = -1; /* below 0: not given */
    if (gap == SCRIPT_GAP_SENTENCE) asked = o->pause_sentence;
    if (gap == SCRIPT_GAP_PARAGRAPH) asked = o->pause_paragraph;
    if (gap == SCRIPT_GAP_HEADING) asked = o->pause_heading;
    return asked >= 0 ? asked : script_gap_seconds(gap);
}

static int char_max(const options *o) {
    return o->sentence_max > 0 ? o->sentence_max : SCRIPT_CHAR_DEFAULT;
}

const char *book_output(const options *o) {
    return o->output != NULL ? o->output : "say.wav";
}

/* Where the text is: a file, or "-". NULL: it is the argument itself. */
static const char *text_path(const options *o) {
    if (o->text_file != NULL) return o->text_file;
    return strcmp(o->arguments[0], "-") == 0 ? "-" : NULL;
}

/* Everything that the samples depend on but the text, as one line. */
static char *settings_line(const book *b) {
    char print[FINGERPRINT_SIZE];
    fingerprint_of(&command_say, b->o, b->model, RNL_MODE_SPEAK, print);
    json_draft *o = json_new_object();
    json_set(o, "runnel", json_new_string("say", 3));
    json_set(o, "format", json_new_int(2));
    json_set(o, "settings", json_new_string(print, strlen(print)));
    char *line = json_text(o);
    json_drop(&o);
    return line;
}

static void begin_note(book *b, const char *settings) {
    for (int i = 0; i < 2; i++) {
        b->made[i] = hash_bytes(HASH_START, i == 0 ? "a" : "b", 1);
        b->made[i] = hash_bytes(b->made[i], settings, strlen(settings));
    }
}

static void note_piece(book *b) {
    for (int i = 0; i < 2; i++) {
        b->made[i] = hash_bytes(b->made[i], &b->piece.gap, sizeof b->piece.gap);
        b->made[i] = hash_bytes(b->made[i], b->piece.text, b->piece.size + 1);
    }
}

static void note_of(const book *b, char note[PARTS_NOTE_CAP]) {
    (void)snprintf(note, PARTS_NOTE_CAP, "%016" PRIx64 "%016" PRIx64, b->made[0], b->made[1]);
}

/* Whether the output is there and was made of this text with these settings. The text is read for
 * it, and begun again. */
static bool is_made(book *b, const char *settings) {
    char want[PARTS_NOTE_CAP], got[PARTS_NOTE_CAP];
    rnl_error error = {0};
    if (parts_wait(book_output(b->o)) || !parts_get_note(book_output(b->o), got) ||
        fseek(b->file, 0, SEEK_SET) != 0)
        return false;
    script *s = script_create(b->file, b->name, b->o->plain, char_max(b->o));
    rnl_status status = s != NULL ? RNL_OK : RNL_ERR_MEMORY;
    begin_note(b, settings);
    while (status == RNL_OK && (status = script_next(s, &b->piece, &error)) == RNL_OK)
        note_piece(b);
    script_destroy(&s);
    rewind(b->file);
    note_of(b, want);
    return status == RNL_DONE && strcmp(want, got) == 0;
}

/* ---- Telling ---- */

/* spoken: by this run, so that tokens and times are known. */
static int print_part(const book *b, const part *p, bool spoken) {
    if (!b->o->json) return EXIT_OK;
    json_draft *o = json_new_object();
    json_set(o, "index", json_new_int(parts_piece_count(b->parts)));
    json_set(o, "start", json_new_number((double)p->begin / RNL_RATE_OUT));
    json_set(o, "end", json_new_number((double)p->end / RNL_RATE_OUT));
    if (!spoken) json_set(o, "finish", json_new_string(p->finish, strlen(p->finish)));
    json_set(o, "text", json_new_string(p->text, strlen(p->text)));
    json_set(o, "audio", json_new_string(book_output(b->o), strlen(book_output(b->o))));
    if (spoken) reply_json(o, &b->reply, &b->times);
    return print_json(o);
}

/* "1:02:03" */
static void put_time(char out[CLOCK_CAP], double seconds) {
    const long s = seconds > 0 && seconds < 1e9 ? (long)seconds : 0;
    (void)snprintf(out, CLOCK_CAP, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

static void show(book *b) {
    char done[CLOCK_CAP], left[CLOCK_CAP], detail[256];
    const uint64_t at = script_position(b->script);
    const double spent = clock_seconds() - b->began;
    const double fraction = b->text_size > 0 ? (double)at / (double)b->text_size : -1;
    const int64_t samples = parts_sample_count(b->parts);
    put_time(done, (double)samples / RNL_RATE_OUT);
    int size = snprintf(detail, sizeof detail, "%s", done);
    if (spent > 0 && b->speaking)
        size += snprintf(detail + size, sizeof detail - (size_t)size, ", %.1fx real time",
                         (double)(samples - b->began_samples) / RNL_RATE_OUT / spent);
    if (fraction > 0 && at > b->began_at) {
        put_time(left, spent * (double)(b->text_size - at) / (double)(at - b->began_at));
        size += snprintf(detail + size, sizeof detail - (size_t)size, ", %s left", left);
    }
    (void)snprintf(detail + size, sizeof detail - (size_t)size, ": %.100s", b->piece.text);
    progress_work(&b->progress, "speaking", fraction, detail);
}

static void show_writing(void *context, double fraction) {
    book *b = context;
    progress_work(&b->progress, "writing", fraction, b->o->output != NULL ? b->o->output : "");
}

/* ---- Speaking ---- */

static int failed(const book *b, const rnl_error *error) {
    return complain(exit_code(error), "%s: sentence %d: %s", b->name,
                    parts_piece_count(b->parts) + 1, error->text);
}

static int begin_sentence(book *b) {
    rnl_error error = {0};
    const rnl_turn_config config = answer_config(b->o, b->model, RNL_MODE_SPEAK);
    rnl_status status = RNL_OK;
    rnl_session_reset(b->session);
    if (*b->prompt != '\0')
        status =
            rnl_session_add_text(b->session, RNL_ROLE_SYSTEM, b->prompt, strlen(b->prompt), &error);
    if (status == RNL_OK)
        status =
            rnl_session_add_text(b->session, RNL_ROLE_USER, b->piece.text, b->piece.size, &error);
    if (status == RNL_OK) status = rnl_session_begin(b->session, &config, &error);
    return status == RNL_OK ? EXIT_OK : failed(b, &error);
}

/* Takes what there is; the words of a spoken text are known. */
static int pull(book *b) {
    char text[1024];
    float samples[4096];
    size_t got;
    while (rnl_session_pull_text(b->session, text, sizeof text, &got) == RNL_OK) continue;
    while (rnl_session_pull_samples(b->session, samples, 4096, &got) == RNL_OK) {
        if (b->times.first_sound == 0) b->times.first_sound = clock_seconds();
        b->times.sample_count += got;
        const int code = parts_write(b->parts, samples, got);
        if (code != EXIT_OK) return code;
    }
    return EXIT_OK;
}

static int speak_piece(book *b, part *done) {
    rnl_error error = {0};
    int code = parts_pause(b->parts, pause_of(b->o, b->piece.gap));
    b->times = (reply_times){.begin = clock_seconds()};
    if (code == EXIT_OK) code = begin_sentence(b);
    for (rnl_status status = RNL_OK; code == EXIT_OK && status != RNL_DONE;) {
        if (interrupted()) return EXIT_STOPPED;
        status = rnl_session_step(b->session, &error);
        reply_times_watch(&b->times, rnl_session_stage(b->session));
        code = status < 0 ? failed(b, &error) : pull(b);
        show(b);
    }
    if (code != EXIT_OK) return code;
    b->times.end = clock_seconds();
    rnl_session_get_reply(b->session, &b->reply);
    b->cut_count += b->reply.finish != RNL_FINISH_END;
    return parts_end(b->parts, b->piece.text, rnl_finish_name(b->reply.finish), done);
}

static int speak_all(book *b) {
    rnl_error error = {0};
    for (;;) {
        if (interrupted()) return EXIT_STOPPED;
        const rnl_status status = script_next(b->script, &b->piece, &error);
        if (status == RNL_DONE) return EXIT_OK;
        if (status < 0 && interrupted()) return EXIT_STOPPED; /* while it waited for text */
        if (status < 0)
            return complain(error.status == RNL_ERR_DATA ? EXIT_INPUT : EXIT_FAILED, "%s",
                            error.text);
        part done;
        int code;
        note_piece(b);
        const bool passed = parts_passed(b->parts, b->piece.text, &done, &code);
        if (!passed && !b->speaking) {
            b->speaking = true;
            b->began = clock_seconds();
            b->began_at = script_position(b->script);
            b->began_samples = parts_sample_count(b->parts);
        }
        if (!passed && code == EXIT_OK) code = speak_piece(b, &done);
        if (code == EXIT_OK) code = print_part(b, &done, !passed);
        if (code != EXIT_OK) return code;
        b->silent_count += done.begin == done.end;
    }
}

/* What a person wants to know at the end. */
static void tell(book *b, int code) {
    char spoken[CLOCK_CAP];
    const int count = parts_piece_count(b->parts);
    put_time(spoken, (double)parts_sample_count(b->parts) / RNL_RATE_OUT);
    progress_clear(&b->progress);
    if (code == EXIT_STOPPED && count > 0)
        (void)complain(code, "stopped after %d sentence%s; the same command with --resume goes on",
                       count, count == 1 ? "" : "s");
    if (code != EXIT_OK || b->o->quiet) return;
    (void)fprintf(stderr, "%s: %d sentence%s, %s\n", book_output(b->o), count,
                  count == 1 ? "" : "s", spoken);
    if (b->cut_count > 0)
        (void)fprintf(stderr, "%d of them were cut off; --max-tokens gives them more steps\n",
                      b->cut_count);
    if (b->silent_count > 0) (void)fprintf(stderr, "%d of them gave no sound\n", b->silent_count);
    if (script_open_line(b->script) > 0)
        (void)fprintf(
            stderr,
            "%s: line %llu begins code, a formula, a script or a comment that never ends; "
            "nothing behind it was spoken (--plain speaks everything)\n",
            b->name, (unsigned long long)script_open_line(b->script));
}

static int speak_file(book *b) {
    char *settings = settings_line(b), note[PARTS_NOTE_CAP];
    if (settings != NULL && b->o->resume && is_made(b, settings)) {
        free(settings);
        book_tell_finished(b->o);
        return EXIT_OK;
    }
    b->script = script_create(b->file, b->name, b->o->plain, char_max(b->o));
    if (settings == NULL || b->script == NULL) {
        free(settings);
        return complain(EXIT_FAILED, "memory is exhausted");
    }
    int code = parts_open(book_output(b->o), settings, RNL_RATE_OUT, b->o->resume, &b->parts);
    begin_note(b, settings);
    free(settings);
    if (code != EXIT_OK) return code;
    b->began = clock_seconds();
    code = speak_all(b);
    if (code == EXIT_OK && parts_piece_count(b->parts) == 0) {
        code = complain(EXIT_INPUT, "%s: there is no text to speak", b->name);
    } else if (code == EXIT_OK) {
        note_of(b, note);
        parts_set_note(b->parts, note);
        code = parts_finish(b->parts, show_writing, b);
    }
    tell(b, code);
    parts_close(&b->parts);
    return code;
}

static FILE *open_text(const char *path, const char *argument) {
    if (path == NULL) return fmemopen((void *)argument, strlen(argument), "rb");
    return strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
}

void book_tell_finished(const options *o) {
    if (!o->quiet) (void)fprintf(stderr, "%s: is finished already\n", book_output(o));
}

int book_speak(const options *o, rnl_model *model, rnl_session *session, const char *prompt) {
    const char *path = text_path(o);
    book *b = calloc(1, sizeof *b);
    if (b == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    *b = (book){.o = o,
                .model = model,
                .session = session,
                .prompt = prompt,
                .name = path == NULL             ? "say: the text"
                        : strcmp(path, "-") == 0 ? "standard input"
                                                 : path,
                .file = open_text(path, o->argument_count > 0 ? o->arguments[0] : NULL)};
    struct stat st;
    int code = EXIT_OK;
    if (b->file == NULL)
        code = complain(EXIT_INPUT, "%s: cannot be opened: %s", b->name, strerror(errno));
    else if (path == NULL)
        b->text_size = strlen(o->arguments[0]);
    else if (fstat(fileno(b->file), &st) == 0 && S_ISREG(st.st_mode))
        b->text_size = (uint64_t)st.st_size;
    progress_begin(&b->progress, o);
    if (code == EXIT_OK) code = speak_file(b);
    progress_clear(&b->progress);
    script_destroy(&b->script);
    if (b->file != NULL && b->file != stdin) (void)fclose(b->file);
    free(b);
    return code;
}

int book_check(const options *o, bool *finished) {
    const char *output = book_output(o), *path = text_path(o);
    struct stat st;
    rnl_error error = {0};
    *finished = false;
    if (path != NULL) source_note(path);
    if (sound_writer_check(output, &error) != RNL_OK || !target_is_free(output, &error))
        return complain(exit_code(&error), "%s", error.text);
    if (path == NULL && is_blank(o->arguments[0]))
        return complain(EXIT_INPUT, "say: there is no text to speak");
    if (path != NULL && strcmp(path, "-") != 0) {
        if (stat(path, &st) != 0)
            return complain(EXIT_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
        if (S_ISDIR(st.st_mode))
            return complain(EXIT_INPUT, "%s: this is a folder; name a text file", path);
    }
    /* With a note at the output the text and the model decide (is_made), unless the text comes
     * through a pipe, which cannot be read twice. */
    char note[PARTS_NOTE_CAP];
    const bool once =
        path != NULL && strcmp(path, "-") == 0 && lseek(STDIN_FILENO, 0, SEEK_CUR) < 0;
    *finished = o->resume && !parts_wait(output) && stat(output, &st) == 0 &&
                (once || !parts_get_note(output, note));
    return EXIT_OK;
}
