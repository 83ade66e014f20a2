/* Where recordings are cut: tables of speech and pauses, and laws for any of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/transcript_cut.h"

enum { PIECE_CAP = 400, RUN_CAP = 400 };

/* Runs of sound: speech, silence (a little noise), or noise as loud as speech without speech. */
typedef struct run {
    char kind; /* 's', '.', 'n' */
    double seconds;
} run;

typedef struct rig {
    cutter c;
    unsigned char *memory;
    cut_piece pieces[PIECE_CAP];
    int count;
} rig;

static void rig_begin(rig *r, double min, double max) {
    arena a = {0};
    cutter_layout(&r->c, min, max, &a);
    r->memory = aligned_alloc(ARENA_ALIGN, (a.size_used + 63) / 64 * 64);
    a = (arena){.base = r->memory, .size_cap = (a.size_used + 63) / 64 * 64};
    cutter_layout(&r->c, min, max, &a);
    cutter_reset(&r->c);
    r->count = 0;
}

static void keep(rig *r, const cut_piece *p) {
    assert_in_range(r->count, 0, PIECE_CAP - 1);
    assert_true(p->clip_begin >= r->c.first && p->clip_end >= p->end);
    assert_true(p->clip_end - r->c.first <= (int64_t)r->c.frame_count * CUT_FRAME);
    assert_ptr_equal(cutter_samples(&r->c, p), r->c.samples + (p->clip_begin - r->c.first));
    r->pieces[r->count++] = *p;
}

static void feed(rig *r, const run *runs, int run_count) {
    float block[CUT_BLOCK];
    int filled = 0, speech = 0;
    unsigned noise = 1;
    cut_piece p;
    for (int i = 0; i < run_count; i++) {
        const int64_t count = llround(runs[i].seconds * CUT_RATE);
        for (int64_t n = 0; n < count; n++) {
            noise = noise * 1664525u + 1013904223u;
            const float x = (float)(noise >> 8) / 8388608.0f - 1.0f;
            block[filled++] = x * (runs[i].kind == '.' ? 0.002f : 0.3f);
            speech += runs[i].kind == 's';
            if (filled < CUT_BLOCK) continue;
            if (cutter_push(&r->c, block, speech > CUT_BLOCK / 2 ? 0.95f : 0.02f, &p)) keep(r, &p);
            filled = speech = 0;
        }
    }
    if (cutter_finish(&r->c, &p)) keep(r, &p);
    assert_false(cutter_finish(&r->c, &p));
}

static bool near(int64_t sample, double seconds) {
    return fabs((double)sample / CUT_RATE - seconds) <= 0.041; /* a block and a frame */
}

static void tables(void **state) {
    (void)state;
    const struct {
        const char *name;
        double min, max;
        run runs[10];
        double pieces[8]; /* begin, end, ... of speech; 0, 0 ends */
    } rows[] = {
        {"nothing", 0, 8, {{'.', 5}}, {0}},
        {"noise is no speech", 0, 8, {{'.', 1}, {'n', 3}, {'.', 1}}, {0}},
        {"one", 0, 8, {{'.', 1}, {'s', 2}, {'.', 1}}, {1, 3}},
        {"from the first sample to the last", 0, 8, {{'s', 2}}, {0, 2}},
        {"a pause of 400 ms parts",
         0,
         8,
         {{'.', 1}, {'s', 2}, {'.', 0.4}, {'s', 1}, {'.', 1}},
         {1, 3, 3.4, 4.4}},
        {"a pause of 200 ms does not",
         0,
         8,
         {{'.', 1}, {'s', 2}, {'.', 0.2}, {'s', 1}, {'.', 1}},
         {1, 4.2}},
        {"pieces grow to their least length",
         5,
         8,
         {{'.', 1}, {'s', 2}, {'.', 0.5}, {'s', 3}, {'.', 0.5}, {'s', 1}, {'.', 3}},
         {1, 6.5, 7, 8}},
        {"but not over two seconds of silence",
         5,
         8,
         {{'.', 1}, {'s', 2}, {'.', 2.5}, {'s', 1}},
         {1, 3, 5.5, 6.5}},
        {"the longest short pause is taken",
         0,
         8,
         {{'s', 4}, {'.', 0.1}, {'s', 2}, {'.', 0.2}, {'s', 4}, {'.', 1}},
         {0, 6.1, 6.3, 10.3}},
        {"a blip is none", 0, 8, {{'.', 1}, {'s', 0.1}, {'.', 1}}, {0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig r;
        rig_begin(&r, rows[i].min, rows[i].max);
        int run_count = 0, want = 0;
        while (run_count < 10 && rows[i].runs[run_count].kind != '\0') run_count++;
        feed(&r, rows[i].runs, run_count);
        for (int k = 0; k < r.count; k++) {
            if (!r.pieces[k].is_speech) continue;
            /* The mean that makes it speech; no frame is surer than the network. */
            assert_true(r.pieces[k].speech >= 0.4f && r.pieces[k].speech <= 1.0f);
            const double *p = &rows[i].pieces[2 * want++];
            if (!near(r.pieces[k].begin, p[0]) || !near(r.pieces[k].end, p[1]) ||
                r.pieces[k].joined)
                fail_msg("%s: piece %d is %.3f to %.3f", rows[i].name, k,
                         (double)r.pieces[k].begin / CUT_RATE, (double)r.pieces[k].end / CUT_RATE);
        }
        if (rows[i].pieces[2 * want + 1] != 0) fail_msg("%s: %d pieces", rows[i].name, want);
        free(r.memory);
    }
}

static void without_a_pause_pieces_overlap(void **state) {
    (void)state;
    rig r;
    rig_begin(&r, 0, 8);
    feed(&r, (const run[]){{'.', 1}, {'s', 20}, {'.', 1}}, 3);
    assert_in_range(r.count, 3, 4);
    for (int i = 0; i < r.count; i++) {
        assert_int_equal(r.pieces[i].joined, i > 0);
        if (i > 0) assert_int_equal(r.pieces[i - 1].end - r.pieces[i].begin, CUT_RATE);
    }
    assert_true(near(r.pieces[r.count - 1].end, 21));
    free(r.memory);
}

/* Any runs: pieces are in order, never too long, overlap only when joined, hold all speech. */
static void laws(void **state) {
    (void)state;
    static run runs[RUN_CAP];
    for (unsigned seed = 1; seed <= 60; seed++) {
        unsigned x = seed * 2654435761u;
        const double max = 1 + seed % 30, min = (seed % 3) * max / 3;
        int count = 0;
        double speech = 0, held = 0;
        while (count < 60) {
            x = x * 1664525u + 1013904223u;
            runs[count] = (run){"s.n"[(x >> 8) % 3 > 1 ? (x >> 12) % 3 : (x >> 8) % 3 % 2],
                                0.05 + (double)((x >> 16) % 400) / 100.0};
            if (runs[count].kind == 's') speech += runs[count].seconds;
            count++;
        }
        rig r;
        rig_begin(&r, min, max);
        feed(&r, runs, count);
        for (int i = 0; i < r.count; i++) {
            const cut_piece *p = &r.pieces[i];
            if (!(p->begin < p->end && p->end - p->begin <= (int64_t)(max * CUT_RATE)))
                fail_msg("seed %u: piece %d is %.3f s long", seed, i,
                         (double)(p->end - p->begin) / CUT_RATE);
            if (i > 0 && !p->joined && p->clip_begin < r.pieces[i - 1].end)
                fail_msg("seed %u: piece %d overlaps", seed, i);
            if (p->clip_end - p->clip_begin > (int64_t)((max + 0.5) * CUT_RATE))
                fail_msg("seed %u: clip %d is too long", seed, i);
            held += (double)(p->end - p->begin) / CUT_RATE;
        }
        /* Each run may lose a block at its edges. */
        if (held < speech - 0.05 * count) fail_msg("seed %u: %.2f of %.2f s", seed, held, speech);
        free(r.memory);
    }
}

static void the_middle_is_the_quietest_place(void **state) {
    (void)state;
    static float clip[4 * CUT_RATE];
    for (int i = 0; i < 4 * CUT_RATE; i++) clip[i] = (i / 20 % 2) ? 0.5f : -0.5f;
    memset(clip + 28000, 0, 3000 * sizeof *clip);
    memset(clip + 1000, 0, 9000 * sizeof *clip); /* outside the middle half */
    assert_in_range(cut_middle(clip, 4 * CUT_RATE), 28000, 31000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables),
        cmocka_unit_test(without_a_pause_pieces_overlap),
        cmocka_unit_test(laws),
        cmocka_unit_test(the_middle_is_the_quietest_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
