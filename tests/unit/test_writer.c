/* audio/writer.c and the encoders behind it: files that are there whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/file.h"
#include "core/random.h"
#include "tests/support/folder.h"

enum { COUNT = 48000 };

static const char *const names[] = {"a.wav", "a.flac", "a.opus", "a.mp3"};

/* Without a libsndfile that writes MP3 the last name is left out. */
static int name_count(void) {
    rnl_error error = {0};
    return sound_writer_check("a.mp3", &error) == RNL_OK ? 4 : 3;
}

/* Two seconds of a tone that swells, with something beyond [-1, 1]. */
static void make_tone(float samples[COUNT]) {
    for (int i = 0; i < COUNT; i++) samples[i] = 1.2f * (float)i / COUNT * sinf(0.05f * (float)i);
}

static void write_cut(const char *path, const float *samples, size_t cut) {
    sound_writer *w;
    rnl_error error = {0};
    assert_int_equal(sound_writer_create(path, RNL_RATE_OUT, &w, &error), RNL_OK);
    for (size_t at = 0; at < COUNT; at += cut)
        assert_int_equal(sound_write(w, samples + at, COUNT - at < cut ? COUNT - at : cut, &error),
                         RNL_OK);
    assert_int_equal(sound_writer_finish(&w, &error), RNL_OK);
}

static void every_format_holds_the_sound(void **state) {
    static float samples[COUNT];
    make_tone(samples);
    for (int i = 0; i < name_count(); i++) {
        char path[PATH_CAP];
        name_in(*state, names[i], path);
        write_cut(path, samples, COUNT);
        sound s;
        rnl_error error = {0};
        assert_int_equal(sound_read(path, 10, NULL, &s, &error), RNL_OK);
        const int step = s.rate / RNL_RATE_OUT; /* Opus comes back at 48 kHz */
        assert_int_equal(s.rate, i == 2 ? 48000 : RNL_RATE_OUT);
        assert_int_equal(s.count, (size_t)COUNT * (size_t)step);
        double wrong = 0, power = 0;
        for (int k = 0; k < COUNT; k++) {
            const double want = fmax(-1, fmin(1, (double)samples[k]));
            wrong += pow((double)s.samples[k * step] - want, 2);
            power += want * want;
        }
        const double ratio = 10 * log10(power / wrong); /* dB; 16 bits give about 95 */
        print_message("%s: signal to error %.1f dB\n", names[i], ratio);
        assert_true(ratio > (i >= 2 ? 12 : 85));
        sound_free(&s);
    }
}

static void any_cut_gives_the_same_bytes(void **state) {
    static float samples[COUNT];
    make_tone(samples);
    const size_t cuts[] = {1, 17, 4096, 9999};
    for (int i = 0; i < name_count(); i++) {
        char path[PATH_CAP];
        size_t size;
        name_in(*state, names[i], path);
        write_cut(path, samples, COUNT);
        unsigned char *whole = read_whole(path, &size);
        for (int k = 0; k < 4; k++) {
            size_t got_size;
            write_cut(path, samples, cuts[k]);
            unsigned char *got = read_whole(path, &got_size);
            assert_int_equal(got_size, size);
            assert_memory_equal(got, whole, size);
            free(got);
        }
        free(whole);
    }
}

/* A writer that nobody gives a sample is finished like any other. */
static void no_sample_is_a_file_without_sound(void **state) {
    for (int i = 0; i < name_count(); i++) {
        for (int calls = 0; calls < 2; calls++) {
            char path[PATH_CAP];
            sound_writer *w;
            sound s;
            rnl_error error = {0};
            name_in(*state, names[i], path);
            assert_int_equal(sound_writer_create(path, RNL_RATE_OUT, &w, &error), RNL_OK);
            if (calls > 0) assert_int_equal(sound_write(w, NULL, 0, &error), RNL_OK);
            assert_int_equal(sound_writer_finish(&w, &error), RNL_OK);
            const rnl_status status = sound_read(path, 10, NULL, &s, &error);
            assert_true(status == RNL_ERR_DATA || s.count < 1000); /* a frame of the codec */
            sound_free(&s);
            assert_int_equal(unlink(path), 0);
        }
    }
}

static void a_full_disk_leaves_nothing(void **state) {
    static float noise[COUNT];
    random_state r;
    random_seed(&r, 1);
    for (int i = 0; i < COUNT; i++) noise[i] = (float)(2 * random_unit(&r) - 1);
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    for (int i = 0; i < name_count(); i++) {
        char path[PATH_CAP];
        sound_writer *w;
        rnl_error error = {0};
        name_in(*state, names[i], path);
        assert_int_equal(sound_writer_create(path, RNL_RATE_OUT, &w, &error), RNL_OK);
        small = limit;
        small.rlim_cur = 30000;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        rnl_status status = RNL_OK;
        for (int k = 0; k < 20 && status == RNL_OK; k++)
            status = sound_write(w, noise, COUNT, &error);
        if (status == RNL_OK) status = sound_writer_finish(&w, &error);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        sound_writer_abort(&w);
        assert_int_equal(status, RNL_ERR_IO);
        assert_non_null(strstr(error.text, path));
        assert_non_null(strstr(error.text, "free some space"));
        assert_int_equal(entry_count(*state), 0);
    }
}

static void other_suffixes_are_refused(void **state) {
    const char *const wrong[] = {"a.aac", "a", "wav", "a.wav.txt", "a.", "a.ogg"};
    const char *const right[] = {"A.WAV", "b.Flac", "c.d.OPUS"};
    char path[PATH_CAP];
    sound_writer *w;
    rnl_error error = {0};
    for (int i = 0; i < 6; i++) {
        name_in(*state, wrong[i], path);
        assert_int_equal(sound_writer_check(path, &error), RNL_ERR_ARGUMENT);
        assert_int_equal(sound_writer_create(path, 24000, &w, &error), RNL_ERR_ARGUMENT);
        assert_non_null(strstr(error.text, ".wav, .flac or .opus"));
        assert_null(w);
    }
    for (int i = 0; i < 3; i++) {
        name_in(*state, right[i], path);
        assert_int_equal(sound_writer_check(path, &error), RNL_OK);
    }
    assert_int_equal(sound_writer_check("b.flac", &error), RNL_OK); /* in this folder */
    assert_int_equal(sound_writer_check("/b.flac", &error), RNL_OK);
    assert_int_equal(entry_count(*state), 0);
}

static void two_writers_of_one_name_are_told(void **state) {
    char path[PATH_CAP];
    sound_writer *first, *second;
    rnl_error error = {0};
    const float sample = 0;
    name_in(*state, "a.wav", path);
    assert_int_equal(sound_writer_create(path, 24000, &first, &error), RNL_OK);
    assert_int_equal(sound_writer_create(path, 24000, &second, &error), RNL_ERR_IO);
    assert_null(second);
    assert_non_null(strstr(error.text, "same name"));
    assert_int_equal(sound_write(first, &sample, 1, &error), RNL_OK);
    assert_int_equal(sound_writer_finish(&first, &error), RNL_OK); /* the first is unharmed */
    assert_int_equal(entry_count(*state), 1);
}

static void what_is_written_is_read_back(void **state) {
    char path[PATH_CAP];
    name_in(*state, "out.wav", path);
    const float samples[] = {0.0f, 0.5f, -0.5f, 1.0f, -1.0f, 7.0f, -7.0f, 1e-9f};
    const float want[] = {0.0f, 0.5f, -0.5f, 32767.0f / 32768, -1.0f, 32767.0f / 32768, -1.0f, 0};
    sound_writer *w;
    rnl_error error = {0};
    assert_int_equal(sound_writer_create(path, RNL_RATE_OUT, &w, &error), RNL_OK);
    assert_int_equal(sound_write(w, samples, 3, &error), RNL_OK);
    assert_int_equal(sound_write(w, samples, 0, &error), RNL_OK);
    assert_int_equal(sound_write(w, samples + 3, 5, &error), RNL_OK);
    assert_int_equal(access(path, F_OK), -1); /* nothing under its name before finish */
    assert_int_equal(access(sound_writer_temporary(w), F_OK), 0);
    assert_int_equal(sound_writer_finish(&w, &error), RNL_OK);
    assert_null(w);
    assert_int_equal(entry_count(*state), 1);
    sound s;
    assert_int_equal(sound_read(path, 1.0, NULL, &s, &error), RNL_OK);
    assert_int_equal(s.rate, RNL_RATE_OUT);
    assert_int_equal(s.count, 8);
    for (int i = 0; i < 8; i++) assert_float_equal(s.samples[i], want[i], 1.01f / 32768);
    sound_free(&s);
}

static void abort_leaves_the_older_file(void **state) {
    char path[PATH_CAP];
    name_in(*state, "kept.wav", path);
    const int16_t old[] = {5, 6, 7};
    write_wav(path, 16000, 1, 16, old, sizeof old, sizeof old);
    sound_writer *w;
    rnl_error error = {0};
    const float sample = 0.5f;
    assert_int_equal(sound_writer_create(path, RNL_RATE_OUT, &w, &error), RNL_OK);
    assert_int_equal(sound_write(w, &sample, 1, &error), RNL_OK);
    sound_writer_abort(&w);
    sound_writer_abort(&w);
    assert_int_equal(entry_count(*state), 1);
    sound s;
    assert_int_equal(sound_read(path, 1.0, NULL, &s, &error), RNL_OK);
    assert_int_equal(s.count, 3);
    sound_free(&s);
}

/* A device or a pipe in the place of the target would be lost to the rename. */
static void only_a_regular_file_is_replaced(void **state) {
    char path[PATH_CAP];
    name_in(*state, "pipe.wav", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    const char *const targets[] = {path, ((folder *)*state)->path};
    for (int i = 0; i < 2; i++) {
        sound_writer *w;
        rnl_error error = {0};
        assert_int_equal(sound_writer_create(targets[i], RNL_RATE_OUT, &w, &error), RNL_ERR_IO);
        assert_null(w);
        assert_non_null(strstr(error.text, "no regular file"));
    }
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(entry_count(*state), 1);
}

static void a_missing_folder_is_told(void **state) {
    char path[PATH_CAP];
    name_in(*state, "nowhere/out.wav", path);
    sound_writer *w;
    rnl_error error = {0};
    assert_int_equal(sound_writer_create(path, RNL_RATE_OUT, &w, &error), RNL_ERR_IO);
    assert_null(w);
    assert_non_null(strstr(error.text, path));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(every_format_holds_the_sound),      IN_FOLDER(any_cut_gives_the_same_bytes),
        IN_FOLDER(no_sample_is_a_file_without_sound), IN_FOLDER(a_full_disk_leaves_nothing),
        IN_FOLDER(other_suffixes_are_refused),        IN_FOLDER(two_writers_of_one_name_are_told),
        IN_FOLDER(what_is_written_is_read_back),      IN_FOLDER(abort_leaves_the_older_file),
        IN_FOLDER(only_a_regular_file_is_replaced),   IN_FOLDER(a_missing_folder_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
