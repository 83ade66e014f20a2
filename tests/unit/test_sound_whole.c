/* audio/: nothing of a sound is left out. What was joined is read to its last part, what stands
 * behind a stated length is read, damage costs its place and no more, and time stays time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sndfile.h>

#include "audio/file.h"
#include "tests/support/folder.h"

enum { RATE = 16000, PART = 2 * RATE, LONG = 8 * RATE };

typedef struct kind {
    const char *name;
    int format;
} kind;

static const kind kinds[] = {{"flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
                             {"ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS},
                             {"opus", SF_FORMAT_OGG | SF_FORMAT_OPUS},
                             {"mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III},
                             {"wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16}};
enum { FLAC, VORBIS, OPUS, MP3, WAV, KIND_COUNT };

typedef struct blob {
    unsigned char *data;
    size_t size;
} blob;

/* Noise and a tone, other ones for each number. */
static blob encode_long(const folder *f, const kind *k, int number, int channels, int count) {
    char path[PATH_CAP];
    SF_INFO info = {.samplerate = RATE, .channels = channels, .format = k->format};
    static float frames[2 * LONG];
    uint32_t noise = 12345u + (uint32_t)number;
    for (int i = 0; i < count * channels; i++) {
        noise = noise * 1664525u + 1013904223u;
        frames[i] = 0.3f * sinf((float)(0.02 + 0.013 * number) * (float)(i / channels)) +
                    0.1f * ((float)(noise >> 8) / 8388608.0f - 1.0f);
    }
    name_in(f, "part", path);
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    assert_non_null(file);
    int constant = SF_BITRATE_MODE_CONSTANT; /* bytes tell time exactly then */
    if (k == &kinds[MP3] && count == LONG)
        (void)sf_command(file, SFC_SET_BITRATE_MODE, &constant, sizeof constant);
    assert_int_equal(sf_writef_float(file, frames, count), count);
    assert_int_equal(sf_close(file), 0);
    blob b;
    b.data = read_whole(path, &b.size);
    return b;
}

static blob encode(const folder *f, const kind *k, int number, int channels) {
    return encode_long(f, k, number, channels, PART);
}

static blob join(const blob *parts, int count) {
    blob b = {0};
    for (int i = 0; i < count; i++) {
        b.data = realloc(b.data, b.size + parts[i].size);
        assert_non_null(b.data);
        memcpy(b.data + b.size, parts[i].data, parts[i].size);
        b.size += parts[i].size;
    }
    return b;
}

static sound read_good(const folder *f, const void *data, size_t size) {
    char path[PATH_CAP];
    sound s;
    rnl_error error = {0};
    name_in(f, "sound", path);
    write_file(path, data, size);
    if (sound_read(path, 600, NULL, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    return s;
}

static void same_samples(const float *a, const float *b, size_t count, const char *what) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s: sample %zu is %g, not %g", what, i, (double)a[i], (double)b[i]);
}

/* ---- Joined */

static void joined_sounds_are_read_to_the_last(void **state) {
    for (int k = 0; k < KIND_COUNT; k++) {
        blob parts[3];
        for (int i = 0; i < 3; i++) parts[i] = encode(*state, &kinds[k], i, 1);
        const blob all = join(parts, 3);
        const sound whole = read_good(*state, all.data, all.size);
        size_t at = 0;
        for (int i = 0; i < 3; i++) {
            const sound one = read_good(*state, parts[i].data, parts[i].size);
            assert_true(at + one.count <= whole.count);
            same_samples(whole.samples + at, one.samples, one.count, kinds[k].name);
            at += one.count;
            sound_free((sound *)&one);
            free(parts[i].data);
        }
        assert_int_equal(at, whole.count);
        assert_int_equal(whole.faults.place_count, 0);
        sound_free((sound *)&whole);
        free(all.data);
    }
}

/* A stereo part behind a mono one, and the other way: the mean of it is heard. */
static void joined_parts_may_differ_in_channels(void **state) {
    for (int k = 0; k < KIND_COUNT; k++) {
        for (int first = 1; first <= 2; first++) {
            const blob parts[] = {encode(*state, &kinds[k], 0, first),
                                  encode(*state, &kinds[k], 1, 3 - first)};
            const blob all = join(parts, 2);
            const sound s = read_good(*state, all.data, all.size);
            assert_true(s.count >= 2 * (size_t)PART * (size_t)s.rate / RATE);
            assert_int_equal(s.faults.place_count, 0);
            sound_free((sound *)&s);
            free(parts[0].data);
            free(parts[1].data);
            free(all.data);
        }
    }
}

/* ---- MPEG without notes of its length */

static void frames_without_notes_are_all_read(void **state) {
    blob b = encode(*state, &kinds[MP3], 0, 1);
    size_t first = 0, second = 1; /* the first frame holds the notes */
    while (memcmp(b.data + first, "\xff", 1) != 0) first++;
    second = first + 4;
    while (memcmp(b.data + second, b.data + first, 2) != 0) second++;
    assert_true(second > first + 40);
    const sound with = read_good(*state, b.data, b.size);
    /* Ten times without: any length that a header might be taken to say is too short. */
    blob parts[10];
    for (int i = 0; i < 10; i++)
        parts[i] = (blob){.data = b.data + second, .size = b.size - second};
    const blob all = join(parts, 10);
    const sound s = read_good(*state, all.data, all.size);
    assert_true(s.count >= 10 * with.count);
    assert_int_equal(s.faults.place_count, 0);
    sound_free((sound *)&s);
    /* Junk in front, as a cut out of a stream has. */
    blob junk = {.data = (unsigned char *)"some bytes of another kind", .size = 26};
    const blob odd[] = {junk, parts[0]};
    const blob behind = join(odd, 2);
    const sound t = read_good(*state, behind.data, behind.size);
    assert_true(t.count >= with.count);
    sound_free((sound *)&t);
    sound_free((sound *)&with);
    free(behind.data);
    free(all.data);
    free(b.data);
}

/* ---- WAV whose sizes say nothing, or too little */

static size_t put(unsigned char *at, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++) at[i] = (unsigned char)(value >> (8 * i));
    return size;
}

/* A header of 16-bit mono at 8 kHz; the size of its data is what it claims. */
static size_t put_head(unsigned char *at, const char *id, uint32_t claim, int64_t long_claim) {
    size_t size = 0;
    memcpy(at, id, 4);
    memcpy(at + 8, "WAVE", 4);
    (void)put(at + 4, 0, 4);
    size = 12;
    if (long_claim != INT64_MIN) {
        memcpy(at + size, "ds64", 4);
        size += 4;
        size += put(at + size, 28, 4);
        size += put(at + size, (uint64_t)long_claim, 8);
        size += put(at + size, (uint64_t)long_claim, 8);
        size += put(at + size, 0, 8);
        size += put(at + size, 0, 4);
    }
    memcpy(at + size, "fmt ", 4);
    size += 4;
    static const uint32_t fields[] = {16, 1, 1, 8000, 16000, 2, 16};
    static const size_t sizes[] = {4, 2, 2, 4, 4, 2, 2};
    for (int i = 0; i < 7; i++) size += put(at + size, fields[i], sizes[i]);
    memcpy(at + size, "data", 4);
    size += 4;
    return size + put(at + size, claim, 4);
}

static void put_samples(unsigned char *at, size_t count) {
    for (size_t i = 0; i < count; i++) (void)put(at + 2 * i, 1000 + i % 700, 2);
}

static void what_stands_behind_the_stated_end_is_read(void **state) {
    enum { COUNT = 9001 };
    static const struct {
        const char *id;
        uint32_t claim;
        int64_t long_claim;
    } rows[] = {
        {"RIFF", 0, INT64_MIN},    /* a recorder that died */
        {"RIFF", 4000, INT64_MIN}, /* 32 bits do not hold it: what is left over */
        {"RIFF", 4001, INT64_MIN}, /* and in the middle of a sample */
        {"RIFF", 1, INT64_MIN},          {"RIFF", 0xffffffff, INT64_MIN}, /* written into a pipe */
        {"RIFF", 0x7ffff000, INT64_MIN}, {"RIFF", 0x80000000, INT64_MIN},
        {"RF64", 0xffffffff, 0}, /* not finished */
        {"RF64", 0xffffffff, -1},        {"RF64", 0xffffffff, 2000},
        {"BW64", 0xffffffff, 0}};
    static unsigned char file[200 + 2 * COUNT];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = put_head(file, rows[i].id, rows[i].claim, rows[i].long_claim);
        put_samples(file + size, COUNT);
        size += 2 * (size_t)COUNT;
        const sound s = read_good(*state, file, size);
        if (s.count != COUNT) fail_msg("row %zu: %zu samples", i, s.count);
        for (size_t k = 0; k < COUNT; k++)
            assert_true(s.samples[k] == (float)(1000 + k % 700) / 32768.0f);
        assert_int_equal(s.faults.place_count, 0);
        sound_free((sound *)&s);
    }
}

/* Notes behind the samples are no sound; samples behind the notes are. */
static void notes_between_samples_are_not_heard(void **state) {
    static const char *const notes[] = {"LIST\6\0\0\0INFOab", "id3 \4\0\0\0abcd",
                                        "ID3\4\0\0\0\0\0\0", "_PMX\2\0\0\0hi"};
    static const size_t sizes[] = {14, 12, 10, 10};
    static unsigned char file[20000];
    for (int i = 0; i < 4; i++) {
        for (int again = 0; again < (i == 2 ? 1 : 2); again++) {
            size_t size = put_head(file, "RIFF", 2002, INT64_MIN);
            put_samples(file + size, 1001);
            size += 2002;
            memcpy(file + size, notes[i], sizes[i]);
            size += sizes[i];
            if (again) {
                memcpy(file + size, "data", 4);
                (void)put(file + size + 4, 200, 4);
                put_samples(file + size + 8, 100);
                size += 208;
            }
            const sound s = read_good(*state, file, size);
            if (s.count != (again ? 1101 : 1001)) fail_msg("notes %d: %zu", i, s.count);
            assert_int_equal(s.faults.place_count, 0);
            sound_free((sound *)&s);
        }
    }
}

static void laws_of_telephones_are_known(void **state) {
    static const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_ULAW, SF_FORMAT_WAV | SF_FORMAT_ALAW};
    for (int i = 0; i < 2; i++) {
        const kind k = {.name = "law", .format = formats[i]};
        blob b = encode(*state, &k, 3, 1);
        char path[PATH_CAP];
        static float want[PART];
        name_in(*state, "part", path);
        SF_INFO info = {0};
        SNDFILE *file = sf_open(path, SFM_READ, &info);
        assert_int_equal(sf_readf_float(file, want, PART), PART);
        assert_int_equal(sf_close(file), 0);
        for (int died = 0; died < 2; died++) {
            unsigned char *at = b.data;
            while (memcmp(at, "data", 4) != 0) at++;
            if (died) memset(at + 4, 0, 4);
            const sound s = read_good(*state, b.data, b.size);
            assert_int_equal(s.count, PART);
            same_samples(s.samples, want, PART, "law");
            sound_free((sound *)&s);
        }
        free(b.data);
    }
}

/* ---- Damage */

/* What is heard of a sound with a hole: outside the place that is told, what was heard without. */
static void check_hole(const folder *f, const kind *k, const blob *all, size_t at, size_t size,
                       bool cut_out) {
    const sound whole = read_good(f, all->data, all->size);
    blob b = join(all, 1);
    if (cut_out) {
        memmove(b.data + at, b.data + at + size, b.size - at - size);
        b.size -= size;
    } else {
        memset(b.data + at, 0, size);
    }
    const sound s = read_good(f, b.data, b.size);
    if (s.faults.place_count != 1) fail_msg("%s: %d places", k->name, s.faults.place_count);
    const sound_place place = s.faults.places[0];
    assert_false(place.cut_off);
    /* The hole lies in the place, as far as bytes tell time. */
    const double guess = (double)at / (double)all->size * (double)whole.count / whole.rate;
    if (place.from > guess + 0.8 || place.to < guess - 0.8 || place.to <= place.from)
        fail_msg("%s: damaged from %g to %g, not at %g", k->name, place.from, place.to, guess);
    /* Silence stands for it, unless nothing is heard any more behind it. */
    const bool to_the_end = fabs(place.to * whole.rate - (double)whole.count) < 0.5;
    if (to_the_end)
        assert_true(fabs(place.from * whole.rate - (double)s.count) < 0.5);
    else if (k == &kinds[MP3]) /* what fills its last frame is told of by notes before the hole */

        assert_in_range(s.count, whole.count, whole.count + 1200);
    else if (s.count != whole.count)
        fail_msg("%s: %zu of %zu", k->name, s.count, whole.count);
    /* Lossy decoders need a moment behind a hole. */
    const size_t from = (size_t)(place.from * s.rate);
    const size_t to = (size_t)((place.to + (k == &kinds[FLAC] ? 0.001 : 0.3)) * s.rate);
    same_samples(s.samples, whole.samples, from, k->name);
    double worst = 0.0;
    for (size_t i = to; i < s.count && i < whole.count; i++) {
        const double off = fabs((double)s.samples[i] - (double)whole.samples[i]);
        if (off > worst) worst = off;
    }
    if (worst > 0.02) fail_msg("%s: off by %g behind the hole", k->name, worst);
    sound_free((sound *)&s);
    sound_free((sound *)&whole);
    free(b.data);
}

static void a_hole_costs_its_place(void **state) {
    for (int k = 0; k < WAV; k++) {
        const blob all = encode_long(*state, &kinds[k], 0, 1, LONG);
        const size_t begins[] = {all.size * 2 / 5, all.size / 2 + 700, all.size * 3 / 5};
        for (int i = 0; i < 3; i++) {
            check_hole(*state, &kinds[k], &all, begins[i], 2000, false);
            /* Frames of MPEG carry no time: what is gone without a trace leaves none. */
            if (k != MP3) check_hole(*state, &kinds[k], &all, begins[i], 2000, true);
        }
        free(all.data);
    }
}

static void a_sound_that_is_cut_off_says_so(void **state) {
    for (int k = 0; k < KIND_COUNT; k++) {
        blob b = encode_long(*state, &kinds[k], 0, 1, LONG);
        const sound whole = read_good(*state, b.data, b.size);
        assert_int_equal(whole.faults.place_count, 0);
        for (int tenth = 5; tenth < 10; tenth += 2) {
            char text[RNL_ERROR_TEXT_CAP];
            const sound s = read_good(*state, b.data, b.size * (size_t)tenth / 10 + 3);
            if (s.faults.place_count != 1)
                fail_msg("%s cut at %d: %d", kinds[k].name, tenth, s.faults.place_count);
            const sound_place place = s.faults.places[0];
            if (!place.cut_off) fail_msg("%s cut at %d: damaged", kinds[k].name, tenth);
            assert_true(fabs(place.from * s.rate - (double)s.count) < 0.1);
            if (k == FLAC || k == WAV)
                assert_true(fabs(place.to * s.rate - (double)whole.count) < 1.1);
            assert_true(sound_faults_text(&s.faults, "talk", 0, text, sizeof text));
            assert_non_null(strstr(text, "talk: the recording is cut off: it ends at "));
            same_samples(s.samples, whole.samples, s.count * 9 / 10, kinds[k].name);
            sound_free((sound *)&s);
        }
        sound_free((sound *)&whole);
        free(b.data);
    }
}

/* ---- Channels that take each other out */

static void write_stereo(const char *path, int seconds, unsigned inverted) {
    static float frames[2 * RATE * 4];
    assert_true(seconds <= 4);
    for (int i = 0; i < seconds * RATE; i++) {
        const float x = 0.4f * sinf(0.05f * (float)i);
        frames[2 * i] = x;
        frames[2 * i + 1] = (inverted >> (i / RATE) & 1) != 0 ? -0.9f * x : 0.5f * x;
    }
    write_wav(path, RATE, 2, 32, frames, (size_t)seconds * RATE * 8, (uint32_t)seconds * RATE * 8);
}

static void channels_out_of_phase_are_heard(void **state) {
    char path[PATH_CAP], text[RNL_ERROR_TEXT_CAP];
    name_in(*state, "stereo.wav", path);
    for (unsigned inverted = 0; inverted < 8; inverted++) {
        sound s;
        rnl_error error = {0};
        write_stereo(path, 3, inverted);
        assert_int_equal(sound_read(path, 60, NULL, &s, &error), RNL_OK);
        assert_int_equal(s.count, 3 * RATE);
        for (int i = 0; i < 3 * RATE; i++) {
            const float x = 0.4f * sinf(0.05f * (float)i), y = 0.5f * x;
            const bool alone = (inverted >> (i / RATE) & 1) != 0;
            assert_true(s.samples[i] == (alone ? x : (x + y) / 2.0f));
        }
        assert_int_equal(s.faults.out_of_phase, inverted != 0);
        if (inverted != 0) {
            assert_true(s.faults.out_of_phase_at == ((inverted & 1) != 0   ? 0.0
                                                     : (inverted & 2) != 0 ? 1.0
                                                                           : 2.0));
            assert_true(sound_faults_text(&s.faults, "talk", 0, text, sizeof text));
            assert_non_null(strstr(text, "take each other out"));
        }
        assert_false(sound_faults_text(&s.faults, "talk", inverted != 0, text, sizeof text));
        sound_free(&s);
    }
}

/* ---- Laws */

static size_t read_by(const char *path, size_t cap, float *out, sound_faults *faults) {
    sound_reader *r;
    rnl_error error = {0};
    size_t count = 0, got;
    assert_int_equal(sound_reader_open(path, NULL, &r, &error), RNL_OK);
    while (sound_reader_read(r, out + count, cap, &got, &error) == RNL_OK) count += got;
    *faults = *sound_reader_faults(r);
    sound_reader_close(&r);
    return count;
}

static void any_cut_gives_the_same_samples(void **state) {
    enum { MOST = 4 * 48000 * 3 };
    static const size_t caps[] = {1, 7, 1000, 4096, 100000};
    char path[PATH_CAP];
    float *want = calloc(MOST, sizeof *want), *got = calloc(MOST, sizeof *got);
    assert_true(want != NULL && got != NULL);
    name_in(*state, "sound", path);
    for (int k = 0; k <= KIND_COUNT; k++) {
        if (k == KIND_COUNT) {
            write_stereo(path, 4, 5);
        } else { /* with damage in the middle */
            blob b = encode(*state, &kinds[k], 0, 2);
            memset(b.data + b.size / 2, 0, 1000);
            write_file(path, b.data, b.size);
            free(b.data);
        }
        sound_faults faults, other;
        const size_t count = read_by(path, 2048, want, &faults);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(read_by(path, caps[i], got, &other), count);
            same_samples(got, want, count, k < KIND_COUNT ? kinds[k].name : "stereo");
            assert_int_equal(other.place_count, faults.place_count);
            assert_int_equal(other.out_of_phase, faults.out_of_phase);
        }
    }
    free(want);
    free(got);
}

static void sixty_four_channels_can_be_had_one_by_one(void **state) {
    enum { CHANNELS = 64, FRAMES = 5000 };
    char path[PATH_CAP];
    int16_t *frames = malloc(sizeof *frames * CHANNELS * FRAMES);
    assert_non_null(frames);
    for (int i = 0; i < CHANNELS * FRAMES; i++) frames[i] = (int16_t)(i % CHANNELS * 100 + 1);
    name_in(*state, "many.wav", path);
    write_wav(path, 8000, CHANNELS, 16, frames, sizeof *frames * CHANNELS * FRAMES,
              sizeof *frames * CHANNELS * FRAMES);
    free(frames);
    sound s;
    rnl_error error = {0};
    sound_config c = sound_config_default();
    for (c.channel = 1; c.channel <= CHANNELS; c.channel += 21) {
        assert_int_equal(sound_read(path, 60, &c, &s, &error), RNL_OK);
        assert_int_equal(s.count, FRAMES);
        for (int i = 0; i < FRAMES; i++)
            assert_true(s.samples[i] == (float)((c.channel - 1) * 100 + 1) / 32768.0f);
        sound_free(&s);
    }
    c.channel = 0;
    assert_int_equal(sound_read(path, 60, &c, &s, &error), RNL_ERR_DATA);
    assert_non_null(strstr(error.text, "64 channels are more than the 8"));
    assert_non_null(strstr(error.text, "--per-channel"));
    c.per_channel = true;
    sound_reader *r;
    assert_int_equal(sound_reader_open(path, &c, &r, &error), RNL_OK);
    assert_int_equal(sound_reader_info(r)->channels, CHANNELS);
    sound_reader_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(joined_sounds_are_read_to_the_last),
        IN_FOLDER(joined_parts_may_differ_in_channels),
        IN_FOLDER(frames_without_notes_are_all_read),
        IN_FOLDER(what_stands_behind_the_stated_end_is_read),
        IN_FOLDER(notes_between_samples_are_not_heard),
        IN_FOLDER(laws_of_telephones_are_known),
        IN_FOLDER(a_hole_costs_its_place),
        IN_FOLDER(a_sound_that_is_cut_off_says_so),
        IN_FOLDER(channels_out_of_phase_are_heard),
        IN_FOLDER(any_cut_gives_the_same_samples),
        IN_FOLDER(sixty_four_channels_can_be_had_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
