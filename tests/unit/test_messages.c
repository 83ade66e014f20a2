/* What a model made is shown on a terminal without what steers it, and elsewhere as it is. */
#define _XOPEN_SOURCE 700
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/messages.h"

/* An escape sequence, a bell, DEL, C1 as UTF-8; tab, line end, letters. */
static const char *const made = "a\033[31mb\ac\x7f\xc2\x9b"
                                "d\te\nf\xc3\xa9";

static void a_terminal_gets_nothing_that_steers_it(void **state) {
    (void)state;
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    const int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    struct termios raw;
    assert_int_equal(tcgetattr(terminal, &raw), 0);
    raw.c_oflag &= ~(tcflag_t)OPOST; /* a line end stays one */
    assert_int_equal(tcsetattr(terminal, TCSANOW, &raw), 0);
    FILE *stream = fdopen(terminal, "w");
    assert_non_null(stream);
    put_spoken(stream, made, strlen(made));
    assert_int_equal(fflush(stream), 0);

    const char *want = "a?[31mb?c??d\te\nf\xc3\xa9";
    char got[64] = {0};
    assert_int_equal(read(master, got, sizeof got - 1), strlen(want));
    assert_string_equal(got, want);
    (void)fclose(stream);
    (void)close(master);
}

static void a_file_gets_every_byte(void **state) {
    (void)state;
    char got[64] = {0};
    FILE *stream = tmpfile();
    assert_non_null(stream);
    put_spoken(stream, made, strlen(made));
    rewind(stream);
    assert_int_equal(fread(got, 1, sizeof got, stream), strlen(made));
    assert_string_equal(got, made);
    (void)fclose(stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_gets_nothing_that_steers_it),
        cmocka_unit_test(a_file_gets_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
