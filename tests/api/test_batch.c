/* Many conversations in one batch: each says, to the bit, what it says alone, whatever the others
 * do and however passes are filled; and one that fails fails alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <runnel/runnel_batch.h>

#include "core/random.h"
#include "engine/session.h"
#include "tests/support/adapter.h"
#include "tests/support/rig.h"

enum { ACTORS = 6, TURNS = 2, CLIP = 9600, LOG_CAP = 1 << 17, TEXT_CAP = 4096 };

static rnl_error error;
static float *clip;

static int setup(void **state) {
    (void)state;
    clip = rig_wav("audio/question.wav", 0, 2 * CLIP);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(clip);
    return 0;
}

/* ---- Someone who talks: what he does depends on his seed alone ---- */

typedef struct actor {
    rnl_session *s;
    random_state random;
    int turn;
    bool open;      /* a reply is under way */
    int act_at;     /* decision at which something happens; -1: it has */
    int act, until; /* what; for a snapshot: how far the way is that leads nowhere */
    float *samples; /* [LOG_CAP] everything that was pulled */
    size_t sample_count;
    char text[TEXT_CAP];
    size_t text_size;
    bool done;
} actor;

enum { ACT_NONE, ACT_STOP, ACT_REWIND, ACT_SNAPSHOT, ACT_RESET, ACT_COUNT, ACT_RESTORE };

static int below(random_state *r, int n) {
    return (int)(random_unit(r) * n);
}

static void actor_open(actor *a, rnl_session *s, uint64_t seed) {
    *a = (actor){.s = s, .samples = malloc(LOG_CAP * sizeof(float))};
    assert_non_null(a->samples);
    random_seed(&a->random, seed);
}

static void drain(actor *a) {
    size_t got;
    while (a->text_size < TEXT_CAP &&
           rnl_session_pull_text(a->s, a->text + a->text_size, TEXT_CAP - a->text_size, &got) ==
               RNL_OK)
        a->text_size += got;
    while (rnl_session_pull_samples(a->s, a->samples + a->sample_count, LOG_CAP - a->sample_count,
                                    &got) == RNL_OK)
        a->sample_count += got;
    assert_true(a->sample_count < LOG_CAP);
}

static void ask(actor *a) {
    random_state *r = &a->random;
    static const rnl_mode modes[] = {RNL_MODE_INTERLEAVED, RNL_MODE_TRANSCRIBE, RNL_MODE_SPEAK,
                                     RNL_MODE_TEXT};
    const rnl_turn_config turn = {
        .mode = modes[below(r, 4)],
        .text = {.temperature = 0.9f, .top_k = 20, .top_p = 1, .repeat_penalty = 1.3f},
        .audio = {.temperature = 1.0f, .top_k = 1 + below(r, 6), .top_p = 1, .repeat_penalty = 1},
        .step_max = 5 + below(r, 40),
        .text_run = 1 + below(r, 6),
        .audio_run = 1 + below(r, 12)};
    if (below(r, 2) == 0)
        assert_int_equal(rnl_session_add_audio(a->s, clip + below(r, CLIP),
                                               (size_t)(4000 + below(r, 5000)), 16000, &error),
                         RNL_OK);
    else
        rig_text(a->s, RNL_ROLE_USER, below(r, 2) == 0 ? "one two three" : "and a longer question");
    if (rnl_session_begin(a->s, &turn, &error) != RNL_OK) fail_msg("%s", error.text);
    a->open = true;
    a->act = below(r, ACT_COUNT);
    a->act_at = below(r, 20);
    a->until = a->act_at + 1 + below(r, 8);
}

static void act(actor *a) {
    a->act_at = -1;
    switch (a->act) {
    case ACT_STOP:
        rnl_session_stop(a->s);
        break;
    case ACT_REWIND:
        assert_int_equal(rnl_session_rewind(a->s, (size_t)below(&a->random, 8) * 1000, NULL),
                         RNL_OK);
        break;
    case ACT_SNAPSHOT:
        assert_int_equal(rnl_session_snapshot(a->s, 0, NULL), RNL_OK);
        a->act = ACT_RESTORE;
        a->act_at = a->until;
        break;
    case ACT_RESTORE:
        assert_int_equal(rnl_session_restore(a->s, 0, NULL), RNL_OK);
        break;
    case ACT_RESET:
        rnl_session_reset(a->s);
        a->open = false;
        break;
    default:
        break;
    }
}

/* What happens between passes; true: he wants to be stepped. */
static bool wants(actor *a) {
    if (a->done) return false;
    if (!a->open) {
        if (a->turn++ == TURNS) {
            a->done = true;
            return false;
        }
        ask(a);
    }
    const session_live *live = a->s->live;
    if (a->act_at >= 0 && live->generating && live->step_count >= a->act_at && !a->s->encoding) {
        act(a);
        drain(a);
        if (!a->open) return wants(a);
    }
    return true;
}

static void stepped(actor *a, rnl_status status) {
    assert_true(status >= 0);
    drain(a);
    if (!a->s->live->generating && status == RNL_DONE) a->open = false;
}

static void run_alone(actor *a) {
    while (wants(a)) stepped(a, rnl_session_step(a->s, &error));
}

static void assert_same(const actor *a, const actor *b, int seed, int n) {
    const session_live *x = a->s->live, *y = b->s->live;
    if (a->text_size != b->text_size || memcmp(a->text, b->text, a->text_size) != 0)
        fail_msg("schedule %d: text of %d: '%.*s' and '%.*s'", seed, n, (int)a->text_size, a->text,
                 (int)b->text_size, b->text);
    if (a->sample_count != b->sample_count ||
        memcmp(a->samples, b->samples, a->sample_count * sizeof *a->samples) != 0)
        fail_msg("schedule %d: sound of %d", seed, n);
    assert_int_equal(x->position_count, y->position_count);
    assert_memory_equal(&x->random, &y->random, sizeof x->random);
    assert_memory_equal(a->s->frames, b->s->frames,
                        (size_t)(x->frame_count * a->s->model->backbone.codebook_count) *
                            sizeof *a->s->frames);
    assert_memory_equal(a->s->text_ids, b->s->text_ids,
                        (size_t)x->text_count * sizeof *a->s->text_ids);
    const size_t width = (size_t)backbone_width(&a->s->model->backbone);
    assert_memory_equal(a->s->embeddings, b->s->embeddings,
                        (size_t)x->position_count * width * sizeof(float));
    assert_memory_equal(x->backbone.fixed, y->backbone.fixed, a->s->fixed_size);
}

/* ---- Schedules ---- */

/* Of a model with two adapters a third of them chooses each, not always all of it. */
static rnl_session_config config_of(const rnl_model *model, uint64_t seed) {
    rnl_session_config c = rnl_session_config_default();
    c.adapter = rnl_model_adapter_name(model, (int)(seed % 3));
    if (seed > 3) c.adapter_scale = 0.5f;
    c.context_cap = 512;
    c.clip_seconds_max = 2;
    c.thread_count = 1;
    c.seed = seed;
    return c;
}

static rnl_batch *open_batch(rnl_model *model, int row_cap, int decision_cap) {
    rnl_batch_config c = rnl_batch_config_default();
    rnl_batch *b = NULL;
    c.row_cap = row_cap;
    c.decision_cap = decision_cap;
    c.context_cap = 512;
    c.clip_seconds_max = 2;
    c.thread_count = 2;
    if (rnl_batch_create(model, &c, &b, &error) != RNL_OK) fail_msg("%s", error.text);
    return b;
}

static rnl_session *join(rnl_batch *b, rnl_session_config c) {
    rnl_session *s = NULL;
    if (rnl_session_create_in(b, &c, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    return s;
}

static void schedule(rnl_model *model, const actor *alone, int seed) {
    random_state r;
    random_seed(&r, (uint64_t)seed);
    actor actors[ACTORS];
    bool there[ACTORS] = {false};
    rnl_batch *b = open_batch(model, 1 + below(&r, 128), 1 + below(&r, ACTORS));
    int left = ACTORS;
    for (int pass_count = 0; left > 0; pass_count++) {
        rnl_batch_item items[ACTORS];
        actor *owners[ACTORS];
        size_t count = 0;
        assert_true(pass_count < 100000);
        const int first = below(&r, ACTORS);
        for (int i = 0; i < ACTORS; i++) {
            const int n = (first + i) % ACTORS;
            actor *a = &actors[n];
            if (!there[n] && below(&r, 10) > 0) continue;
            if (!there[n]) actor_open(a, join(b, config_of(model, (uint64_t)n)), 100 + (uint64_t)n);
            there[n] = true;
            if (a->done || below(&r, 4) == 0) continue;
            if (!wants(a)) {
                assert_same(a, &alone[n], seed, n);
                rnl_session_destroy(&a->s); /* he leaves while others talk */
                free(a->samples);
                left--;
                continue;
            }
            owners[count] = a;
            items[count++] = (rnl_batch_item){.session = a->s,
                                              .stage = rnl_session_stage(a->s),
                                              .position_count = 1 + below(&r, 128)};
        }
        rnl_batch_pass(b, items, count);
        for (size_t i = 0; i < count; i++)
            if (items[i].status != RNL_AGAIN) stepped(owners[i], items[i].status);
    }
    rnl_batch_destroy(&b);
}

static void check_schedules(rnl_model *model, int from, int count) {
    actor alone[ACTORS];
    for (int n = 0; n < ACTORS; n++) {
        const rnl_session_config c = config_of(model, (uint64_t)n);
        rnl_session *s = NULL;
        assert_int_equal(rnl_session_create(model, &c, &s, &error), RNL_OK);
        actor_open(&alone[n], s, 100 + (uint64_t)n);
        run_alone(&alone[n]);
        assert_true(alone[n].text_size + alone[n].sample_count > 0);
    }
    for (int seed = from; seed < from + count; seed++) schedule(model, alone, seed);
    for (int n = 0; n < ACTORS; n++) {
        rnl_session_destroy(&alone[n].s);
        free(alone[n].samples);
    }
    rnl_model_close(&model);
}

static void a_batch_says_what_each_says_alone(void **state) {
    (void)state;
    check_schedules(adapter_model("gguf/tiny-Q4_0.gguf", false, NULL), 1, rig_rounds(20));
    check_schedules(rig_model("tiny"), 50, rig_rounds(6));
}

/* RUNNEL_BATCH_SCHEDULES: how many (tests/long/batch.sh); else few. */
static void so_it_is_at_every_level(void **state) {
    (void)state;
    static const char *const levels[] = {"scalar", "avx2", "avx512"};
    const char *asked = getenv("RUNNEL_BATCH_SCHEDULES");
    const int most = asked == NULL ? rig_rounds(3) : 3; /* sanitizers look into the scalar one */
    for (int i = 0; i < most; i++) {
        rnl_model *model = adapter_model("gguf/tiny-Q4_0.gguf", false, levels[i]);
        if (model == NULL) continue; /* not on this machine */
        const int count = asked != NULL ? atoi(asked) : rig_rounds(2);
        check_schedules(model, 70 + 1000 * i, count);
        if (asked != NULL) print_message("%s: %d schedules\n", levels[i], count);
    }
}

/* ---- Trouble ---- */

static rnl_batch_item item_of(rnl_session *s) {
    return (rnl_batch_item){.session = s, .stage = rnl_session_stage(s), .position_count = 64};
}

static void one_that_fails_fails_alone(void **state) {
    (void)state;
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    rnl_batch *b = open_batch(model, 128, 4);
    rnl_session *s[3], *alone;
    const rnl_session_config c = config_of(model, 1);
    assert_int_equal(rnl_session_create(model, &c, &alone, &error), RNL_OK);
    for (int i = 0; i < 3; i++) {
        s[i] = join(b, config_of(model, 1));
        rig_text(s[i], RNL_ROLE_USER, "one two three");
        rig_begin(s[i], RNL_MODE_INTERLEAVED, 30);
    }
    rig_text(alone, RNL_ROLE_USER, "one two three");
    rig_begin(alone, RNL_MODE_INTERLEAVED, 30);
    s[1]->embeddings[(size_t)(s[1]->live->position_count - 1) *
                     (size_t)backbone_width(&model->backbone)] = NAN;
    rnl_batch_item items[3];
    for (int i = 0; i < 3; i++) items[i] = item_of(s[i]);
    rnl_batch_pass(b, items, 3);
    assert_int_equal(items[1].status, RNL_ERR_FORMAT);
    assert_non_null(strstr(items[1].error.text, "not numbers"));
    assert_int_equal(items[0].status, RNL_OK);
    for (int i = 0; i < 3; i++) items[i] = item_of(s[i]);
    rnl_batch_pass(b, items, 3);
    assert_int_equal(items[1].status, RNL_ERR_STATE); /* only reset or destroy */
    rig_result x = rig_run(s[0]), y = rig_run(alone);
    assert_string_equal(x.text, y.text);
    assert_int_equal(x.sample_count, y.sample_count);
    assert_memory_equal(x.samples, y.samples, x.sample_count * sizeof *x.samples);
    rig_free(&x);
    rig_free(&y);
    rnl_session_reset(s[1]);
    rig_text(s[1], RNL_ROLE_USER, "again");
    items[0] = item_of(s[1]);
    rnl_batch_pass(b, items, 1);
    assert_int_equal(items[0].status, RNL_OK);
    for (int i = 0; i < 3; i++) rnl_session_destroy(&s[i]);
    rnl_session_destroy(&alone);
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
}

static void items_that_cannot_be_change_nothing(void **state) {
    (void)state;
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    rnl_batch *b = open_batch(model, 8, 1);
    rnl_session *s = join(b, config_of(model, 1)), *other = join(b, config_of(model, 2)),
                *stranger = rig_session(model, 1);
    rig_text(s, RNL_ROLE_USER, "a question that has more than eight tokens, surely");
    rig_text(other, RNL_ROLE_USER, "and another one");
    rig_text(stranger, RNL_ROLE_USER, "who am I");
    rnl_batch_item items[] = {item_of(s), item_of(s), item_of(stranger), item_of(other),
                              item_of(other)};
    items[3].stage = RNL_STAGE_GENERATE;
    items[4].position_count = 0;
    rnl_batch_pass(b, items, 5);
    assert_int_equal(items[0].status, RNL_OK); /* eight of its positions: the pass is full */
    assert_int_equal(s->live->backbone.position, 8);
    assert_int_equal(items[1].status, RNL_ERR_ARGUMENT);
    assert_int_equal(items[2].status, RNL_ERR_ARGUMENT);
    assert_int_equal(items[3].status, RNL_ERR_STATE);
    assert_int_equal(items[4].status, RNL_ERR_ARGUMENT);
    items[0] = item_of(s);
    items[1] = item_of(other);
    rnl_batch_pass(b, items, 2);
    assert_int_equal(items[1].status, RNL_AGAIN);
    assert_int_equal(other->live->backbone.position, 0);
    rnl_batch_pass(b, items, 0); /* nothing to do */
    rnl_session_destroy(&s);
    rnl_session_destroy(&other);
    rnl_session_destroy(&stranger);
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
}

/* The encoder has one clip at a time; the others wait, also for one whose owner leaves. */
static void clips_take_turns(void **state) {
    (void)state;
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    rnl_batch *b = open_batch(model, 128, 4);
    rnl_session *s = join(b, config_of(model, 1)), *other = join(b, config_of(model, 2));
    assert_int_equal(rnl_session_add_audio(s, clip, CLIP, 16000, &error), RNL_OK);
    assert_int_equal(rnl_session_add_audio(other, clip, CLIP, 16000, &error), RNL_OK);
    rnl_batch_item items[] = {item_of(s), item_of(other)};
    rnl_batch_pass(b, items, 2);
    assert_int_equal(items[0].status, RNL_OK);
    assert_int_equal(items[1].status, RNL_AGAIN);
    assert_int_equal(rnl_session_add_audio(other, clip, CLIP, 16000, &error), RNL_AGAIN);
    rnl_session_destroy(&s);
    items[0] = item_of(other);
    rnl_batch_pass(b, items, 1);
    assert_int_equal(items[0].status, RNL_OK);
    while (rnl_session_step(other, &error) != RNL_DONE) continue;
    rnl_session *alone = rig_session(model, 1);
    assert_int_equal(rnl_session_add_audio(alone, clip, CLIP, 16000, &error), RNL_OK);
    while (rnl_session_step(alone, &error) != RNL_DONE) continue;
    const int count = rnl_session_position_count(alone);
    assert_int_equal(rnl_session_position_count(other), count);
    assert_memory_equal(other->embeddings, alone->embeddings,
                        (size_t)count * (size_t)backbone_width(&model->backbone) * sizeof(float));
    rnl_session_destroy(&other);
    rnl_session_destroy(&alone);
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
}

static void configs_are_checked_and_memory_is_planned(void **state) {
    (void)state;
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    rnl_batch_config c = rnl_batch_config_default();
    rnl_batch *b = NULL;
    c.row_cap = 0;
    assert_int_equal(rnl_batch_create(model, &c, &b, &error), RNL_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "row_cap"));
    assert_null(b);
    c = rnl_batch_config_default();
    c.memory_size_max = 1000;
    assert_int_equal(rnl_batch_create(model, &c, &b, &error), RNL_ERR_BUDGET);
    assert_int_equal(rnl_batch_create(NULL, NULL, &b, &error), RNL_ERR_ARGUMENT);
    b = open_batch(model, 16, 2);
    rnl_session_config own = config_of(model, 1);
    rnl_memory_plan in, alone, shared;
    assert_int_equal(rnl_session_plan_in(b, &own, &in, &error), RNL_OK);
    assert_int_equal(rnl_session_plan(model, &own, &alone, &error), RNL_OK);
    assert_int_equal(rnl_batch_plan(model, NULL, &shared, &error), RNL_OK);
    assert_int_equal(in.total, in.kv_cache + in.history + in.tokenizer + in.scratch + in.snapshots);
    assert_true(in.total < alone.total && in.backbone == 0);
    assert_true(in.tokenizer < alone.tokenizer / 2); /* the encoder is the batch's */
    assert_int_equal(shared.total,
                     shared.tokenizer + shared.backbone + shared.detokenizer + shared.scratch);
    own.context_cap = 4096; /* more than the batch's */
    rnl_session *s = NULL;
    assert_int_equal(rnl_session_create_in(b, &own, &s, &error), RNL_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "context_cap"));
    assert_null(s);
    rnl_batch_destroy(&b);
    assert_null(b);
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_says_what_each_says_alone),
        cmocka_unit_test(so_it_is_at_every_level),
        cmocka_unit_test(one_that_fails_fails_alone),
        cmocka_unit_test(items_that_cannot_be_change_nothing),
        cmocka_unit_test(clips_take_turns),
        cmocka_unit_test(configs_are_checked_and_memory_is_planned),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
