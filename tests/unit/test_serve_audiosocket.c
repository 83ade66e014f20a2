/* A telephone call without a telephone: what is heard, what is written and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "serve/audiosocket.h"

enum { OUT_CAP = 64 * 1024 };

typedef struct call {
    audiosocket *a;
    char uuid[64], digits[16];
    size_t digit_count, heard;
    double sum;
    int rate;
    bool refuse;
    int16_t next;  /* the samples that we say count up from here, */
    size_t to_say; /* so many of them */
    unsigned char out[OUT_CAP];
    size_t out_size;
} call;

static void host_write(void *context, const char *bytes, size_t size) {
    call *c = context;
    assert_in_range(size, 1, OUT_CAP - c->out_size);
    memcpy(c->out + c->out_size, bytes, size);
    c->out_size += size;
}

static bool host_began(void *context, const char *uuid) {
    call *c = context;
    (void)snprintf(c->uuid, sizeof c->uuid, "%s", uuid);
    return !c->refuse;
}

static void host_sound(void *context, const float *samples, size_t count, int rate) {
    call *c = context;
    for (size_t i = 0; i < count; i++) c->sum += samples[i];
    c->heard += count;
    c->rate = rate;
}

static void host_digit(void *context, char digit) {
    call *c = context;
    assert_in_range(c->digit_count, 0, sizeof c->digits - 2);
    c->digits[c->digit_count++] = digit;
}

static size_t host_wanted(void *context, int16_t *samples, size_t count) {
    call *c = context;
    const size_t given = count < c->to_say ? count : c->to_say;
    for (size_t i = 0; i < given; i++) samples[i] = c->next++;
    c->to_say -= given;
    return given;
}

static call *call_open(void) {
    call *c = calloc(1, sizeof *c);
    assert_non_null(c);
    const audiosocket_host host = {c, host_write, host_began, host_sound, host_digit, host_wanted};
    assert_int_equal(audiosocket_create(&host, &c->a), RNL_OK);
    return c;
}

static void call_close(call *c) {
    audiosocket_destroy(&c->a);
    free(c);
}

static size_t put(char *out, int kind, const char *payload, size_t size) {
    out[0] = (char)kind;
    out[1] = (char)(size >> 8);
    out[2] = (char)(size & 0xff);
    memcpy(out + 3, payload, size);
    return size + 3;
}

static const char uuid[16] = "\x01\x23\x45\x67\x89\xab\xcd\xef\x00\x11\x22\x33\x44\x55\x66\x77";

static rnl_status tell(call *c, int kind, const char *payload, size_t size) {
    char bytes[4096];
    return audiosocket_push(c->a, bytes, put(bytes, kind, payload, size), 0);
}

static void a_call_in_any_cut(void **state) {
    (void)state;
    char bytes[4096], sound[320];
    for (size_t i = 0; i < sizeof sound; i++) sound[i] = i % 2 == 0 ? 0 : 0x40; /* 0.5 */
    size_t size = put(bytes, 0x01, uuid, 16);
    for (int i = 0; i < 5; i++) size += put(bytes + size, 0x10, sound, 320);
    size += put(bytes + size, 0x03, "#", 1);
    size += put(bytes + size, 0x77, "of a newer one", 14); /* passed over */
    size += put(bytes + size, 0x03, "x", 1);               /* no key */
    size += put(bytes + size, 0x10, sound, 320);
    for (uint64_t seed = 0; seed < 100; seed++) {
        random_state random;
        random_seed(&random, seed);
        call *c = call_open();
        for (size_t at = 0; at < size;) {
            size_t count = 1 + random_u64(&random) % (seed == 0 ? 1 : 200);
            if (count > size - at) count = size - at;
            assert_int_equal(audiosocket_push(c->a, bytes + at, count, 0), RNL_OK);
            at += count;
        }
        assert_string_equal(c->uuid, "01234567-89ab-cdef-0011-223344556677");
        assert_string_equal(c->digits, "#");
        assert_int_equal(c->heard, 6 * 160);
        assert_true(c->sum == 6 * 160 * 0.5);
        assert_int_equal(c->rate, 8000);
        assert_int_equal(audiosocket_push(c->a, "\0\0\0", 3, 0), RNL_DONE);
        call_close(c);
    }
}

static void rates_by_kind(void **state) {
    (void)state;
    static const int rates[] = {8000, 12000, 16000, 24000, 32000, 44100, 48000, 96000, 192000};
    for (int i = 0; i < 9; i++) {
        call *c = call_open();
        int64_t next;
        assert_int_equal(tell(c, 0x01, uuid, 16), RNL_OK);
        assert_int_equal(audiosocket_rate(c->a), 0);
        assert_int_equal(tell(c, 0x10 + i, "\x01\x02", 2), RNL_OK);
        assert_int_equal(audiosocket_rate(c->a), rates[i]);
        audiosocket_tick(c->a, 0, &next);
        assert_int_equal(c->out[0], 0x10 + i);
        assert_int_equal(c->out[1] << 8 | c->out[2], rates[i] / 50 * 2);
        assert_int_equal(c->out_size, 3 + rates[i] / 50 * 2);
        /* In a call it stays. */
        assert_int_equal(tell(c, 0x10 + (i + 1) % 9, "\x01\x02", 2), RNL_DONE);
        call_close(c);
    }
}

/* A message each 20 ms, silence behind what there is, and what was heard is one message behind. */
static void twenty_milliseconds_at_a_time(void **state) {
    (void)state;
    call *c = call_open();
    int64_t next = 0;
    audiosocket_tick(c->a, 0, &next);
    assert_int_equal(next, INT64_MAX); /* no sound came: the rate is not known */
    assert_int_equal(tell(c, 0x01, uuid, 16), RNL_OK);
    char bytes[8];
    assert_int_equal(audiosocket_push(c->a, bytes, put(bytes, 0x10, "\0\0", 2), 1000), RNL_OK);
    c->to_say = 400;
    c->next = 1;
    for (int64_t now = 1000; now < 101000; now += 1000) audiosocket_tick(c->a, now, &next);
    assert_int_equal(c->out_size, 5 * 323);
    assert_int_equal(next, 101000);
    int16_t expected = 1;
    for (int m = 0; m < 5; m++)
        for (int i = 0; i < 160; i++) {
            const unsigned char *s = c->out + m * 323 + 3 + 2 * i;
            assert_int_equal((int16_t)(s[0] | s[1] << 8), expected <= 400 ? expected : 0);
            expected++;
        }
    assert_int_equal(audiosocket_heard(c->a), 400);
    c->to_say = 1000;
    audiosocket_tick(c->a, 101000, &next);
    assert_int_equal(audiosocket_heard(c->a), 400); /* the last message is not played yet */
    audiosocket_tick(c->a, 121000, &next);
    assert_int_equal(audiosocket_heard(c->a), 560);
    /* A loop that was held up makes up for little, and forgets much. */
    c->out_size = 0;
    audiosocket_tick(c->a, 201000, &next);
    assert_int_equal(c->out_size, 4 * 323);
    c->out_size = 0;
    audiosocket_tick(c->a, 9201000, &next);
    assert_int_equal(c->out_size, 323);
    assert_int_equal(next, 9221000);
    call_close(c);
}

static void what_ends_a_call(void **state) {
    (void)state;
    static const struct {
        int kind;
        const char *payload;
        size_t size;
        bool named;
    } rows[] = {{0x00, "", 0, true},     {0xff, "\x01", 1, true}, {0x01, uuid, 16, true},
                {0x01, uuid, 15, false}, {0x10, "ab", 2, false},  {0x03, "#", 1, false},
                {0x03, "##", 2, true},   {0x77, "a", 1, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        call *c = call_open();
        if (rows[i].named) assert_int_equal(tell(c, 0x01, uuid, 16), RNL_OK);
        assert_int_equal(tell(c, rows[i].kind, rows[i].payload, rows[i].size), RNL_DONE);
        assert_int_equal(tell(c, 0x10, "ab", 2), RNL_DONE); /* and nothing more is heard */
        assert_int_equal(c->heard, 0);
        call_close(c);
    }
    call *c = call_open();
    c->refuse = true;
    assert_int_equal(tell(c, 0x01, uuid, 16), RNL_DONE);
    call_close(c);
    c = call_open();
    assert_int_equal(tell(c, 0x01, uuid, 16), RNL_OK);
    audiosocket_hang_up(c->a);
    audiosocket_hang_up(c->a);
    assert_int_equal(c->out_size, 3);
    assert_memory_equal(c->out, "\0\0\0", 3);
    call_close(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_in_any_cut),
        cmocka_unit_test(rates_by_kind),
        cmocka_unit_test(twenty_milliseconds_at_a_time),
        cmocka_unit_test(what_ends_a_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
