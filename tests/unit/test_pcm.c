/* audio/pcm.c, audio/bytes.c and the rest of standard input: sounds that come through a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audio/file.h"
#include "tests/support/folder.h"

/* ---- A pipe in the place of standard input, fed by a thread in small portions */

typedef struct feeder {
    pthread_t thread;
    const unsigned char *data;
    size_t size, portion;
    int fd, kept; /* kept: the real standard input */
} feeder;

static void *feed(void *context) {
    feeder *f = context;
    for (size_t at = 0; at < f->size;) {
        const size_t left = f->size - at, part = left < f->portion ? left : f->portion;
        const ssize_t put = write(f->fd, f->data + at, part);
        if (put <= 0) break;
        at += (size_t)put;
    }
    (void)close(f->fd);
    return NULL;
}

static void begin_input(feeder *f, const void *data, size_t size, size_t portion) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    *f = (feeder){.data = data, .size = size, .portion = portion, .fd = ends[1], .kept = dup(0)};
    assert_int_equal(dup2(ends[0], 0), 0);
    (void)close(ends[0]);
    assert_int_equal(pthread_create(&f->thread, NULL, feed, f), 0);
}

static void end_input(feeder *f) {
    assert_int_equal(dup2(f->kept, 0), 0);
    (void)close(f->kept);
    assert_int_equal(pthread_join(f->thread, NULL), 0);
}

static rnl_status read_input(const void *data, size_t size, size_t portion,
                             const sound_config *config, sound *s, rnl_error *error) {
    feeder f;
    begin_input(&f, data, size, portion);
    const rnl_status status = sound_read("-", 60, config, s, error);
    end_input(&f);
    return status;
}

/* ---- Headers */

static size_t put(unsigned char *at, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++) at[i] = (unsigned char)(value >> (8 * i));
    return size;
}

typedef struct wav {
    unsigned char bytes[4096];
    size_t size;
} wav;

static void chunk(wav *w, const char *id, uint64_t claim) {
    memcpy(w->bytes + w->size, id, 4);
    w->size += 4;
    w->size += put(w->bytes + w->size, claim, 4);
}

static void format(wav *w, int tag, int channels, uint64_t rate, int bits, bool extensible) {
    chunk(w, "fmt ", extensible ? 40 : 16);
    const uint64_t align = (uint64_t)(channels * bits / 8);
    const uint64_t fields[] = {extensible ? 0xfffe : (uint64_t)tag,
                               (uint64_t)channels,
                               rate,
                               rate * align,
                               align,
                               (uint64_t)bits};
    const size_t sizes[] = {2, 2, 4, 4, 2, 2};
    for (int i = 0; i < 6; i++) w->size += put(w->bytes + w->size, fields[i], sizes[i]);
    if (!extensible) return;
    memset(w->bytes + w->size, 0, 24);
    put(w->bytes + w->size + 8, (uint64_t)tag, 2);
    w->size += 24;
}

static void begin_wav(wav *w, const char *id) {
    w->size = 0;
    chunk(w, id, 0xffffffff);
    memcpy(w->bytes + 8, "WAVE", 4);
    w->size = 12;
}

/* The samples 0.5, -0.5, 0, 0.25 in every kind. */
static size_t put_samples(unsigned char *at, int tag, int bits) {
    static const double values[] = {0.5, -0.5, 0, 0.25};
    size_t size = 0;
    for (int i = 0; i < 4; i++) {
        const float f = (float)values[i];
        if (tag == 3 && bits == 32)
            memcpy(at + size, &f, 4);
        else if (tag == 3)
            memcpy(at + size, &values[i], 8);
        else if (bits == 8)
            put(at + size, (uint64_t)(128 + 128 * values[i]), 1);
        else
            put(at + size, (uint64_t)(int64_t)(values[i] * pow(2, bits - 1)), (size_t)bits / 8);
        size += (size_t)bits / 8;
    }
    return size;
}

static void every_kind_of_sample_is_read(void **state) {
    (void)state;
    static const int kinds[][2] = {{1, 8}, {1, 16}, {1, 24}, {1, 32}, {3, 32}, {3, 64}};
    for (int i = 0; i < 12; i++) {
        const int tag = kinds[i / 2][0], bits = kinds[i / 2][1];
        wav w;
        begin_wav(&w, "RIFF");
        chunk(&w, "LIST", 3); /* odd: a byte of padding follows */
        memcpy(w.bytes + w.size, "abc\0", 4);
        w.size += 4;
        format(&w, tag, 1, 22050, bits, i % 2 != 0);
        chunk(&w, "data", (uint64_t)(4 * bits / 8));
        w.size += put_samples(w.bytes + w.size, tag, bits);
        chunk(&w, "tail", 4); /* what follows the samples is not heard */
        w.size += 4;
        for (size_t portion = 1; portion <= w.size; portion *= 5) {
            sound s;
            rnl_error error = {0};
            assert_int_equal(read_input(w.bytes, w.size, portion, NULL, &s, &error), RNL_OK);
            const float want[] = {0.5f, -0.5f, 0, 0.25f};
            assert_int_equal(s.rate, 22050);
            assert_int_equal(s.count, 4);
            assert_memory_equal(s.samples, want, sizeof want);
            sound_free(&s);
        }
    }
}

/* Who writes into a pipe does not know the length and says 0, all ones, or something near. */
static void an_unknown_length_reads_to_the_end(void **state) {
    (void)state;
    const uint64_t claims[] = {0, 0xffffffff, 0x7ffff000, 0x7fffffff};
    for (int i = 0; i < 5; i++) {
        wav w;
        begin_wav(&w, i < 4 ? "RIFF" : "RF64");
        if (i == 4) {
            chunk(&w, "ds64", 28);
            memset(w.bytes + w.size, 0, 28);
            put(w.bytes + w.size + 8, 2000, 8);
            w.size += 28;
        }
        format(&w, 1, 1, 16000, 16, false);
        chunk(&w, "data", i < 4 ? claims[i] : 0xffffffff);
        memset(w.bytes + w.size, 1, 2001); /* a thousand samples and half a one */
        w.size += 2001;
        sound s;
        rnl_error error = {0};
        assert_int_equal(read_input(w.bytes, w.size, 4096, NULL, &s, &error), RNL_OK);
        assert_int_equal(s.count, 1000);
        sound_free(&s);
    }
}

static void without_a_header_the_options_tell(void **state) {
    (void)state;
    const int16_t small[] = {16384, -16384, 8192, 0};
    const float real[] = {0.5f, -0.5f, 0.25f, 0};
    const int32_t wide[] = {1 << 30, -(1 << 30), 1 << 29, 0};
    const void *const data[] = {small, wide, real};
    const size_t sizes[] = {sizeof small, sizeof wide, sizeof real};
    const char *const names[] = {"s16le", "s32le", "f32le"};
    for (int i = 0; i < 3; i++) {
        sound_config c = sound_config_default();
        c.raw = true;
        assert_true(sound_raw_format_named(names[i], &c.raw_format));
        for (int channels = 1; channels <= 2; channels++) {
            sound s;
            rnl_error error = {0};
            c.raw_channels = channels;
            c.raw_rate = 8000 * channels;
            assert_int_equal(read_input(data[i], sizes[i], 3, &c, &s, &error), RNL_OK);
            assert_int_equal(s.rate, 8000 * channels);
            const float mixed[] = {0, 0.125f};
            assert_int_equal(s.count, 4 / channels);
            assert_memory_equal(s.samples, channels == 1 ? real : mixed, s.count * sizeof(float));
            sound_free(&s);
        }
    }
    sound_config c = sound_config_default();
    assert_false(sound_raw_format_named("u8", &c.raw_format));
    sound_reader *r;
    rnl_error error = {0};
    c.raw_rate = 3999;
    assert_int_equal(sound_reader_open("-", &c, &r, &error), RNL_ERR_ARGUMENT);
}

static void refuses(const void *data, size_t size, const char *word) {
    sound s;
    rnl_error error = {0};
    assert_int_equal(read_input(data, size, 4096, NULL, &s, &error), RNL_ERR_DATA);
    assert_null(s.samples);
    assert_non_null(strstr(error.text, "standard input"));
    if (strstr(error.text, word) == NULL) fail_msg("'%s' lacks '%s'", error.text, word);
}

static void bad_streams_are_refused(void **state) {
    (void)state;
    static const struct {
        int tag, channels, bits;
        uint64_t rate;
        const char *word;
    } table[] = {{1, 1, 16, 0, "0 Hz"},
                 {1, 1, 16, 3000, "3000 Hz"},
                 {1, 1, 16, 1000000, "1000000 Hz"},
                 {1, 1, 16, 0xffffffff, "Hz"},
                 {1, 0, 16, 8000, "0 channels"},
                 {1, 9, 16, 8000, "9 channels"},
                 {1, 65, 16, 8000, "65 channels"},
                 {1, 1, 40, 8000, "no sound file"},
                 {3, 1, 16, 8000, "no sound file"},
                 {1, 1, 16, 16000, NULL}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        wav w;
        begin_wav(&w, "RIFF");
        format(&w, table[i].tag, table[i].channels, table[i].rate, table[i].bits, false);
        const size_t formatted = w.size;
        chunk(&w, "data", 0);
        const size_t open = w.size;
        memset(w.bytes + w.size, 0, 64);
        w.size += 64;
        if (table[i].word != NULL) {
            refuses(w.bytes, w.size, table[i].word);
            continue;
        }
        refuses(w.bytes, open, "no sound"); /* the good one, cut off here and there */
        for (size_t size = 12; size < open; size++) refuses(w.bytes, size, "header ends");
        memmove(w.bytes + 12, w.bytes + formatted, 72);
        refuses(w.bytes, 84, "before their format");
    }
    refuses("", 0, "no sound");
    refuses("x", 1, "--raw-rate");
    refuses("\1\0\2\0 no head", 12, "--raw-rate"); /* never samples by default */
    refuses("fLaC and more", 13, "FLAC");
    refuses("OggS no Opus", 12, "no sound file");
    sound_config c = sound_config_default();
    sound s;
    rnl_error error = {0};
    c.raw = true;
    assert_int_equal(read_input("x", 1, 1, &c, &s, &error), RNL_ERR_DATA); /* half a sample */
    assert_non_null(strstr(error.text, "no sound in it"));
}

/* "2 channels", says the header, and a frame has the bytes of 8. */
static void a_wrong_alignment_is_refused(void **state) {
    (void)state;
    wav w;
    begin_wav(&w, "RIFF");
    format(&w, 1, 2, 16000, 16, false);
    put(w.bytes + w.size - 4, 16, 2); /* bytes of a frame: those of 8 channels */
    chunk(&w, "data", 0);
    memset(w.bytes + w.size, 0, 64);
    refuses(w.bytes, w.size + 64, "no sound");
}

static void opus_comes_through_a_pipe(void **state) {
    static float tone[48000];
    char path[PATH_CAP];
    size_t size;
    sound_writer *w;
    rnl_error error = {0};
    for (int i = 0; i < 48000; i++) tone[i] = 0.5f * sinf(0.1f * (float)i);
    name_in(*state, "a.opus", path);
    assert_int_equal(sound_writer_create(path, 24000, &w, &error), RNL_OK);
    assert_int_equal(sound_write(w, tone, 48000, &error), RNL_OK);
    assert_int_equal(sound_writer_finish(&w, &error), RNL_OK);
    unsigned char *data = read_whole(path, &size);
    sound file, stream;
    assert_int_equal(sound_read(path, 10, NULL, &file, &error), RNL_OK);
    assert_int_equal(read_input(data, size, 999, NULL, &stream, &error), RNL_OK);
    assert_int_equal(stream.count, file.count);
    assert_memory_equal(stream.samples, file.samples, file.count * sizeof(float));
    sound_free(&file);
    sound_free(&stream);
    free(data);
}

/* `< talk.flac`: a file, whatever its name. */
static void a_file_as_standard_input_is_a_file(void **state) {
    const float tone[2400] = {0.5f, 0.25f};
    char path[PATH_CAP];
    sound_writer *w;
    sound s;
    rnl_error error = {0};
    name_in(*state, "a.flac", path);
    assert_int_equal(sound_writer_create(path, 24000, &w, &error), RNL_OK);
    assert_int_equal(sound_write(w, tone, 2400, &error), RNL_OK);
    assert_int_equal(sound_writer_finish(&w, &error), RNL_OK);
    const int kept = dup(0), fd = open(path, O_RDONLY);
    assert_int_equal(dup2(fd, 0), 0);
    const rnl_status status = sound_read("-", 10, NULL, &s, &error);
    assert_int_equal(dup2(kept, 0), 0);
    (void)close(kept);
    (void)close(fd);
    assert_int_equal(status, RNL_OK);
    assert_int_equal(s.count, 2400);
    sound_free(&s);
}

int main(void) {
    (void)setenv("PATH", "/nowhere", 1); /* ffmpeg is not what is asked here */
    (void)signal(SIGPIPE, SIG_IGN);      /* a stream that is refused has a writer still */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_sample_is_read),
        cmocka_unit_test(an_unknown_length_reads_to_the_end),
        cmocka_unit_test(without_a_header_the_options_tell),
        cmocka_unit_test(bad_streams_are_refused),
        cmocka_unit_test(a_wrong_alignment_is_refused),
        IN_FOLDER(opus_comes_through_a_pipe),
        IN_FOLDER(a_file_as_standard_input_is_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
