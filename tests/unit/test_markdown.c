/* text/markdown.c: tables of lines and of marks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "core/utf8.h"
#include "text/markdown.h"

static const struct {
    const char *line;
    bool in_paragraph;
    line_kind kind;
    const char *text; /* what is spoken of it; NULL: nothing is */
} single_lines[] = {
    {"", false, LINE_BLANK, NULL},
    {" \t\r", true, LINE_BLANK, NULL},
    {"plain text\r", false, LINE_TEXT, "plain text"},
    {"    indented", false, LINE_TEXT, "indented"},
    {"# Title", true, LINE_HEADING, "Title"},
    {"###### Deep ######", false, LINE_HEADING, "Deep"},
    {"####### too deep", false, LINE_TEXT, "####### too deep"},
    {"#hashtag", false, LINE_TEXT, "#hashtag"},
    {"# C#", false, LINE_HEADING, "C#"},
    {"#", false, LINE_HEADING, ""},
    {"===", true, LINE_UNDERLINE, NULL},
    {"---", true, LINE_UNDERLINE, NULL},
    {"***", true, LINE_BREAK, NULL},
    {"* * *", false, LINE_BREAK, NULL},
    {"___", false, LINE_BREAK, NULL},
    {"- - -", false, LINE_BREAK, NULL},
    {"--", false, LINE_TEXT, "--"},
    {"- item", true, LINE_ITEM, "item"},
    {"  * item", false, LINE_ITEM, "item"},
    {"+ [x] done", false, LINE_ITEM, "done"},
    {"- [ ] open", false, LINE_ITEM, "open"},
    {"\xe2\x80\xa2 bullet", false, LINE_ITEM, "bullet"},
    {"-item", false, LINE_TEXT, "-item"},
    {"12. item", false, LINE_ITEM, "12. item"},
    {"3) item", false, LINE_ITEM, "3) item"},
    {"1984. It was", true, LINE_TEXT, "1984. It was"},
    {"1. It was", true, LINE_ITEM, "1. It was"},
    {"3.5 is a number", false, LINE_TEXT, "3.5 is a number"},
    {"| a | b |", false, LINE_ROW, "| a | b |"},
    {"|---|:-:|", false, LINE_RULE, NULL},
    {"this | that", false, LINE_TEXT, "this | that"},
    {"> quoted", false, LINE_TEXT, "quoted"},
    {"> > # twice", false, LINE_HEADING, "twice"},
    {">", true, LINE_BLANK, NULL},
    {"[name]: http://x.y", false, LINE_SKIPPED, NULL},
    {"[^1]: a note", false, LINE_ITEM, "a note"},
    {"[sic] he said", false, LINE_TEXT, "[sic] he said"},
    {"- # heading in it", false, LINE_ITEM, "heading in it"},
    {"- > quote", false, LINE_ITEM, "quote"},
    {"- - twice", false, LINE_ITEM, "twice"},
    {": a definition", true, LINE_ITEM, "a definition"},
    {":-) smile", false, LINE_TEXT, ":-) smile"},
    {"## Head {#id .class}", false, LINE_HEADING, "Head"},
    {"# A set {1, 2}", false, LINE_HEADING, "A set {1, 2}"},
    {"*[HTML]: Hyper Text", false, LINE_SKIPPED, NULL},
    {"*[so] he said*", false, LINE_TEXT, "*[so] he said*"},
    {"::: warning", false, LINE_SKIPPED, NULL},
    {"> [!NOTE]", false, LINE_SKIPPED, NULL},
    {"[TOC]", false, LINE_SKIPPED, NULL},
    {"<!-- c --> text", false, LINE_TEXT, "text"},
    {"<!-- c --><script>x</SCRIPT ># Head", false, LINE_HEADING, "Head"},
    {"<style>p {}</style>", true, LINE_SKIPPED, NULL},
    {"<scripting is fun", false, LINE_TEXT, "<scripting is fun"},
    {"text <script> of it", false, LINE_TEXT, "text <script> of it"},
};

static void lines_are_told_apart(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof single_lines / sizeof *single_lines; i++) {
        markdown m = {.line_count = 5};
        const char *text = single_lines[i].line;
        size_t size = strlen(text);
        const line_kind kind = markdown_line(&m, &text, &size, single_lines[i].in_paragraph);
        if (kind != single_lines[i].kind)
            fail_msg("'%s' is of kind %d, not %d", single_lines[i].line, (int)kind,
                     (int)single_lines[i].kind);
        if (single_lines[i].text == NULL) continue;
        if (size != strlen(single_lines[i].text) || memcmp(text, single_lines[i].text, size) != 0)
            fail_msg("'%s' gives '%.*s'", single_lines[i].line, (int)size, text);
    }
}

/* Each line with the kind it has after those before it. */
typedef struct expected {
    const char *line;
    line_kind kind;
} expected;

static void follow(const expected *rows, size_t count) {
    markdown m = {0};
    for (size_t i = 0; i < count; i++) {
        const char *text = rows[i].line;
        size_t size = strlen(text);
        const line_kind kind = markdown_line(&m, &text, &size, false);
        if (kind != rows[i].kind)
            fail_msg("line %zu '%s' is of kind %d", i, rows[i].line, (int)kind);
    }
}
#define FOLLOW(...)                                                                                \
    do {                                                                                           \
        const expected rows[] = {__VA_ARGS__};                                                     \
        follow(rows, sizeof rows / sizeof *rows);                                                  \
    } while (0)

static void blocks_of_code_are_passed_over(void **state) {
    (void)state;
    FOLLOW({"```c", LINE_SKIPPED}, {"# no title", LINE_SKIPPED}, {"", LINE_SKIPPED},
           {"~~~", LINE_SKIPPED}, {"``", LINE_SKIPPED}, {"````", LINE_SKIPPED}, {"x", LINE_TEXT});
    FOLLOW({"~~~~", LINE_SKIPPED}, {"~~~", LINE_SKIPPED}, {"~~~~~", LINE_SKIPPED},
           {"x", LINE_TEXT});
    FOLLOW({"```not a fence```", LINE_TEXT}, {"x", LINE_TEXT});
}

static void scripts_and_comments_are_passed_over(void **state) {
    (void)state;
    FOLLOW({"<script src=\"x\">", LINE_SKIPPED}, {"", LINE_SKIPPED}, {"```", LINE_SKIPPED},
           {"# x", LINE_SKIPPED}, {"y; </script> after", LINE_TEXT}, {"", LINE_BLANK});
    FOLLOW({"<STYLE>", LINE_SKIPPED}, {"-->", LINE_SKIPPED}, {"</style", LINE_SKIPPED},
           {"x", LINE_TEXT});
    FOLLOW({"> <!-- a", LINE_SKIPPED}, {"", LINE_SKIPPED}, {"</script>", LINE_SKIPPED},
           {"b -->", LINE_SKIPPED}, {"# x", LINE_HEADING});
    FOLLOW({"```", LINE_SKIPPED}, {"<script>", LINE_SKIPPED}, {"```", LINE_SKIPPED},
           {"x", LINE_TEXT});
    FOLLOW({"$$", LINE_SKIPPED}, {"x^2", LINE_SKIPPED}, {"$$", LINE_SKIPPED}, {"$$5", LINE_TEXT});
}

static void front_matter_is_passed_over(void **state) {
    (void)state;
    FOLLOW({"+++", LINE_SKIPPED}, {"title = 'A'", LINE_SKIPPED}, {"[x]", LINE_SKIPPED},
           {"It was a dark night", LINE_TEXT});
    FOLLOW({"+++", LINE_SKIPPED}, {"title = 'A'", LINE_SKIPPED}, {"+++", LINE_SKIPPED},
           {"a = b", LINE_TEXT});
    FOLLOW({"---", LINE_SKIPPED}, {"title: A: b", LINE_SKIPPED}, {"tags:", LINE_SKIPPED},
           {"  - x", LINE_SKIPPED}, {"---", LINE_SKIPPED}, {"title: B", LINE_TEXT});
    /* A line of dashes before a book is no front matter. */
    FOLLOW({"---", LINE_SKIPPED}, {"It was a dark night", LINE_TEXT}, {"key: x", LINE_TEXT});
    FOLLOW({"text", LINE_TEXT}, {"", LINE_BLANK}, {"---", LINE_BREAK}, {"key: x", LINE_TEXT});
}

static void a_table_may_do_without_outer_bars(void **state) {
    (void)state;
    FOLLOW({"a | b", LINE_TEXT}, {"--|--", LINE_RULE}, {"c | d", LINE_ROW}, {"", LINE_BLANK},
           {"e | f", LINE_TEXT});
}

static void marks_are_taken_out(void **state) {
    (void)state;
    static const struct {
        bool row;
        const char *text, *want;
    } table[] = {
        {false, "plain", "plain"},
        {false, "*a* **b** ***c*** _d_ __e__ ~~f~~", "a b c d e f"},
        {false, "2 * 3, 2*3, a_b_c, ~5 and un*believ*able",
         "2 * 3, 2*3, a_b_c, ~5 and unbelievable"},
        {false, "**bold _nested_**.", "bold nested."},
        {false, "`code *kept*` and ``a`b``", "code *kept* and a`b"},
        {false, "a lone ` mark", "a lone  mark"},
        {false, "[text](http://x.y/z_(1))!", "text!"},
        {false, "[*a* b][ref] and [ref][]", "a b and ref"},
        {false, "![alt [x]](img.png) ![]()", "alt [x] "},
        {false, "[![badge](a)](b) after", "badge after"},
        {false, "a[^1] note [sic] (so)", "a note [sic] (so)"},
        {false, "[open (and never closed", "[open (and never closed"},
        {false, "<b>x</b> a<br>b <!-- c --> 1 < 2 > 0", " x  a b  1 < 2 > 0"},
        {false, "<https://a.b> <me@x.y>", "https://a.b me@x.y"},
        {false, "a &amp; b &lt;c&gt; &#8212; &#x2014; &unknown; AT&T &#1;",
         "a & b <c> — — &unknown; AT&T &#1;"},
        {false, "&copy; &eacute;t&eacute; &rarr; &frac12;&times;&yuml; &nbsp;&Nbsp;",
         "© été → ½×ÿ  &Nbsp;"},
        {false, "a <script>b</script>c <style x>d</style >e <!DOCTYPE html>f <?x?>", "a c e f "},
        {false, "the `<script>` tag <script> x", "the <script> tag  x"},
        {false, "H~2~O x^2^ ~5 x^2 2^3^4 ~a b~", "H2O x2 ~5 x^2 2^3^4 ~a b~"},
        {false, "==marked== a == b a==b c = d === e", "marked a == b a==b c = d === e"},
        {false, "\\*kept\\* \\_too\\_ C:\\dir \\\\", "*kept* _too_ C:\\dir \\"},
        {false, "a line\\ broken", "a line broken"},
        {true, "| a | b |", "a, b"},
        {true, "|a|b|", "a, b"},
        {true, "a|b", "a,b"},
        {true, "| a | | b |", "a, b"},
        {true, "a | **b** | c \\| d", "a, b, c | d"},
        {false, "a | b", "a | b"},
        {false, "", ""},
        {false, "*", "*"},
        {false, "\\", ""},
        {false, "![", "!["},
        {false, "<", "<"},
        {false, "&", "&"},
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[256];
        size_t size = strlen(table[i].text);
        memcpy(text, table[i].text, size);
        size = markdown_strip(text, size, table[i].row);
        if (size == strlen(table[i].want) && memcmp(text, table[i].want, size) == 0) continue;
        print_message("'%s'\n  gives '%.*s'\n  not   '%s'\n", table[i].text, (int)size, text,
                      table[i].want);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void any_text_stays_valid_and_grows_never(void **state) {
    (void)state;
    static const char marks[] = "[]()!*_`~<>&;#\\| a1-/:=^$";
    random_state r;
    random_seed(&r, 11);
    for (int round = 0; round < 20000; round++) {
        char text[128];
        size_t size = 0;
        for (int i = (int)(random_u64(&r) % 60); i >= 0; i--) {
            if (random_u64(&r) % 12 == 0)
                size += utf8_put(0x20ac, text + size);
            else
                text[size++] = marks[random_u64(&r) % (sizeof marks - 1)];
        }
        const size_t left = markdown_strip(text, size, round % 2 != 0);
        assert_true(left <= size);
        assert_true(utf8_is_valid(text, left));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_told_apart),
        cmocka_unit_test(blocks_of_code_are_passed_over),
        cmocka_unit_test(scripts_and_comments_are_passed_over),
        cmocka_unit_test(front_matter_is_passed_over),
        cmocka_unit_test(a_table_may_do_without_outer_bars),
        cmocka_unit_test(marks_are_taken_out),
        cmocka_unit_test(any_text_stays_valid_and_grows_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
