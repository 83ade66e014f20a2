/* Prompts with pictures of golden vl/, through the public calls: positions of the layout, rows of
 * the pictures, hidden states, logits and greedy tokens, from the Hugging Face directory and from
 * the GGUF set; then what a session promises: steps, cuts, batches and snapshots do not show, and
 * what cannot be is refused and changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <runnel/runnel_batch.h>

#include "engine/session.h"
#include "picture/picture.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/rig.h"

enum { WIDTH = 64, GREEDY = 16, IMAGE_ID = 396, VIEWS = 7 };

/* Parts of a prompt: "@file" is a picture, ">text" an answer, else text of the user. */
static const struct {
    const char *name, *parts[8];
} prompts[] = {
    {"one", {"@small-30x47.png", "What is this?"}},
    {"tiled", {"Look: ", "@pan-420x130.png", "How many chairs are there?"}},
    {"two", {"@wide-150x90.png", "and", "@over-200x176.png", "Which is older?"}},
    {"video",
     {"@frame0-96x64.png", "@frame1-96x64.png", "@frame2-96x64.png", "@frame3-96x64.png",
      "What moves?"}},
    {"turns", {"@rgba-70x50.png", "What is this?", ">A river.", "@exif6-90x60.jpg", "And this?"}},
};
enum { PROMPTS = sizeof prompts / sizeof *prompts };

static rnl_session *open_session(rnl_model *m, int thread_count, int step_positions) {
    rnl_session_config config = rnl_session_config_default();
    config.context_cap = 512;
    config.thread_count = thread_count;
    config.step_positions = step_positions;
    config.image_views_max = VIEWS;
    rnl_session *s = NULL;
    rnl_error error = {0};
    if (rnl_session_create(m, &config, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    return s;
}

static picture load(const char *file) {
    char path[512];
    picture p;
    rnl_error error = {0};
    (void)snprintf(path, sizeof path, TEST_DATA "/vl/images/%s", file);
    if (picture_read(path, PICTURE_PIXELS_DEFAULT, &p, &error) != RNL_OK)
        fail_msg("%s", error.text);
    return p;
}

static void add_picture(rnl_session *s, const char *file) {
    rnl_error error = {0};
    picture p = load(file);
    rnl_status status;
    while ((status = rnl_session_add_image(s, p.pixels, p.width, p.height, 3 * (size_t)p.width,
                                           NULL, &error)) == RNL_AGAIN)
        assert_true(rnl_session_step(s, &error) >= 0);
    if (status != RNL_OK) fail_msg("%s", error.text);
    picture_free(&p);
}

static void add_prompt(rnl_session *s, int index) {
    for (const char *const *part = prompts[index].parts; *part != NULL; part++) {
        if (**part == '@')
            add_picture(s, *part + 1);
        else if (**part == '>')
            rig_text(s, RNL_ROLE_ASSISTANT, *part + 1);
        else
            rig_text(s, RNL_ROLE_USER, *part);
    }
}

static rnl_turn_config greedy_of(const rnl_model *m) {
    rnl_turn_config turn = rnl_turn_config_default(m, RNL_MODE_TEXT);
    turn.text = (rnl_sampling){.temperature = 0, .top_k = 1, .top_p = 1, .repeat_penalty = 1};
    turn.step_max = GREEDY;
    return turn;
}

static void run_to_end(rnl_session *s) {
    rnl_error error = {0};
    char text[256];
    size_t got;
    for (rnl_status status = RNL_OK; status != RNL_DONE;) {
        status = rnl_session_step(s, &error);
        if (status < 0) fail_msg("%s", error.text);
        while (rnl_session_pull_text(s, text, sizeof text, &got) == RNL_OK) continue;
    }
}

static npy golden(const char *dir, const char *prompt, const char *what) {
    char file[256];
    (void)snprintf(file, sizeof file, "%s/%s/%s.npy", dir, prompt, what);
    return npy_read(file);
}

/* Rows of the history where the reference has the picture's id; elsewhere the embedding of the
 * reference's id. */
static void check_layout(rnl_session *s, const char *dir, const char *prompt) {
    npy ids = golden(dir, prompt, "ids");
    assert_int_equal(ids.count, rnl_session_position_count(s));
    float *rows = malloc(ids.count * WIDTH * sizeof *rows), own[WIDTH];
    assert_non_null(rows);
    size_t count = 0;
    for (size_t i = 0; i < ids.count; i++) {
        const float *at = s->embeddings + i * WIDTH;
        assert_int_equal(s->ids[i], ids.i[i]);
        if (ids.i[i] == IMAGE_ID) {
            memcpy(rows + count++ * WIDTH, at, sizeof own);
            continue;
        }
        backbone_embed_text(&s->model->backbone, &s->pass->compute, ids.i[i], own);
        if (memcmp(own, at, sizeof own) != 0)
            fail_msg("%s/%s: position %zu is not of id %d", dir, prompt, i, ids.i[i]);
    }
    char file[64];
    (void)snprintf(file, sizeof file, "%s/image_rows.npy", prompt);
    golden_check(dir, file, rows, count * WIDTH);
    free(rows);
    npy_free(&ids);
}

static void check_prompt(rnl_model *m, const char *dir, int index) {
    const char *prompt = prompts[index].name;
    rnl_session *s = open_session(m, 2, 128);
    rnl_error error = {0};
    add_prompt(s, index);
    const rnl_turn_config turn = greedy_of(m);
    rnl_status status;
    while (rnl_session_stage(s) == RNL_STAGE_ENCODE) assert_true(rnl_session_step(s, &error) >= 0);
    if (rnl_session_begin(s, &turn, &error) != RNL_OK) fail_msg("%s", error.text);
    check_layout(s, dir, prompt);
    do status = rnl_session_step(s, &error);
    while (status == RNL_OK && s->live->step_count == 0);
    if (status < 0) fail_msg("%s", error.text);
    char file[64];
    (void)snprintf(file, sizeof file, "%s/logits.npy", prompt);
    golden_check(dir, file, s->pass->logits, (size_t)backbone_vocab_count(&m->backbone));
    run_to_end(s);
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    npy want = golden(dir, prompt, "greedy");
    for (size_t i = 0; i < reply.text_count; i++) assert_int_equal(reply.text_ids[i], want.i[i]);
    /* The reference does not stop at the end of a turn; a reply does. */
    assert_true(reply.text_count == want.count || want.i[reply.text_count] == 7 ||
                (reply.text_count > 0 && want.i[reply.text_count - 1] == 7));
    npy_free(&want);
    rnl_session_destroy(&s);
}

static void every_prompt_from_the_directory(void **state) {
    for (int i = 0; i < PROMPTS; i++) check_prompt(*state, "vl/expect", i);
}

static rnl_model *open_set(const rnl_model *hf, bool exact) {
    rnl_model *m = exact ? rig_model("vl/tiny-Q8_0.gguf") : rig_model_fast("vl/tiny-Q8_0.gguf");
    m->source.config.views = hf->source.config.views; /* the file has no small constants */
    return m;
}

static void every_prompt_from_the_set(void **state) {
    rnl_model *m = open_set(*state, true);
    for (int i = 0; i < PROMPTS; i++) check_prompt(m, "vl/expect-gguf", i);
    rnl_model_close(&m);
}

/* ---- Laws ---- */

static void reply_to(rnl_session *s, int index, int32_t ids[GREEDY], float **rows) {
    rnl_error error = {0};
    rnl_reply reply;
    add_prompt(s, index);
    const rnl_turn_config turn = greedy_of(s->model);
    if (rnl_session_begin(s, &turn, &error) != RNL_OK) fail_msg("%s", error.text);
    run_to_end(s);
    rnl_session_get_reply(s, &reply);
    memset(ids, 0xff, GREEDY * sizeof *ids);
    memcpy(ids, reply.text_ids, reply.text_count * sizeof *ids);
    const size_t size = (size_t)rnl_session_position_count(s) * WIDTH * sizeof(float);
    *rows = malloc(size);
    assert_non_null(*rows);
    memcpy(*rows, s->embeddings, size);
}

static void law_threads_steps_and_resets_do_not_show(void **state) {
    rnl_model *m = open_set(*state, false);
    for (int index = 1; index <= 4; index += 3) {
        int32_t want[GREEDY], got[GREEDY];
        float *rows, *again;
        rnl_session *s = open_session(m, 1, 128);
        reply_to(s, index, want, &rows);
        const size_t size = (size_t)rnl_session_position_count(s) * WIDTH * sizeof(float);
        rnl_session_destroy(&s);
        for (int threads = 1; threads <= 3; threads += 2) {
            s = open_session(m, threads, threads == 1 ? 1 : 7);
            add_picture(s, "over-200x176.png"); /* given up in the middle */
            assert_true(rnl_session_step(s, NULL) >= 0);
            rnl_session_reset(s);
            reply_to(s, index, got, &again);
            assert_memory_equal(got, want, sizeof want);
            assert_memory_equal(again, rows, size);
            free(again);
            rnl_session_destroy(&s);
        }
        free(rows);
    }
    rnl_model_close(&m);
}

/* Two sessions of a batch take turns at the tower, view by view. */
static void law_sessions_of_a_batch_do_not_show_in_each_other(void **state) {
    rnl_model *m = *state;
    rnl_batch_config config = rnl_batch_config_default();
    config.context_cap = 512;
    config.image_views_max = VIEWS;
    rnl_batch *batch = NULL;
    rnl_error error = {0};
    if (rnl_batch_create(m, &config, &batch, &error) != RNL_OK) fail_msg("%s", error.text);
    rnl_session_config one = rnl_session_config_default();
    one.context_cap = 512;
    one.image_views_max = VIEWS;
    rnl_session *alone = open_session(m, 1, 128), *pair[2];
    const char *const files[] = {"pan-420x130.png", "over-200x176.png"};
    for (int i = 0; i < 2; i++) {
        if (rnl_session_create_in(batch, &one, &pair[i], &error) != RNL_OK)
            fail_msg("%s", error.text);
        add_picture(pair[i], files[i]);
    }
    int waits = 0;
    while (pair[0]->encoding || pair[1]->encoding) {
        rnl_batch_item items[2];
        size_t count = 0;
        for (int i = 0; i < 2; i++)
            if (pair[i]->encoding)
                items[count++] = (rnl_batch_item){.session = pair[i], .stage = RNL_STAGE_ENCODE};
        rnl_batch_pass(batch, items, count);
        for (size_t i = 0; i < count; i++) waits += items[i].status == RNL_AGAIN;
    }
    assert_true(waits > 0);
    for (int i = 0; i < 2; i++) {
        rnl_session_reset(alone);
        add_picture(alone, files[i]);
        while (alone->encoding) assert_true(rnl_session_step(alone, &error) >= 0);
        assert_int_equal(rnl_session_position_count(alone), rnl_session_position_count(pair[i]));
        assert_memory_equal(alone->embeddings, pair[i]->embeddings,
                            (size_t)rnl_session_position_count(alone) * WIDTH * sizeof(float));
        rnl_session_destroy(&pair[i]);
    }
    rnl_session_destroy(&alone);
    rnl_batch_destroy(&batch);
}

/* A picture that is being encoded moves with the turns that are dropped before it. */
static void a_full_context_drops_turns_and_keeps_the_picture(void **state) {
    rnl_model *m = *state;
    rnl_session_config config = rnl_session_config_default();
    config.context_cap = 96;
    config.image_views_max = VIEWS;
    config.drop_oldest_turns = true;
    rnl_session *s = NULL, *alone = open_session(m, 1, 128);
    rnl_error error = {0};
    if (rnl_session_create(m, &config, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    rig_text(s, RNL_ROLE_USER, "What is this and what was that before it came here?");
    rig_text(s, RNL_ROLE_ASSISTANT, "It is a river.");
    add_picture(s, "small-30x47.png");
    assert_true(rnl_session_step(s, &error) >= 0);
    const int before = s->encode_at;
    rig_text(s, RNL_ROLE_USER, "And what is this, seen from the bank of the river at night?");
    assert_int_equal(rnl_session_reserve(s, 20, &error), RNL_OK);
    assert_true(s->encoding && s->encode_at < before);
    const int at = s->encode_at, count = s->encode_count;
    while (s->encoding) assert_true(rnl_session_step(s, &error) >= 0);
    add_picture(alone, "small-30x47.png");
    const int alone_at = alone->encode_at;
    while (alone->encoding) assert_true(rnl_session_step(alone, &error) >= 0);
    assert_memory_equal(s->embeddings + at * WIDTH, alone->embeddings + alone_at * WIDTH,
                        (size_t)count * WIDTH * sizeof(float));
    rnl_session_destroy(&s);
    rnl_session_destroy(&alone);
}

/* ---- Refusals ---- */

static void refuse(rnl_session *s, const uint8_t *pixels, int width, int height, size_t stride,
                   const rnl_image_config *config, rnl_status want, const char *part) {
    const int before = rnl_session_position_count(s);
    rnl_error error = {0};
    assert_int_equal(rnl_session_add_image(s, pixels, width, height, stride, config, &error), want);
    if (strstr(error.text, part) == NULL) fail_msg("'%s' lacks '%s'", error.text, part);
    assert_int_equal(rnl_session_position_count(s), before);
    assert_false(s->encoding);
}

static void what_cannot_be_changes_nothing(void **state) {
    rnl_model *m = *state;
    static uint8_t pixels[300 * 300 * 3];
    rnl_session *s = open_session(m, 1, 128);
    rnl_image_config c = rnl_image_config_default(m);
    refuse(s, NULL, 3, 3, 9, NULL, RNL_ERR_ARGUMENT, "NULL");
    refuse(s, pixels, 3, 3, 8, NULL, RNL_ERR_ARGUMENT, "stride");
    refuse(s, pixels, 0, 3, 9, NULL, RNL_ERR_DATA, "0 x 3");
    refuse(s, pixels, 65536, 1, 1 << 20, NULL, RNL_ERR_DATA, "65536");
    refuse(s, pixels, 65535, 1, 1 << 20, NULL, RNL_ERR_TOO_LONG, "stripe");
    c.token_min = 0;
    refuse(s, pixels, 3, 3, 9, &c, RNL_ERR_ARGUMENT, "token_min");
    c = rnl_image_config_default(m);
    c.token_max = 4 * c.token_max + 1;
    refuse(s, pixels, 3, 3, 9, &c, RNL_ERR_ARGUMENT, "token_max");
    rnl_session_destroy(&s);
    rnl_session_config config = rnl_session_config_default();
    config.context_cap = 64;
    config.image_views_max = 6;
    assert_int_equal(rnl_session_create(m, &config, &s, NULL), RNL_OK);
    refuse(s, pixels, 300, 200, 900, NULL, RNL_ERR_TOO_LONG, "room for 6");
    rnl_session_destroy(&s);
    config.image_views_max = 7;
    assert_int_equal(rnl_session_create(m, &config, &s, NULL), RNL_OK);
    rig_text(s, RNL_ROLE_USER, "What is this, and what is it for?");
    refuse(s, pixels, 300, 200, 900, NULL, RNL_ERR_CONTEXT_FULL, "do not fit");
    rnl_session_destroy(&s);
    config.image_views_max = 0;
    assert_int_equal(rnl_session_create(m, &config, &s, NULL), RNL_OK);
    refuse(s, pixels, 3, 3, 9, NULL, RNL_ERR_STATE, "image_views_max");
    rnl_session_destroy(&s);
    config.image_views_max = 102;
    rnl_error error = {0};
    assert_int_equal(rnl_session_create(m, &config, &s, &error), RNL_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "image_views_max"));
}

static void a_model_without_a_tower_says_so(void **state) {
    (void)state;
    rnl_model *m = rig_model("tiny");
    rnl_session *s = rig_session(m, 1);
    const uint8_t pixels[3] = {0};
    rnl_model_info info;
    rnl_model_get_info(m, &info);
    assert_false(info.takes_images);
    assert_int_equal(rnl_image_views_max(m), 0);
    refuse(s, pixels, 1, 1, 3, NULL, RNL_ERR_UNSUPPORTED, "takes no pictures");
    rnl_session_destroy(&s);
    rnl_model_close(&m);
}

static void plans_say_what_a_picture_takes(void **state) {
    const rnl_model *m = *state;
    rnl_image_plan plan;
    rnl_image_config c = rnl_image_config_default(m);
    assert_int_equal(rnl_model_image_plan(m, 260, 200, NULL, &plan, NULL), RNL_OK);
    assert_int_equal(plan.view_count, 7);
    assert_int_equal(plan.position_count, 45);
    c.splits = false;
    assert_int_equal(rnl_model_image_plan(m, 260, 200, &c, &plan, NULL), RNL_OK);
    assert_int_equal(plan.view_count, 1);
    assert_int_equal(rnl_image_views_max(m), 7);
}

static int open_tiny(void **state) {
    *state = rig_model("vl/tiny");
    return 0;
}

static int close_tiny(void **state) {
    rnl_model *m = *state;
    rnl_model_close(&m);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prompt_from_the_directory),
        cmocka_unit_test(every_prompt_from_the_set),
        cmocka_unit_test(law_threads_steps_and_resets_do_not_show),
        cmocka_unit_test(law_sessions_of_a_batch_do_not_show_in_each_other),
        cmocka_unit_test(a_full_context_drops_turns_and_keeps_the_picture),
        cmocka_unit_test(what_cannot_be_changes_nothing),
        cmocka_unit_test(a_model_without_a_tower_says_so),
        cmocka_unit_test(plans_say_what_a_picture_takes),
    };
    return cmocka_run_group_tests(tests, open_tiny, close_tiny);
}
