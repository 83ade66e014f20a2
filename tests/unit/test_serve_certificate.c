/* Which files of TLS are taken: pairs, whole, and what a refusal says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "serve/certificate.h"
#include "tests/support/folder.h"

#define DATA TEST_DATA "/serve/"

static void assert_refused(const char *cert, const char *key, const char *words) {
    rnl_error error = {0};
    assert_int_equal(certificate_check(cert, key, &error), RNL_ERR_DATA);
    if (strstr(error.text, words) == NULL) fail_msg("'%s' lacks '%s'", error.text, words);
}

static void pairs_are_taken_and_nothing_else(void **state) {
    char path[PATH_CAP];
    rnl_error error = {0};
    size_t size, more;
    unsigned char *first = read_whole(DATA "tls-first.pem", &size);
    unsigned char *second = read_whole(DATA "tls-second.pem", &more);
    unsigned char *chain = malloc(size + more);
    assert_non_null(chain);
    memcpy(chain, first, size);
    memcpy(chain + size, second, more);
    name_in(*state, "chain.pem", path);
    assert_int_equal(certificate_check(DATA "tls-first.pem", DATA "tls-first.key", &error), RNL_OK);
    write_file(path, chain, size + more);
    assert_int_equal(certificate_check(path, DATA "tls-first.key", &error), RNL_OK);
    assert_refused(path, DATA "tls-second.key", "is not the key of");
    chain[size + more / 2] = '!';
    write_file(path, chain, size + more);
    assert_refused(path, DATA "tls-first.key", "a later one");
    write_file(path, first, size / 2);
    assert_refused(path, DATA "tls-first.key", "certificate one");
    write_file(path, "", 0);
    assert_refused(path, DATA "tls-first.key", "certificate one");
    assert_refused(DATA "tls-first.pem", path, "--tls-key");
    assert_refused(DATA "nowhere.pem", DATA "tls-first.key", "cannot be opened");
    assert_refused(DATA "tls-first.pem", DATA "nowhere.key", "cannot be opened");
    free(first);
    free(second);
    free(chain);
}

static void a_key_with_a_password_is_refused(void **state) {
    (void)state;
    assert_refused(DATA "tls-first.pem", DATA "tls-locked.key", "without a password");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(pairs_are_taken_and_nothing_else),
        cmocka_unit_test(a_key_with_a_password_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
