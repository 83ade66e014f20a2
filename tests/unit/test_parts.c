/* apps/parts.c: speech that is stopped anywhere and goes on is speech that was never stopped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/messages.h"
#include "apps/parts.h"
#include "tests/support/folder.h"

enum { PIECE_COUNT = 5, RATE = 24000 };

static const char *const texts[PIECE_COUNT] = {"One.", "\"Two\" \\ é", "Three", "", "Five!"};

/* Works in the folder: its files have fixed names there. */
static int enter(void **state) {
    return make_folder(state) != 0 || chdir(((folder *)*state)->path) != 0;
}

static int leave(void **state) {
    (void)unlink("out.wav.parts/speech.pcm");
    (void)unlink("out.wav.parts/done.jsonl");
    (void)rmdir("out.wav.parts");
    return remove_folder(state);
}

/* Speaks piece i: a different number of samples for each. */
static void speak(parts *p, int i) {
    float samples[40];
    part done;
    for (int k = 0; k < 40; k++) samples[k] = 1.5f * sinf((float)(k + 100 * i));
    assert_int_equal(parts_pause(p, i == 0 ? 0 : 10.0 / RATE), EXIT_OK);
    assert_int_equal(parts_write(p, samples, (size_t)(7 * i)), EXIT_OK);
    assert_int_equal(parts_end(p, texts[i], "end", &done), EXIT_OK);
    assert_int_equal(done.end - done.begin, 7 * i);
}

/* A run that begins or goes on; returns how many pieces it had to speak, up to `most`. */
static int run(bool resume, int most, bool finish) {
    parts *p;
    int spoken = 0;
    assert_int_equal(parts_open("out.wav", "{\"a\":1}", RATE, resume, &p), EXIT_OK);
    for (int i = 0; i < PIECE_COUNT && spoken < most; i++) {
        part done;
        int code;
        if (parts_passed(p, texts[i], &done, &code)) {
            assert_string_equal(done.text, texts[i]);
            assert_string_equal(done.finish, "end");
            assert_int_equal(done.end - done.begin, 7 * i);
            continue;
        }
        assert_int_equal(code, EXIT_OK);
        speak(p, i);
        spoken++;
    }
    if (finish) assert_int_equal(parts_finish(p, NULL, NULL), EXIT_OK);
    parts_close(&p);
    parts_close(&p);
    return spoken;
}

static void equals(const unsigned char *want, size_t size) {
    size_t got_size;
    unsigned char *got = read_whole("out.wav", &got_size);
    assert_int_equal(got_size, size);
    assert_memory_equal(got, want, size);
    free(got);
    assert_int_equal(unlink("out.wav"), 0);
}

static void a_stopped_run_goes_on(void **state) {
    size_t size;
    assert_false(parts_wait("out.wav"));
    assert_int_equal(run(false, 99, true), PIECE_COUNT);
    assert_int_equal(entry_count(*state), 1); /* no folder stays */
    unsigned char *want = read_whole("out.wav", &size);
    assert_int_equal(unlink("out.wav"), 0);
    for (int stop = 0; stop <= PIECE_COUNT; stop++) {
        assert_int_equal(run(false, stop, false), stop);
        assert_int_equal(parts_wait("out.wav"), stop > 0); /* nothing done leaves nothing */
        assert_int_equal(run(true, 99, true), PIECE_COUNT - stop);
        equals(want, size);
    }
    assert_int_equal(run(true, 99, true), PIECE_COUNT); /* nothing to go on with: from the start */
    equals(want, size);
    free(want);
}

/* Whatever a crash leaves of the two files: any length of one, any of the other. */
static void any_remains_are_gone_on_with(void **state) {
    (void)state;
    size_t size, log_size, sample_size;
    assert_int_equal(run(false, 99, true), PIECE_COUNT);
    unsigned char *want = read_whole("out.wav", &size);
    assert_int_equal(run(false, 99, false), PIECE_COUNT);
    unsigned char *log = read_whole("out.wav.parts/done.jsonl", &log_size);
    unsigned char *samples = read_whole("out.wav.parts/speech.pcm", &sample_size);
    for (size_t i = 0; i < log_size + sample_size; i += 13) {
        if (i > 0) {
            (void)mkdir("out.wav.parts", 0777);
            write_file("out.wav.parts/done.jsonl", log, i < log_size ? i : log_size);
            write_file("out.wav.parts/speech.pcm", samples,
                       i < log_size ? sample_size : i - log_size);
        }
        (void)run(true, 99, true);
        equals(want, size);
    }
    /* a log that is no log: a line of other JSON, a line of none, positions that run backwards */
    static const char *const lines[] = {"{\"a\":1}\n[]\n", "{\"a\":1}\nnothing\n",
                                        "{\"a\":1}\n{\"begin\":-1,\"end\":0}\n",
                                        "{\"a\":1}\n{\"begin\":0,\"end\":99999,\"finish\":\"end\","
                                        "\"text\":\"One.\"}\n"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(mkdir("out.wav.parts", 0777), 0);
        write_file("out.wav.parts/done.jsonl", lines[i], strlen(lines[i]));
        write_file("out.wav.parts/speech.pcm", samples, sample_size);
        assert_int_equal(run(true, 99, true), PIECE_COUNT);
        equals(want, size);
    }
    free(samples);
    free(log);
    free(want);
}

static void other_texts_and_settings_are_refused(void **state) {
    (void)state;
    parts *p;
    part done;
    int code;
    assert_int_equal(run(false, 2, false), 2);
    assert_int_equal(parts_open("out.wav", "{\"a\":1}", RATE, false, &p), EXIT_FAILED);
    assert_null(p);
    assert_int_equal(parts_open("out.wav", "{\"a\":2}", RATE, true, &p), EXIT_FAILED);
    assert_null(p);
    assert_int_equal(parts_open("out.wav", "{\"a\":1}", RATE, true, &p), EXIT_OK);
    assert_true(parts_passed(p, "One.", &done, &code));
    assert_false(parts_passed(p, "Two", &done, &code));
    assert_int_equal(code, EXIT_FAILED);
    parts_close(&p);
    assert_int_equal(run(true, 99, true), PIECE_COUNT - 2); /* the refusals have changed nothing */
    assert_int_equal(parts_open("nowhere/out.wav", "{}", RATE, false, &p), EXIT_FAILED);
    assert_null(p);
}

/* A crash before the first piece was finished: nobody is asked to go on with nothing. */
static void remains_without_a_piece_are_begun_anew(void **state) {
    (void)state;
    static const char *const logs[] = {"", "{\"a\":", "{\"a\":2}\n", "{\"a\":1}\n{\"begin\":0"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(mkdir("out.wav.parts", 0777), 0);
        write_file("out.wav.parts/done.jsonl", logs[i], strlen(logs[i]));
        write_file("out.wav.parts/speech.pcm", "12345678", 8);
        assert_int_equal(run(false, 99, true), PIECE_COUNT);
        assert_int_equal(unlink("out.wav"), 0);
    }
}

static void without_a_sample_there_is_no_file(void **state) {
    part done;
    int code;
    for (int resumed = 0; resumed < 2; resumed++) {
        parts *p;
        assert_int_equal(parts_open("out.wav", "{\"a\":1}", RATE, resumed != 0, &p), EXIT_OK);
        assert_int_equal(parts_passed(p, "One.", &done, &code), resumed);
        for (int i = resumed; i < 2; i++) {
            assert_int_equal(parts_pause(p, 0.1), EXIT_OK);
            assert_int_equal(parts_end(p, i == 0 ? "One." : "Two.", "end", &done), EXIT_OK);
            if (resumed == 0) break;
        }
        if (resumed != 0) assert_int_equal(parts_finish(p, NULL, NULL), EXIT_FAILED);
        parts_close(&p);
    }
    assert_int_equal(entry_count(*state), 0);
}

/* A lock belongs to a process, so another one must try. */
static void two_runs_at_once_are_refused(void **state) {
    (void)state;
    parts *p, *other;
    int how;
    assert_int_equal(parts_open("out.wav", "{\"a\":1}", RATE, false, &p), EXIT_OK);
    const pid_t child = fork();
    if (child == 0) _exit(parts_open("out.wav", "{\"a\":1}", RATE, true, &other));
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), EXIT_FAILED);
    parts_close(&p);
}

static void a_full_disk_is_told_and_can_be_gone_on_with(void **state) {
    (void)state;
    struct rlimit limit, small;
    static const float noise[60000] = {0.5f};
    parts *p;
    part done;
    int code;
    assert_int_equal(run(false, 2, false), 2);
    assert_int_equal(parts_open("out.wav", "{\"a\":1}", RATE, true, &p), EXIT_OK);
    for (int i = 0; i < 2; i++) assert_true(parts_passed(p, texts[i], &done, &code));
    assert_false(parts_passed(p, texts[2], &done, &code));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    small = limit;
    small.rlim_cur = 50000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    code = parts_write(p, noise, 60000);
    if (code == EXIT_OK) code = parts_end(p, texts[2], "end", &done);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(code, EXIT_FAILED);
    parts_close(&p);
    assert_int_equal(run(true, 99, true), PIECE_COUNT - 2);
}

#define INSIDE(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        INSIDE(a_stopped_run_goes_on),
        INSIDE(any_remains_are_gone_on_with),
        INSIDE(other_texts_and_settings_are_refused),
        INSIDE(remains_without_a_piece_are_begun_anew),
        INSIDE(without_a_sample_there_is_no_file),
        INSIDE(two_runs_at_once_are_refused),
        INSIDE(a_full_disk_is_told_and_can_be_gone_on_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
