/* Files into samples and samples into files. Reading believes nothing of a header but channels and
 * rate: length and content are what is really there. A written file is a temporary one beside the
 * target until finish, so that no reader ever meets half of it. */
#include "audio/file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sndfile.h>

#include "core/status.h"

enum { BLOCK = 4096, CHANNEL_CAP = 8, RATE_MIN = 4000, RATE_MAX = 768000 };

static rnl_status check_header(const char *path, const SF_INFO *info, rnl_error *error) {
    if (info->channels < 1 || info->channels > CHANNEL_CAP)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: %d channels are not 1 to 8; mix the sound down", path,
                           info->channels);
    if (info->samplerate < RATE_MIN || info->samplerate > RATE_MAX)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: a sampling rate of %d Hz is outside 4000 to 768000 Hz; resample it",
                           path, info->samplerate);
    if (info->frames <= 0)
        return status_fail(error, RNL_ERR_DATA, "%s: there is no sound in it", path);
    return RNL_OK;
}

/* Adds a block of interleaved frames as their mean; false at a sample that is no number. */
static bool mix(sound *s, const float *block, size_t frames, int channels) {
    for (size_t i = 0; i < frames; i++) {
        float sum = 0.0f;
        for (int c = 0; c < channels; c++) sum += block[i * (size_t)channels + (size_t)c];
        if (!isfinite(sum)) return false;
        s->samples[s->count++] = sum / (float)channels;
    }
    return true;
}

static rnl_status read_samples(SNDFILE *file, const char *path, const SF_INFO *info,
                               double seconds_max, sound *out, rnl_error *error) {
    /* The header may promise more than the file holds, or (a FLAC stream) not know its length: room
     * and limit go by what is really there. */
    const size_t count_max = (size_t)(seconds_max * info->samplerate);
    size_t cap = 0;
    float block[BLOCK * CHANNEL_CAP];
    for (;;) {
        const sf_count_t got = sf_readf_float(file, block, BLOCK);
        if (got <= 0) break;
        if (out->count + BLOCK > cap) {
            cap = cap == 0 ? 16 * (size_t)BLOCK : 2 * cap;
            float *grown = realloc(out->samples, cap * sizeof *grown);
            if (grown == NULL)
                return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
            out->samples = grown;
        }
        if (!mix(out, block, (size_t)got, info->channels))
            return status_fail(error, RNL_ERR_DATA,
                               "%s: sample %zu is not a number; the sound is damaged", path,
                               out->count);
        if (out->count > count_max)
            return status_fail(error, RNL_ERR_TOO_LONG,
                               "%s: the sound is longer than the %g s of one turn; cut it, or use "
                               "`runnel transcribe --max-seconds N` with N up to 600",
                               path, seconds_max);
    }
    if (out->count == 0)
        return status_fail(error, RNL_ERR_DATA, "%s: there is no sound in it", path);
    out->rate = info->samplerate;
    return RNL_OK;
}

rnl_status sound_read(const char *path, double seconds_max, sound *out, rnl_error *error) {
    *out = (sound){0};
    struct stat st;
    if (stat(path, &st) != 0)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return status_fail(error, RNL_ERR_IO, "%s: this is no regular file; name a sound file",
                           path);
    if (st.st_size == 0)
        return status_fail(error, RNL_ERR_DATA, "%s: the file is empty; record it again", path);
    SF_INFO info = {0};
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (file == NULL)
        return status_fail(
            error, RNL_ERR_DATA,
            "%s: this is no sound file that can be read (%s); convert it to WAV or FLAC", path,
            sf_strerror(NULL));
    rnl_status status = check_header(path, &info, error);
    if (status == RNL_OK) status = read_samples(file, path, &info, seconds_max, out, error);
    sf_close(file);
    if (status != RNL_OK) sound_free(out);
    return status;
}

void sound_free(sound *s) {
    free(s->samples);
    *s = (sound){0};
}

struct sound_writer {
    SNDFILE *file;
    char *path, *temporary;
};

rnl_status sound_writer_create(const char *path, int rate, sound_writer **out, rnl_error *error) {
    *out = NULL;
    /* Renaming would put our file in the place of a device such as /dev/null. */
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return status_fail(error, RNL_ERR_IO,
                           "%s: cannot be written: this is no regular file; name a .wav file",
                           path);
    sound_writer *w = calloc(1, sizeof *w);
    *out = w;
    if (w == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    const size_t cap = strlen(path) + 32;
    w->path = strdup(path);
    char *temporary = malloc(cap);
    if (w->path == NULL || temporary == NULL) {
        free(temporary);
        sound_writer_abort(out);
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    }
    (void)snprintf(temporary, cap, "%s.tmp-%ld", path, (long)getpid());
    SF_INFO info = {.samplerate = rate, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    w->file = sf_open(temporary, SFM_WRITE, &info);
    if (w->file != NULL) {
        w->temporary = temporary;
        (void)sf_command(w->file, SFC_SET_CLIPPING, NULL, SF_TRUE);
        return RNL_OK;
    }
    free(temporary);
    sound_writer_abort(out);
    return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s", path, sf_strerror(NULL));
}

const char *sound_writer_temporary(const sound_writer *w) {
    return w->temporary;
}

rnl_status sound_write(sound_writer *w, const float *samples, size_t count, rnl_error *error) {
    if (sf_write_float(w->file, samples, (sf_count_t)count) == (sf_count_t)count) return RNL_OK;
    return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s; free some space", w->path,
                       sf_strerror(w->file));
}

rnl_status sound_writer_finish(sound_writer **out, rnl_error *error) {
    sound_writer *w = *out;
    rnl_status status = RNL_OK;
    sf_write_sync(w->file);
    const int fault = sf_error(w->file);
    const int closed = sf_close(w->file);
    w->file = NULL;
    if (fault != 0 || closed != 0)
        status = status_fail(error, RNL_ERR_IO, "%s: cannot be written; free some space", w->path);
    else if (rename(w->temporary, w->path) != 0)
        status =
            status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s", w->path, strerror(errno));
    if (status == RNL_OK) {
        free(w->temporary); /* renamed: nothing to remove */
        w->temporary = NULL;
    }
    sound_writer_abort(out);
    return status;
}

void sound_writer_abort(sound_writer **out) {
    sound_writer *w = *out;
    if (w == NULL) return;
    *out = NULL;
    if (w->file != NULL) (void)sf_close(w->file);
    if (w->temporary != NULL) (void)unlink(w->temporary);
    free(w->temporary);
    free(w->path);
    free(w);
}
