/* Lines of the log: whole, of one form, and no client writes lines of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "core/random.h"
#include "core/utf8.h"
#include "serve/log.h"

static log_entry example(void) {
    return (log_entry){.time_us = INT64_C(1796027400123456),
                       .what = "request",
                       .id = "req_0123456789abcdefghijk",
                       .method = "POST",
                       .path = "/v1/audio/transcriptions",
                       .code = 200,
                       .duration_us = 812345,
                       .bytes_in = 96044,
                       .bytes_out = 31,
                       .model_us = 401000,
                       .address = "127.0.0.1",
                       .why = "",
                       .file = ""};
}

static void lines_as_json(void **state) {
    (void)state;
    char line[LOG_LINE_CAP];
    log_entry e = example();
    const size_t size = log_write(&e, LOG_JSON, line);
    assert_int_equal(size, strlen(line));
    assert_string_equal(line, "{\"time\":\"2026-11-30T08:30:00.123Z\",\"what\":\"request\","
                              "\"id\":\"req_0123456789abcdefghijk\",\"method\":\"POST\","
                              "\"path\":\"/v1/audio/transcriptions\",\"code\":200,\"ms\":812.345,"
                              "\"bytes_in\":96044,\"bytes_out\":31,\"model_seconds\":0.401,"
                              "\"address\":\"127.0.0.1\"}\n");
}

static void lines_for_people(void **state) {
    (void)state;
    char line[LOG_LINE_CAP];
    log_entry e = example();
    e.why = "slow_reader";
    e.file = "a b.wav";
    const size_t size = log_write(&e, LOG_TEXT, line);
    assert_int_equal(size, strlen(line));
    assert_string_equal(line, "08:30:00.123Z request POST /v1/audio/transcriptions 200 812.3 ms, "
                              "96044 bytes in, 31 out, model 0.401 s, 127.0.0.1, "
                              "req_0123456789abcdefghijk, slow_reader, file \"a b.wav\"\n");
}

static void no_line_within_a_line(void **state) {
    (void)state;
    char line[LOG_LINE_CAP];
    log_entry e = example();
    e.file = "x\"\r\n{\"fake\":1}\x1b[2J\x7f\xc2\x9b\\\xff\xc3\xbc";
    (void)log_write(&e, LOG_TEXT, line);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_null(strchr(line, '\x1b'));
    assert_non_null(strstr(line, "file \"x\\\"??{\\\"fake\\\":1}?[2J??\\\\?\xc3\xbc\"\n"));
}

/* Whatever the names and texts: JSON of one line that says the same, cut where it is too long. */
static void any_text_is_one_line_of_json(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        random_state random;
        random_seed(&random, seed);
        char name[600], content[3000], line[LOG_LINE_CAP];
        for (size_t i = 0; i < sizeof name; i++)
            name[i] = (char)(1 + random_u64(&random) % (seed % 2 == 0 ? 255 : 96));
        for (size_t i = 0; i < sizeof content; i++)
            content[i] = (char)(seed % 3 == 0 ? '"' : (int)(random_u64(&random) % 256));
        name[random_u64(&random) % sizeof name] = '\0';
        name[sizeof name - 1] = '\0';
        log_entry e = example();
        e.what = e.id = e.method = e.path = e.address = e.why = e.file = name;
        e.content = content;
        e.content_size = random_u64(&random) % sizeof content;
        const size_t size = log_write(&e, LOG_JSON, line);
        json *parsed;
        assert_in_range(size, 1, LOG_LINE_CAP - 1);
        assert_int_equal(strlen(line), size);
        assert_true(utf8_is_valid(line, size));
        assert_ptr_equal(strchr(line, '\n'), line + size - 1);
        assert_int_equal(json_parse(line, size, "line", &parsed, NULL), RNL_OK);
        assert_true(json_is_string(json_get(parsed, "content")));
        json_destroy(&parsed);
        assert_in_range(log_write(&e, LOG_TEXT, line), 1, LOG_LINE_CAP - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_as_json),
        cmocka_unit_test(lines_for_people),
        cmocka_unit_test(no_line_within_a_line),
        cmocka_unit_test(any_text_is_one_line_of_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
