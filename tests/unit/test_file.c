/* audio/file.c: sounds as strangers write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sndfile.h>

#include "audio/file.h"
#include "tests/support/folder.h"

enum { FRAME_CAP = 40000 };

/* Demands that reading fails with this status and one sentence that holds the word. */
static void refuses(const char *path, double seconds_max, rnl_status status, const char *word) {
    sound s;
    rnl_error error = {0};
    assert_int_equal(sound_read(path, seconds_max, NULL, &s, &error), status);
    assert_null(s.samples);
    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, word));
    assert_null(strchr(error.text, '\n'));
}

static void channels_are_mixed_to_their_mean(void **state) {
    char path[PATH_CAP];
    name_in(*state, "stereo.wav", path);
    const float frames[] = {0.5f, -0.25f, 1.0f, 0.0f, -1.0f, -1.0f};
    write_wav(path, 8000, 2, 32, frames, sizeof frames, sizeof frames);
    sound s;
    rnl_error error = {0};
    assert_int_equal(sound_read(path, 1.0, NULL, &s, &error), RNL_OK);
    assert_int_equal(s.rate, 8000);
    assert_int_equal(s.count, 3);
    const float want[] = {0.125f, 0.5f, -1.0f};
    assert_memory_equal(s.samples, want, sizeof want);
    sound_free(&s);
    sound_free(&s); /* twice is fine */
}

static void the_limit_is_exact(void **state) {
    static const int16_t silence[FRAME_CAP];
    char path[PATH_CAP];
    name_in(*state, "clip.wav", path);
    const int rates[] = {4000, 11025, 16000};
    for (int i = 0; i < 3; i++) {
        const size_t most = (size_t)rates[i] * 2;
        for (size_t count = most - 1; count <= most + 1; count++) {
            write_wav(path, rates[i], 1, 16, silence, 2 * count, (uint32_t)(2 * count));
            sound s;
            rnl_error error = {0};
            const rnl_status status = sound_read(path, 2.0, NULL, &s, &error);
            assert_int_equal(status, count <= most ? RNL_OK : RNL_ERR_TOO_LONG);
            assert_int_equal(s.count, count <= most ? count : 0);
            if (status != RNL_OK) assert_non_null(strstr(error.text, "transcribe"));
            sound_free(&s);
        }
    }
}

static void a_header_that_lies_is_not_believed(void **state) {
    const int16_t samples[400] = {1, 2, 3};
    char path[PATH_CAP];
    name_in(*state, "lies.wav", path);
    const uint32_t claims[] = {801, 1u << 20, 0x7ffffff0u, 0xffffff00u};
    for (int i = 0; i < 4; i++) {
        write_wav(path, 16000, 1, 16, samples, sizeof samples, claims[i]);
        sound s;
        rnl_error error = {0};
        assert_int_equal(sound_read(path, 1.0, NULL, &s, &error), RNL_OK);
        assert_int_equal(s.count, 400);
        sound_free(&s);
    }
}

static void what_is_no_clip_is_refused(void **state) {
    static const int16_t data[9 * 4000];
    char path[PATH_CAP];
    name_in(*state, "missing.wav", path);
    refuses(path, 60, RNL_ERR_IO, "cannot be opened");
    refuses(((folder *)*state)->path, 60, RNL_ERR_IO, "no regular file");
    name_in(*state, "x.wav", path);
    write_wav(path, 16000, 1, 16, data, 0, 0);
    refuses(path, 60, RNL_ERR_DATA, "no sound in it");
    write_wav(path, 16000, 9, 16, data, sizeof data, sizeof data);
    refuses(path, 60, RNL_ERR_DATA, "9 channels");
    write_wav(path, 3999, 1, 16, data, 4000, 4000);
    refuses(path, 60, RNL_ERR_DATA, "3999 Hz");
    write_wav(path, 768001, 1, 16, data, 4000, 4000);
    refuses(path, 60, RNL_ERR_DATA, "768001 Hz");
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    (void)fputs("this is a letter, not a sound\n", f);
    assert_int_equal(fclose(f), 0);
    refuses(path, 60, RNL_ERR_DATA, "no sound file");
    assert_int_equal(truncate(path, 0), 0);
    refuses(path, 60, RNL_ERR_DATA, "empty");
}

/* One bad sample is a place of damage, silence there; it does not take the rest with it. */
static void a_sample_that_is_no_number_is_a_place_of_damage(void **state) {
    char path[PATH_CAP];
    name_in(*state, "nan.wav", path);
    static float data[FRAME_CAP];
    const float faults[] = {NAN, INFINITY, -INFINITY};
    const size_t places[] = {0, 4097, FRAME_CAP - 1};
    for (int i = 0; i < 3; i++) {
        sound s;
        rnl_error error = {0};
        for (size_t k = 0; k < FRAME_CAP; k++) data[k] = 0.25f;
        data[places[i]] = faults[i];
        write_wav(path, 48000, 1, 32, data, sizeof data, sizeof data);
        assert_int_equal(sound_read(path, 60, NULL, &s, &error), RNL_OK);
        assert_int_equal(s.count, FRAME_CAP);
        for (size_t k = 0; k < FRAME_CAP; k++)
            assert_true(s.samples[k] == (k == places[i] ? 0.0f : 0.25f));
        assert_int_equal(s.faults.place_count, 1);
        assert_float_equal(s.faults.places[0].from, (double)places[i] / 48000, 1e-9);
        assert_float_equal(s.faults.places[0].to, (double)(places[i] + 1) / 48000, 1e-9);
        sound_free(&s);
    }
    for (size_t k = 0; k < FRAME_CAP; k++) data[k] = NAN;
    write_wav(path, 48000, 1, 32, data, sizeof data, sizeof data);
    refuses(path, 60, RNL_ERR_DATA, "not a number");
}

/* ---- Channels */

static rnl_status open_with(const char *path, int channel, bool each, sound_reader **r,
                            rnl_error *error) {
    sound_config c = sound_config_default();
    c.channel = channel;
    c.per_channel = each;
    return sound_reader_open(path, &c, r, error);
}

static void one_channel_or_each_can_be_had(void **state) {
    enum { FRAMES = 5000, CHANNELS = 3 };
    static float frames[FRAMES * CHANNELS], got[FRAMES * CHANNELS];
    char path[PATH_CAP];
    name_in(*state, "call.wav", path);
    for (int i = 0; i < FRAMES * CHANNELS; i++) frames[i] = (float)(i % 1000) / 1000;
    write_wav(path, 8000, CHANNELS, 32, frames, sizeof frames, sizeof frames);
    for (int channel = 0; channel <= CHANNELS; channel++) { /* 0 stands for each */
        sound_reader *r;
        rnl_error error = {0};
        assert_int_equal(open_with(path, channel, channel == 0, &r, &error), RNL_OK);
        const sound_info *info = sound_reader_info(r);
        assert_int_equal(info->file_channels, CHANNELS);
        assert_int_equal(info->channels, channel == 0 ? CHANNELS : 1);
        assert_int_equal(info->frame_count, FRAMES);
        size_t count = 0, part;
        rnl_status status;
        while ((status = sound_reader_read(r, got + count * (size_t)info->channels, 777, &part,
                                           &error)) == RNL_OK)
            count += part;
        assert_int_equal(status, RNL_DONE);
        assert_int_equal(count, FRAMES);
        assert_int_equal(sound_reader_position(r), FRAMES);
        assert_float_equal(sound_reader_seconds(r), FRAMES / 8000.0, 1e-9);
        for (int i = 0; i < FRAMES && channel > 0; i++)
            assert_true(got[i] == frames[i * CHANNELS + channel - 1]);
        if (channel == 0) assert_memory_equal(got, frames, sizeof frames);
        sound_reader_close(&r);
        sound_reader_close(&r);
    }
}

static void wrong_channels_are_refused(void **state) {
    const int16_t samples[8] = {0};
    char path[PATH_CAP];
    sound_reader *r;
    rnl_error error = {0};
    name_in(*state, "stereo.wav", path);
    write_wav(path, 8000, 2, 16, samples, sizeof samples, sizeof samples);
    assert_int_equal(open_with(path, 3, false, &r, &error), RNL_ERR_DATA);
    assert_non_null(strstr(error.text, "no channel 3, it has 2"));
    assert_null(r);
    const int bad[] = {-1, 65};
    for (int i = 0; i < 2; i++)
        assert_int_equal(open_with(path, bad[i], false, &r, &error), RNL_ERR_ARGUMENT);
    assert_int_equal(open_with(path, 1, true, &r, &error), RNL_ERR_ARGUMENT);
}

/* What stands beside the channel that is heard does not matter. */
static void another_channel_may_be_damaged(void **state) {
    const float frames[] = {0.5f, NAN, 0.25f, INFINITY};
    char path[PATH_CAP];
    name_in(*state, "half.wav", path);
    write_wav(path, 8000, 2, 32, frames, sizeof frames, sizeof frames);
    sound_config c = sound_config_default();
    sound s;
    rnl_error error = {0};
    c.channel = 1;
    assert_int_equal(sound_read(path, 1, &c, &s, &error), RNL_OK);
    assert_int_equal(s.count, 2);
    sound_free(&s);
    c.channel = 2;
    assert_int_equal(sound_read(path, 1, &c, &s, &error), RNL_ERR_DATA);
}

/* ---- Formats: written by libsndfile, each under a name that lies about it. */

enum { TONE = 16000 };

static void write_as(const char *path, int format, const float *samples) {
    SF_INFO info = {.samplerate = 16000, .channels = 1, .format = format};
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    assert_non_null(f);
    assert_int_equal(sf_write_float(f, samples, TONE), TONE);
    assert_int_equal(sf_close(f), 0);
}

static void the_content_decides_not_the_name(void **state) {
    static const struct {
        const char *name, *word;
        int format;
        double tolerance;
    } table[] = {
        {"a.flac", "WAV", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1e-4},
        {"b.wav", "FLAC", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 1e-4},
        {"c.opus", "Vorbis", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 0.1},
        {"d.m4a", "MPEG", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 0.1},
        {"e", "AIFF", SF_FORMAT_AIFF | SF_FORMAT_PCM_24, 1e-4},
        {"f.txt", "W64", SF_FORMAT_W64 | SF_FORMAT_FLOAT, 1e-6},
        {"g.mp3", "RF64", SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 1e-4},
        {"h.wav", "Ogg Opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 0.2},
        {"-i.wav", "CAF", SF_FORMAT_CAF | SF_FORMAT_ALAC_16, 1e-4},
    };
    static float tone[TONE];
    for (int i = 0; i < TONE; i++) tone[i] = 0.5f * sinf(0.1f * (float)i);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char path[PATH_CAP];
        sound_reader *r;
        sound s;
        rnl_error error = {0};
        name_in(*state, table[i].name, path);
        write_as(path, table[i].format, tone);
        assert_int_equal(sound_reader_open(path, NULL, &r, &error), RNL_OK);
        if (strstr(sound_reader_info(r)->format_name, table[i].word) == NULL)
            fail_msg("%s is '%s'", path, sound_reader_info(r)->format_name);
        sound_reader_close(&r);
        assert_int_equal(sound_read(path, 10, NULL, &s, &error), RNL_OK);
        /* Lossy formats may add a frame at the ends; the tone's power must be there. */
        const double seconds = (double)s.count / s.rate;
        double power = 0;
        for (size_t k = 0; k < s.count; k++) power += (double)s.samples[k] * (double)s.samples[k];
        power /= (double)s.count;
        if (fabs(seconds - 1) > 0.2 || fabs(power - 0.125) > 0.125 * table[i].tolerance + 0.001)
            fail_msg("%s: %.3f s, power %.5f", table[i].word, seconds, power);
        sound_free(&s);
    }
}

static void names_of_sounds_are_known(void **state) {
    (void)state;
    const char *const known[] = {"a.wav", "b/c.FLAC", "a.b.opus", "x.m4a", ".hidden.mp3"};
    const char *const unknown[] = {"a", "wav", "a.txt", "b.wav/c", "a.wavx", "", "a."};
    for (int i = 0; i < 5; i++) assert_true(sound_name_is_known(known[i]));
    for (int i = 0; i < 7; i++) assert_false(sound_name_is_known(unknown[i]));
}

static void *write_fifo(void *path) {
    const int16_t samples[400] = {1000, -1000};
    char wav[PATH_CAP];
    size_t size;
    (void)snprintf(wav, sizeof wav, "%.200s.wav", (const char *)path);
    write_wav(wav, 16000, 1, 16, samples, sizeof samples, sizeof samples);
    unsigned char *bytes = read_whole(wav, &size);
    write_file(path, bytes, size);
    free(bytes);
    return NULL;
}

static void a_named_pipe_is_read_like_a_file(void **state) {
    char path[PATH_CAP];
    pthread_t writer;
    sound s;
    rnl_error error = {0};
    name_in(*state, "pipe", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_fifo, path), 0);
    assert_int_equal(sound_read(path, 60, NULL, &s, &error), RNL_OK);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(s.count, 400);
    assert_int_equal(s.faults.place_count, 0);
    sound_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(channels_are_mixed_to_their_mean),
        IN_FOLDER(the_limit_is_exact),
        IN_FOLDER(a_header_that_lies_is_not_believed),
        IN_FOLDER(what_is_no_clip_is_refused),
        IN_FOLDER(a_sample_that_is_no_number_is_a_place_of_damage),
        IN_FOLDER(one_channel_or_each_can_be_had),
        IN_FOLDER(wrong_channels_are_refused),
        IN_FOLDER(another_channel_may_be_damaged),
        IN_FOLDER(the_content_decides_not_the_name),
        cmocka_unit_test(names_of_sounds_are_known),
        IN_FOLDER(a_named_pipe_is_read_like_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
