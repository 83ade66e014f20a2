/* See realtime_rig.h. */
#include "tests/support/realtime_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/json_out.h"
#include "tests/support/world.h"

/* ---- Lines of the fake model ---- */

static void put_log(realtime_rig *r, const char *form, ...) __attribute__((format(printf, 2, 3)));

static void put_text(realtime_rig *r, const char *text) {
    const size_t size = strlen(text);
    if (r->log_size + size + 1 > r->log_cap) {
        r->log_cap = 2 * r->log_cap + size + 1024;
        r->log = realloc(r->log, r->log_cap);
        assert_non_null(r->log);
    }
    memcpy(r->log + r->log_size, text, size + 1);
    r->log_size += size;
}

static void flush_push(realtime_rig *r) {
    const size_t pushed = r->pushed;
    r->pushed = 0;
    if (pushed > 0) put_log(r, "push %zu", pushed);
}

static void put_log(realtime_rig *r, const char *form, ...) {
    char line[512];
    va_list args;
    flush_push(r);
    va_start(args, form);
    (void)vsnprintf(line, sizeof line, form, args);
    va_end(args);
    if (r->log_size > r->log_mark) put_text(r, "; ");
    put_text(r, line);
}

static int number_of(realtime_rig *r, uint32_t key) {
    for (int i = 0; i < r->key_count; i++)
        if (r->keys[i] == key) return i + 1;
    assert_true(r->key_count < RIG_KEY_CAP);
    r->keys[r->key_count++] = key;
    return r->key_count;
}

static const char *mode_name(rnl_mode mode) {
    return mode == RNL_MODE_TEXT ? "text" : "interleaved";
}

/* ---- The fake model ---- */

static void on_send(void *context, const char *text, size_t size) {
    realtime_rig *r = context;
    if (r->event_count == r->event_cap) {
        r->event_cap = 2 * r->event_cap + 64;
        r->events = realloc(r->events, (size_t)r->event_cap * sizeof *r->events);
        assert_non_null(r->events);
    }
    char *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    copy[size] = 0;
    r->events[r->event_count++] = copy;
    if (r->dump != NULL)
        (void)fprintf(r->dump, "{\"at\": %.3f, \"dir\": \"out\", \"event\": %s}\n",
                      (double)r->now_us / 1e6, copy);
    if (!r->config.beta && !realtime_order_event(&r->order, text, size))
        fail_msg("%s\n%.400s", r->order.wrong, copy);
}

static void on_close(void *context, int code, const char *reason) {
    realtime_rig *r = context;
    (void)reason;
    assert_int_equal(r->close_code, 0);
    r->close_code = code;
}

static void on_restart(void *context, const realtime_prompt *p) {
    const realtime_retention *keeps = &p->retention;
    char kept[64] = "";
    if (keeps->keeps_all || keeps->ratio != 0.5 || keeps->position_max > 0)
        (void)snprintf(kept, sizeof kept, " keeps %g/%d", keeps->keeps_all ? 1 : keeps->ratio,
                       keeps->position_max);
    put_log(context, "restart %s%s%s%s%s%s", mode_name(p->mode), kept,
            p->tools != NULL ? " tools" : "", p->instructions != NULL ? " \"" : "",
            p->instructions != NULL ? p->instructions : "", p->instructions != NULL ? "\"" : "");
}

/* Everything of an entry is looked at, and what was given away is freed. */
static void put_entry(realtime_rig *r, const realtime_entry *entry, char *line, size_t cap) {
    static const char *const roles[] = {"system", "user", "assistant", "call", "result"};
    size_t used =
        (size_t)snprintf(line, cap, "#%d %s", number_of(r, entry->key), roles[entry->role]);
    for (int i = 0; i < entry->piece_count; i++) {
        const realtime_piece *p = &entry->pieces[i];
        if (p->pixels != NULL)
            used += (size_t)snprintf(line + used, cap - used, " %dx%d%s", p->width, p->height,
                                     p->one_view ? " low" : "");
        else if (p->samples != NULL)
            used += (size_t)snprintf(line + used, cap - used, " %zu", p->count);
        else
            used += (size_t)snprintf(line + used, cap - used, " \"%.*s\"",
                                     (int)(p->size < 60 ? p->size : 60),
                                     p->text != NULL ? p->text : "");
        for (size_t k = 0; k < p->count && p->samples != NULL; k++)
            assert_true(p->samples[k] > -8 && p->samples[k] < 8);
        free(p->samples);
        free(p->pixels);
        if (used > cap - 100) return;
    }
}

static void on_append(void *context, const realtime_entry *entry) {
    char line[400];
    put_entry(context, entry, line, sizeof line);
    put_log(context, "append %s", line);
}

static size_t on_clip_push(void *context, const float *samples, size_t count) {
    realtime_rig *r = context;
    if (count > r->push_room) count = r->push_room;
    if (r->push_room != SIZE_MAX) r->push_room -= count;
    if (r->clip_count + count > r->clip_cap) {
        r->clip_cap = 2 * r->clip_cap + count + 16000;
        r->clip = realloc(r->clip, r->clip_cap * sizeof *r->clip);
        assert_non_null(r->clip);
    }
    if (count > 0) memcpy(r->clip + r->clip_count, samples, count * sizeof *samples);
    r->clip_count += count;
    r->pushed += count;
    return count;
}

static void on_clip_drop(void *context) {
    realtime_rig *r = context;
    r->clip_count = 0;
    put_log(r, "drop");
}

static void on_clip_guess(void *context, uint32_t key, const realtime_wish *wish) {
    realtime_rig *r = context;
    (void)wish;
    r->guess = key;
    put_log(r, "guess #%d", number_of(r, key));
}

static void on_clip_withdraw(void *context) {
    put_log(context, "withdraw");
}

static void on_clip_end(void *context, uint32_t key) {
    realtime_rig *r = context;
    put_log(r, "end #%d", number_of(r, key));
    r->ended_count = r->clip_count;
    r->clip_count = 0;
}

static void on_ask(void *context, uint32_t key, float *samples, size_t count) {
    realtime_rig *r = context;
    r->question = key;
    free(samples);
    put_log(r, "ask #%d %zu", number_of(r, key), count);
}

static void on_respond(void *context, uint32_t key, const realtime_wish *wish) {
    realtime_rig *r = context;
    r->reply = key;
    put_log(r, "respond #%d %s", number_of(r, key), mode_name(wish->mode));
}

static void on_respond_alone(void *context, uint32_t key, const realtime_prompt *prompt,
                             const realtime_entry *entries, int count, const realtime_wish *wish) {
    realtime_rig *r = context;
    char line[400];
    r->reply = key;
    (void)prompt;
    put_log(r, "alone #%d %s %d", number_of(r, key), mode_name(wish->mode), count);
    for (int i = 0; i < count; i++) {
        put_entry(r, &entries[i], line, sizeof line);
        put_log(r, "with %s", line);
    }
}

static void on_cancel(void *context, uint32_t key) {
    put_log(context, "cancel #%d", number_of(context, key));
}

static void on_truncate(void *context, uint32_t key, size_t count) {
    put_log(context, "truncate #%d %zu", number_of(context, key), count);
}

static void on_transcribe(void *context, uint32_t key, float *samples, size_t count,
                          const char *language, bool logprobs) {
    realtime_rig *r = context;
    (void)language;
    r->transcript = key;
    free(samples);
    put_log(r, "transcribe #%d %zu%s", number_of(r, key), count, logprobs ? " logprobs" : "");
}

static const realtime_ops fake_model = {
    .send = on_send,
    .close = on_close,
    .restart = on_restart,
    .append = on_append,
    .clip_push = on_clip_push,
    .clip_drop = on_clip_drop,
    .clip_guess = on_clip_guess,
    .clip_withdraw = on_clip_withdraw,
    .clip_end = on_clip_end,
    .respond = on_respond,
    .respond_alone = on_respond_alone,
    .cancel = on_cancel,
    .truncate = on_truncate,
    .transcribe = on_transcribe,
};

/* ---- Life ---- */

void rig_init(realtime_rig *r) {
    static const char *const voices[] = {"us-female", "us-male", NULL};
    memset(r, 0, sizeof *r);
    kernels_select(&r->kernels, kernels_cpu_features());
    r->config = realtime_config_default();
    r->config.model = "minnow";
    r->config.instructions[0] = "Respond with interleaved text and audio.";
    r->config.voices = voices;
    r->config.kernels = &r->kernels;
    r->config.gives_audio = true;
    r->config.unix_seconds = 1795992000;
    r->now_us = 1000000;
    r->push_room = SIZE_MAX;
    r->rate = 24000;
}

void rig_open(realtime_rig *r, const char *start) {
    realtime_ops ops = fake_model;
    ops.wire = ops.model = r;
    rnl_error error;
    const char *folder = getenv("REALTIME_RIG_LOG");
    if (folder != NULL && !r->config.beta) {
        static int number;
        char path[512];
        (void)snprintf(path, sizeof path, "%s/rig-%03d.jsonl", folder, number++);
        r->dump = fopen(path, "w");
        assert_non_null(r->dump);
    }
    if (r->asks) ops.ask_finished = on_ask;
    const rnl_status status =
        realtime_create(&r->config, &ops, start, start != NULL ? strlen(start) : 0, &r->rt, &error);
    if (status != RNL_OK) fail_msg("%s", error.text);
    realtime_open(r->rt, r->now_us);
}

void rig_model_ops(realtime_rig *r, realtime_ops *ops) {
    *ops = fake_model;
    ops->model = r;
}

int realtime_rig_begin(void **state) {
    rig_init(*state);
    return 0;
}

int realtime_rig_end(void **state) {
    rig_close(*state);
    return 0;
}

void rig_close(realtime_rig *r) {
    if (r->close_code == 0 && !r->config.beta && !realtime_order_end(&r->order))
        fail_msg("%s", r->order.wrong);
    realtime_destroy(&r->rt);
    for (int i = 0; i < r->event_count; i++) free(r->events[i]);
    free(r->events);
    free(r->log);
    free(r->clip);
    if (r->dump != NULL) (void)fclose(r->dump);
    realtime_order_free(&r->order);
    memset(r, 0, sizeof *r);
}

/* ---- The client ---- */

void rig_send_raw(realtime_rig *r, const char *text, size_t size) {
    assert_false(realtime_is_busy(r->rt));
    if (!realtime_is_over(r->rt)) realtime_message(r->rt, text, size, r->now_us);
}

void rig_send(realtime_rig *r, const char *form, ...) {
    char text[8192];
    va_list args;
    va_start(args, form);
    const int size = vsnprintf(text, sizeof text, form, args);
    va_end(args);
    assert_true(size > 0 && (size_t)size < sizeof text);
    for (char *c = text; *c != 0; c++)
        if (*c == '\'') *c = '"';
    rig_send_raw(r, text, (size_t)size);
}

void rig_append(realtime_rig *r, const void *bytes, size_t size) {
    json_out o;
    json_out_begin_growing(&o, 16 << 20);
    json_out_object(&o, NULL);
    json_out_word(&o, "type", "input_audio_buffer.append");
    json_out_base64(&o, "audio", bytes, size);
    json_out_end(&o);
    assert_true(json_out_whole(&o));
    rig_send_raw(r, o.text, o.size);
    json_out_free(&o);
}

/* Each sample three halves times, linear: good enough for a fake microphone at 24 kHz. */
static size_t at_rate(int rate, const float *samples, size_t count, int16_t *out) {
    const size_t made = count * (size_t)rate / 16000;
    for (size_t i = 0; i < made; i++) {
        const double at = (double)i * 16000 / rate;
        const size_t k = (size_t)at;
        const float next = k + 1 < count ? samples[k + 1] : samples[k];
        const float value = samples[k] + (float)(at - (double)k) * (next - samples[k]);
        out[i] = (int16_t)(value * 32767.0f);
    }
    return made;
}

void rig_speak(realtime_rig *r, const float *samples, size_t count) {
    enum { PIECE = 320 };
    int16_t piece[3 * PIECE];
    for (size_t at = 0; at < count && !realtime_is_over(r->rt); at += PIECE) {
        const size_t size = count - at < PIECE ? count - at : PIECE;
        r->now_us += (int64_t)size * 1000000 / 16000;
        if (realtime_due_us(r->rt) <= r->now_us) realtime_tick(r->rt, r->now_us);
        const size_t made = at_rate(r->rate, samples + at, size, piece);
        rig_append(r, piece, 2 * made);
    }
}

void rig_silence(realtime_rig *r, double seconds) {
    script s = {0};
    script_silence(&s, seconds);
    script_noise(&s, 0.0005f, 7);
    rig_speak(r, s.samples, s.count);
    script_free(&s);
}

void rig_ask(realtime_rig *r, const char *name) {
    script s = {0};
    (void)script_say(&s, name);
    script_noise(&s, 0.0005f, 7);
    rig_speak(r, s.samples, s.count);
    script_free(&s);
}

void rig_wait(realtime_rig *r, double seconds) {
    const int64_t until = r->now_us + (int64_t)(seconds * 1e6);
    while (realtime_due_us(r->rt) <= until) {
        r->now_us = realtime_due_us(r->rt) > r->now_us ? realtime_due_us(r->rt) : r->now_us;
        realtime_tick(r->rt, r->now_us);
    }
    r->now_us = until;
}

/* ---- News ---- */

static void tell(realtime_rig *r, const realtime_news_item *news) {
    realtime_news(r->rt, news, r->now_us);
}

void rig_begun(realtime_rig *r) {
    const realtime_news_item news = {
        .kind = REALTIME_BEGUN,
        .key = r->reply,
        .usage = {.input_text = 15, .input_audio = 25, .cached_text = 15}};
    tell(r, &news);
}

void rig_words(realtime_rig *r, const char *text) {
    const realtime_news_item news = {.kind = REALTIME_TEXT,
                                     .key = r->reply,
                                     .text = text,
                                     .size = strlen(text),
                                     .position_count = 1};
    tell(r, &news);
}

void rig_sound(realtime_rig *r, double seconds) {
    float frame[1920];
    for (int i = 0; i < 1920; i++) frame[i] = (float)(i % 48 - 24) / 100;
    for (int i = 0; i < (int)(seconds / 0.08 + 0.5); i++) {
        const realtime_news_item news = {.kind = REALTIME_SOUND,
                                         .key = r->reply,
                                         .samples = frame,
                                         .count = 1920,
                                         .position_count = 1};
        tell(r, &news);
    }
}

void rig_call(realtime_rig *r, const char *name, const char *arguments) {
    const realtime_news_item news = {.kind = REALTIME_CALLED,
                                     .key = r->reply,
                                     .name = name,
                                     .text = arguments,
                                     .size = strlen(arguments)};
    tell(r, &news);
}

void rig_done(realtime_rig *r, rnl_finish finish) {
    const realtime_news_item news = {
        .kind = REALTIME_ENDED,
        .key = r->reply,
        .finish = finish,
        .usage = {.input_text = 15, .input_audio = 25, .cached_text = 15, .output_text = 9}};
    tell(r, &news);
}

void rig_fail(realtime_rig *r, api_code code, const char *message) {
    const realtime_news_item news = {.kind = REALTIME_ENDED,
                                     .key = r->reply,
                                     .code = code,
                                     .text = message,
                                     .size = strlen(message)};
    tell(r, &news);
}

void rig_answer(realtime_rig *r, const char *text, double seconds) {
    rig_begun(r);
    rig_words(r, text);
    rig_sound(r, seconds);
    rig_done(r, RNL_FINISH_END);
}

/* ---- Looking ---- */

static json *parse(const char *text) {
    json *v = NULL;
    assert_int_equal(json_parse(text, strlen(text), "event", &v, NULL), RNL_OK);
    return v;
}

const char *rig_types(realtime_rig *r) {
    static char text[16384];
    size_t used = 0;
    text[0] = 0;
    for (; r->mark < r->event_count; r->mark++) {
        json *e = parse(r->events[r->mark]);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? " " : "",
                                 json_chars(json_get(e, "type"), NULL));
        json_destroy(&e);
        assert_true(used < sizeof text);
    }
    return text;
}

const char *rig_asked(realtime_rig *r) {
    flush_push(r);
    const size_t from = r->log_mark;
    r->log_mark = r->log_size;
    return r->log != NULL ? r->log + from : "";
}

json *rig_last(const realtime_rig *r, const char *type) {
    char wanted[128];
    (void)snprintf(wanted, sizeof wanted, "{\"type\":\"%s\"", type);
    for (int i = r->event_count - 1; i >= 0; i--)
        if (strncmp(r->events[i], wanted, strlen(wanted)) == 0) return parse(r->events[i]);
    return NULL;
}

int rig_count(const realtime_rig *r, const char *type) {
    char wanted[128];
    int count = 0;
    (void)snprintf(wanted, sizeof wanted, "{\"type\":\"%s\"", type);
    for (int i = 0; i < r->event_count; i++)
        count += strncmp(r->events[i], wanted, strlen(wanted)) == 0;
    return count;
}

const char *rig_value(const realtime_rig *r, const char *type, const char *path) {
    static char values[8][512];
    static int next;
    char *out = values[next++ % 8], name[128];
    json *e = rig_last(r, type);
    const json *v = e;
    for (const char *p = path; *p != 0;) {
        const size_t size = strcspn(p, ".");
        (void)snprintf(name, sizeof name, "%.*s", (int)size, p);
        v = json_is_array(v) ? json_at(v, (size_t)atoi(name)) : json_get(v, name);
        p += size + (p[size] == '.');
    }
    double number;
    const char *text = json_chars(v, NULL);
    if (text != NULL)
        (void)snprintf(out, 512, "%s", text);
    else if (json_number(v, &number))
        (void)snprintf(out, 512, "%g", number);
    else
        (void)snprintf(out, 512, "%s", v != NULL && json_is_null(v) ? "null" : "");
    json_destroy(&e);
    return out;
}
