/* A realtime conversation with the engine thread behind it, without a network: a picture that is
 * shown is what the session of a library's caller is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/json.h"
#include "engine/model.h"
#include "audio/stream.h"
#include "serve/json_out.h"
#include "serve/metrics.h"
#include "serve/realtime_model.h"
#include "serve/sound_in.h"
#include "tests/support/rig.h"
#include "tests/support/work_rig.h"

/* What was sent: the text of the last response, the last transcript. */
typedef struct client {
    int done;
    char status[32], text[1024];
    int64_t image_tokens, cached_image_tokens;
    int heard_count, token_count;
    char heard[1024], deltas[1024]; /* and its tokens, those of deltas one by one */
    char tokens[1024], delta_tokens[1024];
} client;

static void join(char *to, const json *text) {
    const char *more = json_chars(text, NULL);
    assert_true(more != NULL && strlen(to) + strlen(more) < 1024);
    (void)strcat(to, more);
}

static int join_tokens(char *to, const json *logprobs) {
    double logprob;
    assert_true(json_is_array(logprobs));
    for (size_t i = 0; i < json_count(logprobs); i++) {
        const json *t = json_at(logprobs, i);
        join(to, json_get(t, "token"));
        assert_true(json_number(json_get(t, "logprob"), &logprob) && logprob <= 0);
        assert_int_equal(json_count(json_get(t, "bytes")),
                         strlen(json_chars(json_get(t, "token"), NULL)));
    }
    return (int)json_count(logprobs);
}

static void take_transcript(client *c, const char *type, const json *e) {
    if (strcmp(type, "conversation.item.input_audio_transcription.delta") == 0) {
        join(c->deltas, json_get(e, "delta"));
        (void)join_tokens(c->delta_tokens, json_get(e, "logprobs"));
    }
    if (strcmp(type, "conversation.item.input_audio_transcription.completed") == 0) {
        join(c->heard, json_get(e, "transcript"));
        c->token_count = join_tokens(c->tokens, json_get(e, "logprobs"));
        c->heard_count++;
    }
}

static int64_t whole(const json *object, const char *key) {
    int64_t value = -1;
    (void)json_int(json_get(object, key), 0, INT64_MAX, &value);
    return value;
}

static void on_ready(void *context) {
    (void)context;
}

static void on_send(void *context, const char *text, size_t size) {
    client *c = context;
    json *e = NULL;
    assert_int_equal(json_parse(text, size, "event", &e, NULL), RNL_OK);
    const char *type = json_chars(json_get(e, "type"), NULL);
    if (strcmp(type, "error") == 0) fail_msg("%.*s", (int)size, text);
    if (strcmp(type, "response.done") == 0) {
        const json *response = json_get(e, "response");
        (void)snprintf(c->status, sizeof c->status, "%s",
                       json_chars(json_get(response, "status"), NULL));
        const json *input = json_get(json_get(response, "usage"), "input_token_details");
        c->image_tokens = whole(input, "image_tokens");
        c->cached_image_tokens = whole(json_get(input, "cached_tokens_details"), "image_tokens");
        c->done++;
    }
    if (strcmp(type, "response.output_text.done") == 0)
        (void)snprintf(c->text, sizeof c->text, "%s", json_chars(json_get(e, "text"), NULL));
    take_transcript(c, type, e);
    json_destroy(&e);
}

static void on_close(void *context, int code, const char *reason) {
    (void)context;
    fail_msg("closed with %d: %s", code, reason);
}

static void turn(work *w, realtime *rt, realtime_model *m) {
    realtime_news_item news;
    work_rig_turn(w);
    while (realtime_model_next(m, &news)) realtime_news(rt, &news, clock_us());
    realtime_model_tick(m);
}

static void say(realtime *rt, const char *text) {
    realtime_message(rt, text, strlen(text), clock_us());
}

static int kept_times(void *context, rnl_batch *batch) {
    (void)context;
    rnl_batch_set_times(batch, 1, 1000, 1000);
    return 1;
}

static work *start(rnl_model *model, metrics *m) {
    work_config c = work_config_default();
    c.metrics = m;
    c.thread_count = 2;
    c.context_cap = 512;
    c.session_cap = 2;
    c.give_times = kept_times;
    return work_rig_start(model, &c);
}

/* A picture of the tests as a data URI; free() it. */
static char *address_of(const char *path) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static unsigned char bytes[65536];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t size = fread(bytes, 1, sizeof bytes - 3, f) / 3 * 3 + 3; /* padded by zeros */
    (void)fclose(f);
    char *out = malloc(64 + size / 3 * 4);
    assert_non_null(out);
    int at = sprintf(out, "data:image/png;base64,");
    for (size_t i = 0; i < size; i += 3) {
        const unsigned v = (unsigned)bytes[i] << 16 | (unsigned)bytes[i + 1] << 8 | bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6) out[at++] = digits[v >> shift & 63];
    }
    out[at] = 0;
    return out;
}

/* The same of a session alone. */
static void answer_alone(rnl_model *model, const char *address, char *text, size_t cap) {
    static const char question[] = "What is it?";
    rnl_session_config config = rnl_session_config_for(model);
    rnl_session *s;
    bitmap m;
    api_error e = {0};
    config.context_cap = 512;
    config.image_views_max = rnl_image_views_max(model);
    assert_int_equal(rnl_session_create(model, &config, &s, NULL), RNL_OK);
    assert_true(bitmap_decode(address, strlen(address), "", 1 << 20, &m, &e));
    const char *prompt = rnl_model_system_prompt(model, RNL_MODE_TEXT);
    if (prompt != NULL)
        assert_int_equal(rnl_session_add_text(s, RNL_ROLE_SYSTEM, prompt, strlen(prompt), NULL),
                         RNL_OK);
    assert_int_equal(
        rnl_session_add_image(s, m.pixels, m.width, m.height, (size_t)m.width * 3, NULL, NULL),
        RNL_OK);
    while (rnl_session_add_text(s, RNL_ROLE_USER, question, strlen(question), NULL) == RNL_AGAIN)
        assert_int_equal(rnl_session_step(s, NULL), RNL_OK);
    rnl_turn_config t = rnl_turn_config_default(model, RNL_MODE_TEXT);
    t.step_max = 12;
    t.text.temperature = 0;
    assert_int_equal(rnl_session_begin(s, &t, NULL), RNL_OK);
    while (rnl_session_step(s, NULL) != RNL_DONE) continue;
    size_t used = 0, got;
    while (rnl_session_pull_text(s, text + used, cap - 1 - used, &got) == RNL_OK) used += got;
    text[used] = 0;
    rnl_session_destroy(&s);
    free(m.pixels);
}

/* A conversation and all that it needs. */
typedef struct talk {
    work *w;
    realtime_model *m;
    realtime *rt;
    client c;
} talk;

static void open_talk(rnl_model *model, metrics *m, talk *t) {
    *t = (talk){.w = start(model, m)};
    api_error e;
    rnl_error error = {0};
    const realtime_model_config mc = {.work = t->w, .ready = on_ready};
    t->m = realtime_model_open(&mc, &e);
    if (t->m == NULL) fail_msg("%s", e.message);
    realtime_config config = realtime_config_default();
    config.kernels = &model->kernels;
    rnl_model_info info;
    rnl_model_get_info(model, &info);
    config.sees = info.takes_images;
    config.gives_audio = rnl_model_can(model, RNL_MODE_INTERLEAVED);
    realtime_ops ops = {.wire = &t->c, .send = on_send, .close = on_close};
    realtime_model_ops(t->m, &ops);
    if (realtime_create(&config, &ops, NULL, 0, &t->rt, &error) != RNL_OK)
        fail_msg("%s", error.text);
    realtime_open(t->rt, clock_us());
    say(t->rt, "{\"type\":\"session.update\",\"session\":{\"temperature\":0,"
               "\"max_output_tokens\":12}}");
}

static void show(talk *t, const char *id, const char *address) {
    char *text = malloc(strlen(address) + 400);
    assert_non_null(text);
    (void)sprintf(text,
                  "{\"type\":\"conversation.item.create\",\"item\":{\"type\":\"message\","
                  "\"id\":\"%s\",\"role\":\"user\",\"content\":[{\"type\":\"input_image\","
                  "\"image_url\":\"%s\"},{\"type\":\"input_text\",\"text\":\"What is it?\"}]}}",
                  id, address);
    say(t->rt, text);
    free(text);
}

static void assert_answer(talk *t, const char *asked, const char *expected) {
    const double end = clock_seconds() + 60;
    const int before = t->c.done;
    t->c.text[0] = 0;
    say(t->rt, asked);
    while (t->c.done == before && clock_seconds() < end) turn(t->w, t->rt, t->m);
    assert_string_equal(t->c.status, "incomplete"); /* max_output_tokens */
    assert_string_equal(t->c.text, expected);
}

/* Positions that a picture takes. */
static int picture_positions(rnl_model *model, int width, int height) {
    rnl_session_config config = rnl_session_config_for(model);
    rnl_session *s;
    uint8_t *pixels = calloc((size_t)width * (size_t)height, 3);
    config.context_cap = 512;
    config.image_views_max = rnl_image_views_max(model);
    assert_int_equal(rnl_session_create(model, &config, &s, NULL), RNL_OK);
    assert_int_equal(rnl_session_add_text(s, RNL_ROLE_USER, "a", 1, NULL), RNL_OK);
    const int before = rnl_session_position_count(s);
    assert_int_equal(rnl_session_add_image(s, pixels, width, height, (size_t)width * 3, NULL, NULL),
                     RNL_OK);
    const int count = rnl_session_position_count(s) - before;
    rnl_session_destroy(&s);
    free(pixels);
    return count;
}

/* Of the conversation's next answer the first picture is in the cache, too. */
static void assert_answer_is_cached(talk *t, int count) {
    const double end = clock_seconds() + 60;
    const int before = t->c.done;
    say(t->rt, "{\"type\":\"response.create\"}");
    while (t->c.done == before && clock_seconds() < end) turn(t->w, t->rt, t->m);
    assert_int_equal(t->c.cached_image_tokens, count);
    assert_true(t->c.image_tokens > count);
}

static void a_picture_is_seen(void **state) {
    (void)state;
    rnl_error error = {0};
    rnl_model *model;
    talk t;
    char first[1024], second[1024];
    if (rnl_model_open(TEST_DATA "/vl/tiny", NULL, &model, &error) != RNL_OK)
        fail_msg("%s", error.text);
    char *grey = address_of(TEST_DATA "/vl/images/grey-64x40.png");
    char *colours = address_of(TEST_DATA "/vl/images/palette-60x48.png");
    answer_alone(model, grey, first, sizeof first);
    answer_alone(model, colours, second, sizeof second);
    assert_string_not_equal(first, second);
    open_talk(model, NULL, &t);
    show(&t, "one", grey);
    assert_answer(&t, "{\"type\":\"response.create\"}", first);
    assert_int_equal(t.c.image_tokens, picture_positions(model, 64, 40));
    assert_int_equal(t.c.cached_image_tokens, 0);
    show(&t, "two", colours);
    static const char beside[] =
        "{\"type\":\"response.create\",\"response\":{\"conversation\":\"none\","
        "\"input\":[{\"type\":\"item_reference\",\"id\":\"%s\"}]}}";
    char asked[256];
    (void)snprintf(asked, sizeof asked, beside, "two");
    assert_answer(&t, asked, second);
    (void)snprintf(asked, sizeof asked, beside, "one"); /* its pixels are made again */
    assert_answer(&t, asked, first);
    assert_answer_is_cached(&t, picture_positions(model, 64, 40));
    realtime_destroy(&t.rt);
    realtime_model_close(&t.m);
    work_destroy(&t.w);
    rnl_model_close(&model);
    free(grey);
    free(colours);
}

/* There is one place beside two conversations; who comes second waits for it. */
static void responses_beside_wait_for_their_place(void **state) {
    (void)state;
    static const char asked[] =
        "{\"type\":\"response.create\",\"response\":{\"conversation\":\"none\",\"input\":[{"
        "\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
        "\"text\":\"What is it?\"}]}]}}";
    enum { COUNT = 4 };
    rnl_error error = {0};
    rnl_model *model;
    talk t;
    char first[1024];
    if (rnl_model_open(TEST_DATA "/vl/tiny", NULL, &model, &error) != RNL_OK)
        fail_msg("%s", error.text);
    open_talk(model, NULL, &t);
    const double end = clock_seconds() + 60;
    say(t.rt, asked);
    while (t.c.done == 0 && clock_seconds() < end) turn(t.w, t.rt, t.m);
    (void)snprintf(first, sizeof first, "%s", t.c.text);
    for (int i = 0; i < COUNT; i++) say(t.rt, asked);
    while (t.c.done < 1 + COUNT && clock_seconds() < end) {
        turn(t.w, t.rt, t.m);
        if (t.c.done > 1) assert_string_equal(t.c.text, first);
        assert_string_equal(t.c.status, "incomplete");
    }
    assert_int_equal(t.c.done, 1 + COUNT);
    realtime_destroy(&t.rt);
    realtime_model_close(&t.m);
    work_destroy(&t.w);
    rnl_model_close(&model);
}

/* ---- What the user said ---- */

static void append(talk *t, const float *samples, size_t count) {
    unsigned char *bytes = malloc(2 * count);
    json_out o;
    sound_to_s16le(samples, count, bytes);
    json_out_begin_growing(&o, 1 << 22);
    json_out_object(&o, NULL);
    json_out_word(&o, "type", "input_audio_buffer.append");
    json_out_base64(&o, "audio", bytes, 2 * count);
    json_out_end(&o);
    realtime_message(t->rt, o.text, o.size, clock_us());
    json_out_free(&o);
    free(bytes);
}

/* By a session alone. */
static void transcribe_alone(rnl_model *model, const float *samples, size_t count, char *text) {
    rnl_session_config config = rnl_session_config_for(model);
    rnl_session *s;
    config.context_cap = 512;
    const char *prompt = rnl_model_system_prompt(model, RNL_MODE_TRANSCRIBE);
    assert_int_equal(rnl_session_create(model, &config, &s, NULL), RNL_OK);
    assert_int_equal(rnl_session_add_text(s, RNL_ROLE_SYSTEM, prompt, strlen(prompt), NULL),
                     RNL_OK);
    assert_int_equal(rnl_session_add_audio(s, samples, count, RNL_RATE_IN, NULL), RNL_OK);
    const rnl_turn_config turn = rnl_turn_config_default(model, RNL_MODE_TRANSCRIBE);
    assert_int_equal(rnl_session_begin(s, &turn, NULL), RNL_OK);
    while (rnl_session_step(s, NULL) != RNL_DONE) continue;
    size_t used = 0, got;
    while (rnl_session_pull_text(s, text + used, 1023 - used, &got) == RNL_OK) used += got;
    text[used] = 0;
    rnl_session_destroy(&s);
}

static double encoded_seconds(metrics *m) {
    static char page[65536];
    static const char name[] = "\nrunnel_encoded_seconds_total ";
    page[metrics_write(m, page, sizeof page - 1)] = 0;
    const char *at = strstr(page, name);
    assert_non_null(at);
    return atof(at + sizeof name - 1);
}

/* The encoder looks at a turn once, for the answer and the transcript; and the transcript is that
 * of a session alone. */
static void a_turn_is_encoded_once(void **state) {
    (void)state;
    static const char *const paths[] = {"other"};
    static const char path[] = SOURCE_DIR "/samples/questions/light.wav";
    const metrics_config mc = {.kernels = "", .model = "", .paths = paths, .path_count = 1};
    const size_t count = rig_wav_count(path) / 80 * 80; /* pieces of 5 ms are heard */
    float *samples = rig_wav(path, 0, count);
    char wanted[1024];
    rnl_error error = {0};
    rnl_model *model;
    metrics *m;
    talk t;
    if (rnl_model_open(SOURCE_DIR "/samples/minnow/minnow.gguf", NULL, &model, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_int_equal(metrics_create(&mc, &m), RNL_OK);
    transcribe_alone(model, samples, count, wanted);
    assert_true(strlen(wanted) > 10);
    open_talk(model, m, &t);
    say(t.rt, "{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"format\":{"
              "\"type\":\"audio/pcm\",\"rate\":16000},\"turn_detection\":null,"
              "\"transcription\":{\"model\":\"any\"}}},"
              "\"include\":[\"item.input_audio_transcription.logprobs\"]}}");
    append(&t, samples, count);
    say(t.rt, "{\"type\":\"input_audio_buffer.commit\"}");
    say(t.rt, "{\"type\":\"response.create\"}");
    const double end = clock_seconds() + 60;
    while ((t.c.heard_count == 0 || t.c.done == 0) && clock_seconds() < end) turn(t.w, t.rt, t.m);
    assert_string_equal(t.c.heard, wanted);
    assert_string_equal(t.c.deltas, wanted);
    assert_string_equal(t.c.tokens, wanted);
    assert_string_equal(t.c.delta_tokens, wanted);
    assert_true(t.c.token_count > 3);
    const double seconds = encoded_seconds(m), once = (double)count / RNL_RATE_IN;
    assert_true(seconds > once - 0.01 && seconds < once + 0.01);
    assert_true(realtime_model_worked_us(t.m) > 0);
    assert_false(realtime_model_is_hearing(t.m));
    realtime_destroy(&t.rt);
    realtime_model_close(&t.m);
    work_destroy(&t.w);
    metrics_destroy(&m);
    rnl_model_close(&model);
    free(samples);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_is_seen),
        cmocka_unit_test(responses_beside_wait_for_their_place),
        cmocka_unit_test(a_turn_is_encoded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
