/* Embeddings, head, depthformer and sampler on the tiny model: sums and offsets that are easy to
 * mix up, and what each leaves behind. Numbers against the reference: tests/golden. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/model.h"
#include "tests/support/rig.h"
#include "tests/support/stage.h"

static rnl_model *model;
static stage work;
static const rnl_sampling greedy = {.temperature = 0, .top_k = 1, .top_p = 1, .repeat_penalty = 1};

static int setup(void **state) {
    (void)state;
    model = rig_model("tiny");
    stage_open(&work, 2, model->col_max);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    stage_close(&work);
    rnl_model_close(&model);
    return 0;
}

/* A row of a table as float32, by the format's own reader. */
static void table_row(const char *name, int64_t row, float *out) {
    const tensor *t = weights_find(model->source.w, name);
    assert_non_null(t);
    const size_t size = t->size / (size_t)t->shape[0];
    quant_dequantise(t->type, t->data + (size_t)row * size, out, t->shape[1]);
}

static void a_token_is_its_row(void **state) {
    (void)state;
    float got[64], want[64];
    assert_int_equal(backbone_width(&model->backbone), 64);
    const int32_t ids[] = {0, 7, 1215};
    for (size_t i = 0; i < 3; i++) {
        backbone_embed_text(&model->backbone, &work.c, ids[i], got);
        table_row("token_embd.weight", ids[i], want);
        assert_memory_equal(got, want, sizeof got);
    }
}

/* Sum, not mean; 2,049 rows a codebook, not 2,048; the end code is a row like others. */
static void a_frame_is_the_sum_of_its_rows(void **state) {
    (void)state;
    const int32_t frames[2][8] = {{0, 1, 2, 2047, 4, 5, 6, 7},
                                  {2048, 2048, 2048, 2048, 2048, 2048, 2048, 2048}};
    float got[64], scratch[64], row[64];
    for (int f = 0; f < 2; f++) {
        float want[64] = {0};
        for (int k = 0; k < 8; k++) {
            table_row("audio_embedding.embedding.weight", 2049 * k + frames[f][k], row);
            for (int i = 0; i < 64; i++) want[i] += row[i];
        }
        backbone_embed_frame(&model->backbone, &work.c, frames[f], got, scratch);
        assert_memory_equal(got, want, sizeof got);
    }
}

static void the_head_is_the_embedding(void **state) {
    (void)state;
    float hidden[64], row[64];
    static float logits[1216];
    for (int i = 0; i < 64; i++) hidden[i] = sinf((float)i);
    backbone_logits(&model->backbone, &work.c, hidden, logits, 1);
    for (int id = 0; id < 1216; id += 81) {
        double want = 0;
        table_row("token_embd.weight", id, row);
        for (int i = 0; i < 64; i++) want += (double)row[i] * (double)hidden[i];
        assert_true(fabs(want - (double)logits[id]) < 1e-4);
    }
}

static void begin_depth(depth_work *k) {
    stage_clear(&work);
    depth_layout(k, &model->depth, 1, 2, &work.scratch);
}

static void decide(depth_work *k, const float *hidden, rnl_sampling how, random_state *random,
                   int32_t *codes) {
    depth_row row = {.how = how, .random = random, .codes = codes};
    depth_frames(k, &work.c, hidden, &row, 1);
    assert_false(row.failed);
}

static void a_frame_leaves_nothing_to_the_next(void **state) {
    (void)state;
    depth_work d;
    begin_depth(&d);
    random_state random;
    random_seed(&random, 1);
    float a[64], b[64];
    for (int i = 0; i < 64; i++) a[i] = sinf((float)i), b[i] = cosf(3.0f * (float)i);
    int32_t first[8], other[8], again[8];
    decide(&d, a, greedy, &random, first);
    float *kept = malloc(8 * 2049 * sizeof *kept);
    assert_non_null(kept);
    memcpy(kept, d.logits, 8 * 2049 * sizeof *kept);
    decide(&d, b, greedy, &random, other);
    decide(&d, a, greedy, &random, again);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_equal(kept, d.logits, 8 * 2049 * sizeof *kept);
    assert_memory_not_equal(first, other, sizeof first);
    /* Each code is the best of its book's logits; greedy takes no random number. */
    for (int k = 0; k < 8; k++)
        for (int i = 0; i < 2049; i++) assert_true(kept[k * 2049 + i] <= kept[k * 2049 + first[k]]);
    random_state untouched;
    random_seed(&untouched, 1);
    assert_memory_equal(&random, &untouched, sizeof random);
    free(kept);
}

static void one_seed_gives_one_frame(void **state) {
    (void)state;
    depth_work d;
    begin_depth(&d);
    const rnl_sampling how = {.temperature = 1.0f, .top_k = 64, .top_p = 1, .repeat_penalty = 1};
    float hidden[64];
    for (int i = 0; i < 64; i++) hidden[i] = sinf((float)i);
    int32_t codes[3][8];
    for (int i = 0; i < 3; i++) {
        random_state random;
        random_seed(&random, i == 2 ? 6 : 5);
        decide(&d, hidden, how, &random, codes[i]);
        for (int k = 0; k < 8; k++) assert_in_range(codes[i][k], 0, 2048);
    }
    assert_memory_equal(codes[0], codes[1], sizeof codes[0]);
    assert_memory_not_equal(codes[0], codes[2], sizeof codes[0]);
}

/* Conversations of one pass have the codes, logits and random numbers that they have alone. */
static void frames_of_one_pass_do_not_see_each_other(void **state) {
    (void)state;
    enum { ROWS = 5, DIM = 64, BOOKS = 8, CODES = 2049 };
    float hidden[ROWS * DIM];
    int32_t alone[ROWS][BOOKS], codes[ROWS][BOOKS];
    static float logits[ROWS][BOOKS * CODES];
    random_state own[ROWS], random[ROWS];
    depth_row rows[ROWS];
    depth_work one, d;
    stage_clear(&work);
    depth_layout(&one, &model->depth, 1, 2, &work.scratch);
    depth_layout(&d, &model->depth, ROWS, 2, &work.scratch);
    for (int i = 0; i < ROWS * DIM; i++) hidden[i] = sinf(0.7f * (float)i);
    for (int r = 0; r < ROWS; r++) {
        random_seed(&own[r], 20 + (uint64_t)r);
        random[r] = own[r];
        rows[r] = (depth_row){.how = {.temperature = r == 1 ? 0.0f : 1.0f,
                                      .top_k = 3 + 20 * r,
                                      .top_p = 1,
                                      .repeat_penalty = 1},
                              .random = &random[r],
                              .codes = codes[r]};
        decide(&one, hidden + r * DIM, rows[r].how, &own[r], alone[r]);
        memcpy(logits[r], one.logits, sizeof logits[r]);
    }
    for (int count = 1; count <= ROWS; count++) {
        for (int r = 0; r < count; r++) random_seed(&random[r], 20 + (uint64_t)r);
        depth_frames(&d, &work.c, hidden, rows, count);
        for (int r = 0; r < count; r++) {
            assert_memory_equal(codes[r], alone[r], sizeof codes[r]);
            assert_memory_equal(&random[r], &own[r], sizeof random[r]);
            for (int b = 0; b < BOOKS; b++)
                assert_memory_equal(d.logits + (size_t)(b * ROWS + r) * CODES,
                                    logits[r] + b * CODES, CODES * sizeof(float));
        }
    }
}

static void logits_of_several_rows_are_those_of_each(void **state) {
    (void)state;
    enum { ROWS = 3, DIM = 64, VOCAB = 1216 };
    static float together[ROWS * VOCAB], alone[VOCAB];
    float hidden[ROWS * DIM];
    for (int i = 0; i < ROWS * DIM; i++) hidden[i] = cosf(0.3f * (float)i);
    backbone_logits(&model->backbone, &work.c, hidden, together, ROWS);
    for (int r = 0; r < ROWS; r++) {
        backbone_logits(&model->backbone, &work.c, hidden + r * DIM, alone, 1);
        assert_memory_equal(together + r * VOCAB, alone, sizeof alone);
    }
}

/* A damaged model may give anything: an index of a number comes out, or that there is none. */
static void logits_that_are_no_numbers_are_told(void **state) {
    (void)state;
    enum { COUNT = 2049 };
    static float logits[COUNT], scratch[2 * COUNT];
    random_state random;
    random_seed(&random, 3);
    const float odd[] = {NAN, INFINITY, -INFINITY, 1e38f, 0.0f};
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < COUNT; i++)
            logits[i] = random_unit(&random) < 0.5 ? odd[round % 5] : (float)random_unit(&random);
        if (round % 7 == 0)
            for (int i = 0; i < COUNT; i++) logits[i] = odd[round % 5];
        const rnl_sampling how = {.temperature = round % 2 == 0 ? 0.8f : 2.0f,
                                  .top_k = 1 + round % 70,
                                  .top_p = 1,
                                  .repeat_penalty = 1};
        const int index = sample_index(logits, COUNT, how, &random, scratch);
        const bool none = round % 5 < 2 || (round % 5 == 2 && round % 7 == 0);
        assert_int_equal(index == -1, none);
        assert_true(index >= -1 && index < COUNT);
        if (!none) assert_true(isfinite(logits[index]));
    }
    /* A single one, wherever it stands, for every way to choose. */
    const rnl_sampling ways[] = {
        {0, 1, 1, 0, 1}, {1, 1, 1, 0, 1}, {1.0f, 4, 1, 0, 1}, {0.3f, INT32_MAX, 1, 0, 1}};
    for (int i = 0; i < 4 * COUNT; i += 37) {
        for (int k = 0; k < COUNT; k++) logits[k] = sinf((float)k);
        assert_true(sample_index(logits, COUNT, ways[i % 4], &random, scratch) >= 0);
        logits[i / 4] = odd[i % 2];
        assert_int_equal(sample_index(logits, COUNT, ways[i % 4], &random, scratch), -1);
    }
}

/* Any book of a frame, not the first alone. */
static void a_frame_without_numbers_is_told(void **state) {
    (void)state;
    enum { ROWS = 2, DIM = 64, BOOKS = 8 };
    depth_work d;
    stage_clear(&work);
    depth_layout(&d, &model->depth, ROWS, 2, &work.scratch);
    float hidden[ROWS * DIM];
    int32_t codes[ROWS][BOOKS], alone[BOOKS];
    random_state random;
    random_seed(&random, 1);
    for (int i = 0; i < ROWS * DIM; i++) hidden[i] = sinf((float)i);
    decide(&d, hidden, greedy, &random, alone);
    /* The sixth slice of the split is spoilt by its bias alone. */
    depth_weights spoilt = model->depth;
    const int64_t dim = spoilt.stack.config.width, size = spoilt.split.row_count;
    float *bias = malloc((size_t)size * sizeof *bias);
    assert_non_null(bias);
    memcpy(bias, spoilt.split_bias, (size_t)size * sizeof *bias);
    bias[5 * dim] = NAN;
    spoilt.split_bias = bias;
    d.w = &spoilt;
    const rnl_sampling ways[] = {
        greedy, {.temperature = 1.0f, .top_k = 64, .top_p = 1, .repeat_penalty = 1}};
    for (int i = 0; i < 2; i++) {
        depth_row row = {.how = ways[i], .random = &random, .codes = codes[0]};
        depth_frames(&d, &work.c, hidden, &row, 1);
        assert_true(row.failed);
    }
    free(bias);
    /* One conversation fails alone. */
    d.w = &model->depth;
    hidden[DIM] = NAN;
    depth_row rows[ROWS] = {{.how = greedy, .random = &random, .codes = codes[0]},
                            {.how = greedy, .random = &random, .codes = codes[1]}};
    depth_frames(&d, &work.c, hidden, rows, ROWS);
    assert_false(rows[0].failed);
    assert_true(rows[1].failed);
    assert_memory_equal(codes[0], alone, sizeof alone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_its_row),
        cmocka_unit_test(a_frame_is_the_sum_of_its_rows),
        cmocka_unit_test(the_head_is_the_embedding),
        cmocka_unit_test(a_frame_leaves_nothing_to_the_next),
        cmocka_unit_test(one_seed_gives_one_frame),
        cmocka_unit_test(frames_of_one_pass_do_not_see_each_other),
        cmocka_unit_test(logits_of_several_rows_are_those_of_each),
        cmocka_unit_test(logits_that_are_no_numbers_are_told),
        cmocka_unit_test(a_frame_without_numbers_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
