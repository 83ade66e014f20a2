/* The live loop from outside, in a simulated world, with minnow and spoken questions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/rig.h"
#include "tests/support/world.h"

static rnl_model *model;

static int setup(void **state) {
    (void)state;
    model = rig_model(SOURCE_DIR "/samples/minnow/minnow.gguf");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rnl_model_close(&model);
    return 0;
}

static rnl_live_config plain(void) {
    rnl_live_config c = rnl_live_config_default(model);
    c.session.thread_count = 2;
    c.session.context_cap = 1024;
    return c;
}

static void show(const world *w) {
    for (int i = 0; i < w->event_count; i++)
        printf("%8.3f s  mic %7.3f  %s\n", (double)w->events[i].now_us / 1e6,
               (double)w->events[i].mic_sample / 16000.0, rnl_live_kind_name(w->events[i].kind));
    for (int n = 0; world_find(w, RNL_LIVE_TURN, n) != NULL; n++) {
        const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, n)->turn;
        printf("turn %d:", t->index);
        for (int i = 0; i < RNL_LIVE_MARK_COUNT; i++) printf(" %.3f", (double)t->mark_us[i] / 1e6);
        printf("\n clip %.3f-%.3f frames %d text %d sound %lld played %lld slack %lld underruns %d\n",
               (double)t->clip_begin / 16000, (double)t->clip_end / 16000, t->frame_count,
               t->text_count, (long long)t->sound_count, (long long)t->played_count,
               (long long)t->slack_us, t->underrun_count);
    }
    printf("said:\n%sheard:\n%s", w->said, w->heard);
}

static world *fresh(const rnl_live_config *config, const script *in) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    world_open(w, model, config, in);
    return w;
}

static void drop(world *w) {
    world_close(w);
    free(w);
}

static void a_question_gets_its_answer(void **state) {
    (void)state;
    script s = {0};
    script_silence(&s, 1);
    script_say(&s, "light");
    script_silence(&s, 4);
    script_noise(&s, 0.0005f, 1);
    const rnl_live_config c = plain();
    world *w = fresh(&c, &s);
    world_run(w);
    show(w);
    assert_string_equal(w->said, "The kitchen light is on.\n");
    drop(w);
    script_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_gets_its_answer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
