/* Samples into files. What is written is a temporary file beside the target until finish, so that
 * no reader ever meets half of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "audio/codec.h"
#include "core/staged_file.h"
#include "core/status.h"

struct sound_writer {
    sound_encoder encoder;
    staged_file *file;
};

typedef enum encoder_kind { ENCODER_SNDFILE, ENCODER_OPUS } encoder_kind;

static const struct {
    const char *suffix;
    encoder_kind encoder;
    sndfile_kind kind; /* of ENCODER_SNDFILE */
} formats[] = {{".wav", ENCODER_SNDFILE, SNDFILE_WAV},
               {".flac", ENCODER_SNDFILE, SNDFILE_FLAC},
               {".opus", ENCODER_OPUS, SNDFILE_WAV},
               {".mp3", ENCODER_SNDFILE, SNDFILE_MP3}};
enum { FORMAT_COUNT = sizeof formats / sizeof *formats };

/* The format of the name's suffix; FORMAT_COUNT: none. */
static int format_of(const char *path) {
    const char *dot = strrchr(path, '.');
    int i = 0;
    while (i < FORMAT_COUNT && (dot == NULL || strcasecmp(dot, formats[i].suffix) != 0)) i++;
    return i;
}

rnl_status sound_writer_check(const char *path, rnl_error *error) {
    /* Renaming would put our file in the place of a device such as /dev/null. */
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return status_fail(error, RNL_ERR_IO,
                           "%s: cannot be written: this is no regular file; name a .wav file",
                           path);
    const int format = format_of(path);
    const bool mp3 = sndfile_writes_mp3();
    if (format == FORMAT_COUNT)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "%s: the name ends like no sound that can be written; use .wav, .flac "
                           "or .opus%s",
                           path, mp3 ? "; .mp3 is written, too" : "");
    if (formats[format].encoder == ENCODER_SNDFILE && formats[format].kind == SNDFILE_MP3 && !mp3)
        return status_fail(
            error, RNL_ERR_ARGUMENT,
            "%s: the libsndfile of this machine writes no MP3 (version 1.1 does); use "
            ".wav, .flac or .opus",
            path);
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL || slash == path ? strdup(slash == NULL ? "." : "/")
                                                  : strndup(path, (size_t)(slash - path));
    if (folder == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    int fault = stat(folder, &st) == 0 ? 0 : errno;
    if (fault == 0 && !S_ISDIR(st.st_mode)) fault = ENOTDIR;
    free(folder);
    if (fault == 0) return RNL_OK;
    return status_fail(error, RNL_ERR_IO, "%s: cannot be written: its folder: %s", path,
                       strerror(fault));
}

rnl_status sound_writer_create(const char *path, int rate, sound_writer **out, rnl_error *error) {
    *out = NULL;
    rnl_status status = sound_writer_check(path, error);
    if (status != RNL_OK) return status;
    sound_writer *w = calloc(1, sizeof *w);
    if (w == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    status = staged_open(path, &w->file, error);
    const int format = format_of(path);
    const int fd = status == RNL_OK ? staged_descriptor(w->file) : -1;
    const char *name = status == RNL_OK ? staged_path(w->file) : NULL; /* lives as long as w */
    if (status == RNL_OK && formats[format].encoder == ENCODER_OPUS)
        status = opus_encoder_open(name, fd, rate, &w->encoder, error);
    else if (status == RNL_OK)
        status = sndfile_encoder_open(name, fd, rate, formats[format].kind, &w->encoder, error);
    if (status == RNL_OK)
        *out = w;
    else
        sound_writer_abort(&w);
    return status;
}

const char *sound_writer_temporary(const sound_writer *w) {
    return staged_temporary(w->file);
}

rnl_status sound_write(sound_writer *w, const float *samples, size_t count, rnl_error *error) {
    return w->encoder.write(w->encoder.state, samples, count, error);
}

rnl_status sound_writer_finish(sound_writer **out, rnl_error *error) {
    sound_writer *w = *out;
    rnl_status status = w->encoder.finish(w->encoder.state, error);
    if (status == RNL_OK) status = staged_commit(&w->file, error);
    sound_writer_abort(out);
    return status;
}

void sound_writer_abort(sound_writer **out) {
    sound_writer *w = *out;
    if (w == NULL) return;
    *out = NULL;
    if (w->encoder.close != NULL) w->encoder.close(w->encoder.state);
    staged_abort(&w->file);
    free(w);
}
