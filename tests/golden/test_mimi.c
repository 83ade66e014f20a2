/* Mimi both ways against golden mimi/, and the laws of streaming. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "detokenizer/mimi.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/rig.h"
#include "tests/support/stage.h"

enum { HEAD_WIDTH = 8, WINDOW = 20, BOOKS = 8, FRAME = 1920, FRAME_CAP = 40 };

static stage rig;
static mimi_weights mimi;

static void open_threads(int thread_count) {
    stage_open(&rig, thread_count, 4096);
    stage_add(&rig, "mimi/tokenizer-e351c8d8-checkpoint125.safetensors", "mimi.");
    mimi_load(&rig.l, HEAD_WIDTH, WINDOW, BOOKS, &mimi);
    stage_check(&rig);
}

static int setup(void **state) {
    (void)state;
    open_threads(2);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    stage_close(&rig);
    return 0;
}

typedef struct latents {
    float values[FRAME_CAP * 64];
    int count, width;
} latents;

static void keep_latent(void *context, const char *stage_name, const float *x, int count,
                        int width) {
    latents *l = context;
    (void)stage_name;
    memcpy(l->values + (size_t)(l->count * width), x, (size_t)(count * width) * sizeof *x);
    l->count += count;
    l->width = width;
}

static void open_decoder(mimi_decoder *d) {
    stage_clear(&rig);
    mimi_decoder_layout(d, &mimi, pool_thread_count(rig.pool), &rig.kept, &rig.scratch);
    mimi_decoder_reset(d);
}

/* codes as the file has them, [book, frame]. */
static void decode(mimi_decoder *d, const npy *codes, float *out) {
    const size_t frames = (size_t)codes->shape[1];
    for (size_t t = 0; t < frames; t++) {
        int32_t frame[BOOKS];
        for (size_t k = 0; k < BOOKS; k++) frame[k] = codes->i[k * frames + t];
        assert_int_equal(mimi_decoder_push(d, &rig.c, frame, out + t * FRAME), RNL_OK);
    }
}

static void the_decoder_equals_the_reference(void **state) {
    (void)state;
    const char *const cases[][3] = {
        {"mimi/expect/codes.npy", "decode_latent.npy", "decode_wave.npy"},
        {"mimi/expect/codes_random.npy", "decode_random_latent.npy", "decode_random_wave.npy"},
    };
    for (size_t i = 0; i < 2; i++) {
        static latents seen;
        static float wave[FRAME_CAP * FRAME];
        mimi_decoder d;
        npy codes = npy_read(cases[i][0]);
        const size_t frames = (size_t)codes.shape[1];
        seen.count = 0;
        open_decoder(&d);
        d.tap = keep_latent;
        d.tap_context = &seen;
        decode(&d, &codes, wave);
        golden_check_transposed("mimi/expect", cases[i][1], seen.values,
                                frames * (size_t)seen.width);
        golden_check("mimi/expect", cases[i][2], wave, frames * FRAME);
        npy_free(&codes);
    }
}

static void open_encoder(mimi_encoder *e) {
    stage_clear(&rig);
    mimi_encoder_layout(e, &mimi, pool_thread_count(rig.pool), &rig.kept, &rig.scratch);
    mimi_encoder_reset(e);
}

/* Encodes in pieces of random length (0: at once); returns the frames. */
static int encode(mimi_encoder *e, const float *samples, size_t count, random_state *cuts,
                  int32_t *codes) {
    int frames = 0;
    bool made;
    for (size_t at = 0; at < count;) {
        size_t piece = cuts != NULL ? (size_t)(random_unit(cuts) * 3000) : count, taken;
        if (piece > count - at) piece = count - at;
        mimi_encoder_push(e, &rig.c, samples + at, piece, &taken, codes + frames * BOOKS, &made);
        frames += made;
        at += taken;
    }
    mimi_encoder_finish(e, &rig.c, codes + frames * BOOKS, &made);
    return frames + made;
}

static void check_codes(const char *path, const int32_t *codes, int frames) {
    npy want = npy_read(path);
    assert_int_equal(want.shape[1], frames);
    for (int k = 0; k < BOOKS; k++)
        for (int t = 0; t < frames; t++)
            if (want.i[k * frames + t] != codes[t * BOOKS + k])
                fail_msg("%s: book %d, frame %d: %d", path, k, t, codes[t * BOOKS + k]);
    npy_free(&want);
}

static void the_encoder_equals_the_reference(void **state) {
    (void)state;
    static latents seen;
    int32_t codes[FRAME_CAP * BOOKS];
    npy samples = npy_read("mimi/expect/samples_24k.npy");
    mimi_encoder e;
    open_encoder(&e);
    e.tap = keep_latent;
    e.tap_context = &seen;
    seen.count = 0;
    const int frames = encode(&e, samples.f, samples.count, NULL, codes);
    golden_check_transposed("mimi/expect", "latent.npy", seen.values,
                            (size_t)frames * (size_t)seen.width);
    check_codes("mimi/expect/codes.npy", codes, frames);
    e.tap = NULL;
    mimi_encoder_reset(&e);
    check_codes("mimi/expect/codes_odd.npy", codes, encode(&e, samples.f, 24777, NULL, codes));
    npy_free(&samples);
}

static void any_cut_of_the_samples_gives_the_same_codes(void **state) {
    (void)state;
    int32_t whole[FRAME_CAP * BOOKS] = {0}, cut[FRAME_CAP * BOOKS] = {0};
    npy samples = npy_read("mimi/expect/samples_24k.npy");
    mimi_encoder e;
    open_encoder(&e);
    (void)encode(&e, samples.f, samples.count, NULL, whole);
    for (uint64_t seed = 0; seed < (uint64_t)rig_rounds(5); seed++) {
        random_state r;
        random_seed(&r, seed);
        mimi_encoder_reset(&e); /* reset equals fresh, too */
        (void)encode(&e, samples.f, samples.count, &r, cut);
        assert_memory_equal(whole, cut, sizeof whole);
    }
    npy_free(&samples);
}

static void threads_and_reset_change_no_bit(void **state) {
    (void)state;
    static float first[10 * FRAME], again[10 * FRAME];
    npy codes = npy_read("mimi/expect/codes_random.npy");
    codes.shape[1] = 30; /* of which ten frames are decoded */
    for (int threads = 1; threads <= 4; threads++) {
        stage_close(&rig);
        open_threads(threads);
        mimi_decoder d;
        open_decoder(&d);
        for (int round = 0; round < 2; round++) {
            mimi_decoder_reset(&d);
            for (size_t t = 0; t < 10; t++) {
                int32_t frame[BOOKS];
                for (size_t k = 0; k < BOOKS; k++) frame[k] = codes.i[k * 30 + t];
                assert_int_equal(mimi_decoder_push(&d, &rig.c, frame, again + t * FRAME), RNL_OK);
            }
            if (threads == 1 && round == 0) memcpy(first, again, sizeof first);
            assert_memory_equal(first, again, sizeof first);
        }
    }
    npy_free(&codes);
}

static void a_code_out_of_range_changes_nothing(void **state) {
    (void)state;
    static float want[FRAME], got[FRAME];
    const int32_t good[BOOKS] = {1, 2, 3, 4, 5, 6, 7, 8};
    int32_t bad[BOOKS] = {1, 2, 3, 4, 5, 6, 7, 2048};
    mimi_decoder d;
    open_decoder(&d);
    assert_int_equal(mimi_decoder_push(&d, &rig.c, good, want), RNL_OK);
    mimi_decoder_reset(&d);
    assert_int_equal(mimi_decoder_push(&d, &rig.c, bad, got), RNL_ERR_DATA);
    bad[7] = -1;
    assert_int_equal(mimi_decoder_push(&d, &rig.c, bad, got), RNL_ERR_DATA);
    assert_int_equal(mimi_decoder_push(&d, &rig.c, good, got), RNL_OK);
    assert_memory_equal(want, got, sizeof want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_decoder_equals_the_reference),
        cmocka_unit_test(the_encoder_equals_the_reference),
        cmocka_unit_test(any_cut_of_the_samples_gives_the_same_codes),
        cmocka_unit_test(threads_and_reset_change_no_bit),
        cmocka_unit_test(a_code_out_of_range_changes_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
