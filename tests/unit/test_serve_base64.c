/* Base64 from strangers: what is right comes back byte for byte, what is not is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "serve/base64.h"
#include "serve/json_out.h"

static void known_texts(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"Zg==", "f"},
        {"Zm8=", "fo"},
        {"Zm9v", "foo"},
        {"Zm9vYg==", "foob"},
        {"Zm9vYmE=", "fooba"},
        {"Zm9vYmFy", "foobar"},
        {"Zg", "f"},
        {"Zm8", "fo"},
        {"Zm9vYg", "foob"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char out[32];
        size_t made;
        assert_true(base64_decode(rows[i][0], strlen(rows[i][0]), out, &made));
        assert_int_equal(made, strlen(rows[i][1]));
        assert_memory_equal(out, rows[i][1], made);
    }
}

static void wrong_texts(void **state) {
    (void)state;
    static const char *const rows[] = {
        "Z",    "Zg=",    "Zg===", "====", "=",        "Zm9vY", "Zm 9v",      "Zm9v\n", "Zh==",
        "Zm9=", "Zm9vZ*", "Zm9-",  "Zm9_", "Zg==Zg==", "Z=g=",  "\xc3\xa9==", "Zm=v",   "Zm9v====",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char out[32];
        size_t made;
        if (base64_decode(rows[i], strlen(rows[i]), out, &made)) fail_msg("'%s' is taken", rows[i]);
    }
}

/* What the writer writes is read again, in place too. */
static void round_trips(void **state) {
    (void)state;
    random_state r;
    random_seed(&r, 1);
    for (size_t size = 0; size < 200; size++) {
        unsigned char bytes[200], out[256];
        char text[400];
        size_t made;
        for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)random_u64(&r);
        json_out o;
        json_out_begin(&o, text, sizeof text);
        json_out_base64(&o, NULL, bytes, size);
        assert_true(json_out_whole(&o));
        assert_true(base64_decode(text + 1, o.size - 2, out, &made));
        assert_int_equal(made, size);
        assert_memory_equal(out, bytes, size);
        memmove(text, text + 1, o.size - 2);
        assert_true(base64_decode(text, o.size - 2, (unsigned char *)text, &made));
        assert_memory_equal(text, bytes, size);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts),
        cmocka_unit_test(wrong_texts),
        cmocka_unit_test(round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
