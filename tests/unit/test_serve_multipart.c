/* Multipart bodies: those of the official client, hostile ones, and any cut of either. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "serve/multipart.h"
#include "tests/support/recorded.h"

/* The calls of a scan as a text: "name|file|type|" and the data of each part, or its size when it
 * is a long one. */
typedef struct told {
    char text[4096];
    size_t size, data_size, data_begin;
    uint64_t hash;
    int parts, ends, stop_at; /* stop_at: the part whose begin says no; 0: none */
} told;

static void tell(told *t, const char *bytes, size_t size) {
    if (size > sizeof t->text - 1 - t->size) size = sizeof t->text - 1 - t->size;
    memcpy(t->text + t->size, bytes, size);
    t->size += size;
    t->text[t->size] = '\0';
}

static bool on_begin(void *context, const multipart_part *part) {
    told *t = context;
    char line[4 * MULTIPART_NAME_CAP];
    assert_int_equal(t->parts, t->ends);
    t->parts++;
    const int n = snprintf(line, sizeof line, "[%s|%s%s|%s|", part->name, part->is_file ? "@" : "",
                           part->file, part->type);
    tell(t, line, (size_t)n);
    t->data_size = 0;
    t->data_begin = t->size;
    return t->parts != t->stop_at;
}

static bool on_data(void *context, const char *bytes, size_t size) {
    told *t = context;
    assert_true(size > 0);
    assert_int_equal(t->parts, t->ends + 1);
    for (size_t i = 0; i < size; i++)
        t->hash = (t->hash ^ (unsigned char)bytes[i]) * 1099511628211u;
    t->data_size += size;
    if (t->data_size <= 64) tell(t, bytes, size);
    return true;
}

static bool on_end(void *context) {
    told *t = context;
    char line[32];
    if (t->data_size > 64) {
        t->size = t->data_begin;
        tell(t, line, (size_t)snprintf(line, sizeof line, "%zu", t->data_size));
    }
    t->ends++;
    tell(t, "]", 1);
    return true;
}

/* Scans in pieces of 1 to step bytes; step 0: at once. */
static multipart_fault scan(const char *boundary, const char *body, size_t size, size_t step,
                            uint64_t seed, told *t) {
    multipart m;
    random_state random;
    random_seed(&random, seed);
    multipart_begin(&m, boundary, &(multipart_sink){on_begin, on_data, on_end, t});
    for (size_t at = 0; at < size;) {
        size_t part = step == 0 ? size : 1 + (size_t)(random_u64(&random) % step);
        if (part > size - at) part = size - at;
        char *copy = malloc(part); /* so that a sanitizer sees a step beyond it */
        assert_non_null(copy);
        memcpy(copy, body + at, part);
        (void)multipart_push(&m, copy, part);
        free(copy);
        at += part;
    }
    return multipart_finish(&m);
}

static void the_official_client_is_understood(void **state) {
    (void)state;
    static const struct {
        const char *name, *wanted;
    } cases[] = {
        {"04-post-v1-audio-transcriptions.txt",
         "[model|||minnow][response_format|||json][file|@test_speech.wav|audio/x-wav|120632]"},
        {"08-post-v1-audio-transcriptions.txt",
         "[model|||minnow][response_format|||verbose_json][timestamp_granularities[]|||word]"
         "[timestamp_granularities[]|||segment][file|@test_speech.wav|audio/x-wav|120632]"},
        {"09-post-v1-audio-transcriptions.txt",
         "[model|||minnow][include[]|||logprobs][language|||en][prompt|||light][stream|||true]"
         "[temperature|||0.0][file|@test_speech.wav|audio/x-wav|120632]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        recorded r;
        char boundary[MULTIPART_BOUNDARY_CAP + 1];
        recorded_read(cases[i].name, &r);
        assert_int_equal(r.size, r.content_length);
        assert_true(multipart_boundary(r.content_type, strlen(r.content_type), boundary));
        uint64_t hash = 0;
        for (size_t step = 0; step < 3000; step = 3 * step + 1) {
            told t = {0};
            assert_int_equal(scan(boundary, r.body, r.size, step, step, &t), MULTIPART_NONE);
            assert_string_equal(t.text, cases[i].wanted);
            if (step == 0) hash = t.hash;
            assert_true(t.hash == hash);
        }
        recorded_free(&r);
    }
}

#define HEAD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n"

/* With the boundary "b". */
static const struct {
    const char *body;
    multipart_fault fault;
    const char *wanted; /* what was told until then */
} bodies[] = {
    {"--b--", MULTIPART_NONE, ""},
    {"--b--\r\n--b\r\nepilogue", MULTIPART_NONE, ""},
    {"preamble\r\n--b--", MULTIPART_NONE, ""},
    {"--b\r\n" HEAD("a") "\r\n--b--\r\n", MULTIPART_NONE, "[a|||]"},
    {"--b \t\r\n" HEAD("a") "x\r\n--b  \r\n" HEAD("c") "y\r\n--b--", MULTIPART_NONE,
     "[a|||x][c|||y]"},
    /* what begins as a boundary and is none */
    {"--b\r\n" HEAD("a") "\r\n\r\r\n-\r\n--\r\n-b\r--b--b\r\n--b--", MULTIPART_NONE,
     "[a|||\r\n\r\r\n-\r\n--\r\n-b\r--b--b]"},
    {"--b\r\ncontent-type:text/plain\r\ncontent-disposition: form-data;filename=\"\" ; "
     "name=a;\r\n\r\nx\r\n--b--",
     MULTIPART_NONE, "[a|@|text/plain|x]"},
    {"--b\r\nContent-Disposition: form-data; name=\"a\\\"b\"; filename=\"C:\\f\\\\../../etc/"
     "passwd\"; filename*=UTF-8''x; other=1\r\nX-Other: y\r\n\r\n\r\n--b--",
     MULTIPART_NONE, "[a\"b|@C:\\f\\../../etc/passwd||]"},
    {"", MULTIPART_BOUNDARY, ""},
    {"no boundary at all\r\n-- b", MULTIPART_BOUNDARY, ""},
    {"x--b--", MULTIPART_BOUNDARY, ""},
    {"--b", MULTIPART_UNFINISHED, ""},
    {"--b-", MULTIPART_UNFINISHED, ""},
    {"--b\r\n" HEAD("a") "x", MULTIPART_UNFINISHED, "[a|||x"},
    {"--b\r\n" HEAD("a") "x\r\n--", MULTIPART_UNFINISHED, "[a|||x"},
    {"--b\r\n" HEAD("a") "x\r\n--b\r\nContent-", MULTIPART_UNFINISHED, "[a|||x]"},
    {"--bb\r\n", MULTIPART_DELIMITER, ""},
    {"--b \r-", MULTIPART_DELIMITER, ""},
    {"--b --", MULTIPART_DELIMITER, ""},
    {"--b\r\n\r\nx\r\n--b--", MULTIPART_DISPOSITION, ""},
    {"--b\r\nContent-Type: text/plain\r\n\r\nx", MULTIPART_DISPOSITION, ""},
    {"--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx", MULTIPART_DISPOSITION, ""},
    {"--b\r\n" HEAD("") "x", MULTIPART_NAME, ""},
    {"--b\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nx", MULTIPART_NAME, ""},
    {"--b\r\nContent-Disposition: form-data; name=\"a\r\nb\"\r\n\r\nx", MULTIPART_NAME, ""},
    {"--b\r\nContent-Disposition: form-data; name=\"a\x01\"\r\n\r\nx", MULTIPART_NAME, ""},
    {"--b\r\nContent-Disposition: form-data; name=\"a\" x\r\n\r\nx", MULTIPART_NAME, ""},
    {"--b\r\nno colon\r\n\r\nx", MULTIPART_LINE, ""},
    {"--b\r\nName : x\r\n\r\nx", MULTIPART_LINE, ""},
    {"--b\r\nBare: line\nfeed\r\n\r\nx", MULTIPART_LINE, ""},
    {"--b\r\nBare: \rreturn\r\n\r\nx", MULTIPART_LINE, ""},
};

static void bodies_are_taken_or_refused_whatever_their_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        for (uint64_t seed = 0; seed < 30; seed++) {
            told t = {0};
            const multipart_fault fault = scan("b", bodies[i].body, strlen(bodies[i].body),
                                               seed == 0 ? 0 : 1 + seed / 3, seed, &t);
            if (fault != bodies[i].fault || strcmp(t.text, bodies[i].wanted) != 0)
                fail_msg("body %zu, seed %d: '%s', told %s", i, (int)seed,
                         multipart_fault_text(fault), t.text);
            assert_true(fault == MULTIPART_NONE || multipart_fault_text(fault)[0] != '\0');
        }
}

static void a_scan_stops_when_its_sink_says_so(void **state) {
    (void)state;
    const char body[] = "--b\r\n" HEAD("a") "x\r\n--b\r\n" HEAD("c") "y\r\n--b--";
    told t = {.stop_at = 2};
    assert_int_equal(scan("b", body, sizeof body - 1, 1, 0, &t), MULTIPART_STOPPED);
    assert_string_equal(t.text, "[a|||x][c|||");
}

/* `count` parts, the last one's header as long as head_size, its data `data_size` bytes. */
static multipart_fault scan_sized(int count, size_t head_size, size_t data_size, bool file) {
    const size_t cap = (size_t)count * 64 + head_size + data_size + 256;
    char *body = malloc(cap);
    assert_non_null(body);
    size_t size = 0;
    for (int i = 1; i < count; i++)
        size += (size_t)snprintf(body + size, cap - size, "--b\r\n" HEAD("a") "\r\n");
    const size_t before = size + 5;
    size += (size_t)snprintf(
        body + size, cap - size,
        "--b\r\nContent-Disposition: form-data; name=a%s\r\nX: ", file ? "; filename=f" : "");
    while (size + 4 < before + head_size) body[size++] = 'x';
    memcpy(body + size, "\r\n\r\n", 4);
    size += 4;
    memset(body + size, 'y', data_size);
    size += data_size;
    memcpy(body + size, "\r\n--b--", 7);
    told t = {0};
    const multipart_fault fault = scan("b", body, size + 7, 0, 0, &t);
    free(body);
    return fault;
}

static void limits_are_kept_to_the_byte(void **state) {
    (void)state;
    assert_int_equal(scan_sized(MULTIPART_PART_CAP, 0, 1, false), MULTIPART_NONE);
    assert_int_equal(scan_sized(MULTIPART_PART_CAP + 1, 0, 1, false), MULTIPART_PARTS);
    assert_int_equal(scan_sized(1, MULTIPART_HEADER_CAP, 1, false), MULTIPART_NONE);
    assert_int_equal(scan_sized(1, MULTIPART_HEADER_CAP + 1, 1, false), MULTIPART_HEADER);
    assert_int_equal(scan_sized(1, 0, MULTIPART_FIELD_CAP, false), MULTIPART_NONE);
    assert_int_equal(scan_sized(1, 0, MULTIPART_FIELD_CAP + 1, false), MULTIPART_FIELD);
    assert_int_equal(scan_sized(1, 0, 2 * MULTIPART_FIELD_CAP, true), MULTIPART_NONE);
}

static void a_boundary_is_read_from_the_content_type(void **state) {
    (void)state;
#define SEVENTY "0123456789012345678901234567890123456789012345678901234567890123456789"
    static const struct {
        const char *type, *boundary; /* NULL: refused */
    } cases[] = {
        {"multipart/form-data; boundary=3aac0f07", "3aac0f07"},
        {"Multipart/Form-Data;charset=utf-8; BOUNDARY=\"a b:c\"", "a b:c"},
        {" multipart/form-data ; boundary=x;", "x"},
        {"multipart/form-data; boundary=" SEVENTY, SEVENTY},
        {"multipart/form-data; boundary=" SEVENTY "0", NULL},
        {"multipart/form-data; boundary=a; boundary=b", NULL},
        {"multipart/form-data; boundary=", NULL},
        {"multipart/form-data; boundary=\"\"", NULL},
        {"multipart/form-data; boundary=\"a", NULL},
        {"multipart/form-data; boundary=a b", NULL},
        {"multipart/form-data", NULL},
        {"multipart/form-dataX; boundary=a", NULL},
        {"multipart/mixed; boundary=a", NULL},
        {"application/json", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char boundary[MULTIPART_BOUNDARY_CAP + 1];
        const bool ok = multipart_boundary(cases[i].type, strlen(cases[i].type), boundary);
        if (ok != (cases[i].boundary != NULL)) fail_msg("'%s'", cases[i].type);
        if (ok) assert_string_equal(boundary, cases[i].boundary);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_official_client_is_understood),
        cmocka_unit_test(bodies_are_taken_or_refused_whatever_their_cut),
        cmocka_unit_test(a_scan_stops_when_its_sink_says_so),
        cmocka_unit_test(limits_are_kept_to_the_byte),
        cmocka_unit_test(a_boundary_is_read_from_the_content_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
