/* Greedy token streams of golden tiny/ and gguf/: every token of every loop, and the edges of
 * audio.md 7.6 that the variants drive. Also: what was generated has the sound it should have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "engine/session.h"
#include "tests/support/rig.h"
#include "tests/support/variant.h"

static const char *const chat = "Respond with interleaved text and audio.";
static const char *const tts = "Perform TTS. Use the US male voice.";
static const char *const sentence = "The river runs past the old mill.";

static json_t *read_stream(const char *path) {
    char full[1024];
    (void)snprintf(full, sizeof full, "%s/%s", TEST_DATA, path);
    json_error_t e;
    json_t *root = json_load_file(full, 0, &e);
    if (root == NULL) fail_msg("%s: %s", full, e.text);
    return root;
}

/* Compares the reply with the file's events: [id] is a text token, eight numbers are a frame. */
static void check_events(const rnl_session *s, const char *name, const json_t *root) {
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    const json_t *events = json_object_get(root, "events");
    assert_int_equal(reply.position_count, json_array_size(events));
    size_t texts = 0, frames = 0;
    for (size_t i = 0; i < reply.position_count; i++) {
        const json_t *event = json_array_get(events, i);
        const bool is_text = json_array_size(event) == 1;
        if ((reply.modality[i] == 't') != is_text) fail_msg("%s: modality of event %zu", name, i);
        for (size_t k = 0; k < json_array_size(event); k++) {
            const json_int_t want = json_integer_value(json_array_get(event, k));
            const int32_t got = is_text ? reply.text_ids[texts] : reply.frames[frames * 8 + k];
            if (want != got)
                fail_msg("%s: event %zu, part %zu: %d, not %lld", name, i, k, got, want);
        }
        if (is_text)
            texts++;
        else
            frames++;
    }
    const char *stop = json_string_value(json_object_get(root, "stop"));
    if (stop == NULL) return;
    const rnl_finish want = strcmp(stop, "limit") == 0 ? RNL_FINISH_LIMIT : RNL_FINISH_END;
    assert_int_equal(reply.finish, want);
}

/* Frames that can be heard times 1920 samples: nothing lost, nothing twice. */
static void check_sound(const rnl_session *s, const rig_result *r) {
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    size_t heard = 0;
    for (size_t i = 0; i < reply.frame_count; i++) {
        bool whole = true;
        for (size_t k = 0; k < 8; k++) whole = whole && reply.frames[i * 8 + k] < 2048;
        heard += whole;
    }
    assert_int_equal(r->sample_count, heard * 1920);
}

static void run_stream(rnl_session *s, const char *name, rnl_mode mode) {
    char path[256];
    (void)snprintf(path, sizeof path, "tiny/streams/%s.json", name);
    json_t *root = read_stream(path);
    rig_begin(s, mode, (int)json_integer_value(json_object_get(root, "max_new_tokens")));
    rig_result r = rig_run(s);
    check_events(s, name, root);
    check_sound(s, &r);
    printf("%s: equal\n", name);
    rig_free(&r);
    json_decref(root);
}

static void prompt(rnl_session *s, const char *system, const char *user) {
    rnl_session_reset(s);
    rig_text(s, RNL_ROLE_SYSTEM, system);
    if (user == NULL)
        rig_clip_a(s);
    else
        rig_text(s, RNL_ROLE_USER, user);
}

static void sequential_streams(void **state) {
    (void)state;
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 2);
    prompt(s, "Perform ASR.", NULL);
    run_stream(s, "asr", RNL_MODE_TRANSCRIBE);
    prompt(s, tts, sentence);
    run_stream(s, "tts", RNL_MODE_SPEAK);
    prompt(s, "You are a helpful assistant named Runnel.", "How are you today?");
    run_stream(s, "chat-text", RNL_MODE_TEXT);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

static void two_interleaved_turns(void **state) {
    (void)state;
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 2);
    prompt(s, chat, NULL);
    run_stream(s, "interleaved-turn1", RNL_MODE_INTERLEAVED);
    rig_text(s, RNL_ROLE_USER, "Can you give me something related to that?");
    run_stream(s, "interleaved-turn2", RNL_MODE_INTERLEAVED);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

static void variant_streams(void **state) {
    (void)state;
    const char *const names[] = {"tts", "interleaved", "early-end", "last-slot"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char dir[256], name[64];
        variant_make(names[i], dir, sizeof dir);
        rnl_model *model = rig_model(dir);
        rnl_session *s = rig_session(model, 1);
        prompt(s, i == 0 ? tts : chat, i == 0 ? sentence : NULL);
        (void)snprintf(name, sizeof name, "variant-%s", names[i]);
        run_stream(s, name, i == 0 ? RNL_MODE_SPEAK : RNL_MODE_INTERLEAVED);
        rnl_session_destroy(&s);
        rnl_model_close(&model);
        variant_remove(dir);
    }
}

static void gguf_streams(void **state) {
    (void)state;
    const char *const sets[][2] = {{"gguf/tiny-F16.gguf", "gguf/expect-F16/interleaved.json"},
                                   {"gguf/tiny-Q4_0.gguf", "gguf/expect-Q4_0/interleaved.json"}};
    for (size_t i = 0; i < 2; i++) {
        rnl_model *model = rig_model(sets[i][0]);
        rnl_session *s = rig_session(model, 2);
        json_t *root = read_stream(sets[i][1]);
        prompt(s, chat, NULL);
        rig_begin(s, RNL_MODE_INTERLEAVED,
                  (int)json_integer_value(json_object_get(root, "max_new_tokens")));
        rig_result r = rig_run(s);
        check_events(s, sets[i][1], root);
        rig_free(&r);
        json_decref(root);
        rnl_session_destroy(&s);
        rnl_model_close(&model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequential_streams),
        cmocka_unit_test(two_interleaved_turns),
        cmocka_unit_test(variant_streams),
        cmocka_unit_test(gguf_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
