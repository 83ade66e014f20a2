/* Memory: nothing is allocated after a session is created, and any allocation that fails before
 * that is a sentence, not a crash or a leak.
 *
 * This program has an allocator of its own in front of glibc's, which counts, refuses and
 * forbids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <runnel/runnel_batch.h>
#include <runnel/runnel_live.h>

#include "core/json.h"
#include "tests/support/adapter.h"
#include "tests/support/prompt.h"
#include "tests/support/rig.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GUARDED 0
#else
#define GUARDED 1
#endif

static atomic_long allocated, live, refuse_at; /* refuse_at 0: never */
static atomic_bool counting;

#if GUARDED
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *old);
void *memalign(size_t align, size_t size);

/* Seen by the shared libraries, too: what they allocate counts. */
#pragma GCC visibility push(default)

/* True when this allocation shall fail. */
static bool refused(void) {
    if (!atomic_load(&counting)) return false;
    return atomic_fetch_add(&allocated, 1) + 1 == atomic_load(&refuse_at);
}

static void *counted(void *made) {
    if (made != NULL && atomic_load(&counting)) atomic_fetch_add(&live, 1);
    return made;
}

void *malloc(size_t size) {
    return refused() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size) {
    return refused() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *old, size_t size) {
    if (refused()) return NULL;
    void *made = __libc_realloc(old, size);
    return old == NULL ? counted(made) : made;
}

void *memalign(size_t align, size_t size) {
    return refused() ? NULL : counted(__libc_memalign(align, size));
}

void *aligned_alloc(size_t align, size_t size) {
    return memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size) {
    *out = memalign(align, size);
    return *out != NULL ? 0 : 12; /* ENOMEM */
}

void free(void *old) {
    if (old != NULL && atomic_load(&counting)) atomic_fetch_sub(&live, 1);
    __libc_free(old);
}
#pragma GCC visibility pop
#endif

static void begin_counting(long refuse) {
    atomic_store(&allocated, 0);
    atomic_store(&live, 0);
    atomic_store(&refuse_at, refuse);
    atomic_store(&counting, true);
}

static void end_counting(void) {
    atomic_store(&counting, false);
}

static void skip_unguarded(void) {
    if (GUARDED) return;
    printf("skipped: a sanitizer has its own allocator, which cannot be replaced\n");
    skip();
}

static void converse(rnl_session *s, const float *clip, float *sound, char *text) {
    rnl_error error;
    size_t got;
    const rnl_mode modes[] = {RNL_MODE_INTERLEAVED, RNL_MODE_TEXT, RNL_MODE_SPEAK};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rnl_session_add_audio(s, clip, 32000, i == 1 ? 44100 : 16000, &error),
                         RNL_OK);
        assert_int_equal(rnl_session_add_text(s, RNL_ROLE_USER, "and more", 8, &error), RNL_OK);
        rig_begin(s, modes[i], 30);
        rnl_status status;
        do {
            status = rnl_session_step(s, &error);
            assert_true(status >= 0);
            while (rnl_session_pull_text(s, text, 64, &got) == RNL_OK) continue;
            while (rnl_session_pull_samples(s, sound, 4096, &got) == RNL_OK) continue;
            if (status == RNL_OK && i == 0 && rnl_session_stage(s) == RNL_STAGE_GENERATE)
                assert_int_equal(rnl_session_snapshot(s, 0, &error), RNL_OK);
        } while (status != RNL_DONE);
    }
    assert_int_equal(rnl_session_restore(s, 0, &error), RNL_OK);
    rnl_session_reset(s);
}

static void nothing_is_allocated_after_create(void **state) {
    (void)state;
    skip_unguarded();
    static float sound[4096];
    char text[64];
    float *clip = rig_wav("audio/question.wav", 0, 32000);
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 3);
    begin_counting(0);
    converse(s, clip, sound, text);
    end_counting();
    assert_int_equal(atomic_load(&allocated), 0);
    /* The guard itself works: this is counted. */
    begin_counting(0);
    free(rig_wav("audio/question.wav", 0, 10));
    end_counting();
    assert_true(atomic_load(&allocated) > 0);
    free(clip);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

/* A spoken turn and its answer, interrupted; 10 ms at a time. Returns the turns that were told. */
static int live_turns(rnl_live *l, const float *mic, size_t count) {
    float sound[480];
    rnl_error error;
    int turns = 0;
    for (size_t at = 0; at + 160 <= count; at += 160) {
        const int64_t now = (int64_t)at * 1000000 / 16000;
        const rnl_live_sound x = {.mic = mic + at, .count = 160, .adc_us = now};
        size_t got;
        rnl_live_event e;
        assert_int_equal(rnl_live_push(l, &x, now, &got, &error), RNL_OK);
        do
            while (rnl_live_next_event(l, &e) == RNL_OK) turns += e.kind == RNL_LIVE_TURN;
        while (rnl_live_step(l, now, &error) == RNL_OK);
        (void)!rnl_live_pull(l, sound, 480, now, now, &got);
    }
    return turns;
}

static void nothing_is_allocated_while_talking(void **state) {
    (void)state;
    skip_unguarded();
    enum { QUESTION = 78463, COUNT = 16000 * 14 };
    float *clip = rig_wav("audio/question.wav", 0, QUESTION);
    float *mic = calloc(COUNT, sizeof *mic);
    assert_non_null(mic);
    memcpy(mic + 16000, clip, QUESTION * sizeof *clip);
    memcpy(mic + 16000 * 7, clip, QUESTION * sizeof *clip);
    rnl_model *model = rig_model("tiny");
    rnl_live_config config = rnl_live_config_default(model);
    config.rate_out = 48000;
    config.session.context_cap = 512;
    config.turn.step_max = 200;
    config.turn.text.temperature = 0.9f; /* random weights, greedy, give no sound */
    config.turn.text.top_k = 20;
    config.turn.text.repeat_penalty = 1.2f;
    rnl_live *l = NULL;
    rnl_error error = {0};
    assert_int_equal(rnl_live_create(model, &config, &l, &error), RNL_OK);
    begin_counting(0);
    const int turns = live_turns(l, mic, COUNT);
    end_counting();
    assert_int_equal(atomic_load(&allocated), 0);
    assert_true(turns > 0);
    rnl_live_destroy(&l);
    rnl_model_close(&model);
    free(mic);
    free(clip);
}

static void nothing_is_allocated_in_a_batch(void **state) {
    (void)state;
    skip_unguarded();
    enum { SESSIONS = 3, CLIP = 16000 };
    float *clip = rig_wav("audio/question.wav", 0, CLIP);
    rnl_model *model = adapter_model("tiny", true, NULL);
    rnl_batch *b = NULL;
    rnl_session *s[SESSIONS] = {NULL};
    rnl_session_config config = rnl_session_config_default();
    rnl_error error = {0};
    config.context_cap = 512;
    assert_int_equal(rnl_batch_create(model, NULL, &b, &error), RNL_OK);
    for (int i = 0; i < SESSIONS; i++) {
        config.adapter = rnl_model_adapter_name(model, i); /* of the last none */
        assert_int_equal(rnl_session_create_in(b, &config, &s[i], &error), RNL_OK);
    }
    begin_counting(0);
    for (int i = 0; i < SESSIONS; i++) {
        assert_int_equal(rnl_session_add_audio(s[i], clip, CLIP, 16000, &error), RNL_OK);
        rig_begin(s[i], RNL_MODE_INTERLEAVED, 40);
    }
    for (int left = SESSIONS; left > 0;) {
        rnl_batch_item items[SESSIONS];
        size_t got;
        float sound[1920];
        char text[256];
        for (int i = 0; i < SESSIONS; i++)
            items[i] = (rnl_batch_item){
                .session = s[i], .stage = rnl_session_stage(s[i]), .position_count = 64};
        rnl_batch_pass(b, items, SESSIONS);
        left = 0;
        for (int i = 0; i < SESSIONS; i++) {
            assert_true(items[i].status >= 0);
            left += items[i].status != RNL_DONE;
            while (rnl_session_pull_text(s[i], text, sizeof text, &got) == RNL_OK) continue;
            while (rnl_session_pull_samples(s[i], sound, 1920, &got) == RNL_OK) continue;
        }
    }
    end_counting();
    assert_int_equal(atomic_load(&allocated), 0);
    for (int i = 0; i < SESSIONS; i++) rnl_session_destroy(&s[i]);
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
    free(clip);
}

/* As live_turns, of a loop in a batch that also has a session. */
static int batch_turns(rnl_batch *b, rnl_live *l, rnl_session *s, const float *mic, size_t count) {
    float sound[1920];
    char text[256];
    rnl_error error;
    int turns = 0;
    for (size_t at = 0; at + 160 <= count; at += 160) {
        const int64_t now = (int64_t)at * 1000000 / 16000;
        const rnl_live_sound x = {.mic = mic + at, .count = 160, .adc_us = now};
        size_t got;
        rnl_live_event e;
        assert_int_equal(rnl_live_push(l, &x, now, &got, &error), RNL_OK);
        if (at == 16000) rig_begin(s, RNL_MODE_INTERLEAVED, 40);
        if (at == 16000) rnl_batch_want(s, RNL_WANT_SPEECH, now);
        do {
            assert_true(rnl_live_listen(l, now, &error) >= 0);
            while (rnl_live_next_event(l, &e) == RNL_OK) turns += e.kind == RNL_LIVE_TURN;
            while (rnl_session_pull_text(s, text, sizeof text, &got) == RNL_OK) continue;
            while (rnl_session_pull_samples(s, sound, 1920, &got) == RNL_OK) continue;
        } while (rnl_batch_step(b, now) == RNL_OK);
        (void)!rnl_live_pull(l, sound, 480, now, now, &got);
    }
    return turns;
}

static void nothing_is_allocated_while_many_talk(void **state) {
    (void)state;
    skip_unguarded();
    enum { QUESTION = 78463, COUNT = 16000 * 12 };
    float *clip = rig_wav("audio/question.wav", 0, QUESTION);
    float *mic = calloc(COUNT, sizeof *mic);
    assert_non_null(mic);
    memcpy(mic + 16000, clip, QUESTION * sizeof *clip);
    rnl_model *model = rig_model("tiny");
    rnl_live_config config = rnl_live_config_default(model);
    config.rate_out = 48000;
    config.session.context_cap = 512;
    config.turn.step_max = 100;
    rnl_batch *b = NULL;
    rnl_live *l = NULL;
    rnl_session *s = NULL;
    rnl_error error = {0};
    assert_int_equal(rnl_batch_create(model, NULL, &b, &error), RNL_OK);
    assert_int_equal(rnl_live_create_in(b, &config, &l, &error), RNL_OK);
    assert_int_equal(rnl_session_create_in(b, &config.session, &s, &error), RNL_OK);
    begin_counting(0);
    const int turns = batch_turns(b, l, s, mic, COUNT);
    end_counting();
    assert_int_equal(atomic_load(&allocated), 0);
    assert_true(turns > 0);
    rnl_live_destroy(&l);
    rnl_session_destroy(&s);
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
    free(mic);
    free(clip);
}

static void nothing_is_allocated_by_experts(void **state) {
    (void)state;
    skip_unguarded();
    static float logits[40 * 256];
    int32_t ids[40];
    for (int i = 0; i < 40; i++) ids[i] = 7 * i % 256;
    for (int fast = 0; fast < 2; fast++) {
        const char *path = "moe/moe-Q4_0.gguf";
        rnl_model *model = fast == 1 ? rig_model_fast(path) : rig_model(path);
        rnl_session *s = rig_session(model, 2);
        begin_counting(0);
        prompt_run(s, ids, 30, 30, logits);
        prompt_run(s, ids + 30, 10, 1, logits);
        end_counting();
        assert_int_equal(atomic_load(&allocated), 0);
        rnl_session_destroy(&s);
        rnl_model_close(&model);
    }
}

/* Opens a model, a session and a batch with one, the n-th allocation refused; true when all was
 * opened. */
static bool open_all(const char *path, long n) {
    rnl_session_config config = rnl_session_config_default();
    config.context_cap = 64;
    config.thread_count = 2;
    rnl_model *model = NULL;
    rnl_session *s = NULL, *other = NULL;
    rnl_batch *b = NULL;
    rnl_error error = {0};
    begin_counting(n);
    rnl_status status = rnl_model_open(path, NULL, &model, &error);
    if (status == RNL_OK) status = rnl_session_create(model, &config, &s, &error);
    if (status == RNL_OK) status = rnl_batch_create(model, NULL, &b, &error);
    if (status == RNL_OK) status = rnl_session_create_in(b, &config, &other, &error);
    const bool open = status == RNL_OK;
    const bool asked = atomic_load(&allocated) >= n;
    rnl_session_destroy(&s);
    rnl_session_destroy(&other);
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
    end_counting();
    if (!open && error.text[0] == '\0') fail_msg("allocation %ld: no sentence", n);
    /* What a library keeps for itself (stdio, threads) shows as a few blocks, not as a leak that
     * grows with the model. */
    if (atomic_load(&live) > 8) fail_msg("allocation %ld: %ld blocks left", n, atomic_load(&live));
    if (!asked && !open) fail_msg("%ld allocations and yet: %s", n, error.text);
    return !asked;
}

/* Models without sound: FFTW ends the process when its planner finds no memory, and nothing can be
 * done about that. */
static void any_allocation_may_fail(void **state) {
    (void)state;
    skip_unguarded();
    char alone[] = "/tmp/runnel-alloc-XXXXXX", file[64];
    assert_non_null(mkdtemp(alone));
    (void)snprintf(file, sizeof file, "%s/text.gguf", alone); /* the other three are not found */
    assert_int_equal(symlink(TEST_DATA "/gguf/tiny-F16.gguf", file), 0);
    /* Every allocation of the small folder; of the file with a vocabulary each 37th. */
    const struct {
        const char *path;
        long step;
    } models[] = {{TEST_DATA "/dense/tied", 1},
                  {file, 37},
                  {TEST_DATA "/moe/scaled", 7},
                  {TEST_DATA "/moe/moe-Q4_0.gguf", 3}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        long n = 1;
        while (!open_all(models[i].path, n)) n += models[i].step;
        printf("%s: %ld allocations\n", models[i].path, n);
        assert_true(n > 100);
    }
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(alone), 0);
}

/* A line as `--json` writes them. */
static char *build_line(void) {
    json_draft *o = json_new_object(), *words = json_new_array();
    for (int i = 0; i < 20; i++) {
        json_draft *word = json_new_object();
        json_set(word, "word", json_new_string("hello", 5));
        json_set(word, "start", json_new_number(0.5 * i));
        json_append(words, word);
    }
    json_set(o, "words", words);
    json_set(o, "tokens", json_new_int(20));
    char *line = json_text(o);
    json_drop(&o);
    return line;
}

/* An allocation that fails while a line is built leaves no line, never one without its words. */
static void a_line_of_json_is_whole_or_none(void **state) {
    (void)state;
    skip_unguarded();
    char *whole = build_line();
    assert_non_null(whole);
    long n = 1;
    for (bool refused_one = true; refused_one; n++) {
        begin_counting(n);
        char *line = build_line();
        refused_one = atomic_load(&allocated) >= n;
        end_counting();
        if (refused_one && line != NULL) fail_msg("allocation %ld: %s", n, line);
        if (!refused_one) assert_string_equal(line, whole);
        free(line);
        assert_int_equal(atomic_load(&live), refused_one ? 0 : 1); /* nothing but the line */
    }
    assert_true(n > 100);
    free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_allocated_after_create),
        cmocka_unit_test(nothing_is_allocated_while_talking),
        cmocka_unit_test(nothing_is_allocated_in_a_batch),
        cmocka_unit_test(nothing_is_allocated_while_many_talk),
        cmocka_unit_test(nothing_is_allocated_by_experts),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(a_line_of_json_is_whole_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
