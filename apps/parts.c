#include "apps/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/replace.h"
#include "audio/file.h"
#include "core/json.h"

enum { PATH_CAP = 4096, LINE_CAP = 65536, BLOCK = 4096 };

struct parts {
    char output[PATH_CAP], folder[PATH_CAP], samples_path[PATH_CAP], log_path[PATH_CAP];
    FILE *samples, *log;
    int rate, count;
    int64_t sample_count, begin; /* samples kept; where the speech of this piece begins */
    int64_t log_size;            /* bytes of the log that hold */
    bool reading;                /* there may be pieces of an earlier run in the log */
    bool locked;                 /* the folder is ours */
    char note[PARTS_NOTE_CAP];
    bool heard;   /* a piece has samples */
    json *record; /* of the piece passed last */
    char line[LINE_CAP];
};

static int failed(const char *path, const char *what) {
    return complain(EXIT_FAILED, "%s: %s: %s", path, what, strerror(errno));
}

static int not_written(const char *path) {
    return complain(EXIT_FAILED, "%s: cannot be written: %s; free some space", path,
                    strerror(errno));
}

static bool set_folder(char folder[PATH_CAP], const char *output) {
    const size_t room = PATH_CAP - 32;
    char *name = strlen(output) < room ? staged_beside(output, ".parts") : NULL;
    if (name == NULL) return false;
    (void)snprintf(folder, PATH_CAP, "%.*s", (int)room, name);
    free(name);
    return true;
}

static bool set_paths(parts *p, const char *output) {
    const int room = PATH_CAP - 32;
    if (!set_folder(p->folder, output)) return false;
    (void)snprintf(p->output, PATH_CAP, "%s", output);
    (void)snprintf(p->samples_path, PATH_CAP, "%.*s/speech.pcm", room, p->folder);
    (void)snprintf(p->log_path, PATH_CAP, "%.*s/done.jsonl", room, p->folder);
    return true;
}

bool parts_wait(const char *output) {
    char path[PATH_CAP];
    struct stat st;
    return set_folder(path, output) && stat(path, &st) == 0;
}

/* While no piece is finished, a run that is ended at once leaves nothing either. */
static void doom(const parts *p, void (*each)(const char *path)) {
    each(p->samples_path);
    each(p->log_path);
    each(p->folder);
}

static void remove_folder(parts *p) {
    (void)unlink(p->samples_path);
    (void)unlink(p->log_path);
    (void)rmdir(p->folder);
}

void parts_close(parts **out) {
    parts *p = *out;
    if (p == NULL) return;
    *out = NULL;
    if (p->locked && !p->reading && p->count == 0) remove_folder(p);
    doom(p, doomed_remove);
    if (p->samples != NULL) (void)fclose(p->samples);
    if (p->log != NULL) (void)fclose(p->log);
    json_destroy(&p->record);
    free(p);
}

/* Everything written so far is on the disk. */
static bool on_disk(FILE *f) {
    return fflush(f) == 0 && fdatasync(fileno(f)) == 0;
}

/* Opens without emptying what an earlier run left. */
static FILE *open_kept(const char *path) {
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    FILE *f = fd >= 0 ? fdopen(fd, "r+") : NULL;
    if (fd >= 0 && f == NULL) (void)close(fd);
    return f;
}

/* Reads a whole line of the log, without its end. False: there is none that is complete. */
static bool read_line(parts *p) {
    if (fgets(p->line, sizeof p->line, p->log) == NULL) return false;
    const size_t size = strlen(p->line);
    if (size == 0 || p->line[size - 1] != '\n') return false;
    p->line[size - 1] = '\0';
    return true;
}

/* The first line of the log: written, or compared. */
static int check_settings(parts *p, const char *settings) {
    if (read_line(p)) {
        if (strcmp(p->line, settings) != 0)
            return complain(EXIT_FAILED,
                            "%s: an earlier run had another model or other options; give the same, "
                            "or remove this folder to begin anew",
                            p->folder);
        p->log_size = ftell(p->log);
        return EXIT_OK;
    }
    rewind(p->log);
    if (ftruncate(fileno(p->log), 0) != 0 || fprintf(p->log, "%s\n", settings) < 0 ||
        !on_disk(p->log))
        return not_written(p->log_path);
    p->log_size = ftell(p->log);
    p->reading = false;
    doom(p, doomed_add);
    return EXIT_OK;
}

/* Whether an earlier run has finished a piece. What else it left is worth nothing. */
static bool holds_piece(parts *p) {
    const bool holds = read_line(p) && read_line(p);
    rewind(p->log);
    return holds;
}

static int open_files(parts *p, const char *settings, bool resume) {
    if (mkdir(p->folder, 0777) != 0 && errno != EEXIST)
        return failed(p->folder, "the folder cannot be created");
    if (check_target(p->log_path) != EXIT_OK || check_target(p->samples_path) != EXIT_OK)
        return EXIT_FAILED;
    p->log = open_kept(p->log_path);
    if (p->log == NULL) return failed(p->log_path, "cannot be opened");
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fileno(p->log), F_SETLK, &lock) != 0)
        return complain(EXIT_FAILED, "%s: another run is at work on it; wait for its end",
                        p->output);
    p->locked = true;
    if (!holds_piece(p)) {
        p->reading = false;
        if (ftruncate(fileno(p->log), 0) != 0) return not_written(p->log_path);
    } else if (!resume) {
        return complain(EXIT_FAILED,
                        "%s: an earlier run was stopped here; go on with --resume, or remove "
                        "this folder to begin anew",
                        p->folder);
    }
    p->samples = open_kept(p->samples_path);
    if (p->samples == NULL) return failed(p->samples_path, "cannot be opened");
    return check_settings(p, settings);
}

int parts_open(const char *output, const char *settings, int rate, bool resume, parts **out) {
    parts *p = *out = calloc(1, sizeof *p);
    if (p == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    p->rate = rate;
    p->reading = true;
    const int code = set_paths(p, output)
                         ? open_files(p, settings, resume)
                         : complain(EXIT_FAILED, "%s: this name is too long", output);
    if (code != EXIT_OK) parts_close(out);
    return code;
}

/* ---- What an earlier run has done ---- */

/* Reads the next record into p->record; false when there is none whose samples are there. */
static bool read_record(parts *p, part *done) {
    struct stat st;
    size_t size;
    json_destroy(&p->record);
    if (!read_line(p) || fstat(fileno(p->samples), &st) != 0) return false;
    if (json_parse(p->line, strlen(p->line), p->log_path, &p->record, NULL) != RNL_OK) return false;
    done->text = json_chars(json_get(p->record, "text"), &size);
    done->finish = json_chars(json_get(p->record, "finish"), &size);
    const int64_t end_max = st.st_size / (int64_t)sizeof(float);
    return done->text != NULL && done->finish != NULL &&
           json_int(json_get(p->record, "end"), p->sample_count, end_max, &done->end) &&
           json_int(json_get(p->record, "begin"), p->sample_count, done->end, &done->begin);
}

/* From here on pieces are new: what lies behind the last good one is dropped. */
static int begin_writing(parts *p) {
    p->reading = false;
    if (fseek(p->log, (long)p->log_size, SEEK_SET) != 0 ||
        ftruncate(fileno(p->log), (off_t)p->log_size) != 0)
        return not_written(p->log_path);
    const off_t size = (off_t)p->sample_count * (off_t)sizeof(float);
    if (fseeko(p->samples, size, SEEK_SET) != 0 || ftruncate(fileno(p->samples), size) != 0)
        return not_written(p->samples_path);
    p->begin = p->sample_count;
    return EXIT_OK;
}

bool parts_passed(parts *p, const char *text, part *done, int *code) {
    *code = EXIT_OK;
    if (!p->reading) return false;
    if (!read_record(p, done)) {
        *code = begin_writing(p);
        return false;
    }
    if (strcmp(done->text, text) != 0) {
        *code = complain(EXIT_FAILED,
                         "%s: sentence %d of the text is not what an earlier run has spoken; give "
                         "the same text, or remove this folder to begin anew",
                         p->folder, p->count + 1);
        return false;
    }
    p->log_size = ftell(p->log);
    p->sample_count = done->end;
    p->heard = p->heard || done->end > done->begin;
    p->count++;
    return true;
}

/* ---- What this run does ---- */

int parts_write(parts *p, const float *samples, size_t count) {
    if (fwrite(samples, sizeof *samples, count, p->samples) != count)
        return not_written(p->samples_path);
    p->sample_count += (int64_t)count;
    return EXIT_OK;
}

int parts_pause(parts *p, double seconds) {
    static const float silence[BLOCK];
    int code = EXIT_OK;
    for (size_t left = (size_t)lrint(seconds * p->rate); left > 0 && code == EXIT_OK;) {
        const size_t take = left < BLOCK ? left : BLOCK;
        code = parts_write(p, silence, take);
        left -= take;
    }
    p->begin = p->sample_count;
    return code;
}

int parts_end(parts *p, const char *text, const char *finish, part *done) {
    *done = (part){.text = text, .finish = finish, .begin = p->begin, .end = p->sample_count};
    json_draft *record = json_new_object();
    json_set(record, "begin", json_new_int(done->begin));
    json_set(record, "end", json_new_int(done->end));
    json_set(record, "finish", json_new_string(finish, strlen(finish)));
    json_set(record, "text", json_new_string(text, strlen(text)));
    char *line = json_text(record);
    json_drop(&record);
    if (line == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    int code = EXIT_OK;
    if (!on_disk(p->samples))
        code = not_written(p->samples_path);
    else if (fprintf(p->log, "%s\n", line) < 0 || !on_disk(p->log))
        code = not_written(p->log_path);
    free(line);
    if (code == EXIT_OK) doom(p, doomed_remove);
    p->heard = p->heard || done->end > done->begin;
    p->count += code == EXIT_OK;
    p->begin = p->sample_count;
    return code;
}

int64_t parts_sample_count(const parts *p) {
    return p->sample_count;
}

int parts_piece_count(const parts *p) {
    return p->count;
}

/* ---- The end ---- */

static const char note_name[] = "user.runnel.made_of";

void parts_set_note(parts *p, const char *note) {
    (void)snprintf(p->note, sizeof p->note, "%s", note);
}

bool parts_get_note(const char *output, char note[PARTS_NOTE_CAP]) {
    const ssize_t size = getxattr(output, note_name, note, PARTS_NOTE_CAP - 1);
    if (size <= 0) return false;
    note[size] = '\0';
    return true;
}

static int copy_samples(parts *p, sound_writer *w, void (*tick)(void *, double), void *context) {
    float samples[BLOCK];
    rnl_error error = {0};
    if (fseeko(p->samples, 0, SEEK_SET) != 0) return failed(p->samples_path, "cannot be read");
    for (int64_t at = 0; at < p->sample_count;) {
        if (interrupted()) return EXIT_STOPPED;
        const int64_t left = p->sample_count - at;
        const size_t take = left < BLOCK ? (size_t)left : BLOCK;
        if (fread(samples, sizeof *samples, take, p->samples) != take)
            return failed(p->samples_path, "cannot be read");
        if (sound_write(w, samples, take, &error) != RNL_OK)
            return complain(EXIT_FAILED, "%s", error.text);
        at += (int64_t)take;
        if (tick != NULL) tick(context, (double)at / (double)p->sample_count);
    }
    return EXIT_OK;
}

int parts_finish(parts *p, void (*tick)(void *context, double fraction), void *context) {
    sound_writer *w = NULL;
    rnl_error error = {0};
    if (p->reading) { /* everything was spoken by an earlier run */
        const int code = begin_writing(p);
        if (code != EXIT_OK) return code;
    }
    if (!p->heard) {
        remove_folder(p);
        return complain(EXIT_FAILED, "%s: is not written: the model gave no sound for this text",
                        p->output);
    }
    if (!target_is_free(p->output, &error) ||
        sound_writer_create(p->output, p->rate, &w, &error) != RNL_OK)
        return complain(exit_code(&error), "%s", error.text);
    doomed_add(sound_writer_temporary(w));
    int code = copy_samples(p, w, tick, context);
    if (p->note[0] != '\0') /* where it cannot be kept, a later run believes the file */
        (void)!setxattr(sound_writer_temporary(w), note_name, p->note, strlen(p->note), 0);
    if (code == EXIT_OK && sound_writer_finish(&w, &error) != RNL_OK)
        code = complain(EXIT_FAILED, "%s", error.text);
    sound_writer_abort(&w);
    doomed_clear();
    if (code != EXIT_OK) return code;
    remove_folder(p);
    return EXIT_OK;
}
