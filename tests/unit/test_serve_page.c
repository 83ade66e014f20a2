/* The page is in the program as it stands in the tree, and names nothing from elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/digest.h"
#include "serve/page.h"

enum { FILE_CAP = 256 * 1024 };

static void the_tree_is_in_the_program(void **state) {
    (void)state;
    static const char *const names[][2] = {{"/", "index.html"},
                                           {"/app.js", "app.js"},
                                           {"/capture.js", "capture.js"},
                                           {"/play.js", "play.js"},
                                           {"/style.css", "style.css"}};
    assert_int_equal(page_file_count, sizeof names / sizeof *names);
    for (size_t i = 0; i < page_file_count; i++) {
        static char bytes[FILE_CAP];
        char path[512], sum[DIGEST_HEX_CAP], etag[DIGEST_HEX_CAP + 2];
        (void)snprintf(path, sizeof path, "%s/serve/page/%s", SOURCE_DIR, names[i][1]);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        const size_t size = fread(bytes, 1, sizeof bytes, f);
        (void)fclose(f);
        const page_file *file = page_find(names[i][0]);
        assert_non_null(file);
        assert_int_equal(file->size, size);
        assert_memory_equal(file->bytes, bytes, size);
        digest *d = digest_open(DIGEST_SHA256, (int64_t)size);
        digest_add(d, bytes, size);
        assert_true(digest_end(&d, sum));
        (void)snprintf(etag, sizeof etag, "\"%s\"", sum);
        assert_string_equal(file->etag, etag);
        /* No scheme, no host: everything comes from this server. */
        bytes[size] = '\0';
        assert_null(strstr(bytes, "https://"));
        assert_null(strstr(bytes, "src=\"/"));
        assert_null(strstr(bytes, "url("));
    }
    assert_string_equal(page_find("/")->type, "text/html; charset=utf-8");
    assert_string_equal(page_find("/style.css")->type, "text/css; charset=utf-8");
    assert_string_equal(page_find("/play.js")->type, "text/javascript; charset=utf-8");
}

static void other_paths_are_none(void **state) {
    (void)state;
    static const char *const paths[] = {"",         "/index.html", "/app",       "/app.js/",
                                        "//app.js", "app.js",      "/../app.js", "/page.c"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) assert_null(page_find(paths[i]));
}

static void known_files_are_not_sent_again(void **state) {
    (void)state;
    const page_file *f = page_find("/app.js"), *other = page_find("/play.js");
    char list[256];
    assert_false(page_is_known(f, NULL));
    assert_false(page_is_known(f, ""));
    assert_false(page_is_known(f, "\"abc\""));
    assert_false(page_is_known(f, other->etag));
    assert_true(page_is_known(f, f->etag));
    assert_true(page_is_known(f, "*"));
    (void)snprintf(list, sizeof list, "W/\"x\", W/%s", f->etag);
    assert_true(page_is_known(f, list));
}

static void headers_keep_the_page_to_itself(void **state) {
    (void)state;
    bool seen = false;
    for (size_t i = 0; i < page_header_count; i++) {
        const char *name = page_headers[i].name;
        if (strcmp(name, "content-security-policy") != 0) continue;
        seen = true;
        assert_non_null(strstr(page_headers[i].value, "default-src 'none'"));
        assert_null(strstr(page_headers[i].value, "unsafe"));
    }
    assert_true(seen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_is_in_the_program),
        cmocka_unit_test(other_paths_are_none),
        cmocka_unit_test(known_files_are_not_sent_again),
        cmocka_unit_test(headers_keep_the_page_to_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
