/* systemd is told through the socket that it names, and nobody where it names none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "serve/notify.h"

/* Listens at an address as systemd would. */
static int listen_at(const char *address) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, address, strlen(address));
    if (address[0] == '@') at.sun_path[0] = '\0';
    const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address));
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, size), 0);
    return fd;
}

static void tell_and_read(const char *address) {
    const int fd = listen_at(address);
    notify n;
    char text[100];
    assert_int_equal(notify_open(&n, address, NULL), RNL_OK);
    notify_tell(&n, "READY=1\nSTATUS=8 conversations");
    const ssize_t size = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    assert_true(size > 0);
    text[size] = '\0';
    assert_string_equal(text, "READY=1\nSTATUS=8 conversations");
    for (int i = 0; i < 10000; i++) notify_tell(&n, "WATCHDOG=1"); /* nobody reads: never waits */
    close(fd);
    notify_tell(&n, "STOPPING=1"); /* nobody is there: no signal */
    notify_close(&n);
    notify_close(&n);
}

static void both_kinds_of_address(void **state) {
    (void)state;
    char path[64];
    (void)snprintf(path, sizeof path, "/tmp/runnel-notify-%d", (int)getpid());
    tell_and_read(path);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "@runnel-notify-%d", (int)getpid());
    tell_and_read(path);
}

static void without_an_address_nothing_happens(void **state) {
    (void)state;
    notify n;
    assert_int_equal(notify_open(&n, NULL, NULL), RNL_OK);
    notify_tell(&n, "READY=1");
    notify_close(&n);
    assert_int_equal(notify_open(&n, "", NULL), RNL_OK);
    assert_int_equal(n.fd, -1);
}

static void bad_addresses_are_named(void **state) {
    (void)state;
    char longest[200];
    memset(longest, 'a', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    const char *const bad[] = {"relative", "/nowhere/at/all", longest};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        notify n;
        rnl_error error = {0};
        assert_int_equal(notify_open(&n, bad[i], &error), RNL_ERR_IO);
        assert_int_equal(n.fd, -1);
        assert_non_null(strstr(error.text, bad[i]));
    }
}

static void watchdog(void **state) {
    (void)state;
    char self[32];
    (void)snprintf(self, sizeof self, "%d", (int)getpid());
    assert_int_equal(notify_watchdog_us(NULL, NULL), 0);
    assert_int_equal(notify_watchdog_us("30000000", NULL), 15000000);
    assert_int_equal(notify_watchdog_us("30000000", self), 15000000);
    assert_int_equal(notify_watchdog_us("30000000", "1"), 0);
    assert_int_equal(notify_watchdog_us("-5", NULL), 0);
    assert_int_equal(notify_watchdog_us("soon", NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_kinds_of_address),
        cmocka_unit_test(without_an_address_nothing_happens),
        cmocka_unit_test(bad_addresses_are_named),
        cmocka_unit_test(watchdog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
