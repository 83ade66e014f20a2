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
#include "serve/realtime_model.h"
#include "serve/sound_in.h"
#include "tests/support/work_rig.h"

/* What was sent: the text of the last response. */
typedef struct client {
    int done;
    char status[32], text[1024];
} client;

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
        c->done++;
    }
    if (strcmp(type, "response.output_text.done") == 0)
        (void)snprintf(c->text, sizeof c->text, "%s", json_chars(json_get(e, "text"), NULL));
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

static work *start(rnl_model *model) {
    work_config c = work_config_default();
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

static void open_talk(rnl_model *model, talk *t) {
    *t = (talk){.w = start(model)};
    api_error e;
    rnl_error error = {0};
    const realtime_model_config mc = {.work = t->w, .ready = on_ready};
    t->m = realtime_model_open(&mc, &e);
    if (t->m == NULL) fail_msg("%s", e.message);
    realtime_config config = realtime_config_default();
    config.kernels = &model->kernels;
    config.sees = true;
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
    open_talk(model, &t);
    show(&t, "one", grey);
    assert_answer(&t, "{\"type\":\"response.create\"}", first);
    show(&t, "two", colours);
    static const char beside[] =
        "{\"type\":\"response.create\",\"response\":{\"conversation\":\"none\","
        "\"input\":[{\"type\":\"item_reference\",\"id\":\"%s\"}]}}";
    char asked[256];
    (void)snprintf(asked, sizeof asked, beside, "two");
    assert_answer(&t, asked, second);
    (void)snprintf(asked, sizeof asked, beside, "one"); /* its pixels are made again */
    assert_answer(&t, asked, first);
    realtime_destroy(&t.rt);
    realtime_model_close(&t.m);
    work_destroy(&t.w);
    rnl_model_close(&model);
    free(grey);
    free(colours);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
