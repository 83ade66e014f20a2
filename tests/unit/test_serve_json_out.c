/* JSON that the server writes: what it looks like, that it is read as what was written, and that a
 * buffer's end is its end. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "core/random.h"
#include "serve/json_out.h"

static void assert_text(const json_out *o, const char *wanted) {
    assert_true(json_out_whole(o));
    assert_int_equal(o->size, strlen(wanted));
    assert_memory_equal(o->text, wanted, o->size);
}

static void write_example(json_out *o) {
    json_out_object(o, NULL);
    json_out_word(o, "type", "x");
    json_out_null(o, "none");
    json_out_word(o, "missing", NULL);
    json_out_array(o, "list");
    json_out_int(o, NULL, -9223372036854775807 - 1);
    json_out_number(o, NULL, 0.1);
    json_out_number(o, NULL, 3);
    json_out_number(o, NULL, 1e300);
    json_out_number(o, NULL, NAN);
    json_out_bool(o, NULL, true);
    json_out_object(o, NULL);
    json_out_end(o);
    json_out_raw(o, NULL, "{\"a\":[1]}", 9);
    json_out_end(o);
    json_out_text(o, "text", "a\"\\\b\f\n\r\t\x01\x7f\0b", 12);
    json_out_text_open(o, "pieces");
    json_out_text_more(o, "o", 1);
    json_out_text_more(o, NULL, 0);
    json_out_text_more(o, "\"k", 2);
    json_out_text_close(o);
    json_out_base64(o, "sound", "\xfb\xff", 2);
    json_out_end(o);
}

static const char example[] =
    "{\"type\":\"x\",\"none\":null,\"missing\":null,\"list\":[-9223372036854775808,0.1,3.0,1e+300,"
    "null,"
    "true,{},{\"a\":[1]}],\"text\":\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\x7f\\u0000b\",\"pieces\":"
    "\"o\\\"k\","
    "\"sound\":\"+/8=\"}";

static void values_look_as_json_has_them(void **state) {
    (void)state;
    char text[512];
    json_out o;
    json_out_begin(&o, text, sizeof text);
    write_example(&o);
    assert_text(&o, example);
    json_out_clear(&o);
    json_out_word(&o, NULL, "again");
    assert_text(&o, "\"again\"");
}

/* A buffer that is a byte too small is full and nothing behind it is touched. */
static void a_full_buffer_says_so_and_ends_where_it_ends(void **state) {
    (void)state;
    const size_t whole = sizeof example - 1;
    for (size_t cap = 0; cap <= whole; cap++) {
        char text[512];
        memset(text, 0x55, sizeof text);
        json_out o;
        json_out_begin(&o, text, cap);
        write_example(&o);
        assert_int_equal(json_out_whole(&o), cap == whole);
        for (size_t i = cap; i < sizeof text; i++) assert_int_equal(text[i], 0x55);

        json_out_begin_growing(&o, cap);
        write_example(&o);
        assert_int_equal(json_out_whole(&o), cap == whole);
        assert_true(o.cap <= cap);
        if (cap == whole) assert_text(&o, example);
        json_out_free(&o);
    }
}

static void what_is_no_utf8_becomes_a_replacement(void **state) {
    (void)state;
    char text[64];
    json_out o;
    json_out_begin(&o, text, sizeof text);
    json_out_text(&o, NULL, "\xc3\xa4\xff\xe2\x82|\xef\xbf\xbd", 9);
    assert_text(&o, "\"\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\"");
}

static void base64_has_its_padding(void **state) {
    (void)state;
    static const char *const wanted[] = {
        "\"\"",         "\"Zg==\"",     "\"Zm8=\"",    "\"Zm9v\"",
        "\"Zm9vYg==\"", "\"Zm9vYmE=\"", "\"Zm9vYmFy\""}; /* RFC 4648 */
    for (size_t size = 0; size <= 6; size++) {
        char text[16];
        json_out o;
        json_out_begin(&o, text, sizeof text);
        json_out_base64(&o, NULL, size > 0 ? "foobar" : NULL, size);
        assert_text(&o, wanted[size]);
        assert_int_equal(o.size, json_out_base64_size(size) + 2);
    }
}

/* 15 digits of the largest double are more than it. */
static void the_largest_number_can_be_read(void **state) {
    (void)state;
    char text[64];
    json_out o;
    json *read;
    rnl_error error;
    json_out_begin(&o, text, sizeof text);
    json_out_array(&o, NULL);
    json_out_number(&o, NULL, DBL_MAX);
    json_out_end(&o);
    assert_int_equal(json_parse(o.text, o.size, "written", &read, &error), RNL_OK);
    double value;
    assert_true(json_number(json_at(read, 0), &value) && value == DBL_MAX);
    json_destroy(&read);
}

static void events_are_lines(void **state) {
    (void)state;
    char text[64];
    json_out o;
    json_out_begin(&o, text, sizeof text);
    for (int i = 0; i < 2; i++) {
        json_out_event_open(&o);
        json_out_object(&o, NULL);
        json_out_int(&o, "a", i);
        json_out_end(&o);
        json_out_event_close(&o);
    }
    assert_text(&o, "data: {\"a\":0}\n\ndata: {\"a\":1}\n\n");
}

/* ---- What is written is read again ---- */

typedef struct writer {
    random_state random;
    json_out o;
    int count;
} writer;

static uint32_t below(writer *w, uint32_t count) {
    return (uint32_t)(random_u64(&w->random) % count);
}

static void write_any(writer *w, const char *key, int depth);

static void write_members(writer *w, bool array, int depth) {
    static const char *const keys[] = {"a", "b", "c", "d"};
    const uint32_t count = below(w, 5);
    for (uint32_t i = 0; i < count; i++) write_any(w, array ? NULL : keys[i], depth + 1);
    json_out_end(&w->o);
}

static void write_any(writer *w, const char *key, int depth) {
    char bytes[40];
    const size_t size = below(w, sizeof bytes);
    for (size_t i = 0; i < size; i++) bytes[i] = (char)below(w, 256);
    w->count++;
    switch (below(w, depth < 6 ? 8 : 6)) {
    case 0:
        json_out_text(&w->o, key, bytes, size);
        break;
    case 1:
        json_out_int(&w->o, key, (int64_t)random_u64(&w->random));
        break;
    case 2:
        json_out_number(&w->o, key, (double)random_u64(&w->random) / 65536);
        break;
    case 3:
        json_out_bool(&w->o, key, size % 2 != 0);
        break;
    case 4:
        json_out_null(&w->o, key);
        break;
    case 5:
        json_out_base64(&w->o, key, bytes, size);
        break;
    case 6:
        json_out_object(&w->o, key);
        write_members(w, false, depth);
        break;
    default:
        json_out_array(&w->o, key);
        write_members(w, true, depth);
    }
}

static bool count_member(void *context, const char *key, size_t size, const json *value);

static int count_values(const json *v) {
    int count = 1;
    if (json_is_array(v))
        for (size_t i = 0; i < json_count(v); i++) count += count_values(json_at(v, i));
    else if (json_is_object(v))
        (void)json_each(v, count_member, &count);
    return count;
}

static bool count_member(void *context, const char *key, size_t size, const json *value) {
    (void)key, (void)size;
    *(int *)context += count_values(value);
    return true;
}

static void what_is_written_is_read_again(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        writer w = {0};
        random_seed(&w.random, seed);
        json_out_begin_growing(&w.o, 1 << 20);
        json_out_array(&w.o, NULL);
        w.count = 1;
        write_members(&w, true, 0);
        assert_true(json_out_whole(&w.o));
        json *read = NULL;
        rnl_error error;
        if (json_parse(w.o.text, w.o.size, "written", &read, &error) != RNL_OK)
            fail_msg("seed %d: %s: %.*s", (int)seed, error.text, (int)w.o.size, w.o.text);
        assert_int_equal(count_values(read), w.count);
        json_destroy(&read);
        json_out_free(&w.o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_look_as_json_has_them),
        cmocka_unit_test(a_full_buffer_says_so_and_ends_where_it_ends),
        cmocka_unit_test(what_is_no_utf8_becomes_a_replacement),
        cmocka_unit_test(base64_has_its_padding),
        cmocka_unit_test(the_largest_number_can_be_read),
        cmocka_unit_test(events_are_lines),
        cmocka_unit_test(what_is_written_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
