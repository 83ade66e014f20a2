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

typedef enum kind { KIND_NONE, KIND_WAV, KIND_FLAC, KIND_OPUS } kind;

struct sound_writer {
    sound_encoder encoder;
    staged_file *file;
};

static kind kind_of(const char *path) {
    const char *dot = strrchr(path, '.');
    if (dot == NULL) return KIND_NONE;
    if (strcasecmp(dot, ".wav") == 0) return KIND_WAV;
    if (strcasecmp(dot, ".flac") == 0) return KIND_FLAC;
    return strcasecmp(dot, ".opus") == 0 ? KIND_OPUS : KIND_NONE;
}

rnl_status sound_writer_check(const char *path, rnl_error *error) {
    /* Renaming would put our file in the place of a device such as /dev/null. */
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return status_fail(error, RNL_ERR_IO,
                           "%s: cannot be written: this is no regular file; name a .wav file",
                           path);
    if (kind_of(path) == KIND_NONE)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "%s: the name ends like no sound that can be written; use .wav, .flac "
                           "or .opus",
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
    const kind k = kind_of(path);
    const int fd = status == RNL_OK ? staged_descriptor(w->file) : -1;
    const char *name = status == RNL_OK ? staged_path(w->file) : NULL; /* lives as long as w */
    if (status == RNL_OK && k == KIND_OPUS)
        status = opus_encoder_open(name, fd, rate, &w->encoder, error);
    else if (status == RNL_OK)
        status = sndfile_encoder_open(name, fd, rate, k == KIND_FLAC, &w->encoder, error);
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
