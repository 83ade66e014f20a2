#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "tests/support/kernel_bench.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/support/guarded.h"
#include "tests/support/kernel_cases.h"
#include "tests/support/levels.h"

enum {
    REPETITIONS = 15,
    SAMPLE_NS = 200000, /* one repetition of a level: long beside reading the clock */
    PROVEN_COLS = 512,  /* enough for every inner loop, and short when emulated */
    EDGE = 64           /* bytes on either side of an output that must stay */
};

/* ---- proving ---- */

typedef struct outputs {
    unsigned char *want, *got; /* KERNEL_OUT_CAP each, with an edge on either side */
} outputs;

static void check_edges(const kernel_case *c, const kernels *k, const unsigned char *out) {
    for (size_t i = 0; i < EDGE; i++)
        if (out[i] != 0xa5 || out[EDGE + c->out_size + i] != 0xa5)
            fail_msg("%s: %s %s %s writes beside its output", k->name, c->kernel, c->type,
                     c->shape);
}

static void compute(const kernel_case *c, const kernels *k, kernel_room *room, unsigned char *out) {
    memset(out, 0xa5, EDGE + c->out_size + EDGE);
    memset(out + EDGE, 0, c->out_size); /* some add to it */
    c->call(c, k, room, out + EDGE);
    check_edges(c, k, out);
}

static void compare(const kernel_case *c, const kernels *k, kernel_fill fill, const outputs *o) {
    if (c->tolerance == 0) {
        if (memcmp(o->got + EDGE, o->want + EDGE, c->out_size) != 0)
            fail_msg("%s: %s %s %s, %s: other bits than the lowest level's", k->name, c->kernel,
                     c->type, c->shape, kernel_fill_names[fill]);
        return;
    }
    const float *got = (const float *)(const void *)(o->got + EDGE);
    const float *want = (const float *)(const void *)(o->want + EDGE);
    const size_t count = c->out_size / sizeof(float);
    double largest = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)want[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= c->tolerance * largest))
            fail_msg("%s: %s %s %s, %s: [%d] is %.9g instead of %.9g", k->name, c->kernel, c->type,
                     c->shape, kernel_fill_names[fill], (int)i, (double)got[i], (double)want[i]);
}

/* The lowest level that has the kernel is right, say the other tests; the rest agree with it. */
static void prove(const kernel_case *c, kernel_fill fill, kernel_room *room, const outputs *o) {
    const kernels *first = NULL;
    FOR_LEVELS(k) {
        if (!kernel_case_runs(c, k)) continue;
        if (first == NULL) {
            first = k;
            compute(c, k, room, o->want);
        } else if (!kernel_case_same(c, k, k - 1)) {
            compute(c, k, room, o->got);
            compare(c, k, fill, o);
        }
    }
}

/* ---- timing ---- */

typedef struct timing {
    int count;                                             /* levels with a function of their own */
    const kernels *level[LEVELS_CAP];                      /* the lowest first */
    double ns[KERNEL_FILL_COUNT][LEVELS_CAP][REPETITIONS]; /* of a call */
} timing;

/* Of this thread alone: what others do meanwhile is not in it, but for caches and clock rates. */
static double thread_ns(void) {
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static double time_calls(const kernel_case *c, const kernels *k, kernel_room *room, void *out,
                         int64_t calls) {
    const double start = thread_ns();
    for (int64_t i = 0; i < calls; i++) c->call(c, k, room, out);
    return thread_ns() - start;
}

static bool is_emulated(const kernels *k) {
    return strstr(k->name, "(emulated)") != NULL;
}

/* False when no level of this machine has the kernel: only what is called instead would run. */
static bool find_timed(const kernel_case *c, timing *t) {
    bool has = false;
    t->count = 0;
    FOR_LEVELS(k) {
        if (is_emulated(k) || !kernel_case_runs(c, k)) continue;
        has = has || kernel_case_has(c, k);
        if (t->count > 0 && kernel_case_same(c, k, t->level[t->count - 1])) continue;
        t->level[t->count++] = k;
    }
    return has;
}

static void measure(const kernel_case *c, kernel_room *rooms[KERNEL_FILL_COUNT], void *out,
                    timing *t) {
    int64_t calls[LEVELS_CAP];
    for (int i = 0; i < t->count; i++) {
        calls[i] = 1;
        while (time_calls(c, t->level[i], rooms[0], out, calls[i]) < SAMPLE_NS) calls[i] *= 2;
    }
    for (int rep = 0; rep < REPETITIONS; rep++)
        for (int fill = 0; fill < KERNEL_FILL_COUNT; fill++)
            for (int i = 0; i < t->count; i++)
                t->ns[fill][i][rep] =
                    time_calls(c, t->level[i], rooms[fill], out, calls[i]) / (double)calls[i];
}

/* ---- the table ---- */

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct quartiles {
    double low, median, high;
} quartiles;

static quartiles quartiles_of(const double values[REPETITIONS]) {
    double sorted[REPETITIONS];
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, REPETITIONS, sizeof *sorted, ascending);
    return (quartiles){sorted[REPETITIONS / 4], sorted[REPETITIONS / 2],
                       sorted[REPETITIONS - 1 - REPETITIONS / 4]};
}

/* a / b of the pairs that ran side by side. */
static quartiles ratios_of(const double a[REPETITIONS], const double b[REPETITIONS]) {
    double ratios[REPETITIONS];
    for (int rep = 0; rep < REPETITIONS; rep++) ratios[rep] = a[rep] / b[rep];
    return quartiles_of(ratios);
}

/* How many times as fast as the level below. */
static quartiles gain_of(const timing *t, int fill, int level) {
    return ratios_of(t->ns[fill][level - 1], t->ns[fill][level]);
}

/* Slower by more than the spread, and by enough to matter. */
static bool is_slower(quartiles gain) {
    return gain.high < 1 && gain.median < 0.95;
}

/* Returns how many levels are slower than the one below. */
static int report(const kernel_case *c, const timing *t) {
    int slower_count = 0;
    for (int i = 0; i < t->count; i++) {
        const double ns = quartiles_of(t->ns[KERNEL_FILL_RANDOM][i]).median;
        printf("%-15s %-6s %-12s %-12s %10.0f %8.2f", c->kernel, c->type, c->shape,
               t->level[i]->name, ns, c->work / ns);
        for (int fill = 1; fill < KERNEL_FILL_COUNT; fill++)
            printf(" %6.2f", ratios_of(t->ns[fill][i], t->ns[KERNEL_FILL_RANDOM][i]).median);
        bool slower = false;
        if (i > 0) {
            const quartiles g = gain_of(t, KERNEL_FILL_RANDOM, i);
            printf("  %6.2f (%.2f to %.2f)", g.median, g.low, g.high);
            for (int fill = 0; fill < KERNEL_FILL_COUNT; fill++)
                if (is_slower(gain_of(t, fill, i))) {
                    printf(slower ? ", %s" : "  SLOWER: %s", kernel_fill_names[fill]);
                    slower = true;
                }
        }
        slower_count += slower;
        printf("\n");
    }
    return slower_count;
}

static bool is_chosen(const kernel_case *c, const char *only) {
    char name[48];
    (void)snprintf(name, sizeof name, "%s %s", c->kernel, c->type);
    return strstr(name, only) != NULL;
}

void every_kernel_of_every_level_agrees(void **state) {
    const kernel_bench *b = *state;
    kernel_case *cases = take(KERNEL_CASES_CAP * sizeof *cases);
    kernel_room *rooms[KERNEL_FILL_COUNT];
    for (int fill = 0; fill < KERNEL_FILL_COUNT; fill++) rooms[fill] = take(sizeof **rooms);
    timing *t = take(sizeof *t);
    outputs o = {.want = take(KERNEL_OUT_CAP + 2 * EDGE), .got = take(KERNEL_OUT_CAP + 2 * EDGE)};
    const int count = kernel_cases(cases, b->is_timed ? KERNEL_COLS_CAP : PROVEN_COLS);
    int chosen_count = 0, compared = 0, slower = 0;
    if (b->is_timed)
        printf("%-15s %-6s %-12s %-12s %10s %8s %6s %6s  times the level below (quartiles)\n",
               "kernel", "type", "shape", "level", "ns a call", "G/s", "zeros", "ends");
    for (int i = 0; i < count; i++) {
        const kernel_case *c = &cases[i];
        if (!is_chosen(c, b->only)) continue;
        chosen_count++;
        for (int fill = 0; fill < KERNEL_FILL_COUNT; fill++) {
            kernel_case_fill(c, (kernel_fill)fill, rooms[fill]);
            prove(c, (kernel_fill)fill, rooms[fill], &o);
        }
        if (!b->is_timed || !find_timed(c, t)) continue;
        measure(c, rooms, o.got + EDGE, t);
        slower += report(c, t);
        compared += t->count - 1;
    }
    if (b->is_timed) printf("%d of %d levels are slower than the one below\n", slower, compared);
    if (chosen_count == 0) fail_msg("no kernel has \"%s\" in its name and type", b->only);
    for (int fill = 0; fill < KERNEL_FILL_COUNT; fill++) free(rooms[fill]);
    free(cases), free(t), free(o.want), free(o.got);
}

bool kernel_bench_main(int argc, char **argv, int *code) {
    if (argc == 1) return false;
    if (argc > 3 || strcmp(argv[1], "--bench") != 0) {
        (void)fprintf(stderr, "usage: %s [--bench [part of \"KERNEL TYPE\"]]\n", argv[0]);
        *code = 2;
        return true;
    }
    kernel_bench timed = {.is_timed = true, .only = argc == 3 ? argv[2] : ""};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_kernel_of_every_level_agrees, &timed),
    };
    *code = cmocka_run_group_tests(tests, find_levels, NULL);
    return true;
}
