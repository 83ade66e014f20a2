/* Which words end a reply, and which do not: a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "engine/backchannel.h"

static void words_by_table(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is;
    } rows[] = {
        {"", true},           {" ", true},           {".", true},
        {"Mhm.", true},       {"mm-hmm", true},      {"Uh-huh!", true},
        {"Yes.", true},       {"YES, OKAY", true},   {"Okay, right.", true},
        {"I see.", true},     {"Yeah yeah", true},   {"All right", true},
        {"Ja, genau!", true}, {"D'accord.", true},   {"d’accord …", true},
        {"Sí.", true},        {"¿Sí?", true},        {"はい、そうですね。", true},
        {"Stop.", false},     {"Wait", false},       {"No.", false},
        {"no no", false},     {"Okay, stop", false}, {"Yes but", false},
        {"I", false},         {"see", false},        {"Right now", false},
        {"Yesterday", false}, {"rights", false},     {"Halt!", false},
        {"Louder.", false},   {"Call John.", false}, {"Wait, yes", false},
        {"はいはい", false},  {"\xff", false},       {"\xc3", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (backchannel_is(rows[i].text, strlen(rows[i].text)) != rows[i].is)
            fail_msg("\"%s\" is taken for %s", rows[i].text, rows[i].is ? "a demand" : "none");
}

/* Only `size` bytes are looked at, and a text of any length has an answer. */
static void sizes(void **state) {
    (void)state;
    char text[1000];
    assert_true(backchannel_is("okay stop", 4));
    assert_true(backchannel_is(text, 0));
    for (size_t i = 0; i < sizeof text; i++) text[i] = "yes "[i % 4];
    assert_true(backchannel_is(text, 200));
    assert_false(backchannel_is(text, 199 - 1)); /* ends in "ye" */
    assert_false(backchannel_is(text, sizeof text));
    memset(text, ' ', sizeof text);
    assert_true(backchannel_is(text, sizeof text));
}

/* Nothing in the lists that the reader could never meet. */
static void every_entry_is_found(void **state) {
    (void)state;
    int count = 0;
    for (const char *const *const *list = backchannel_words; *list != NULL; list++)
        for (const char *const *entry = *list; **entry != '\0'; entry++, count++)
            if (!backchannel_is(*entry, strlen(*entry))) fail_msg("\"%s\"", *entry);
    assert_true(count > 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_by_table),
        cmocka_unit_test(sizes),
        cmocka_unit_test(every_entry_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
