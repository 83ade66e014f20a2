/* The seam over both codecs: how many samples each call gives, what a bad code changes, what finish
 * drains. Numbers against the reference: tests/golden. */
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

enum { FRAMES = 9, SIZE = 1920 };

static stage work;
static codec_state codec;
static codec_work pass;
static rnl_model *lfm_model;
static codec_weights mimi;

static int setup(void **state) {
    (void)state;
    lfm_model = rig_model("tiny");
    stage_open(&work, 2, 4096);
    stage_add(&work, "mimi/tokenizer-e351c8d8-checkpoint125.safetensors", "mimi.");
    codec_load_mimi(&work.l, 8, 20, 8, &mimi);
    stage_check(&work);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    stage_close(&work);
    rnl_model_close(&lfm_model);
    return 0;
}

static void begin(const codec_weights *w) {
    stage_clear(&work);
    codec_layout(&codec, w, 2, &work.kept, &work.scratch);
    codec_work_layout(&pass, w, 1, 2, &work.scratch);
    codec_reset(&codec);
}

static void codes_of(int frame, int32_t *codes) {
    for (int k = 0; k < 8; k++) codes[k] = (frame * 37 + k * 101) % 2048;
}

static rnl_status push(const int32_t *codes, float *out, int *count) {
    codec_frame frame = {.state = &codec, .codes = codes, .out = out};
    codec_push(&pass, &work.c, &frame, 1);
    *count = frame.count;
    return frame.status;
}

/* Frames [0, FRAMES) and the end; returns the samples. bad: a refused one before each good one. */
static int run(float *out, bool bad) {
    int total = 0, count;
    for (int f = 0; f < FRAMES; f++) {
        int32_t codes[8];
        codes_of(f, codes);
        for (int k = 0; bad && k < 8; k++) {
            const int32_t kept = codes[k];
            codes[k] = k % 2 == 0 ? codec_code_count(codec.w) : -1;
            assert_int_equal(push(codes, out + total, &count), RNL_ERR_DATA);
            assert_int_equal(count, 0);
            codes[k] = kept;
        }
        assert_int_equal(push(codes, out + total, &count), RNL_OK);
        assert_in_range(count, 1, SIZE);
        total += count;
    }
    codec_finish(&codec, out + total, &count);
    total += count;
    codec_finish(&codec, out + total, &count); /* a second end gives nothing */
    assert_int_equal(count, 0);
    return total;
}

static float a[(FRAMES + 1) * SIZE], b[(FRAMES + 1) * SIZE];

static void each_frame_is_1920_samples(void **state) {
    (void)state;
    const codec_weights *const both[] = {&lfm_model->codec, &mimi};
    for (int i = 0; i < 2; i++) {
        begin(both[i]);
        assert_int_equal(codec_frame_size(both[i]), SIZE);
        assert_int_equal(codec_code_count(both[i]), 2048);
        assert_int_equal(run(a, false), FRAMES * SIZE);
        /* A refused frame changed nothing; reset is fresh. */
        codec_reset(&codec);
        assert_int_equal(run(b, true), FRAMES * SIZE);
        assert_memory_equal(a, b, FRAMES * SIZE * sizeof *a);
        codec_reset(&codec);
        int count;
        codec_finish(&codec, b, &count); /* nothing came in */
        assert_int_equal(count, 0);
    }
}

/* The first frame comes at once, 20 ms of it held back by the overlap; Mimi holds back nothing. */
static void the_first_frame_comes_at_once(void **state) {
    (void)state;
    int32_t codes[8];
    int count;
    codes_of(0, codes);
    begin(&lfm_model->codec);
    assert_int_equal(push(codes, a, &count), RNL_OK);
    assert_int_equal(count, 1440);
    assert_int_equal(push(codes, a, &count), RNL_OK);
    assert_int_equal(count, 1920);
    codec_finish(&codec, a, &count);
    assert_int_equal(count, 480);
    begin(&mimi);
    assert_int_equal(push(codes, a, &count), RNL_OK);
    assert_int_equal(count, 1920);
}

/* Conversations of one pass have the samples that they have alone, wherever each of them is; one
 * with a code out of range gets nothing and disturbs nobody. */
static void frames_of_one_pass_do_not_hear_each_other(void **state) {
    (void)state;
    enum { STATES = 4 };
    static float alone[STATES][(FRAMES + 1) * SIZE], out[STATES][SIZE];
    const codec_weights *const both[] = {&lfm_model->codec, &mimi};
    for (int i = 0; i < 2; i++) {
        codec_state states[STATES];
        codec_work several;
        int at[STATES] = {0}, total[STATES] = {0};
        begin(both[i]);
        codec_work_layout(&several, both[i], STATES, 2, &work.scratch);
        for (int n = 0; n < STATES; n++) {
            codec_layout(&states[n], both[i], 2, &work.kept, &work.scratch);
            codec_reset(&states[n]);
            codec_reset(&codec);
            for (int f = 0, to = 0, count; f < FRAMES; f++, to += count) {
                int32_t codes[8];
                codes_of(f + 10 * n, codes);
                assert_int_equal(push(codes, alone[n] + to, &count), RNL_OK);
            }
        }
        for (int round = 0; round < 3 * FRAMES; round++) {
            codec_frame frames[STATES];
            int32_t codes[STATES][8];
            int count = 0, owners[STATES];
            for (int n = STATES - 1; n >= 0; n--) {
                if (at[n] == FRAMES || (round + n) % 3 == 0) continue;
                codes_of(at[n] + 10 * n, codes[n]);
                if ((round + n) % 5 == 0) codes[n][3] = 2048;
                owners[count] = n;
                frames[count++] =
                    (codec_frame){.state = &states[n], .codes = codes[n], .out = out[n]};
            }
            if (count == 0) continue;
            codec_push(&several, &work.c, frames, count);
            for (int p = 0; p < count; p++) {
                const int n = owners[p];
                const bool bad = (round + n) % 5 == 0;
                assert_int_equal(frames[p].status, bad ? RNL_ERR_DATA : RNL_OK);
                assert_memory_equal(out[n], alone[n] + total[n],
                                    (size_t)frames[p].count * sizeof *out[n]);
                assert_int_equal(frames[p].count > 0, !bad);
                total[n] += frames[p].count;
                at[n] += !bad;
            }
        }
        for (int n = 0; n < STATES; n++) assert_int_equal(at[n], FRAMES);
    }
}

static void without_a_codec_there_is_no_sound(void **state) {
    (void)state;
    const codec_weights none = {.kind = CODEC_NONE};
    int32_t codes[8] = {0};
    int count = 7;
    begin(&none);
    assert_int_equal(codec_frame_size(&none), 0);
    assert_int_equal(codec_code_count(&none), 0);
    assert_int_equal(push(codes, a, &count), RNL_OK);
    assert_int_equal(count, 0);
    codec_finish(&codec, a, &count);
    assert_int_equal(count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_frame_is_1920_samples),
        cmocka_unit_test(the_first_frame_comes_at_once),
        cmocka_unit_test(frames_of_one_pass_do_not_hear_each_other),
        cmocka_unit_test(without_a_codec_there_is_no_sound),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
