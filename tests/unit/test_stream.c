/* audio/stream.c: sound as bytes in memory; and sounds that are read from there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/file.h"
#include "audio/stream.h"
#include "core/random.h"
#include "tests/support/folder.h"

enum { COUNT = 30000 };

/* A tone that swells, with something beyond [-1, 1], and the edges of rounding. */
static void make_tone(float samples[COUNT]) {
    for (int i = 0; i < COUNT; i++) samples[i] = 1.2f * (float)i / COUNT * sinf(0.05f * (float)i);
    for (int i = 0; i < 200; i++) samples[1000 + i] = ((float)i - 100 + 0.5f) / 32767.0f;
    const float edges[] = {1, -1, 1.0000001f, -1.00003f, -1.00005f, 0.99999f, -0.0f};
    memcpy(samples + 2000, edges, sizeof edges);
}

typedef struct made {
    uint8_t *bytes;
    size_t size;
} made;

/* What a stream gives; taken while it is made, in pieces of odd sizes, or at its end. */
static made make(sound_format format, const float *samples, size_t cut, bool early) {
    rnl_error error = {0};
    sound_stream *s;
    made m = {.bytes = malloc(1 << 20)};
    assert_non_null(m.bytes);
    if (sound_stream_create(format, RNL_RATE_OUT, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    for (size_t at = 0; at < COUNT; at += cut) {
        const size_t part = COUNT - at < cut ? COUNT - at : cut;
        assert_int_equal(sound_stream_write(s, samples + at, part, &error), RNL_OK);
        while (early && sound_stream_size(s) > 0)
            m.size += sound_stream_take(s, m.bytes + m.size, 1001);
    }
    assert_int_equal(sound_stream_finish(s, &error), RNL_OK);
    const size_t left = sound_stream_size(s);
    assert_int_equal(sound_stream_take(s, m.bytes + m.size, 1 << 19), left);
    assert_int_equal(sound_stream_take(s, m.bytes, 1), 0);
    m.size += left;
    sound_stream_destroy(&s);
    return m;
}

/* Taken at its end, a stream is the file that the writer makes. */
static void a_stream_is_what_a_file_would_be(void **state) {
    static float samples[COUNT];
    make_tone(samples);
    for (int f = 0; f < SOUND_FORMAT_COUNT; f++) {
        char path[PATH_CAP], name[32];
        const sound_format format = (sound_format)f;
        if (format == SOUND_FORMAT_PCM || !sound_format_is_there(format)) continue;
        (void)snprintf(name, sizeof name, "speech.%s", sound_format_name(format));
        name_in(*state, name, path);
        sound_writer *w;
        rnl_error error = {0};
        assert_int_equal(sound_writer_create(path, RNL_RATE_OUT, &w, &error), RNL_OK);
        assert_int_equal(sound_write(w, samples, COUNT, &error), RNL_OK);
        assert_int_equal(sound_writer_finish(&w, &error), RNL_OK);
        size_t size;
        unsigned char *file = read_whole(path, &size);
        made m = make(format, samples, 777, false);
        assert_int_equal(m.size, size);
        assert_memory_equal(m.bytes, file, size);
        if (format == SOUND_FORMAT_WAV) { /* PCM is what stands behind its head */
            made pcm = make(SOUND_FORMAT_PCM, samples, 777, true);
            assert_int_equal(pcm.size, size - 44);
            assert_memory_equal(pcm.bytes, file + 44, pcm.size);
            free(pcm.bytes);
        }
        free(m.bytes);
        free(file);
    }
}

static size_t read_kept(const sound_kept *kept, float *samples, size_t cap, int *rate) {
    const sound_config config = {
        .track = 1, .raw_rate = 16000, .raw_channels = 1, .no_ffmpeg = true};
    rnl_error error = {0};
    sound_reader *r;
    if (sound_reader_open_kept(kept, &config, &r, &error) != RNL_OK) fail_msg("%s", error.text);
    size_t count = 0, got;
    rnl_status status;
    while ((status = sound_reader_read(r, samples + count, cap - count, &got, &error)) == RNL_OK)
        count += got;
    assert_int_equal(status, RNL_DONE);
    *rate = sound_reader_info(r)->rate;
    sound_reader_close(&r);
    return count;
}

/* Taken while it is made, a stream can be played: it holds the same samples. Reading is from
 * memory, twice. */
static void a_stream_can_be_read_while_it_is_made(void **state) {
    (void)state;
    static float samples[COUNT], whole[4 * COUNT], early[4 * COUNT];
    make_tone(samples);
    for (int f = 0; f < SOUND_FORMAT_COUNT; f++) {
        const sound_format format = (sound_format)f;
        if (format == SOUND_FORMAT_PCM || !sound_format_is_there(format)) continue;
        size_t counts[2];
        for (int i = 0; i < 2; i++) {
            made m = make(format, samples, i == 0 ? COUNT : 960, i == 1);
            rnl_error error = {0};
            sound_kept *kept;
            int rate;
            assert_int_equal(sound_keep_bytes("answer", m.bytes, m.size, &kept, &error), RNL_OK);
            for (int again = 0; again < 2; again++)
                counts[i] = read_kept(kept, i == 0 ? whole : early, 4 * (size_t)COUNT, &rate);
            assert_int_equal(rate, format == SOUND_FORMAT_OPUS ? 48000 : RNL_RATE_OUT);
            sound_kept_close(&kept);
            free(m.bytes);
        }
        print_message("%s: %zu samples\n", sound_format_name(format), counts[0]);
        assert_true(counts[0] >= COUNT);
        if (format == SOUND_FORMAT_MP3) { /* how much is before and behind, its head would say */
            assert_in_range(counts[1], COUNT, COUNT + 3 * 1152);
            continue;
        }
        assert_int_equal(counts[0], counts[1]);
        assert_memory_equal(whole, early, counts[0] * sizeof *whole);
    }
}

/* Bytes that are no sound, or one that only ffmpeg knows, which is not asked. */
static void what_is_no_sound_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } cases[] = {
        {"", 0, "answer: it is empty"},
        {"text as a sound, as it were", 27, "answer: this is no sound file that can be read"},
        {"\0\0\0\x18"
         "ftypM4A \0\0\0\0",
         16, "answer: sound of this kind is not taken here"},
        {"RIFF\xff\xff\xff\xffWAVEfmt ", 16, "answer: "},
        {"fLaC\0\0\0\x22", 8, "answer: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rnl_error error = {0};
        sound_kept *kept;
        sound_config config = sound_config_default();
        config.no_ffmpeg = true;
        rnl_status status =
            sound_keep_bytes("answer", cases[i].bytes, cases[i].size, &kept, &error);
        sound_reader *r = NULL;
        if (status == RNL_OK) status = sound_reader_open_kept(kept, &config, &r, &error);
        float samples[64];
        size_t got;
        if (status == RNL_OK) status = sound_reader_read(r, samples, 64, &got, &error);
        if (status != RNL_ERR_DATA ||
            strncmp(error.text, cases[i].says, strlen(cases[i].says)) != 0)
            fail_msg("case %zu: %d %s", i, (int)status, error.text);
        assert_null(strstr(error.text, "--"));
        assert_null(strstr(error.text, "ffmpeg"));
        sound_reader_close(&r);
        sound_kept_close(&kept);
    }
}

static void formats_have_names(void **state) {
    (void)state;
    sound_format format;
    assert_true(sound_format_named("opus", 4, &format));
    assert_int_equal(format, SOUND_FORMAT_OPUS);
    assert_string_equal(sound_format_type(format), "audio/ogg");
    assert_false(sound_format_named("aac", 3, &format));
    assert_false(sound_format_named("wa", 2, &format));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_stream_is_what_a_file_would_be),
        cmocka_unit_test(a_stream_can_be_read_while_it_is_made),
        cmocka_unit_test(what_is_no_sound_is_refused),
        cmocka_unit_test(formats_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
