/* audio/: every decoder on damaged files. Bits are flipped, ends cut off, stretches overwritten:
 * the reader may refuse, but with one sentence, and what it gives out are numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sndfile.h>

#include "audio/file.h"
#include "core/random.h"
#include "tests/support/folder.h"

/* Debian 12's libsndfile forgets a block of libvorbis when it refuses a damaged Ogg file. */
RNL_API const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:vorbis_info_init";
}

enum { TONE = 12000, LENGTH_FACTOR = 4096 };

static int rounds(void) {
    return getenv("RUNNEL_TEST_SHORT") != NULL ? 10 : 80;
}

static const int formats[] = {
    SF_FORMAT_WAV | SF_FORMAT_PCM_16,    SF_FORMAT_WAV | SF_FORMAT_FLOAT,
    SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, SF_FORMAT_RF64 | SF_FORMAT_PCM_24,
    SF_FORMAT_W64 | SF_FORMAT_PCM_16,    SF_FORMAT_AIFF | SF_FORMAT_PCM_16,
    SF_FORMAT_FLAC | SF_FORMAT_PCM_16,   SF_FORMAT_OGG | SF_FORMAT_VORBIS,
    SF_FORMAT_OGG | SF_FORMAT_OPUS,      SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III};

static unsigned char *make(const char *path, int format, size_t *size) {
    SF_INFO info = {.samplerate = 16000, .channels = 2, .format = format};
    float frames[2 * TONE];
    for (int i = 0; i < 2 * TONE; i++)
        frames[i] = 0.4f * sinf(0.003f * (float)(i % 5000 * i % 9000));
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    assert_non_null(f);
    assert_int_equal(sf_writef_float(f, frames, TONE), TONE);
    assert_int_equal(sf_close(f), 0);
    return read_whole(path, size);
}

static void damage(unsigned char *data, size_t *size, random_state *r) {
    const int kind = (int)(random_u64(r) % 4);
    const int flips = kind == 3 ? 1 : 1 + (int)(random_u64(r) % 30);
    const size_t range = kind == 1 ? (*size < 200 ? *size : 200) : *size; /* 1: in the header */
    if (kind == 2) *size = (size_t)(random_u64(r) % *size);
    if (kind == 3) { /* a stretch of one value */
        const size_t at = (size_t)(random_u64(r) % *size), left = *size - at;
        const size_t length = (size_t)(random_u64(r) % 600);
        memset(data + at, (int)(random_u64(r) & 255), length < left ? length : left);
    }
    for (int i = 0; i < flips && kind < 2; i++)
        data[random_u64(r) % range] ^= (unsigned char)(1u << (random_u64(r) % 8));
}

/* Reads all of it; false when something that was given out is out of bounds. */
static bool gives_sound(sound_reader *r, rnl_status *status, rnl_error *error) {
    float frames[3000 * SOUND_CHANNEL_CAP];
    const sound_info info = *sound_reader_info(r);
    size_t got;
    if (info.rate < SOUND_RATE_MIN || info.rate > SOUND_RATE_MAX) return false;
    if (info.channels < 1 || info.channels > SOUND_CHANNEL_CAP) return false;
    while ((*status = sound_reader_read(r, frames, 3000, &got, error)) == RNL_OK) {
        if (got < 1 || got > 3000) return false;
        for (size_t i = 0; i < got * (size_t)info.channels; i++)
            if (!isfinite(frames[i])) return false;
        /* A header of a few bytes must not become hours. */
        if (sound_reader_position(r) > (int64_t)TONE * LENGTH_FACTOR) return false;
    }
    return true;
}

/* True when it was read to its end. */
static bool read_through(const char *path, bool each) {
    sound_config c = sound_config_default();
    sound_reader *r;
    rnl_error error = {0};
    c.per_channel = each;
    /* libmpg123, below libsndfile, tells its troubles to standard error; nothing can stop it. */
    const int kept = dup(2), nowhere = open("/dev/null", O_WRONLY);
    (void)dup2(nowhere, 2);
    rnl_status status = sound_reader_open(path, &c, &r, &error);
    const bool sane = status != RNL_OK || gives_sound(r, &status, &error);
    sound_reader_close(&r);
    (void)dup2(kept, 2);
    (void)close(kept);
    (void)close(nowhere);
    assert_true(sane);
    if (status == RNL_DONE) return true;
    assert_true(status < 0 && status == error.status);
    assert_non_null(strstr(error.text, path));
    assert_null(strchr(error.text, '\n'));
    return false;
}

/* What our own decoders refuse, ffmpeg tries, and each try starts a program: the sweeps leave it
 * away but for every eighth file. */
static void let_ffmpeg_be_found(bool found) {
    static char kept[4096];
    if (kept[0] == 0) (void)snprintf(kept, sizeof kept, "%s", getenv("PATH"));
    assert_int_equal(setenv("PATH", found ? kept : "/nowhere", 1), 0);
}

static void damaged_files_are_read_or_refused(void **state) {
    char path[PATH_CAP];
    name_in(*state, "damaged", path);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        size_t size;
        unsigned char *whole = make(path, formats[i], &size);
        unsigned char *data = malloc(size);
        assert_non_null(data);
        assert_true(read_through(path, true));
        int good = 0;
        random_state r;
        random_seed(&r, 7 + i);
        for (int k = 0; k < rounds(); k++) {
            size_t left = size;
            memcpy(data, whole, size);
            damage(data, &left, &r);
            write_file(path, data, left);
            let_ffmpeg_be_found(k % 8 == 0);
            good += read_through(path, k % 2 != 0);
        }
        let_ffmpeg_be_found(true);
        print_message("format %06x: %d of %d were still read\n", (unsigned)formats[i], good,
                      rounds());
        free(data);
        free(whole);
    }
}

static void every_short_file_is_refused(void **state) {
    char path[PATH_CAP];
    name_in(*state, "short", path);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        size_t size;
        unsigned char *whole = make(path, formats[i], &size);
        for (size_t left = 0; left < 160; left += 1 + left / 20) {
            write_file(path, whole, left);
            let_ffmpeg_be_found(left % 8 == 0);
            (void)read_through(path, false);
        }
        let_ffmpeg_be_found(true);
        free(whole);
    }
}

/* Writes `count` frames of `value` with a rate of its own; false: the format has no such rate. */
static bool make_plain(const char *path, int format, int rate, float value, size_t count) {
    SF_INFO info = {.samplerate = rate, .channels = 2, .format = format};
    float frames[2 * 1000];
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    if (f == NULL) return false;
    for (int i = 0; i < 2 * 1000; i++) frames[i] = value;
    bool written = true;
    for (size_t n; count > 0 && written; count -= n) {
        n = count < 1000 ? count : 1000;
        written = sf_writef_float(f, frames, (sf_count_t)n) == (sf_count_t)n;
    }
    return sf_close(f) == 0 && written;
}

static void odd_files_are_read_or_refused(void **state) {
    char path[PATH_CAP];
    name_in(*state, "odd", path);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const int format = formats[i], kind = format & SF_FORMAT_SUBMASK;
        write_file(path, "", 0);
        assert_false(read_through(path, false));
        if (make_plain(path, format, 16000, 0, 0)) (void)read_through(path, false);
        /* MP3 knows common rates only (and libsndfile leaks when it refuses to write others). */
        for (int rate = 3000; kind != SF_FORMAT_MPEG_LAYER_III && rate <= 1000000; rate += 997000)
            if (make_plain(path, format, rate, 0.1f, 3000)) assert_false(read_through(path, false));
        if (kind == SF_FORMAT_FLOAT && make_plain(path, format, 16000, NAN, 3000))
            assert_false(read_through(path, false));
        /* An hour of silence; those that take long to write, a minute. */
        const bool slow = kind == SF_FORMAT_VORBIS || kind == SF_FORMAT_OPUS ||
                          kind == SF_FORMAT_MPEG_LAYER_III || getenv("RUNNEL_TEST_SHORT") != NULL;
        assert_true(make_plain(path, format, 8000, 0, slow ? 60 * 8000 : 3600 * 8000));
        assert_true(read_through(path, false));
    }
}

/* Two channels whose header says eight. An Ogg page has a checksum and is refused. */
static void channels_that_lie_are_read_or_refused(void **state) {
    static const struct {
        int format;
        const char *mark;
        int size, at; /* of the mark; from it to the low byte of the number of channels */
    } rows[] = {{SF_FORMAT_WAV | SF_FORMAT_PCM_16, "fmt ", 4, 10},
                {SF_FORMAT_WAV | SF_FORMAT_FLOAT, "fmt ", 4, 10},
                {SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, "fmt ", 4, 10},
                {SF_FORMAT_RF64 | SF_FORMAT_PCM_24, "fmt ", 4, 10},
                {SF_FORMAT_W64 | SF_FORMAT_PCM_16, "fmt ", 4, 26},
                {SF_FORMAT_AIFF | SF_FORMAT_PCM_16, "COMM", 4, 9},
                {SF_FORMAT_OGG | SF_FORMAT_VORBIS, "\1vorbis", 7, 11},
                {SF_FORMAT_OGG | SF_FORMAT_OPUS, "OpusHead", 8, 9}};
    char path[PATH_CAP];
    name_in(*state, "lies", path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size, at = 0;
        unsigned char *data = make(path, rows[i].format, &size);
        while (at + 40 < size && memcmp(data + at, rows[i].mark, (size_t)rows[i].size) != 0) at++;
        assert_int_equal(data[at + (size_t)rows[i].at], 2);
        data[at + (size_t)rows[i].at] = 8;
        write_file(path, data, size);
        (void)read_through(path, true);
        (void)read_through(path, false);
        free(data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(damaged_files_are_read_or_refused),
        IN_FOLDER(every_short_file_is_refused),
        IN_FOLDER(odd_files_are_read_or_refused),
        IN_FOLDER(channels_that_lie_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
