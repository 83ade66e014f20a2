/* Does the recall run tell stacks apart? Two with attention behind convolutions, and those of
 * convolutions, of attention and of linear attention alone; the bars are those of learn.md 6.8,
 * on other seeds than they were drawn by.
 *
 *     RUNNEL_RECALL_SEEDS    3    as many seeds, from 2
 *     RUNNEL_RECALL_THREADS  2 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "search/quality.h"

enum { SEED = 2 };
static char folder[] = "/tmp/runnel-recall-XXXXXX";

static int setting(const char *name, int usual) {
    const char *text = getenv(name);
    return text != NULL ? atoi(text) : usual;
}

static void attention_behind_convolutions_is_told_apart(void **state) {
    (void)state;
    static const struct {
        const char *name, *key;
        double least, most;
    } rows[] = {
        {"caca", "10020-21020-10020-21020", 0.5, 1}, {"ccac", "10020-10020-21020-10020", 0.5, 1},
        {"cccc", "10020-10020-10020-10020", 0, 0.3}, {"aaaa", "21020-21020-21020-21020", 0, 0.3},
        {"llll", "40120-40120-40120-40120", 0, 0.3},
    };
    search_school s = search_school_default();
    int outside = 0;
    s.folder = folder;
    s.thread_count = setting("RUNNEL_RECALL_THREADS", 2);
    s.hopeless_below = 0;
    for (int seed = SEED; seed < SEED + setting("RUNNEL_RECALL_SEEDS", 3); seed++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            search_candidate c = {.factor = 1};
            search_marks m;
            rnl_error error = {0};
            assert_true(search_key_read(rows[i].key, &c.genome));
            const double begun = clock_seconds();
            if (search_teach_recall(&s, &c, (uint64_t)seed, &m, &error) != RNL_OK)
                fail_msg("%s", error.text);
            const double seconds = clock_seconds() - begun;
            printf("%s, seed %d: recall %.2f (%.2f %.2f %.2f), %.0f s, %.0f tokens/s\n",
                   rows[i].name, seed, m.recall, m.recall_at[0], m.recall_at[1], m.recall_at[2],
                   seconds, (double)m.steps * s.recall.rows * s.recall.length / seconds);
            (void)fflush(stdout);
            outside += m.recall < rows[i].least || m.recall > rows[i].most;
        }
    assert_int_equal(outside, 0);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_behind_convolutions_is_told_apart),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
