/* Wyoming's framing: the package's own bytes come back as they were, whatever the cut; what is none
 * is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "serve/wyoming_frame.h"

enum { EVENT_CAP = 32, BYTES_CAP = 2 * 1024 * 1024 };

typedef struct sample {
    char bytes[512];
    size_t size;
} sample;

static int digit_of(char c) {
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

/* A Python bytes literal, b'...', as bytes. */
static void unescape(const char *literal, sample *out) {
    assert_memory_equal(literal, "b'", 2);
    out->size = 0;
    for (const char *c = literal + 2; *c != '\''; c++) {
        assert_in_range(out->size, 0, sizeof out->bytes - 2);
        char byte = *c;
        if (byte == '\\') {
            c++;
            byte = *c == 'n' ? '\n' : *c;
            if (*c == 'x') {
                byte = (char)(digit_of(c[1]) << 4 | digit_of(c[2]));
                c += 2;
            }
        }
        out->bytes[out->size++] = byte;
    }
}

static size_t read_samples(sample *samples) {
    FILE *f = fopen(TEST_DATA "/serve/wyoming-bytes.txt", "r");
    assert_non_null(f);
    char line[1024];
    size_t count = 0;
    assert_non_null(fgets(line, sizeof line, f)); /* what the file is */
    while (fgets(line, sizeof line, f) != NULL) {
        assert_in_range(count, 0, EVENT_CAP - 1);
        unescape(line, &samples[count++]);
    }
    (void)fclose(f);
    return count;
}

/* The last event of the reader, written by us, with the data and payload of the sample. */
static void same_bytes(const wyoming_reader *r, const sample *s) {
    const char *line_end = memchr(s->bytes, '\n', s->size);
    const size_t behind = s->size - (size_t)(line_end + 1 - s->bytes);
    const size_t payload_size = wyoming_payload_size(r);
    char head[WYOMING_HEAD_CAP];
    const size_t size =
        wyoming_write_head(head, wyoming_type(r), behind - payload_size, payload_size);
    assert_int_equal(size + behind, s->size);
    assert_memory_equal(head, s->bytes, size);
}

static void the_packages_bytes_in_any_cut(void **state) {
    (void)state;
    static sample samples[EVENT_CAP];
    const size_t count = read_samples(samples);
    assert_int_equal(count, 15);
    for (uint64_t seed = 0; seed < 200; seed++) {
        random_state random;
        random_seed(&random, seed);
        wyoming_reader *r;
        assert_int_equal(wyoming_reader_create(&r), RNL_OK);
        char all[EVENT_CAP * 512];
        size_t size = 0, at = 0, seen = 0, payload = 0;
        for (size_t i = 0; i < count; i++) {
            memcpy(all + size, samples[i].bytes, samples[i].size);
            size += samples[i].size;
        }
        while (at < size) {
            const size_t most = 1 + (size_t)(random_unit(&random) * (seed == 0 ? 1 : 90));
            const char *piece;
            size_t taken, piece_size;
            switch (wyoming_read(r, all + at, size - at < most ? size - at : most, &taken)) {
            case WYOMING_MORE:
                break;
            case WYOMING_EVENT:
                same_bytes(r, &samples[seen++]);
                break;
            case WYOMING_PAYLOAD:
                piece = wyoming_piece(r, &piece_size);
                assert_memory_equal(piece, "\x01\x00\x02\x00" + payload, piece_size);
                payload += piece_size;
                break;
            case WYOMING_BROKEN:
                fail_msg("seed %d, byte %zu", (int)seed, at);
            }
            at += taken;
        }
        assert_int_equal(seen, count);
        assert_int_equal(payload, 4);
        wyoming_reader_destroy(&r);
    }
}

static const char *text_of(const wyoming_reader *r, const char *key) {
    const char *text = json_chars(wyoming_field(r, key), NULL);
    return text == NULL ? "" : text;
}

static void data_behind_the_line_goes_over_that_in_it(void **state) {
    (void)state;
    static const char bytes[] = "{\"type\":\"a\",\"data\":{\"x\":\"line\",\"y\":\"line\"},"
                                "\"data_length\":14,\"payload_length\":null}\n{\"x\":\"behind\"}"
                                "{\"type\":\"b\",\"data\":{\"z\":\"own\"}}\n";
    wyoming_reader *r;
    size_t taken, at = 0;
    assert_int_equal(wyoming_reader_create(&r), RNL_OK);
    assert_int_equal(wyoming_read(r, bytes, sizeof bytes - 1, &taken), WYOMING_EVENT);
    assert_string_equal(wyoming_type(r), "a");
    assert_string_equal(text_of(r, "x"), "behind");
    assert_string_equal(text_of(r, "y"), "line");
    at += taken;
    assert_int_equal(wyoming_read(r, bytes + at, sizeof bytes - 1 - at, &taken), WYOMING_EVENT);
    assert_string_equal(wyoming_type(r), "b");
    assert_string_equal(text_of(r, "x"), ""); /* nothing of the event before */
    assert_string_equal(text_of(r, "z"), "own");
    wyoming_reader_destroy(&r);
}

static wyoming_got read_all(const char *bytes, size_t size) {
    wyoming_reader *r;
    assert_int_equal(wyoming_reader_create(&r), RNL_OK);
    wyoming_got got = WYOMING_MORE;
    for (size_t at = 0, taken; at < size && got != WYOMING_BROKEN; at += taken)
        got = wyoming_read(r, bytes + at, size - at, &taken);
    wyoming_reader_destroy(&r);
    return got;
}

static void what_is_no_wyoming_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "\n",
        "hello\n",
        "[]\n",
        "\"type\"\n",
        "{}\n",
        "{\"type\": 1}\n",
        "{\"type\": null}\n",
        "{\"type\": \"a\\u0000b\"}\n",
        "{\"type\": \"a\", \"type\": \"b\"}\n",
        "{\"type\": \"a\", \"data\": []}\n",
        "{\"type\": \"a\", \"data_length\": -1}\n",
        "{\"type\": \"a\", \"data_length\": 1.5}\n",
        "{\"type\": \"a\", \"data_length\": \"2\"}\n",
        "{\"type\": \"a\", \"data_length\": 1099511627776}\n",
        "{\"type\": \"a\", \"data_length\": 262145}\n",
        "{\"type\": \"a\", \"payload_length\": -5}\n",
        "{\"type\": \"a\", \"payload_length\": 1048577}\n",
        "{\"type\": \"a\", \"payload_length\": 99999999999999999999}\n",
        "{\"type\": \"a\", \"data_length\": 2}\n[]",
        "{\"type\": \"a\", \"data_length\": 3}\n{}x",
        "{\"type\": \"a\", \"data_length\": 2}\n{a",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (read_all(bad[i], strlen(bad[i])) != WYOMING_BROKEN) fail_msg("taken: %s", bad[i]);
}

/* A line of just the length that is allowed, and one byte more, with and without an end. */
static void lines_have_a_limit(void **state) {
    (void)state;
    static char line[LIMIT_WYOMING_LINE_SIZE + 2];
    const char *begin = "{\"type\": \"a\"";
    memset(line, ' ', sizeof line);
    memcpy(line, begin, strlen(begin));
    line[LIMIT_WYOMING_LINE_SIZE - 1] = '}';
    line[LIMIT_WYOMING_LINE_SIZE] = '\n';
    assert_int_equal(read_all(line, LIMIT_WYOMING_LINE_SIZE + 1), WYOMING_EVENT);
    line[LIMIT_WYOMING_LINE_SIZE] = ' ';
    assert_int_equal(read_all(line, LIMIT_WYOMING_LINE_SIZE + 1), WYOMING_BROKEN);
    line[LIMIT_WYOMING_LINE_SIZE + 1] = '\n';
    assert_int_equal(read_all(line, LIMIT_WYOMING_LINE_SIZE + 2), WYOMING_BROKEN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_packages_bytes_in_any_cut),
        cmocka_unit_test(data_behind_the_line_goes_over_that_in_it),
        cmocka_unit_test(what_is_no_wyoming_is_refused),
        cmocka_unit_test(lines_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
