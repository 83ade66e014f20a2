/* What else libsndfile knows, in; WAV and FLAC of 16 bits and MP3, out. Where a header claims less
 * samples than there is room for, the rest is told as missing. */
#include <stdlib.h>
#include <unistd.h>

#include <sndfile.h>

#include "audio/codec.h"
#include "core/status.h"

typedef struct sndfile_state {
    SNDFILE *file;
    const char *name;
    int rate;
    int64_t position;  /* frames read or written */
    int64_t behind;    /* reading: frames that there is room for behind the claimed ones */
    int64_t frame_max; /* writing: most frames the format holds */
} sndfile_state;

static rnl_status read_frames(void *state, sound_part *p, rnl_error *error) {
    sndfile_state *s = state;
    const sf_count_t count = sf_readf_float(s->file, p->frames, (sf_count_t)p->cap);
    p->count = count > 0 ? (size_t)count : 0;
    s->position += (int64_t)p->count;
    if (p->count > 0) return RNL_OK;
    if (sf_error(s->file) == SF_ERR_NO_ERROR) {
        p->flaw = s->behind > 0 ? FLAW_DAMAGED : FLAW_NONE;
        p->gap = s->behind;
        return RNL_DONE;
    }
    return status_fail(error, RNL_ERR_DATA, "%s: the sound is damaged after %.2f s (%s)", s->name,
                       (double)s->position / s->rate, sf_strerror(s->file));
}

static void close_file(void *state) {
    sndfile_state *s = state;
    if (s->file != NULL) (void)sf_close(s->file);
    free(s);
}

static const char *format_name(int format) {
    SF_FORMAT_INFO info = {.format = format & SF_FORMAT_TYPEMASK};
    if (sf_command(NULL, SFC_GET_FORMAT_INFO, &info, sizeof info) != 0 || info.name == NULL)
        return "sound file";
    return info.name;
}

/* Frames of samples in a row that the file has room for behind those that its header claims, when
 * that is more than notes would be. */
static int64_t frames_behind(const SF_INFO *h, int64_t file_size) {
    enum { NOTES_SIZE = 1 << 16 };
    const int kind = h->format & SF_FORMAT_SUBMASK;
    const int64_t size = kind == SF_FORMAT_PCM_16                              ? 2
                         : kind == SF_FORMAT_PCM_24                            ? 3
                         : kind == SF_FORMAT_PCM_32 || kind == SF_FORMAT_FLOAT ? 4
                         : kind == SF_FORMAT_ULAW || kind == SF_FORMAT_ALAW    ? 1
                                                                               : 0;
    if (size == 0 || h->frames > file_size) return 0;
    const int64_t behind = file_size - h->frames * size * h->channels;
    return behind > NOTES_SIZE ? behind / (size * h->channels) : 0;
}

rnl_status sndfile_open(sound_source *source, sound_decoder *d, sound_info *info,
                        rnl_error *error) {
    const char *name = source->name;
    sndfile_state *s = calloc(1, sizeof *s);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    SF_INFO header = {0};
    s->name = name;
    const int fd = source_reopen(source);
    if (fd >= 0) s->file = sf_open_fd(fd, SFM_READ, &header, SF_TRUE); /* closes fd, always */
    if (s->file != NULL && header.frames == 0) { /* others may believe the header less */
        close_file(s);
        return status_fail(error, RNL_ERR_DATA, "%s: there is no sound in it", name);
    }
    if (s->file == NULL) {
        free(s);
        return status_fail(
            error, RNL_ERR_DATA,
            "%s: this is no sound file that can be read (%s); convert it to WAV or FLAC", name,
            sf_strerror(NULL));
    }
    s->rate = header.samplerate;
    s->behind = frames_behind(&header, source->size);
    *info = (sound_info){.rate = header.samplerate,
                         .file_channels = header.channels,
                         .frame_count =
                             header.frames > 0 && header.frames < SF_COUNT_MAX ? header.frames : -1,
                         .format_name = format_name(header.format)};
    *d = (sound_decoder){.read = read_frames, .close = close_file, .state = s};
    return RNL_OK;
}

static rnl_status write_frames(void *state, const float *samples, size_t count, rnl_error *error) {
    sndfile_state *s = state;
    if ((int64_t)count > s->frame_max - s->position)
        return status_fail(error, RNL_ERR_IO,
                           "%s: a WAV file holds %.1f h and no more; write .flac or .opus", s->name,
                           (double)s->frame_max / s->rate / 3600);
    s->position += (int64_t)count;
    if (sf_write_float(s->file, samples, (sf_count_t)count) == (sf_count_t)count) return RNL_OK;
    return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s; free some space", s->name,
                       sf_strerror(s->file));
}

static rnl_status finish_file(void *state, rnl_error *error) {
    sndfile_state *s = state;
    const int fault = sf_error(s->file);
    const int closed = sf_close(s->file); /* FLAC: writes its last frame */
    s->file = NULL;
    if (fault == 0 && closed == 0) return RNL_OK;
    return status_fail(error, RNL_ERR_IO, "%s: cannot be written; free some space", s->name);
}

/* Numbers of libsndfile 1.1: older headers lack the names, and the library says itself whether it
 * knows them. */
enum { FORMAT_MPEG = 0x230000, FORMAT_LAYER_III = 0x0082 };

bool sndfile_writes_mp3(void) {
    int count = 0;
    (void)sf_command(NULL, SFC_GET_FORMAT_MAJOR_COUNT, &count, sizeof count);
    for (int i = 0; i < count; i++) {
        SF_FORMAT_INFO info = {.format = i};
        if (sf_command(NULL, SFC_GET_FORMAT_MAJOR, &info, sizeof info) == 0 &&
            info.format == FORMAT_MPEG)
            return true;
    }
    return false;
}

static int format_of(sndfile_kind kind) {
    switch (kind) {
    case SNDFILE_WAV:
        break;
    case SNDFILE_FLAC:
        return SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
    case SNDFILE_MP3:
        return FORMAT_MPEG | FORMAT_LAYER_III;
    }
    return SF_FORMAT_WAV | SF_FORMAT_PCM_16;
}

rnl_status sndfile_encoder_open(const char *name, int fd, int rate, sndfile_kind kind,
                                sound_encoder *e, rnl_error *error) {
    sndfile_state *s = calloc(1, sizeof *s);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    SF_INFO info = {.samplerate = rate, .channels = 1, .format = format_of(kind)};
    *s = (sndfile_state){.name = name,
                         .rate = rate,
                         .frame_max =
                             kind == SNDFILE_WAV ? (INT64_C(0xffffffff) - 4096) / 2 : INT64_MAX,
                         .file = sf_open_fd(fd, SFM_WRITE, &info, SF_FALSE)};
    if (s->file == NULL) {
        free(s);
        return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s", name, sf_strerror(NULL));
    }
    (void)sf_command(s->file, SFC_SET_CLIPPING, NULL, SF_TRUE);
    *e = (sound_encoder){
        .write = write_frames, .finish = finish_file, .close = close_file, .state = s};
    return RNL_OK;
}
