/* What holds of learning whatever the model: gradients are those of the loss (finite differences),
 * and near them in BF16; neither threads nor recomputation change a bit; forward is the engine's,
 * also with what was learnt. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "learn/result.h"
#include "tests/support/folder.h"
#include "tests/support/learn_rig.h"
#include "tests/support/levels.h"
#include "tests/support/prompt.h"
#include "tests/support/rig.h"

/* ---- Micro batches ---- */

typedef struct made_batch {
    learn_rig_batch b;
    float *heard;
    int32_t frames[LEARN_RIG_ROWS * 8];
} made_batch;

static int below(random_state *r, int count) {
    return (int)(random_unit(r) * count);
}

/* Runs of these lengths: text, and in audio models heard rows and frames between; most rows are
 * learnt from. */
static made_batch *make_batch(const rnl_model *m, const int *lengths, int count, uint64_t seed) {
    const int vocab = backbone_vocab_count(&m->backbone), books = m->backbone.codebook_count;
    made_batch *made = calloc(1, sizeof *made);
    learn_rig_batch *b = &made->b;
    random_state r;
    random_seed(&r, seed);
    learn_rig_fill(b, NULL, NULL, NULL, 0, 0);
    for (int run = 0; run < count; run++) {
        for (int t = 0; t < lengths[run]; t++) {
            const int at = b->b.rows.count++;
            const int kind = books > 0 && t > 1 ? below(&r, 3) : 0;
            b->ids[at] = kind == 0   ? below(&r, vocab)
                         : kind == 1 ? LEARN_ROW_HEARD
                                     : LEARN_ROW_FRAME;
            if (kind == 0 && t > 0 && below(&r, 8) != 0) {
                b->text_at[b->b.text_count] = at - 1;
                b->text_ids[b->b.text_count++] = b->ids[at];
            } else if (kind == 2) {
                for (int k = 0; k < books; k++)
                    made->frames[b->b.frame_count * books + k] = below(&r, m->backbone.code_count);
                b->frame_at[b->b.label_frame_count] = at - 1;
                b->frame_of[b->b.label_frame_count++] = b->b.frame_count++;
            }
            b->b.heard_count += kind == 1;
        }
        b->begin[++b->b.rows.run_count] = b->b.rows.count;
    }
    const size_t cells = books > 0 ? (size_t)b->b.heard_count * (size_t)m->adapter.up.col_count : 0;
    made->heard = malloc((cells + 1) * sizeof *made->heard);
    for (size_t i = 0; i < cells; i++) made->heard[i] = (float)(2 * random_unit(&r) - 1);
    b->b.heard = made->heard;
    b->b.frames = made->frames;
    b->b.text_weight = b->b.frame_weight = 1.0 / (b->b.text_count + b->b.label_frame_count);
    return made;
}

static void drop_batch(made_batch *b) {
    free(b->heard);
    free(b);
}

static const int some_lengths[] = {9, 1, 23, 4};
enum { SOME_COUNT = 4 };

/* Adapters on all matrices that can have one, away from their start. */
static learn_config all_adapters(const rnl_model *m) {
    learn_config c = learn_rig_adapters(3, 0.7f);
    c.choice.modules[LEARN_BACKBONE] |= 1u << LEARN_LM_HEAD;
    if (m->backbone.codebook_count > 0)
        for (int i = 0; i < LEARN_MODULE_COUNT; i++) c.choice.modules[LEARN_AUDIO] |= 1u << i;
    return c;
}

static void shake(const learn_network *n, uint64_t seed) {
    random_state r;
    random_seed(&r, seed);
    for (int i = 0; i < n->tensors.count; i++)
        for (size_t k = 0; k < n->tensors.all[i].count; k++)
            n->tensors.all[i].value[k] += (float)(0.1 * (2 * random_unit(&r) - 1));
}

/* ---- Finite differences ---- */

/* Only a run that learns leaves something out. */
static double loss_of(learn_network *n, const learn_batch *b) {
    const learn_result r = learn_network_run(n, b, n->dropout.share > 0);
    return b->text_weight * r.text_nll + b->frame_weight * r.frame_loss;
}

/* Moves tensors [begin, end) by step times their random directions, of which the seed says all. */
static void move(const learn_network *n, float *const *saved, int begin, int end, double step,
                 uint64_t seed) {
    random_state r;
    random_seed(&r, seed);
    for (int i = begin; i < end; i++)
        for (size_t k = 0; k < n->tensors.all[i].count; k++)
            n->tensors.all[i].value[k] =
                (float)((double)saved[i][k] + step * (2 * random_unit(&r) - 1));
}

/* The derivative along the direction by the gradients. */
static double along(const learn_network *n, int begin, int end, uint64_t seed, double *size) {
    random_state r;
    double sum = 0, squares = 0;
    random_seed(&r, seed);
    for (int i = begin; i < end; i++)
        for (size_t k = 0; k < n->tensors.all[i].count; k++) {
            const double d = 2 * random_unit(&r) - 1, g = (double)n->tensors.all[i].grad[k];
            sum += d * g;
            squares += g * g;
        }
    *size = sqrt(squares / 3);
    return sum;
}

/* Three step sizes, of which the best counts; the loss is a sum in double of float32 logits, which
 * leaves some 1e-7 of it open. */
static void check_direction(learn_network *n, const learn_batch *b, float *const *saved, int begin,
                            int end, const char *what) {
    static const double steps[] = {1e-2, 2e-3, 3e-4};
    double size, best = INFINITY, found = 0;
    uint64_t seed = 77;
    if (n->dropout.share > 0) {
        learn_tensors_clear(&n->tensors);
        (void)loss_of(n, b);
    }
    double want = along(n, begin, end, seed, &size);
    while (fabs(want) < 0.3 * size && seed < 100) want = along(n, begin, end, ++seed, &size);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        move(n, saved, begin, end, steps[i], seed);
        const double above = loss_of(n, b);
        move(n, saved, begin, end, -steps[i], seed);
        const double got = (above - loss_of(n, b)) / (2 * steps[i]);
        const double off = fabs(got - want) / (fabs(want) + 2e-7 / steps[i]);
        if (off < best) best = off, found = got;
    }
    move(n, saved, begin, end, 0, seed);
    if (!(best <= 1e-2)) fail_msg("%s: %.6g by differences, %.6g by gradients", what, found, want);
}

static void check_differences(const rnl_model *m, const learn_config *config, const char *name) {
    learn_network *n = learn_rig_network(m, config);
    made_batch *made = make_batch(m, some_lengths, SOME_COUNT, 5);
    const learn_batch *b = &made->b.b;
    const int count = n->tensors.count;
    float **saved = calloc((size_t)count, sizeof *saved);
    if (!config->choice.full) shake(n, 3);
    for (int i = 0; i < count; i++) {
        const size_t size = n->tensors.all[i].count * sizeof **saved;
        saved[i] = malloc(size);
        memcpy(saved[i], n->tensors.all[i].value, size);
    }
    (void)learn_network_run(n, b, true);
    check_direction(n, b, saved, 0, count, name);
    const int step = rig_rounds(2) == 1 ? count / 3 + 1 : count > 40 ? 7 : 1;
    for (int i = 0; i < count; i += step)
        check_direction(n, b, saved, i, i + 1, n->tensors.all[i].name);
    printf("%s: %d tensors\n", name, count);
    for (int i = 0; i < count; i++) free(saved[i]);
    free(saved);
    drop_batch(made);
    learn_network_destroy(&n);
}

static void gradients_are_those_of_the_loss(void **state) {
    (void)state;
    static const char *const models[] = {"quality/base", "dense/untied", "dense/taps5", "tiny",
                                         "stack/all"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        rnl_model *m = rig_model(models[i]);
        const learn_config all = learn_rig_config();
        check_differences(m, &all, models[i]);
        rnl_model_close(&m);
    }
}

static void adapters_of_frozen_quantised_weights_learn(void **state) {
    (void)state;
    rnl_model *m = rig_model("gguf/tiny-Q4_0.gguf");
    const learn_config config = all_adapters(m);
    check_differences(m, &config, "tiny-Q4_0");
    rnl_model_close(&m);
}

/* ---- Dropout ---- */

static void gradients_with_dropout_are_those_of_the_loss(void **state) {
    (void)state;
    static const char *const models[] = {"dense/taps5", "tiny"};
    for (int i = 0; i < 2; i++) {
        rnl_model *m = rig_model(models[i]);
        learn_config config = all_adapters(m);
        config.choice.dropout = 0.3;
        config.keeps_all = i == 0;
        check_differences(m, &config, "with dropout");
        rnl_model_close(&m);
    }
}

/* Of 4,000 inputs: how many are left, and the mean, which stays; another key, matrix or row leaves
 * out others, and back goes what came. */
static void dropout_keeps_the_mean(void **state) {
    (void)state;
    enum { ROWS = 20, COLS = 203 };
    learn_dropout d = {.share = 0.25, .active = true, .key = 5};
    pool *p = NULL;
    assert_int_equal(pool_create(2, &p), RNL_OK);
    const compute c = {.pool = p};
    float x[ROWS * COLS], y[4][ROWS * COLS], back[ROWS * COLS] = {0};
    double sum = 0;
    for (int i = 0; i < ROWS * COLS; i++) x[i] = 3;
    for (int i = 0; i < 4; i++) {
        d.key = i == 1 ? 6 : 5;
        learn_drop(&d, &c, i == 2 ? 8 : 7, x, COLS, y[i], COLS, ROWS);
    }
    learn_drop_back(&d, &c, 7, x, COLS, back, COLS, ROWS);
    assert_memory_equal(back, y[0], sizeof back);
    assert_memory_equal(y[3], y[0], sizeof *y);
    int same[4] = {0};
    for (int i = 0; i < ROWS * COLS; i++) {
        assert_true(y[0][i] == 0 || y[0][i] == 4);
        sum += (double)y[0][i];
        for (int k = 1; k < 3; k++) same[k] += y[k][i] == y[0][i];
        same[3] += i >= COLS && y[0][i] == y[0][i - COLS];
    }
    assert_true(fabs(sum / (ROWS * COLS) - 3) < 0.1);
    for (int k = 1; k < 4; k++) /* two independent draws are the same in 62.5 % */
        assert_true(abs(same[k] - 5 * ROWS * COLS / 8) < 4 * ROWS * COLS / 50);
    pool_destroy(&p);
}

/* ---- The same bits ---- */

/* All gradients of a model with this configuration, behind each other; free() it. */
static float *gradients(const rnl_model *m, const learn_config *config, size_t *count) {
    learn_network *n = learn_rig_network(m, config);
    made_batch *made = make_batch(m, some_lengths, SOME_COUNT, 6);
    if (!config->choice.full) shake(n, 4);
    (void)learn_network_run(n, &made->b.b, true);
    (void)learn_network_run(n, &made->b.b, true); /* once more: gradients add up */
    *count = 0;
    for (int i = 0; i < n->tensors.count; i++) *count += n->tensors.all[i].count;
    float *all = malloc(*count * sizeof *all);
    size_t at = 0;
    for (int i = 0; i < n->tensors.count; i++) {
        memcpy(all + at, n->tensors.all[i].grad, n->tensors.all[i].count * sizeof *all);
        at += n->tensors.all[i].count;
    }
    drop_batch(made);
    learn_network_destroy(&n);
    return all;
}

static void check_same(const rnl_model *m, learn_config config) {
    size_t count, again;
    float *want = gradients(m, &config, &count);
    for (int variant = 0; variant < 4; variant++) {
        static const int threads[] = {2, 3, 4, 2};
        config.thread_count = threads[variant];
        config.keeps_all = variant < 2;
        config.row_cap = variant == 3 ? 64 : LEARN_RIG_ROWS; /* less memory, other tiles */
        float *got = gradients(m, &config, &again);
        assert_int_equal(count, again);
        for (size_t i = 0; i < count; i++)
            if (memcmp(&got[i], &want[i], sizeof *got) != 0)
                fail_msg("variant %d: gradient %zu of %zu is %a instead of %a", variant, i, count,
                         (double)got[i], (double)want[i]);
        free(got);
    }
    free(want);
}

static void neither_threads_nor_recomputation_change_a_bit(void **state) {
    (void)state;
    rnl_model *m = rig_model("tiny");
    check_same(m, learn_rig_config());
    rnl_model_close(&m);
    m = rig_model("gguf/tiny-Q4_0.gguf");
    learn_config config = all_adapters(m);
    check_same(m, config);
    config.choice.dropout = 0.2;
    check_same(m, config);
    rnl_model_close(&m);
    m = rig_model("stack/all");
    check_same(m, learn_rig_config());
    rnl_model_close(&m);
    m = rig_model_scalar("quality/base", true); /* whose memory TSan sees */
    check_same(m, learn_rig_config());
    rnl_model_close(&m);
}

/* ---- BF16 ---- */

/* How far the gradients of each tensor are apart, by the rms of its own: the mean of all tensors,
 * and the most. */
static double distance(const learn_network *a, const learn_network *b, double *most) {
    double sum = 0;
    *most = 0;
    for (int i = 0; i < a->tensors.count; i++) {
        const float *x = a->tensors.all[i].grad, *y = b->tensors.all[i].grad;
        double off = 0, all = 1e-30;
        for (size_t k = 0; k < a->tensors.all[i].count; k++) {
            off += pow((double)x[k] - (double)y[k], 2);
            all += pow((double)x[k], 2);
        }
        sum += sqrt(off / all);
        if (!(sqrt(off / all) <= *most)) *most = sqrt(off / all);
    }
    return sum / a->tensors.count;
}

static void round_values(const learn_network *n) {
    for (int i = 0; i < n->tensors.count; i++) {
        const learn_tensor *t = &n->tensors.all[i];
        for (size_t k = 0; k < t->count; k++) {
            uint16_t bf16;
            assert_true(quant_quantise(QUANT_BF16, &t->value[k], &bf16, 1));
            quant_dequantise(QUANT_BF16, &bf16, &t->value[k], 1);
        }
    }
}

/* BF16 in products does to gradients what BF16 in the values alone does, or little more: how much
 * that is depends on the model. */
static void check_near(const rnl_model *m, double bar) {
    made_batch *made = make_batch(m, some_lengths, SOME_COUNT, 6);
    learn_config config = learn_rig_config();
    learn_network *plain = learn_rig_network(m, &config), *other = learn_rig_network(m, &config);
    config.bf16 = &levels[0];
    learn_network *near = learn_rig_network(m, &config);
    round_values(other);
    const learn_result a = learn_network_run(plain, &made->b.b, true);
    const learn_result b = learn_network_run(near, &made->b.b, true);
    (void)learn_network_run(other, &made->b.b, true);
    assert_true(fabs(a.text_nll - b.text_nll) < 1e-2 * a.text_nll && a.text_nll != b.text_nll);
    assert_true(fabs(a.frame_loss - b.frame_loss) <= 1e-2 * a.frame_loss);
    double most, rounded_most;
    const double mean = distance(plain, near, &most);
    const double rounded = distance(plain, other, &rounded_most);
    printf("in BF16 (%s): %.2f %%, at most %.2f %%; by values in BF16 %.2f and %.2f %%\n",
           levels[0].name, 100 * mean, 100 * most, 100 * rounded, 100 * rounded_most);
    assert_true(mean < bar && mean < 2 * rounded);
    drop_batch(made);
    learn_network_destroy(&plain);
    learn_network_destroy(&other);
    learn_network_destroy(&near);
}

static void gradients_in_bf16_are_near(void **state) {
    (void)state;
    if (level_count == 0) skip();
    rnl_model *m = rig_model("quality/base");
    check_near(m, 0.03);
    rnl_model_close(&m);
    m = rig_model("tiny");
    check_near(m, 0.1);
    rnl_model_close(&m);
    m = rig_model("gguf/tiny-Q4_0.gguf");
    learn_config config = all_adapters(m);
    config.bf16 = &levels[0];
    check_same(m, config);
    rnl_model_close(&m);
}

/* ---- Forward ---- */

/* The sum of -ln p of a text by the engine, with an adapter or NULL: 32 rows of logits at a time or
 * all, which is one. */
static double engine_nll(rnl_model *m, const char *adapter, const int32_t *ids, int count) {
    const int vocab = backbone_vocab_count(&m->backbone);
    rnl_session_config session = rnl_session_config_default();
    rnl_session *s = NULL;
    rnl_error error = {0};
    session.context_cap = 512;
    session.thread_count = 2;
    session.adapter = adapter;
    if (rnl_session_create(m, &session, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    float *logits = malloc((size_t)count * (size_t)vocab * sizeof *logits);
    prompt_run(s, ids, count, s->config.step_positions, logits);
    double nll = 0;
    for (int t = 0; t + 1 < count; t++) {
        float *x = logits + (size_t)t * (size_t)vocab;
        const double own = x[ids[t + 1]];
        double log_sum;
        m->kernels.softmax(x, vocab, &log_sum);
        nll += log_sum - own;
    }
    free(logits);
    rnl_session_destroy(&s);
    return nll;
}

static void forward_is_the_engines_bit_for_bit(void **state) {
    (void)state;
    static const char *const models[] = {"quality/base", "dense/untied",        "dense/taps5",
                                         "tiny",         "gguf/tiny-Q4_0.gguf", "stack/all"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        rnl_model *m = rig_model(models[i]);
        learn_config config = all_adapters(m);
        config.thread_count = 2;
        config.choice.scale = 0; /* adapters that add nothing */
        learn_network *n = learn_rig_network(m, &config);
        shake(n, 9);
        learn_rig_batch b;
        int32_t ids[150];
        random_state r;
        random_seed(&r, i);
        for (int t = 0; t < 150; t++) ids[t] = below(&r, backbone_vocab_count(&m->backbone));
        learn_rig_fill(&b, ids, ids, NULL, 1, 150);
        const double got = learn_network_run(n, &b.b, false).text_nll;
        const double want = engine_nll(m, NULL, ids, 150);
        if (got != want) fail_msg("%s: %.17g instead of %.17g", models[i], got, want);
        learn_network_destroy(&n);
        rnl_model_close(&m);
    }
}

/* What was learnt with is what is used: an adapter written, opened by the engine and chosen by a
 * session foresees as it did here, bit for bit. */
static void an_adapter_is_used_as_it_was_learnt(void **state) {
    const folder *f = *state;
    static const char *const models[] = {"dense/untied", "tiny", "gguf/tiny-Q4_0.gguf"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        rnl_model *m = rig_model(models[i]);
        rnl_error error = {0};
        learn_config config = all_adapters(m);
        config.thread_count = 2;
        config.choice.scale = 2;
        learn_network *n = learn_rig_network(m, &config);
        shake(n, 9);
        learn_rig_batch b;
        int32_t ids[150];
        random_state r;
        random_seed(&r, i);
        for (int t = 0; t < 150; t++) ids[t] = below(&r, backbone_vocab_count(&m->backbone));
        learn_rig_fill(&b, ids, ids, NULL, 1, 150);
        const double got = learn_network_run(n, &b.b, false).text_nll;
        if (learn_adapter_write(n, f->path, "base", false, &error) != RNL_OK)
            fail_msg("%s", error.text);
        learn_network_destroy(&n);
        rnl_model_close(&m);
        const rnl_adapter_config adapter = {.name = "it", .path = f->path, .scale = 1};
        rnl_model_config open = rnl_model_config_default();
        char path[1024];
        (void)snprintf(path, sizeof path, "%s/%s", TEST_DATA, models[i]);
        open.exact = true;
        open.adapters = &adapter;
        open.adapter_count = 1;
        if (rnl_model_open(path, &open, &m, &error) != RNL_OK) fail_msg("%s", error.text);
        const double want = engine_nll(m, "it", ids, 150), base = engine_nll(m, NULL, ids, 150);
        if (got != want || got == base)
            fail_msg("%s: %.17g, and the engine %.17g, without it %.17g", models[i], got, want,
                     base);
        rnl_model_close(&m);
    }
}

/* Runs side by side are the runs one by one. */
static void packing_changes_no_loss(void **state) {
    (void)state;
    rnl_model *m = rig_model("dense/taps5");
    const learn_config config = learn_rig_config();
    learn_network *n = learn_rig_network(m, &config);
    int32_t ids[96], segments[96];
    random_state r;
    random_seed(&r, 8);
    double apart = 0;
    learn_rig_batch b;
    for (int t = 0; t < 96; t++) {
        ids[t] = below(&r, backbone_vocab_count(&m->backbone));
        segments[t] = t < 40 ? 0 : t < 43 ? 1 : t < 90 ? 2 : -1;
    }
    static const int begin[] = {0, 40, 43, 90};
    for (int i = 0; i < 3; i++) {
        learn_rig_fill(&b, ids + begin[i], ids + begin[i], NULL, 1, begin[i + 1] - begin[i]);
        apart += learn_network_run(n, &b.b, false).text_nll;
    }
    learn_rig_fill(&b, ids, ids, segments, 1, 96);
    const double together = learn_network_run(n, &b.b, false).text_nll;
    assert_true(fabs(together - apart) <= 1e-12 * apart);
    learn_network_destroy(&n);
    rnl_model_close(&m);
}

/* ---- Refusals ---- */

static void what_does_not_learn_is_refused(void **state) {
    (void)state;
    const learn_config config = learn_rig_config();
    static const struct { const char *path, *says; } cases[] = {{"moe/moe-Q4_0.gguf", "experts"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rnl_model *m = rig_model(cases[i].path);
        rnl_error error = {0};
        size_t size;
        assert_int_equal(learn_network_size(m, &config, &size, &error), RNL_ERR_UNSUPPORTED);
        if (strstr(error.text, cases[i].says) == NULL) fail_msg("%s", error.text);
        rnl_model_close(&m);
    }
    rnl_model *m = rig_model_fast("quality/base");
    rnl_error error = {0};
    learn_network *n = NULL;
    assert_int_equal(learn_network_create(m, &config, &n, &error), RNL_ERR_UNSUPPORTED);
    assert_null(n);
    rnl_model_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_the_loss),
        cmocka_unit_test(adapters_of_frozen_quantised_weights_learn),
        cmocka_unit_test(gradients_with_dropout_are_those_of_the_loss),
        cmocka_unit_test(dropout_keeps_the_mean),
        cmocka_unit_test(neither_threads_nor_recomputation_change_a_bit),
        cmocka_unit_test(gradients_in_bf16_are_near),
        cmocka_unit_test(forward_is_the_engines_bit_for_bit),
        IN_FOLDER(an_adapter_is_used_as_it_was_learnt),
        cmocka_unit_test(packing_changes_no_loss),
        cmocka_unit_test(what_does_not_learn_is_refused),
    };
    return cmocka_run_group_tests(tests, find_bf16_levels, NULL);
}
