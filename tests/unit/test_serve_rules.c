/* Who may ask the server what: errors, keys, names, pages, ranges, routes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/json.h"
#include "serve/answers.h"
#include "serve/api_keys.h"
#include "serve/cidr.h"
#include "serve/http_head.h"
#include "serve/limits.h"
#include "serve/origin.h"
#include "serve/route.h"
#include "serve/send_queue.h"

/* ---- Errors */

static void an_error_is_whole_json_whatever_its_text(void **state) {
    (void)state;
    api_error e;
    char body[API_BODY_CAP], long_text[2 * API_MESSAGE_CAP];
    memset(long_text, '\x01', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    const char *const texts[] = {"plain",
                                 "\"\\\n\x1b[2J",
                                 "\xff\xfe",
                                 "\xc3",
                                 long_text,
                                 "Stra\xc3\x9f"
                                 "e"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_false(api_fail(&e, API_INVALID_VALUE, i % 2 ? texts[i] : NULL, "%s", texts[i]));
        const size_t size = api_error_body(&e, body, sizeof body);
        json *root = NULL;
        assert_int_equal(json_parse(body, size, "body", &root, NULL), RNL_OK);
        const json *inner = json_get(root, "error");
        assert_int_equal(json_count(inner), 4);
        assert_string_equal(json_chars(json_get(inner, "code"), NULL), "invalid_value");
        assert_string_equal(json_chars(json_get(inner, "type"), NULL), "invalid_request_error");
        assert_int_equal(json_is_null(json_get(inner, "param")), e.param[0] == '\0');
        json_destroy(&root);
    }
}

static void only_what_passes_says_when_to_come_again(void **state) {
    (void)state;
    for (api_code c = API_OK + 1; c < API_CODE_COUNT; c++) {
        api_error e;
        (void)api_fail(&e, c, NULL, "x");
        const int status = api_code_status(c);
        assert_int_equal(e.retry_after > 0, status == 429 || status == 503);
        assert_true(strlen(api_code_text(c)) > 0 && strlen(api_code_type(c)) > 0);
    }
}

/* ---- Keys */

typedef struct file {
    char path[64];
} file;

static void write_keys(file *f, const char *text, mode_t mode) {
    strcpy(f->path, "/tmp/test_serve_keys_XXXXXX");
    const int fd = mkstemp(f->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void keys_are_read_and_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        mode_t mode;
        int count; /* 0: refused */
    } rows[] = {
        {"0123456789abcdef\n", 0600, 1},
        {"# none\n\n  alice   0123456789abcdef  \r\nfedcba9876543210", 0640, 2},
        {"0123456789abcdef\n", 0644, 0},
        {"0123456789abcde\n", 0600, 0},
        {"# none\n", 0600, 0},
        {"", 0600, 0},
        {"0123456789abcd\x01"
         "ef\n",
         0600, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        file f;
        api_keys *k;
        rnl_error e = {0};
        write_keys(&f, rows[i].text, rows[i].mode);
        const rnl_status status = api_keys_load(f.path, NULL, &k, &e);
        (void)unlink(f.path);
        assert_int_equal(status == RNL_OK, rows[i].count > 0);
        if (status == RNL_OK)
            assert_int_equal(api_keys_count(k), rows[i].count);
        else
            assert_true(k == NULL && e.text[0] != '\0');
        api_keys_free(&k);
    }
}

static void a_key_is_right_as_a_whole_only(void **state) {
    (void)state;
    api_keys *k;
    int owner;
    assert_int_equal(api_keys_load(NULL, "0123456789abcdef", &k, NULL), RNL_OK);
    assert_int_equal(api_keys_check(k, "0123456789abcdef", "a", 0, &owner), KEY_RIGHT);
    assert_int_equal(owner, 1);
    const char *const wrong[] = {"0123456789abcde", "0123456789abcdef0", "", "1123456789abcdef",
                                 NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(api_keys_check(k, wrong[i], "a", 0, &owner), KEY_WRONG);
        assert_int_equal(owner, 0);
    }
    api_keys_free(&k);
    assert_int_equal(api_keys_load(NULL, NULL, &k, NULL), RNL_OK);
    assert_int_equal(api_keys_check(k, NULL, "a", 0, &owner), KEY_RIGHT);
    api_keys_free(&k);
}

/* That the time does not depend on where sums differ follows from the loop, which has no way out:
 * here each place counts. */
/* Whose number it is: 0, nobody's. */
static int number_of(api_keys *k, const char *key) {
    int owner;
    (void)api_keys_check(k, key, "a", 0, &owner);
    return owner;
}

static void keys_that_are_read_again_keep_their_numbers(void **state) {
    (void)state;
    static const char a[] = "aaaaaaaaaaaaaaaa", b[] = "bbbbbbbbbbbbbbbb", c[] = "cccccccccccccccc";
    static const char *const texts[] = {"aaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbb\n",
                                        "bbbbbbbbbbbbbbbb\ncccccccccccccccc\n",
                                        "cccccccccccccccc\naaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbb\n"};
    static const int numbers[][3] = {{1, 2, 0}, {0, 2, 3}, {4, 2, 3}}; /* a comes anew */
    api_keys *k = NULL;
    for (int i = 0; i < 3; i++) {
        file f;
        api_keys *fresh;
        write_keys(&f, texts[i], 0600);
        assert_int_equal(api_keys_load(f.path, NULL, &fresh, NULL), RNL_OK);
        (void)unlink(f.path);
        if (k != NULL) api_keys_follow(fresh, k);
        api_keys_free(&k);
        k = fresh;
        assert_int_equal(number_of(k, a), numbers[i][0]);
        assert_int_equal(number_of(k, b), numbers[i][1]);
        assert_int_equal(number_of(k, c), numbers[i][2]);
    }
    api_keys_free(&k);
}

static void sums_differ_wherever_they_differ(void **state) {
    (void)state;
    char a[KEY_SUM_SIZE], b[KEY_SUM_SIZE];
    memset(a, 'x', sizeof a);
    for (int i = 0; i < KEY_SUM_SIZE; i++) {
        memcpy(b, a, sizeof b);
        assert_true(api_keys_equal(a, b));
        b[i] = (char)(b[i] ^ 1 << i % 8);
        assert_false(api_keys_equal(a, b));
    }
}

static void who_guesses_waits(void **state) {
    (void)state;
    const int64_t second = 1000000, minute = 60 * second, hour = 60 * minute;
    static const char right[] = "0123456789abcdef";
    api_keys *k;
    int owner;
    assert_int_equal(api_keys_load(NULL, right, &k, NULL), RNL_OK);
    for (int i = 0; i < LIMIT_WRONG_KEYS; i++)
        assert_int_equal(api_keys_check(k, "wrong-wrong-wrong", "guesser", i, &owner), KEY_WRONG);
    assert_int_equal(api_keys_check(k, right, "guesser", minute / 2, &owner), KEY_LIMITED);
    assert_int_equal(api_keys_check(k, right, "other", minute / 2, &owner), KEY_RIGHT);
    assert_int_equal(api_keys_check(k, right, "guesser", 2 * minute, &owner), KEY_RIGHT);
    /* Who knew one within the hour may be wrong. */
    for (int i = 0; i < 3 * LIMIT_WRONG_KEYS; i++)
        assert_int_equal(api_keys_check(k, "wrong-wrong-wrong", "guesser", 3 * minute, &owner),
                         KEY_WRONG);
    assert_int_equal(api_keys_check(k, right, "guesser", 3 * minute, &owner), KEY_RIGHT);
    for (int i = 0; i < LIMIT_WRONG_KEYS; i++)
        (void)api_keys_check(k, "wrong-wrong-wrong", "guesser", 2 * hour, &owner);
    assert_int_equal(api_keys_check(k, right, "guesser", 2 * hour, &owner), KEY_LIMITED);
    /* A crowd of addresses pushes none out that was seen lately. */
    for (int i = 0; i < 1000; i++) {
        char address[32];
        (void)snprintf(address, sizeof address, "10.0.%d.%d", i / 256, i % 256);
        (void)api_keys_check(k, "wrong-wrong-wrong", address, 2 * hour + i, &owner);
    }
    assert_int_equal(api_keys_check(k, right, "guesser", 2 * hour + second, &owner), KEY_LIMITED);
    api_keys_free(&k);
}

/* ---- Names and pages */

static void hosts_are_those_of_this_machine_or_listed(void **state) {
    (void)state;
    const char *const names[] = {"voice.example"};
    const origin_rules local = {.loopback = true}, named = {.names = names, .name_count = 1};
    static const struct {
        const char *host;
        bool local, named;
    } rows[] = {{"localhost", true, false},
                {"LOCALHOST:8080", true, false},
                {"127.0.0.1:1", true, false},
                {"[::1]:8080", true, false},
                {"127.0.0.2", false, false},
                {"voice.example", false, true},
                {"Voice.Example:443", false, true},
                {"voice.example.evil", false, false},
                {"evil.example", false, false},
                {"localhost:", false, false},
                {"localhost:8x", false, false},
                {"localhost:123456", false, false},
                {"", false, false},
                {"[::1", false, false},
                {"localhost, evil.example", false, false},
                {NULL, false, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(origin_host_allowed(&local, rows[i].host), rows[i].local);
        assert_int_equal(origin_host_allowed(&named, rows[i].host), rows[i].named);
    }
    assert_true(origin_is_loopback("127.0.0.1") && origin_is_loopback("::1"));
    assert_false(origin_is_loopback("0.0.0.0") || origin_is_loopback("::"));
}

static void pages_are_ours_or_listed(void **state) {
    (void)state;
    const char *const listed[] = {"https://page.example"};
    const origin_rules r = {.loopback = true, .origins = listed, .origin_count = 1};
    static const struct {
        const char *origin, *host;
        bool https;
        origin_verdict verdict;
    } rows[] = {{NULL, "localhost:8080", false, ORIGIN_NONE},
                {"http://localhost:8080", "localhost:8080", false, ORIGIN_NONE},
                {"https://localhost:8080", "localhost:8080", true, ORIGIN_NONE},
                {"https://localhost:8080", "localhost:8080", false, ORIGIN_REFUSED},
                {"http://localhost:8081", "localhost:8080", false, ORIGIN_REFUSED},
                {"http://localhost", "localhost:8080", false, ORIGIN_REFUSED},
                {"https://page.example", "localhost:8080", false, ORIGIN_LISTED},
                {"https://page.example.evil", "localhost:8080", false, ORIGIN_REFUSED},
                {"null", "localhost:8080", false, ORIGIN_REFUSED},
                {"", "localhost:8080", false, ORIGIN_REFUSED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(origin_check(&r, rows[i].origin, rows[i].host, rows[i].https),
                         rows[i].verdict);
}

static void ranges_hold_what_they_say(void **state) {
    (void)state;
    static const struct {
        const char *range, *address;
        bool in;
    } rows[] = {{"10.0.0.0/8", "10.255.1.2", true},
                {"10.0.0.0/8", "11.0.0.1", false},
                {"192.168.1.7", "192.168.1.7", true},
                {"192.168.1.7", "192.168.1.6", false},
                {"192.168.1.0/25", "192.168.1.127", true},
                {"192.168.1.0/25", "192.168.1.128", false},
                {"0.0.0.0/0", "8.8.8.8", true},
                {"0.0.0.0/0", "::1", false},
                {"::/0", "8.8.8.8", true},
                {"fd00::/8", "fd12::1", true},
                {"fd00::/8", "fe80::1", false},
                {"10.0.0.0/8", "", false},
                {"10.0.0.0/8", "10.0.0", false}};
    cidr c;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(cidr_parse(rows[i].range, &c));
        assert_int_equal(cidr_has(&c, rows[i].address), rows[i].in);
    }
    static const char *const bad[] = {"",       "10.0.0.0/33", "10.0.0.0/",   "10.0.0.0/-1",
                                      "::/129", "x",           "10.0.0.0/8x", "/8"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(cidr_parse(bad[i], &c));
}

/* ---- Routes */

static void every_route_is_found_by_its_method(void **state) {
    (void)state;
    api_error e;
    const char *allow = NULL;
    const route *r;
    for (int i = 0; (r = route_at(i)) != NULL; i++) {
        if (strchr(r->path, '*') != NULL) continue;
        assert_ptr_equal(route_find(r->method, r->path, &allow, &e), r);
        assert_null(route_find(r->method == NET_GET ? NET_POST : NET_GET, r->path, &allow, &e));
        assert_int_equal(e.code, API_METHOD_NOT_ALLOWED);
        assert_int_equal(r->body == BODY_NONE, r->method == NET_GET);
        assert_int_equal(r->size_max > 0, r->method == NET_POST);
    }
    r = route_find(NET_GET, "/v1/models/min", &allow, &e);
    assert_int_equal(r->id, ROUTE_MODEL);
    assert_string_equal(route_rest(r, "/v1/models/min"), "min");
    assert_int_equal(route_find(NET_HEAD, "/health", &allow, &e)->id, ROUTE_HEALTH);
    assert_null(route_find(NET_GET, "/v1/models/", &allow, &e));
    assert_null(route_find(NET_GET, "/v1/models/a/b", &allow, &e));
    assert_null(route_find(NET_GET, "/v1/nothing", &allow, &e));
    assert_int_equal(e.code, API_UNKNOWN_URL);
    assert_null(route_find(NET_POST, "/v1/responses", &allow, &e));
    assert_non_null(strstr(e.message, "/v1/chat/completions"));
}

static void bodies_are_of_their_kind(void **state) {
    (void)state;
    const route object = {.body = BODY_JSON}, form = {.body = BODY_MULTIPART};
    assert_true(route_takes_type(&object, "application/json"));
    assert_true(route_takes_type(&object, "Application/JSON; charset=utf-8"));
    assert_false(route_takes_type(&object, "application/jsonp"));
    assert_false(route_takes_type(&object, NULL));
    assert_true(route_takes_type(&form, "multipart/form-data; boundary=x"));
    assert_false(route_takes_type(&form, "application/json"));
}

/* ---- Answers */

static void a_head_holds_what_it_should(void **state) {
    (void)state;
    char text[HTTP_HEAD_CAP];
    const http_head h = {
        .status = 200, .content_type = "text/plain", .content_size = 5, .extra = "a: b\r\n"};
    size_t size = http_head_write(&h, text, sizeof text);
    static const char want[] =
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\na: b\r\n\r\n";
    assert_int_equal(size, sizeof want - 1);
    assert_memory_equal(text, want, size);
    assert_int_equal(http_head_write(&h, text, 20), 0);
    const http_head none = {.status = 204, .content_size = 0, .extra = ""};
    size = http_head_write(&none, text, sizeof text);
    text[size] = '\0';
    assert_null(strstr(text, "content-length"));
    assert_false(http_value_is_clean("a\r\nb: c"));
    assert_true(http_value_is_clean("https://page.example"));
}

static void a_queue_is_bounded_but_for_one_block(void **state) {
    (void)state;
    send_queue q;
    char bytes[100] = "abc";
    send_queue_init(&q, 64, 16);
    assert_true(send_queue_add(&q, bytes, 100, NULL, 0));
    assert_int_equal(send_queue_room(&q), 0);
    assert_false(send_queue_add(&q, bytes, 1, NULL, 0));
    send_block *b = send_queue_take(&q);
    assert_int_equal(b->size, 100);
    assert_memory_equal(b->bytes + b->head, bytes, 100);
    free(b);
    assert_true(send_queue_add(&q, "ab", 2, "cd", 2));
    assert_true(send_queue_add(&q, bytes, 60, NULL, 0));
    assert_false(send_queue_add(&q, bytes, 1, NULL, 0));
    b = send_queue_take(&q);
    assert_memory_equal(b->bytes + b->head, "abcd", 4);
    free(b);
    send_queue_clear(&q);
    assert_null(send_queue_take(&q));
    assert_int_equal(send_queue_room(&q), 64);
}

static void kept_answers_belong_to_their_owner(void **state) {
    (void)state;
    answers *a = answers_create();
    const char *words;
    size_t size;
    answers_keep(a, "audio_1", 1, "hello", 5, 1000);
    assert_true(answers_find(a, "audio_1", 1, 1000, &words, &size));
    assert_int_equal(size, 5);
    assert_memory_equal(words, "hello", 5);
    assert_false(answers_find(a, "audio_1", 2, 1000, &words, &size));
    assert_false(answers_find(a, "audio_2", 1, 1000, &words, &size));
    assert_false(answers_find(a, "audio_1", 1, 1001 + LIMIT_ANSWERS_SECONDS, &words, &size));
    for (int i = 0; i < LIMIT_ANSWERS_KEPT; i++) answers_keep(a, "other", 1, "", 0, 1000);
    assert_false(answers_find(a, "audio_1", 1, 1000, &words, &size));
    answers_destroy(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_is_whole_json_whatever_its_text),
        cmocka_unit_test(only_what_passes_says_when_to_come_again),
        cmocka_unit_test(keys_are_read_and_refused),
        cmocka_unit_test(a_key_is_right_as_a_whole_only),
        cmocka_unit_test(keys_that_are_read_again_keep_their_numbers),
        cmocka_unit_test(sums_differ_wherever_they_differ),
        cmocka_unit_test(who_guesses_waits),
        cmocka_unit_test(hosts_are_those_of_this_machine_or_listed),
        cmocka_unit_test(pages_are_ours_or_listed),
        cmocka_unit_test(ranges_hold_what_they_say),
        cmocka_unit_test(every_route_is_found_by_its_method),
        cmocka_unit_test(bodies_are_of_their_kind),
        cmocka_unit_test(a_head_holds_what_it_should),
        cmocka_unit_test(a_queue_is_bounded_but_for_one_block),
        cmocka_unit_test(kept_answers_belong_to_their_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
