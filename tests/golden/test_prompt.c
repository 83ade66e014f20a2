/* Prompts of golden tiny/ and gguf/: embeddings, every backbone layer, logits, one greedy frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/session.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/rig.h"

enum { LAYERS = 6, WIDTH = 64, POSITION_CAP = 128 };

typedef struct seen {
    float layers[LAYERS][POSITION_CAP * WIDTH];
    int count; /* positions before this batch */
} seen;

static void keep_layer(void *context, int layer, const float *x, int count) {
    seen *s = context;
    memcpy(s->layers[layer] + (size_t)s->count * WIDTH, x, (size_t)count * WIDTH * sizeof *x);
}

static void encode_all(rnl_session *s) {
    while (s->encoding) assert_true(rnl_session_step(s, NULL) >= 0);
}

/* All waiting positions through the backbone; hidden [positions, WIDTH]. */
static void forward_all(rnl_session *s, seen *kept, float *hidden) {
    session_live *live = s->live;
    s->pass->backbone.tap = keep_layer;
    s->pass->backbone.tap_context = kept;
    assert_true(live->position_count <= POSITION_CAP);
    for (int at = 0; at < live->position_count; at += s->config.step_positions) {
        const int left = live->position_count - at;
        const int count = left < s->config.step_positions ? left : s->config.step_positions;
        memcpy(hidden + (size_t)at * WIDTH, s->embeddings + (size_t)at * WIDTH,
               (size_t)count * WIDTH * sizeof *hidden);
        kept->count = at;
        const stack_piece piece = {.state = &live->backbone, .count = count};
        stack_forward(&s->pass->backbone, &s->pass->compute, &piece, 1,
                      hidden + (size_t)at * WIDTH);
    }
}

/* Everything the manifests of a prompt list, from the session's history. */
static void check_prompt(rnl_session *s, const char *dir, const char *prompt, bool with_layers) {
    session_live *live = s->live;
    const backbone_weights *w = &s->model->backbone;
    const size_t count = (size_t)live->position_count;
    seen *kept = calloc(1, sizeof *kept);
    float *hidden = malloc(POSITION_CAP * WIDTH * sizeof *hidden);
    assert_true(kept != NULL && hidden != NULL);
    forward_all(s, kept, hidden);
    char file[64];
    (void)snprintf(file, sizeof file, "%s/embeddings.npy", prompt);
    golden_check(dir, file, s->embeddings, count * WIDTH);
    for (int i = 0; i < LAYERS && with_layers; i++) {
        (void)snprintf(file, sizeof file, "%s/layer%d.npy", prompt, i);
        golden_check(dir, file, kept->layers[i], count * WIDTH);
    }
    (void)snprintf(file, sizeof file, "%s/hidden.npy", prompt);
    golden_check(dir, file, hidden, count * WIDTH);
    const float *last = hidden + (count - 1) * WIDTH;
    backbone_logits(w, &s->pass->compute, last, s->pass->logits, 1);
    (void)snprintf(file, sizeof file, "%s/text_logits.npy", prompt);
    golden_check(dir, file, s->pass->logits, (size_t)backbone_vocab_count(w));
    int32_t codes[8];
    const rnl_sampling greedy = {.temperature = 0, .top_k = 1, .top_p = 1, .repeat_penalty = 1};
    depth_row row = {.how = greedy, .random = &live->random, .codes = codes};
    depth_frames(&s->pass->depth, &s->pass->compute, last, &row, 1);
    const size_t dim = (size_t)s->model->depth.stack.config.width;
    if (with_layers) {
        (void)snprintf(file, sizeof file, "%s/depth_linear.npy", prompt);
        golden_check(dir, file, s->pass->depth.slices, 8 * dim);
        (void)snprintf(file, sizeof file, "%s/depth_out.npy", prompt);
        golden_check(dir, file, s->pass->depth.outputs, 8 * dim);
        float frame[WIDTH];
        backbone_embed_frame(w, &s->pass->compute, codes, frame, s->pass->row);
        (void)snprintf(file, sizeof file, "%s/frame_embedding.npy", prompt);
        golden_check(dir, file, frame, WIDTH);
    }
    (void)snprintf(file, sizeof file, "%s/depth_logits.npy", prompt);
    golden_check(dir, file, s->pass->depth.logits, 8 * 2049);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s/depth_codes.npy", dir, prompt);
    npy want = npy_read(path);
    for (size_t k = 0; k < 8; k++) assert_int_equal(codes[k], want.i[k]);
    npy_free(&want);
    free(kept);
    free(hidden);
}

static void build_prompt_a(rnl_session *s) {
    rig_text(s, RNL_ROLE_SYSTEM, "Respond with interleaved text and audio.");
    rig_clip_a(s);
    encode_all(s);
    rig_begin(s, RNL_MODE_INTERLEAVED, 8);
}

static void prompt_a_of_the_tiny_checkpoint(void **state) {
    (void)state;
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 2);
    build_prompt_a(s);
    assert_int_equal(s->live->position_count, 60);
    check_prompt(s, "tiny/expect", "promptA", true);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

static void prompt_a_of_the_gguf_sets(void **state) {
    (void)state;
    const char *const sets[][2] = {{"gguf/tiny-F16.gguf", "gguf/expect-F16"},
                                   {"gguf/tiny-Q4_0.gguf", "gguf/expect-Q4_0"}};
    for (size_t i = 0; i < 2; i++) {
        rnl_model *model = rig_model(sets[i][0]);
        rnl_session *s = rig_session(model, 1);
        build_prompt_a(s);
        check_prompt(s, sets[i][1], "promptA", false);
        rnl_session_destroy(&s);
        rnl_model_close(&model);
    }
}

static void append_frame(rnl_session *s, const npy *frames, size_t column) {
    int32_t codes[8];
    for (size_t k = 0; k < 8; k++) codes[k] = frames->i[k * (size_t)frames->shape[1] + column];
    backbone_embed_frame(&s->model->backbone, &s->pass->compute, codes, session_append(s, -1),
                         s->pass->row);
}

static void append_id(rnl_session *s, int32_t id) {
    backbone_embed_text(&s->model->backbone, &s->pass->compute, id, session_append(s, id));
}

/* Two clips with text between them, a spoken answer in the history with an end frame and an end
 * code in codebook 5, a text turn. The answer is put in by hand, as the loop would. */
static void prompt_b_of_the_tiny_checkpoint(void **state) {
    (void)state;
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 3);
    rig_text(s, RNL_ROLE_SYSTEM, "Respond with interleaved text and audio.");
    float *b = rig_wav("audio/question.wav", 16000, 39477);
    assert_int_equal(rnl_session_add_audio(s, b, 39477 - 16000, 16000, NULL), RNL_OK);
    free(b);
    rig_text(s, RNL_ROLE_USER, "and then");
    rig_clip_a(s);
    encode_all(s);
    rig_begin(s, RNL_MODE_INTERLEAVED, 8);
    npy frames = npy_read("tiny/expect/promptB/audio_out.npy");
    append_id(s, 708);
    append_id(s, 900);
    append_frame(s, &frames, 0);
    append_frame(s, &frames, 1);
    append_id(s, 901);
    append_id(s, 130);
    for (size_t i = 2; i < 5; i++) append_frame(s, &frames, i);
    session_close_reply(s);
    rig_text(s, RNL_ROLE_USER, "Yes, of course.");
    rig_begin(s, RNL_MODE_INTERLEAVED, 8);
    assert_int_equal(s->live->position_count, 114);
    check_prompt(s, "tiny/expect", "promptB", false);
    npy_free(&frames);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompt_a_of_the_tiny_checkpoint),
        cmocka_unit_test(prompt_b_of_the_tiny_checkpoint),
        cmocka_unit_test(prompt_a_of_the_gguf_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
