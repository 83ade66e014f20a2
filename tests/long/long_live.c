/* The live loop for hours of simulated time: an hour of silence, a dialogue of two hours. Memory
 * must not grow, counters must stay exact to the sample. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/rig.h"
#include "tests/support/world.h"

static world *open_world(rnl_model *model, const script *in) {
    rnl_live_config c = rnl_live_config_default(model);
    c.history_turns = 0;    /* the context overflows */
    c.turn_network = false; /* the script knows when answers come */
    c.session.thread_count = 2;
    return world_new(model, &c, in);
}

/* Resident memory in KiB. */
static long resident(void) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kib = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "VmRSS: %ld", &kib) == 1) break;
    fclose(f);
    return kib;
}

/* Bytes that malloc has given out. */
static size_t allocated(void) {
    const struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void an_hour_of_silence(void **state) {
    (void)state;
    rnl_model *model = rig_model(SOURCE_DIR "/samples/minnow/minnow.gguf");
    script s = {0};
    script_silence(&s, 3600);
    script_noise(&s, 0.001f, 5);
    world *w = open_world(model, &s);
    world_run_until(w, 60000000);
    const long before = resident();
    world_run(w);
    assert_int_equal(w->event_count, 1);
    assert_true(resident() - before < 512);
    world_drop(w);
    script_free(&s);
    rnl_model_close(&model);
}

static const char *const names[] = {"light", "sum",   "who",      "timer",   "weather", "hours",
                                    "route", "music", "elevator", "heating", "window",  "sum-new"};

/* One quarter of an hour of talk, again and again through one loop. */
static script quarter(void) {
    script s = {0};
    for (int i = 0; s.count < (size_t)900 * 16000; i++) {
        script_say(&s, names[i % 12]);
        script_silence(&s, i % 5 == 4 ? 1.5 : 6); /* each fifth answer is interrupted */
    }
    script_silence(&s, 8);
    script_noise(&s, 0.0005f, 9);
    return s;
}

static void a_dialogue_of_two_hours(void **state) {
    (void)state;
    rnl_model *model = rig_model(SOURCE_DIR "/samples/minnow/minnow.gguf");
    script s = quarter();
    world *w = open_world(model, &s);
    /* What the world itself keeps of a quarter does not grow while memory is watched. */
    w->reply_cap = (size_t)1000 * 24000;
    w->reply = malloc(w->reply_cap * sizeof *w->reply);
    assert_non_null(w->reply);
    memset(w->reply, 1, w->reply_cap * sizeof *w->reply);
    long first = 0;
    size_t first_allocated = 0;
    int64_t turns = 0, sum = 0;
    for (int part = 0; part < 8; part++) {
        w->at = 0;
        w->event_count = 0;
        w->reply_count = w->text_size = 0;
        w->said[0] = w->heard[0] = '\0';
        world_run_until(w, w->now_us + (int64_t)(s.count / 16) * 1000);
        for (int n = 0; world_find(w, RNL_LIVE_TURN, n) != NULL; n++) {
            const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, n)->turn;
            assert_int_equal(t->index, ++turns);
            /* Who goes on before we have answered gets an answer without sound. */
            assert_int_equal(t->sound_begin, t->sound_count > 0 ? sum : -1);
            sum += t->sound_count;
        }
        rnl_live_facts facts;
        rnl_live_get_facts(w->live, &facts);
        assert_int_equal(facts.turn_count, turns);
        assert_int_equal(facts.pulled_count, sum);
        assert_int_equal(facts.sample_count, facts.frame_count * 1920);
        assert_true(facts.position_count <= 4096);
        printf("%3d min: %lld turns, %lld frames, %ld KiB\n", 15 * (part + 1), (long long)turns,
               (long long)facts.frame_count, resident());
        if (part == 1) first = resident(), first_allocated = allocated();
    }
    assert_true(turns > 500);
    /* Slope 0 after the first half hour; the longest turn so far touches pages anew. */
    assert_int_equal(allocated(), first_allocated);
    assert_true(resident() - first < 1024);
    world_drop(w);
    script_free(&s);
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_hour_of_silence),
        cmocka_unit_test(a_dialogue_of_two_hours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
