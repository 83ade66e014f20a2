/* audio/: memory does not grow with the length of a sound. A file of ten hours (one under
 * sanitizers) must need no more than one of a minute and 32 MB. Each is read in a process of its
 * own, whose largest resident set the kernel knows. */
#define _DEFAULT_SOURCE /* wait4 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audio/file.h"
#include "tests/support/folder.h"

enum { RATE = 4000, ALLOWED_KIB = 32 * 1024 };

static long hours(void) {
    return getenv("RUNNEL_TEST_SHORT") != NULL ? 1 : 10;
}

/* A sparse WAV file: silence that no disk holds. */
static void write_silence(const char *path, long seconds) {
    const uint32_t size = (uint32_t)seconds * RATE * 2;
    write_wav(path, RATE, 1, 16, "", 0, size);
    assert_int_equal(truncate(path, 44 + (off_t)size), 0);
}

/* In a child: reads all of it; the exit code says whether it had that many seconds. */
static void read_all(const char *path, long seconds) {
    float frames[4096];
    sound_reader *r;
    size_t got;
    rnl_status status;
    sound_config c = sound_config_default();
    c.raw = true;
    c.raw_rate = RATE;
    if (sound_reader_open(path, &c, &r, NULL) != RNL_OK) _exit(1);
    while ((status = sound_reader_read(r, frames, 4096, &got, NULL)) == RNL_OK) continue;
    _exit(status == RNL_DONE && sound_reader_position(r) == (int64_t)seconds * RATE ? 0 : 2);
}

/* Largest resident set, in KiB, of a child that reads the file, or a pipe fed with it. */
static long memory_for(const char *path, long seconds, bool piped) {
    struct rusage usage;
    int how, ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t reader = fork();
    assert_true(reader >= 0);
    if (reader == 0) {
        (void)dup2(ends[0], 0);
        (void)close(ends[0]);
        (void)close(ends[1]);
        read_all(piped ? "-" : path, seconds);
    }
    (void)close(ends[0]);
    if (piped) {
        static const char silence[65536];
        for (int64_t left = (int64_t)seconds * RATE * 2; left > 0;) {
            const ssize_t put = write(ends[1], silence, left < 65536 ? (size_t)left : 65536);
            if (put <= 0) break;
            left -= put;
        }
    }
    (void)close(ends[1]);
    assert_int_equal(wait4(reader, &how, 0, &usage), reader);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    return usage.ru_maxrss;
}

static void ten_hours_need_no_more_than_a_minute(void **state) {
    char short_path[PATH_CAP], long_path[PATH_CAP];
    const long seconds = hours() * 3600;
    name_in(*state, "minute.wav", short_path);
    name_in(*state, "hours.wav", long_path);
    write_silence(short_path, 60);
    write_silence(long_path, seconds);
    for (int piped = 0; piped < 2; piped++) {
        const long small = memory_for(short_path, 60, piped != 0);
        const long large = memory_for(long_path, seconds, piped != 0);
        print_message("%s: 60 s %ld KiB, %ld s %ld KiB\n", piped ? "pipe" : "file", small, seconds,
                      large);
        assert_true(large <= small + ALLOWED_KIB);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {IN_FOLDER(ten_hours_need_no_more_than_a_minute)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
