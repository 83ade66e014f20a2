/* audio/ffmpeg.c, with a script in the place of ffmpeg: what it is asked, and what becomes of what
 * it answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/file.h"
#include "tests/support/folder.h"

/* A folder that is PATH and the working directory, with talk.wav and ffmpeg, which does `what`. */
static void install(const folder *f, const char *what) {
    char path[PATH_CAP], script[1024];
    const float samples[4800] = {0.5f, 0.25f};
    assert_int_equal(chdir(f->path), 0);
    assert_int_equal(setenv("PATH", f->path, 1), 0);
    write_wav("talk.wav", 48000, 2, 32, samples, sizeof samples, sizeof samples);
    write_file("talk.m4a",
               "\0\0\0\x20"
               "ftypM4A and so on",
               22);
    if (what == NULL) return;
    name_in(f, "ffmpeg", path);
    (void)snprintf(script, sizeof script,
                   "#!/bin/sh\nPATH=/bin:/usr/bin\nprintf '%%s\\n' \"$@\" > asked\n%s\n", what);
    write_file(path, script, strlen(script));
    assert_int_equal(chmod(path, 0755), 0);
}

static void it_is_asked_for_the_first_track(void **state) {
    static const char asked[] =
        "-nostdin\n-nostats\n-hide_banner\n-v\nerror\n-protocol_whitelist\nfile\n-copyts\n"
        "-start_at_zero\n-i\nfile:talk.m4a\n-map\n0:a:0\n-af\nasetpts=";
    static const char then[] = ",aresample=async=1:first_pts=0\n-c:a\npcm_f32le\n-f\nwav\npipe:1\n";
    install(*state, "cat talk.wav");
    sound s;
    rnl_error error = {0};
    assert_int_equal(sound_read("talk.m4a", 10, NULL, &s, &error), RNL_OK);
    assert_int_equal(s.rate, 48000);
    assert_int_equal(s.count, 2400);
    sound_free(&s);
    size_t size;
    unsigned char *got = read_whole("asked", &size);
    got[size] = '\0';
    assert_memory_equal(got, asked, sizeof asked - 1);
    assert_string_equal((char *)got + size - (sizeof then - 1), then);
    free(got);
}

/* Names that would be options, protocols or more than one word to a careless caller. */
static void any_name_is_one_argument(void **state) {
    const char *const names[] = {"-y.m4a",     "a b.m4a",   "$(touch x).m4a", "http:.m4a",
                                 "pipe:0.mp4", "it's.webm", "%d.mkv",         "concat:a|b.mp4"};
    for (int i = 0; i < 8; i++) {
        char want[64];
        size_t size;
        sound s;
        rnl_error error = {0};
        install(*state, "cat talk.wav");
        assert_int_equal(rename("talk.m4a", names[i]), 0);
        assert_int_equal(sound_read(names[i], 10, NULL, &s, &error), RNL_OK);
        sound_free(&s);
        unsigned char *got = read_whole("asked", &size);
        got[size] = '\0';
        (void)snprintf(want, sizeof want, "\n-i\nfile:%s\n-map\n", names[i]);
        assert_non_null(strstr((char *)got, want));
        free(got);
        assert_int_equal(access("x", F_OK), -1);
    }
}

static void refuses(const char *path, const char *word) {
    sound s;
    rnl_error error = {0};
    assert_int_equal(sound_read(path, 60, NULL, &s, &error), RNL_ERR_DATA);
    assert_null(s.samples);
    assert_non_null(strstr(error.text, path));
    if (strstr(error.text, word) == NULL) fail_msg("'%s' lacks '%s'", error.text, word);
    assert_null(strchr(error.text, '\n'));
}

static void without_it_a_sentence_says_so(void **state) {
    install(*state, NULL);
    refuses("talk.m4a", "not installed: install ffmpeg");
    write_file("noise.webm", "not even Matroska, but the name says so", 39);
    refuses("noise.webm", "no sound file");
    write_file("letter.txt", "not even Matroska, but the name says so", 39);
    refuses("letter.txt", "no sound file");
    refuses("letter.txt", "with ffmpeg installed");
    write_file("broken.wav", "RIFF\x24\0\0\0WAVEfmt and no more", 28);
    refuses("broken.wav", "no sound file");
}

static void its_failures_are_told(void **state) {
    install(*state, "echo 'talk: moov atom not found' >&2; exit 1");
    refuses("talk.m4a", "moov atom not found");
    install(*state, "exit 0");
    refuses("talk.m4a", "header ends");
    install(*state, "exit 3");
    refuses("talk.m4a", "gives no reason");
    install(*state, "echo \"Stream map '0:a:0' matches no streams.\" >&2; exit 1");
    refuses("talk.m4a", "there is no sound track in it");
    install(*state, "echo this is no WAV at all, whatever ffmpeg means by it");
    refuses("talk.m4a", "not that of a WAV");
    install(*state, "yes trouble | head -c 300000 >&2; exit 1"); /* more than a pipe holds */
    refuses("talk.m4a", "trouble");
}

/* The samples came, the end did not: what was heard stands, and the reason is told. */
static void what_was_heard_before_a_failure_stands(void **state) {
    static const char *const scripts[] = {"cat talk.wav; echo 'late trouble' >&2; exit 1",
                                          "cat talk.wav; kill -9 $$"};
    static const char *const words[] = {"late trouble", "gives no reason"};
    for (int i = 0; i < 2; i++) {
        sound s;
        rnl_error error = {0};
        char text[RNL_ERROR_TEXT_CAP];
        install(*state, scripts[i]);
        assert_int_equal(sound_read("talk.m4a", 10, NULL, &s, &error), RNL_OK);
        assert_int_equal(s.count, 2400);
        assert_int_equal(s.faults.place_count, 1);
        assert_true(s.faults.places[0].from == 0.05);
        assert_true(sound_faults_text(&s.faults, "talk.m4a", 0, text, sizeof text));
        assert_non_null(strstr(text, "talk.m4a: the sound is damaged"));
        if (strstr(text, words[i]) == NULL) fail_msg("'%s' lacks '%s'", text, words[i]);
        assert_false(sound_faults_text(&s.faults, "talk.m4a", 1, text, sizeof text));
        sound_free(&s);
    }
}

/* Damage is found by a second run, which tells the times of frames between its errors. */
static void damage_is_located(void **state) {
    sound s;
    rnl_error error = {0};
    install(*state, "case \"$*\" in\n"
                    "*ashowinfo*) {\n"
                    "echo '[Parsed_ashowinfo_1 @ 0x1] [info] n:0 pts:0 nb_samples:480'\n"
                    "echo '[error] Error while decoding stream #0:0: Invalid data'\n"
                    "echo '[Parsed_ashowinfo_1 @ 0x1] [info] n:1 pts:1440 nb_samples:480'\n"
                    "echo '[error] Error while decoding stream #0:0: Invalid data'\n"
                    "} >&2 ;;\n"
                    "*) cat talk.wav; echo 'Error while decoding stream #0:0: Bad' >&2 ;;\n"
                    "esac");
    assert_int_equal(sound_read("talk.m4a", 10, NULL, &s, &error), RNL_OK);
    assert_int_equal(s.count, 2400);
    assert_int_equal(s.faults.place_count, 2);
    assert_true(s.faults.places[0].from == 0.01 && s.faults.places[0].to == 0.03);
    assert_true(s.faults.places[1].cut_off && s.faults.places[1].from == 0.05);
    sound_free(&s);
    install(*state, "cat talk.wav; echo 'x.mp4: partial file' >&2");
    assert_int_equal(sound_read("talk.m4a", 10, NULL, &s, &error), RNL_OK);
    assert_int_equal(s.faults.place_count, 1);
    assert_true(s.faults.places[0].cut_off && s.faults.places[0].from == 0.05);
    sound_free(&s);
}

static void a_track_can_be_chosen(void **state) {
    sound_config c = sound_config_default();
    sound s;
    rnl_error error = {0};
    size_t size;
    c.track = 2;
    install(*state, "cat talk.wav");
    assert_int_equal(sound_read("talk.m4a", 10, &c, &s, &error), RNL_OK);
    sound_free(&s);
    unsigned char *got = read_whole("asked", &size);
    got[size] = '\0';
    assert_non_null(strstr((char *)got, "\n-map\n0:a:1\n"));
    free(got);
    install(*state, "echo \"Stream map '0:a:1' matches no streams.\" >&2; exit 1");
    assert_int_equal(sound_read("talk.m4a", 10, &c, &s, &error), RNL_ERR_DATA);
    assert_non_null(strstr(error.text, "no sound track 2 in it"));
}

/* Closing early ends the child: it would write for ever. The signal that ends it must not be
 * inherited as ignored. */
static void it_ends_with_its_reader(void **state) {
    (void)signal(SIGPIPE, SIG_IGN);
    install(*state, "echo $$ > pid; head -c 44 talk.wav; while :; do cat talk.wav; done");
    for (int i = 0; i < 3; i++) {
        sound_reader *r;
        float frames[100];
        size_t got;
        rnl_error error = {0};
        assert_int_equal(sound_reader_open("talk.m4a", NULL, &r, &error), RNL_OK);
        if (i > 0) assert_int_equal(sound_reader_read(r, frames, 100, &got, &error), RNL_OK);
        sound_reader_close(&r);
        size_t size;
        unsigned char *pid = read_whole("pid", &size);
        pid[size] = '\0';
        assert_int_equal(kill((pid_t)atoi((char *)pid), 0), -1);
        free(pid);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(it_is_asked_for_the_first_track),
        IN_FOLDER(any_name_is_one_argument),
        IN_FOLDER(without_it_a_sentence_says_so),
        IN_FOLDER(its_failures_are_told),
        IN_FOLDER(what_was_heard_before_a_failure_stands),
        IN_FOLDER(damage_is_located),
        IN_FOLDER(a_track_can_be_chosen),
        IN_FOLDER(it_ends_with_its_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
