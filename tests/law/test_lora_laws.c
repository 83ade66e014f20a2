/* Adapters in conversations with sound: the bits depend on the adapter and on nothing else, and
 * what it adds in the backbone, the audio adapter and the depthformer is what the same model says
 * that has it in its weights. Batches: tests/api/test_batch.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/convert.h"
#include "engine/session.h"
#include "tests/support/adapter.h"
#include "tests/support/folder.h"
#include "tests/support/golden.h"
#include "tests/support/rig.h"

static rnl_error error;

static rnl_session *open_session(rnl_model *model, const char *adapter, int threads, int step) {
    rnl_session_config c = rnl_session_config_default();
    rnl_session *s = NULL;
    c.context_cap = 512;
    c.clip_seconds_max = 4;
    c.thread_count = threads;
    c.step_positions = step;
    c.adapter = adapter;
    if (rnl_session_create(model, &c, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    return s;
}

static rig_result talk(rnl_session *s) {
    rig_clip_a(s);
    rig_text(s, RNL_ROLE_USER, "one two three");
    rig_begin(s, RNL_MODE_INTERLEAVED, 40);
    return rig_run(s);
}

static void assert_same(rnl_session *s, const rig_result *x, rnl_session *other,
                        const rig_result *y) {
    const size_t cells =
        (size_t)s->live->position_count * (size_t)backbone_width(&s->model->backbone);
    assert_int_equal(s->live->position_count, other->live->position_count);
    assert_memory_equal(s->embeddings, other->embeddings, cells * sizeof(float));
    assert_string_equal(x->text, y->text);
    assert_int_equal(x->sample_count, y->sample_count);
    assert_memory_equal(x->samples, y->samples, x->sample_count * sizeof *x->samples);
}

static void no_cut_and_no_thread_changes_a_bit(void **state) {
    (void)state;
    rnl_model *model = adapter_model("gguf/tiny-Q4_0.gguf", false, NULL);
    static const struct { int threads, step; } ways[] = {{1, 128}, {2, 128}, {4, 7}, {1, 1}};
    rnl_session *first = NULL;
    rig_result said = {0};
    for (int i = 0; i < 4; i++) {
        rnl_session *s = open_session(model, "two", ways[i].threads, ways[i].step);
        rig_result r = talk(s);
        if (i > 0) assert_same(first, &said, s, &r);
        if (i == 0) {
            first = s;
            said = r;
            continue;
        }
        rnl_session_reset(s); /* fresh, with the same adapter */
        rig_free(&r);
        r = talk(s);
        assert_same(first, &said, s, &r);
        rig_free(&r);
        rnl_session_destroy(&s);
    }
    rnl_session_destroy(&first);
    rig_free(&said);
    rnl_model_close(&model);
}

static void who_chooses_none_hears_the_base(void **state) {
    (void)state;
    rnl_model *base = rig_model_fast("gguf/tiny-Q4_0.gguf");
    rnl_model *model = adapter_model("gguf/tiny-Q4_0.gguf", false, NULL);
    rnl_session *s = open_session(base, NULL, 2, 128), *none = open_session(model, NULL, 2, 128);
    rnl_session *one = open_session(model, "one", 2, 128);
    rig_result x = talk(s), y = talk(none), z = talk(one);
    assert_same(s, &x, none, &y);
    assert_memory_not_equal(s->embeddings, one->embeddings,
                            (size_t)s->live->position_count *
                                (size_t)backbone_width(&base->backbone) * sizeof(float));
    rig_free(&x);
    rig_free(&y);
    rig_free(&z);
    rnl_session_destroy(&s);
    rnl_session_destroy(&none);
    rnl_session_destroy(&one);
    rnl_model_close(&model);
    rnl_model_close(&base);
}

/* What a session has computed when its prompt and its first frame are through. */
typedef struct seen {
    float *rows, *hidden, *logits;
    size_t row_cells, width, logit_cells;
} seen;

static float *copy(const float *from, size_t count) {
    float *to = malloc(count * sizeof *to);
    assert_non_null(to);
    memcpy(to, from, count * sizeof *to);
    return to;
}

static seen look(rnl_session *s) {
    seen e = {.width = (size_t)backbone_width(&s->model->backbone)};
    const pass *p = s->pass;
    rnl_turn_config turn = rnl_turn_config_default(s->model, RNL_MODE_SPEAK);
    turn.text = turn.audio = rnl_sampling_plain(0, 1);
    rig_clip_a(s);
    if (rnl_session_begin(s, &turn, &error) != RNL_OK) fail_msg("%s", error.text);
    /* The first decision of a reply that is spoken may be a text; the hidden row counts. */
    while (s->live->step_count == 0)
        if (rnl_session_step(s, &error) < 0) fail_msg("%s", error.text);
    e.hidden = copy(p->hidden, e.width);
    compute c = session_compute(s);
    int32_t codes[RNL_CODEBOOK_CAP];
    depth_row row = {.how = turn.audio, .random = &s->live->random, .codes = codes};
    depth_frames(&s->pass->depth, &c, e.hidden, &row, 1);
    e.row_cells = (size_t)s->live->backbone.position * e.width;
    e.rows = copy(s->embeddings, e.row_cells);
    e.logit_cells = (size_t)p->depth.w->code_count; /* of the first codebook: no choice before it */
    e.logits = copy(p->depth.logits, e.logit_cells);
    return e;
}

static void compare(const seen *a, const seen *b, double tolerance) {
    assert_int_equal(a->row_cells, b->row_cells);
    golden_compare("rows of the clip", a->rows, b->rows, a->row_cells, tolerance, tolerance);
    golden_compare("hidden", a->hidden, b->hidden, a->width, tolerance, tolerance);
    golden_compare("depthformer", a->logits, b->logits, a->logit_cells, tolerance, tolerance);
}

static void forget(seen *e) {
    free(e->rows);
    free(e->hidden);
    free(e->logits);
}

static void merged_weights_say_the_same(void **state) {
    char path[PATH_CAP];
    name_in(*state, "merged.gguf", path);
    rnl_model *model = adapter_model("tiny", true, NULL);
    const convert_config config = {.path = path,
                                   .recipe = recipe_find("f32"),
                                   .adapter = adapters_find(model, "two"),
                                   .thread_count = 2};
    if (convert_model(model, &config, &error) != RNL_OK) fail_msg("%s", error.text);
    rnl_model *merged = rig_model(path);
    rnl_session *s = open_session(model, "two", 2, 128),
                *other = open_session(merged, NULL, 2, 128);
    seen a = look(s), b = look(other);
    compare(&a, &b, 2e-4);
    rnl_session_destroy(&s);
    s = open_session(model, NULL, 2, 128);
    seen base = look(s);
    double apart = 0;
    for (size_t i = 0; i < base.logit_cells; i++) {
        const double by = (double)(base.logits[i] - a.logits[i]);
        apart += by * by;
    }
    assert_true(apart / (double)base.logit_cells > 1e-2); /* it does change what it says */
    forget(&a);
    forget(&b);
    forget(&base);
    rnl_session_destroy(&s);
    rnl_session_destroy(&other);
    rnl_model_close(&merged);
    rnl_model_close(&model);
}

/* What the head gets is added to logits, and to no embedding, though both are one table here. */
static void a_table_that_serves_as_head_is_changed_as_head_only(void **state) {
    char path[PATH_CAP];
    name_in(*state, "merged.gguf", path);
    rnl_model *model = adapter_model("tiny", true, NULL);
    const size_t vocab = (size_t)backbone_vocab_count(&model->backbone);
    const size_t width = (size_t)backbone_width(&model->backbone), rank = 3;
    const adapter_set *one = adapters_find(model, "one");
    const linear_pair *pair = one->adds.pairs[model->backbone.head.tensor - 1];
    rnl_session *s = open_session(model, "one", 2, 128), *none = open_session(model, NULL, 2, 128);
    float *hidden = malloc(width * sizeof *hidden);
    assert_non_null(hidden);
    for (size_t i = 0; i < width; i++) hidden[i] = (float)((int)(i * 7 % 11) - 5);
    compute c = session_compute(s);
    backbone_logits(&model->backbone, &c, hidden, s->pass->logits, 1);
    c = session_compute(none);
    backbone_logits(&model->backbone, &c, hidden, none->pass->logits, 1);
    const float *down = (const float *)pair->down.data, *up = (const float *)pair->up.data;
    for (size_t k = 0; k < rank; k++) {
        double low = 0;
        for (size_t i = 0; i < width; i++) low += (double)(down[k * width + i] * hidden[i]);
        for (size_t v = 0; v < vocab; v++)
            none->pass->logits[v] += (float)((double)(pair->scale * up[v * rank + k]) * low);
    }
    golden_compare("logits", s->pass->logits, none->pass->logits, vocab, 1e-3, 1e-4);
    free(hidden);
    rnl_session_destroy(&s);
    rnl_session_destroy(&none);
    const convert_config config = {
        .path = path, .recipe = recipe_find("f32"), .adapter = one, .thread_count = 2};
    assert_int_equal(convert_model(model, &config, &error), RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "lm_head"));
    assert_int_equal(entry_count(*state), 0);
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_cut_and_no_thread_changes_a_bit),
        cmocka_unit_test(who_chooses_none_hears_the_base),
        IN_FOLDER(merged_weights_say_the_same),
        IN_FOLDER(a_table_that_serves_as_head_is_changed_as_head_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
