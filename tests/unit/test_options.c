/* apps/options.c: the rows of every command, and what they make of values.
 *
 * rows      no two of a command have one name or one letter; flags take no value; numbers have a
 *           range; a row that is in the lists of two commands says the same of both
 * values    each kind is stored in its field, and refused outside its range
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apps/commands.h"
#include "apps/messages.h"

static void check_row(const option_row *row) {
    assert_non_null(row->name);
    assert_non_null(row->help);
    assert_int_equal(row->value == NULL, row->kind == OPTION_FLAG);
    assert_true(row->offset < sizeof(options));
    const bool ranged = row->kind == OPTION_INT || row->kind == OPTION_REAL ||
                        row->kind == OPTION_PAIR || row->kind == OPTION_WAITS;
    assert_int_equal(row->min != 0 || row->max != 0, ranged);
}

static void rows_of_every_command_are_apart(void **state) {
    (void)state;
    const command *own;
    for (int c = 0; (own = command_at(c)) != NULL; c++) {
        const option_row *row, *other;
        int count = 0;
        for (; (row = command_option(own, count)) != NULL; count++) {
            check_row(row);
            for (int i = 0; i < count; i++) {
                other = command_option(own, i);
                assert_string_not_equal(row->name, other->name);
                if (row->letter != 0) assert_int_not_equal(row->letter, other->letter);
            }
        }
        assert_in_range(count, options_common.count, OPTION_CAP);
        assert_null(command_option(own, count + 1));
    }
}

static void rows_of_one_name_agree(void **state) {
    (void)state;
    const option_row *a, *b;
    for (int c = 0; command_at(c) != NULL; c++)
        for (int i = 0; (a = command_option(command_at(c), i)) != NULL; i++)
            for (int d = 0; d < c; d++)
                for (int j = 0; (b = command_option(command_at(d), j)) != NULL; j++) {
                    if (strcmp(a->name, b->name) != 0) continue;
                    assert_int_equal(a->kind, b->kind);
                    assert_int_equal(a->letter, b->letter);
                }
}

/* Parses words, at most 7, NULL behind the last; the exit code. The options point into the list of
 * the last call. */
static int parse(const command *c, options *o, const char *const words[8]) {
    static char *list[9];
    int count = 1, code;
    list[0] = (char *)c->name;
    for (; words[count - 1] != NULL; count++) list[count] = (char *)words[count - 1];
    const bool goes_on = options_parse(o, c, count, list, &code);
    assert_int_equal(goes_on, code == EXIT_OK);
    return code;
}

static void each_kind_is_stored(void **state) {
    (void)state;
    options o;
    assert_int_equal(parse(&command_reply, &o, (const char *const[8]){"--interleave", "3:9", "-q"}),
                     EXIT_OK);
    assert_true(o.quiet && !o.json);
    assert_int_equal(o.interleave[0], 3);
    assert_int_equal(o.interleave[1], 9);
    assert_int_equal(o.max_tokens, -1);
    assert_int_equal(parse(&command_reply, &o,
                           (const char *const[8]){"--memory=2M", "--seed", "18446744073709551615",
                                                  "--temp", "0.5", "-t3", "a.wav"}),
                     EXIT_OK);
    assert_true(o.memory_max == 2 << 20 && o.seed == UINT64_MAX && o.temperature == 0.5);
    assert_int_equal(o.threads, 3);
    assert_int_equal(o.argument_count, 1);
    assert_string_equal(o.arguments[0], "a.wav");
    assert_int_equal(
        parse(&command_convert, &o, (const char *const[8]){"--set", "a=1", "--set", "b=2"}),
        EXIT_OK);
    assert_int_equal(o.set_count, 2);
    assert_string_equal(o.sets[1], "b=2");
    assert_int_equal(parse(&command_talk, &o, (const char *const[8]){"--end-ms", "300:300:5000"}),
                     EXIT_OK);
    assert_true(o.end_ms[0] == 300 && o.end_ms[1] == 300 && o.end_ms[2] == 5000);
}

static void what_is_wrong_is_refused(void **state) {
    (void)state;
    static const struct {
        const command *c;
        const char *words[8];
    } rows[] = {
        {&command_reply, {"--interleave", "65:1"}},
        {&command_reply, {"--interleave", "1:257"}},
        {&command_reply, {"--temp", "2.1"}},
        {&command_reply, {"--seed", "-1"}},
        {&command_reply, {"--voice", "us-male"}},
        {&command_reply, {"-f", "a.md"}},
        {&command_reply, {"--json=1"}},
        {&command_reply, {"-o"}},
        {&command_trace, {"--json"}},
        {&command_talk, {"--end-ms", "350:500"}},
        {&command_talk, {"--end-ms", "350:500:900:1000"}},
        {&command_talk, {"--end-ms", "350:340:900"}},
        {&command_talk, {"--end-ms", "99:500:900"}},
        {&command_talk, {"--end-ms", "350:500:5001"}},
        {&command_talk, {"--end-ms", "350::900"}},
        {&command_convert, {"--set", "a"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        options o;
        assert_int_equal(parse(rows[i].c, &o, rows[i].words), EXIT_USAGE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_every_command_are_apart),
        cmocka_unit_test(rows_of_one_name_agree),
        cmocka_unit_test(each_kind_is_stored),
        cmocka_unit_test(what_is_wrong_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
