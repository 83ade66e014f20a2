/* See content.h; and the names that a folder is searched for. */
#include "audio/content.h"

#include <string.h>
#include <strings.h>

#include "audio/file.h"
#include "audio/frames.h"
#include "audio/pcm.h"

static const char *const suffixes[] = {
    "wav",  "wave", "rf64", "bw64", "w64", "aif", "aiff", "aifc", "flac", "ogg",  "oga", "opus",
    "mp3",  "au",   "snd",  "caf",  "m4a", "mp4", "m4b",  "m4r",  "m4v",  "mov",  "qt",  "webm",
    "mkv",  "mka",  "aac",  "adts", "ac3", "dts", "eac3", "wma",  "wmv",  "asf",  "amr", "awb",
    "3gp",  "3g2",  "avi",  "flv",  "f4v", "ts",  "mts",  "m2ts", "mpg",  "mpeg", "vob", "mp1",
    "mp2",  "mpga", "spx",  "ogv",  "ogm", "wv",  "ape",  "tta",  "mpc",  "ra",   "rm",  "voc",
    "nist", "sph",  "gsm",  "mxf",  "wtv", "oma", "aa3",  "dsf",  "dff",  "tak"};

bool sound_name_is_known(const char *path) {
    const char *dot = strrchr(path, '.');
    if (dot == NULL || strchr(dot, '/') != NULL) return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcasecmp(dot + 1, suffixes[i]) == 0) return true;
    return false;
}

typedef struct mark {
    int at, size;
    const char *bytes;
    content kind;
} mark;

static const mark marks[] = {
    {0, 3, "ID3", CONTENT_TAG},
    {28, 8, "OpusHead", CONTENT_OPUS},
    {28, 7, "\1vorbis", CONTENT_VORBIS},
    {0, 4, "OggS", CONTENT_SNDFILE},
    {0, 4, "fLaC", CONTENT_FLAC},
    {0, 4, "RIFF", CONTENT_SNDFILE}, /* what is no WAV of pcm.c */
    {0, 4, "RIFX", CONTENT_SNDFILE},
    {0, 4, "RF64", CONTENT_SNDFILE},
    {0, 4, "BW64", CONTENT_SNDFILE},
    {0, 4, "riff", CONTENT_SNDFILE}, /* W64 */
    {0, 4, "caff", CONTENT_SNDFILE},
    {0, 4, "FORM", CONTENT_SNDFILE},
    {0, 4, ".snd", CONTENT_SNDFILE},
    {0, 4, "dns.", CONTENT_SNDFILE},
    {0, 19, "Creative Voice File", CONTENT_SNDFILE},
    {0, 7, "NIST_1A", CONTENT_SNDFILE},
    {0, 4, "2BIT", CONTENT_SNDFILE},
    {0, 4, "PVF1", CONTENT_SNDFILE},
    {4, 4, "ftyp", CONTENT_FFMPEG},
    {4, 4, "moov", CONTENT_FFMPEG},
    {4, 4, "mdat", CONTENT_FFMPEG},
    {4, 4, "wide", CONTENT_FFMPEG},
    {4, 4, "styp", CONTENT_FFMPEG},
    {0, 4, "\x1a\x45\xdf\xa3", CONTENT_FFMPEG}, /* Matroska, WebM */
    {0, 4, "\x30\x26\xb2\x75", CONTENT_FFMPEG}, /* ASF */
    {0, 5, "#!AMR", CONTENT_FFMPEG},
    {0, 4, "FLV\1", CONTENT_FFMPEG},
    {0, 4, "wvpk", CONTENT_FFMPEG},
    {0, 4, "MAC ", CONTENT_FFMPEG},
    {0, 4, "TTA1", CONTENT_FFMPEG},
    {0, 4, "tBaK", CONTENT_FFMPEG},
    {0, 4, "MPCK", CONTENT_FFMPEG},
    {0, 3, "MP+", CONTENT_FFMPEG},
    {0, 4, ".RMF", CONTENT_FFMPEG},
    {0, 4, ".ra\xfd", CONTENT_FFMPEG},
    {0, 4, "DSD ", CONTENT_FFMPEG},
    {0, 4, "FRM8", CONTENT_FFMPEG},
    {0, 4, "\0\0\1\xba", CONTENT_FFMPEG},       /* MPEG program stream */
    {0, 4, "\x7f\xfe\x80\x01", CONTENT_FFMPEG}, /* DTS */
    {0, 4, "\x06\x0e\x2b\x34", CONTENT_FFMPEG}, /* MXF */
    {0, 2, "\xff\xf1", CONTENT_FFMPEG},         /* ADTS */
    {0, 2, "\xff\xf9", CONTENT_FFMPEG},
    {0, 2, "\x0b\x77", CONTENT_FFMPEG}, /* AC-3 */
    {0, 2, "\x56\xe0", CONTENT_FFMPEG}, /* LATM */
};

/* MPEG transport streams: a mark of one byte, every 188 (or 192, behind a time of four bytes). */
static bool is_transport(const unsigned char *head, size_t size) {
    for (size_t step = 188; step <= 192; step += 4) {
        const size_t first = step - 188;
        size_t at = first;
        while (at < size && head[at] == 0x47 && at < first + 5 * step) at += step;
        if (at >= first + 3 * step) return true;
    }
    return false;
}

content content_of(const unsigned char *head, size_t size, bool strict) {
    if (pcm_knows_riff(head, size)) return CONTENT_RIFF;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const mark *m = &marks[i];
        if ((m->size > 2 || !strict) && (size_t)(m->at + m->size) <= size &&
            memcmp(head + m->at, m->bytes, (size_t)m->size) == 0)
            return m->kind;
    }
    if (is_transport(head, size)) return CONTENT_FFMPEG;
    return frames_begin_at(head, size) ? CONTENT_MPEG : CONTENT_OTHER;
}

uint64_t content_tag_size(const unsigned char *head) {
    /* Four times seven bits; a flag tells of a footer, which is ten bytes as the header is. */
    uint64_t size = 0;
    for (int i = 6; i < 10; i++) size = size << 7 | (head[i] & 0x7f);
    return size + ((head[5] & 0x10) != 0 ? 20 : 10);
}
