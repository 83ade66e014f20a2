/* audio/file.c: sounds as strangers write them, and files that are there whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/file.h"

enum { PATH_CAP = 256, FRAME_CAP = 40000 };

typedef struct folder {
    char path[64];
} folder;

static int make_folder(void **state) {
    folder *f = calloc(1, sizeof *f);
    assert_non_null(f);
    (void)snprintf(f->path, sizeof f->path, "/tmp/test_file.XXXXXX");
    assert_non_null(mkdtemp(f->path));
    *state = f;
    return 0;
}

static int entry_count(const folder *f) {
    DIR *d = opendir(f->path);
    assert_non_null(d);
    int count = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) count += e->d_name[0] != '.';
    (void)closedir(d);
    return count;
}

static int remove_folder(void **state) {
    folder *f = *state;
    DIR *d = opendir(f->path);
    char path[PATH_CAP + 512];
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        (void)snprintf(path, sizeof path, "%s/%s", f->path, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) (void)remove(path);
    }
    if (d != NULL) (void)closedir(d);
    const int left = rmdir(f->path);
    free(f);
    return left;
}

static void name(const folder *f, const char *file, char path[PATH_CAP]) {
    (void)snprintf(path, PATH_CAP, "%s/%s", f->path, file);
}

static void put(unsigned char *at, uint32_t value, int size) {
    for (int i = 0; i < size; i++) at[i] = (unsigned char)(value >> (8 * i));
}

/* A WAV file of float32 (bits 32) or 16-bit samples; claim is the size its data chunk boasts of. */
static void write_wav(const char *path, int rate, int channels, int bits, const void *data,
                      size_t size, uint32_t claim) {
    unsigned char head[44] = "RIFF....WAVEfmt ....................data....";
    const int width = bits / 8 * channels;
    put(head + 4, 36 + claim, 4);
    put(head + 16, 16, 4);
    put(head + 20, bits == 32 ? 3 : 1, 2);
    put(head + 22, (uint32_t)channels, 2);
    put(head + 24, (uint32_t)rate, 4);
    put(head + 28, (uint32_t)(rate * width), 4);
    put(head + 32, (uint32_t)width, 2);
    put(head + 34, (uint32_t)bits, 2);
    put(head + 40, claim, 4);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(head, 1, sizeof head, f), sizeof head);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

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
    name(*state, "stereo.wav", path);
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
    name(*state, "clip.wav", path);
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
    name(*state, "lies.wav", path);
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
    name(*state, "missing.wav", path);
    refuses(path, 60, RNL_ERR_IO, "cannot be opened");
    refuses(((folder *)*state)->path, 60, RNL_ERR_IO, "no regular file");
    name(*state, "x.wav", path);
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

static void a_sample_that_is_no_number_is_found(void **state) {
    char path[PATH_CAP];
    name(*state, "nan.wav", path);
    static float data[FRAME_CAP];
    const float faults[] = {NAN, INFINITY, -INFINITY};
    const size_t places[] = {0, 4097, FRAME_CAP - 1};
    for (int i = 0; i < 3; i++) {
        memset(data, 0, sizeof data);
        data[places[i]] = faults[i];
        write_wav(path, 48000, 1, 32, data, sizeof data, sizeof data);
        char word[64];
        (void)snprintf(word, sizeof word, "sample %zu is not a number", places[i]);
        refuses(path, 60, RNL_ERR_DATA, word);
    }
}

static void what_is_written_is_read_back(void **state) {
    char path[PATH_CAP];
    name(*state, "out.wav", path);
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
    name(*state, "kept.wav", path);
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
    name(*state, "pipe.wav", path);
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
    name(*state, "nowhere/out.wav", path);
    sound_writer *w;
    rnl_error error = {0};
    assert_int_equal(sound_writer_create(path, RNL_RATE_OUT, &w, &error), RNL_ERR_IO);
    assert_null(w);
    assert_non_null(strstr(error.text, path));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(channels_are_mixed_to_their_mean),
        IN_FOLDER(the_limit_is_exact),
        IN_FOLDER(a_header_that_lies_is_not_believed),
        IN_FOLDER(what_is_no_clip_is_refused),
        IN_FOLDER(a_sample_that_is_no_number_is_found),
        IN_FOLDER(what_is_written_is_read_back),
        IN_FOLDER(abort_leaves_the_older_file),
        IN_FOLDER(only_a_regular_file_is_replaced),
        IN_FOLDER(a_missing_folder_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
