/* A client's events and a model's news in any order. Lines: {...} is a message of the client; any
 * other line is a row of letters, each one thing that happens:
 *
 *     v q     200 ms of speech, of silence are appended
 *     w W     20 ms, 2 s pass
 *     t s c   the reply goes on: text, a frame, a call     e l f  it ends, at the limit, it fails
 *     b       it begins      o   news about the reply before
 *     h H x   a transcript goes on, is complete, fails     p P    the clip sounds finished, or not
 *     n       the model takes nothing more of the clip     N      it does again
 *     g       the connection breaks off, and the client comes back
 *
 * Events keep their order (tests/support/realtime_order.h), whatever comes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/json_out.h"
#include "serve/realtime.h"
#include "tests/support/realtime_order.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VOICE_CAP = 200000, APPEND_COUNT = 3200, APPEND_MAX = 60 /* 12 s */ };

typedef struct talk {
    realtime *rt;
    realtime_order order;
    int64_t now_us;
    uint32_t reply, before, transcript, question;
    bool deaf;
    size_t voice_at;
    int append_count;
} talk;

static int16_t voice[VOICE_CAP]; /* 16 kHz */
static size_t voice_count;

static void on_send(void *context, const char *text, size_t size) {
    talk *t = context;
    if (realtime_order_event(&t->order, text, size)) return;
    (void)fprintf(stderr, "%s\n%.*s\n", t->order.wrong, (int)size, text);
    abort();
}

static void on_close(void *context, int code, const char *reason) {
    (void)context;
    (void)reason;
    if (code < 1000 || code > 1013) abort();
}

static void on_restart(void *context, const realtime_prompt *p) {
    (void)context;
    if (p->mode != RNL_MODE_TEXT && p->mode != RNL_MODE_INTERLEAVED) abort();
}

static void free_pieces(const realtime_entry *e) {
    for (int i = 0; i < e->piece_count; i++) {
        free(e->pieces[i].samples);
        free(e->pieces[i].pixels);
    }
}

static void on_append(void *context, const realtime_entry *e) {
    (void)context;
    if (e->key == 0) abort();
    free_pieces(e);
}

static size_t on_push(void *context, const float *samples, size_t count) {
    (void)samples;
    return ((talk *)context)->deaf ? 0 : count;
}

static void on_nothing(void *context) {
    (void)context;
}

static void on_guess(void *context, uint32_t key, const realtime_wish *wish) {
    (void)context;
    if (key == 0 || wish == NULL) abort();
}

static void on_end(void *context, uint32_t key) {
    (void)context;
    if (key == 0) abort();
}

static void on_ask(void *context, uint32_t key, float *samples, size_t count) {
    (void)count;
    ((talk *)context)->question = key;
    free(samples);
}

static void on_respond(void *context, uint32_t key, const realtime_wish *wish) {
    talk *t = context;
    (void)wish;
    t->before = t->reply;
    t->reply = key;
}

static void on_alone(void *context, uint32_t key, const realtime_prompt *prompt,
                     const realtime_entry *entries, int count, const realtime_wish *wish) {
    (void)prompt;
    for (int i = 0; i < count; i++) free_pieces(&entries[i]);
    on_respond(context, key, wish);
}

static void on_truncate(void *context, uint32_t key, size_t count) {
    (void)context;
    if (key == 0 || count > (size_t)1 << 40) abort();
}

static void on_transcribe(void *context, uint32_t key, float *samples, size_t count,
                          const char *language, bool logprobs) {
    (void)count;
    (void)language;
    (void)logprobs;
    ((talk *)context)->transcript = key;
    free(samples);
}

static const realtime_ops fake = {
    .send = on_send,
    .close = on_close,
    .restart = on_restart,
    .append = on_append,
    .clip_push = on_push,
    .clip_drop = on_nothing,
    .clip_guess = on_guess,
    .clip_withdraw = on_nothing,
    .clip_end = on_end,
    .ask_finished = on_ask,
    .respond = on_respond,
    .respond_alone = on_alone,
    .cancel = on_end,
    .truncate = on_truncate,
    .transcribe = on_transcribe,
};

/* The samples of a WAV file behind its head of 44 bytes. */
static void load_voice(void) {
    FILE *f = fopen(SOURCE_DIR "/samples/questions/light.wav", "rb");
    if (f == NULL || fseek(f, 44, SEEK_SET) != 0) abort();
    voice_count = fread(voice, sizeof *voice, VOICE_CAP, f);
    (void)fclose(f);
}

static void append(talk *t, const int16_t *samples) {
    json_out o;
    if (realtime_is_busy(t->rt) || ++t->append_count > APPEND_MAX) return;
    json_out_begin_growing(&o, 1 << 20);
    json_out_object(&o, NULL);
    json_out_word(&o, "type", "input_audio_buffer.append");
    json_out_base64(&o, "audio", samples, APPEND_COUNT * sizeof *samples);
    json_out_end(&o);
    t->now_us += 200000;
    realtime_message(t->rt, o.text, o.size, t->now_us);
    json_out_free(&o);
}

static void tell(talk *t, realtime_news_kind kind, uint32_t key, api_code code, rnl_finish finish) {
    static float frame[1920];
    const realtime_news_item news = {.kind = kind,
                                     .key = key,
                                     .code = code,
                                     .finish = finish,
                                     .text = kind == REALTIME_CALLED ? "{}" : "word ",
                                     .size = kind == REALTIME_CALLED ? 2 : 5,
                                     .name = "f",
                                     .samples = frame,
                                     .count = 1920,
                                     .position_count = 1,
                                     .probability = code == API_OK ? 0.9f : 0.1f,
                                     .seconds = 1};
    realtime_news(t->rt, &news, t->now_us);
}

static void sounds(talk *t, char letter) {
    static int16_t silence[APPEND_COUNT];
    if (letter == 'q') append(t, silence);
    if (letter != 'v') return;
    if (t->voice_at + APPEND_COUNT > voice_count) t->voice_at = 0;
    append(t, voice + t->voice_at);
    t->voice_at += APPEND_COUNT;
}

static void come_back(talk *t) {
    realtime_leave(t->rt, t->now_us);
    tell(t, REALTIME_TEXT, t->reply, API_OK, RNL_FINISH_NONE); /* on its way */
    realtime_tick(t->rt, t->now_us);
    realtime_order_free(&t->order);
    memset(&t->order, 0, sizeof t->order);
    realtime_resume(t->rt, t->now_us);
}

static void happens(talk *t, char letter) {
    switch (letter) {
    case 'w':
    case 'W':
        t->now_us += letter == 'w' ? 20000 : 2000000;
        break;
    case 'b':
        tell(t, REALTIME_BEGUN, t->reply, API_OK, RNL_FINISH_NONE);
        break;
    case 't':
        tell(t, REALTIME_TEXT, t->reply, API_OK, RNL_FINISH_NONE);
        break;
    case 's':
        tell(t, REALTIME_SOUND, t->reply, API_OK, RNL_FINISH_NONE);
        break;
    case 'c':
        tell(t, REALTIME_CALLED, t->reply, API_OK, RNL_FINISH_NONE);
        break;
    case 'e':
        tell(t, REALTIME_ENDED, t->reply, API_OK, RNL_FINISH_END);
        break;
    case 'l':
        tell(t, REALTIME_ENDED, t->reply, API_OK, RNL_FINISH_LIMIT);
        break;
    case 'f':
        tell(t, REALTIME_ENDED, t->reply, API_ENGINE_FAILURE, RNL_FINISH_NONE);
        break;
    case 'o':
        tell(t, REALTIME_TEXT, t->before, API_OK, RNL_FINISH_NONE);
        tell(t, REALTIME_ENDED, t->before, API_OK, RNL_FINISH_STOPPED);
        break;
    case 'h':
        tell(t, REALTIME_HEARD, t->transcript, API_OK, RNL_FINISH_NONE);
        break;
    case 'H':
        tell(t, REALTIME_HEARD_ALL, t->transcript, API_OK, RNL_FINISH_NONE);
        break;
    case 'x':
        tell(t, REALTIME_UNHEARD, t->transcript, API_ENGINE_FAILURE, RNL_FINISH_NONE);
        break;
    case 'p':
    case 'P':
        tell(t, REALTIME_FINISHED, t->question, letter == 'p' ? API_OK : API_TIMEOUT,
             RNL_FINISH_NONE);
        break;
    case 'n':
    case 'N':
        t->deaf = letter == 'n';
        break;
    case 'g':
        come_back(t);
        break;
    default:
        sounds(t, letter);
    }
}

static void take_line(talk *t, const char *line, size_t size) {
    if (size > 0 && line[0] == '{') {
        if (!realtime_is_busy(t->rt)) realtime_message(t->rt, line, size, t->now_us);
        return;
    }
    for (size_t i = 0; i < size && i < 200 && !realtime_is_over(t->rt); i++) {
        happens(t, line[i]);
        if (realtime_due_us(t->rt) <= t->now_us) realtime_tick(t->rt, t->now_us);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char start[] =
        "{\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":16000}}}}";
    static kernels k;
    static talk t;
    if (voice_count == 0) {
        load_voice();
        kernels_select(&k, kernels_cpu_features());
    }
    if (size == 0) return 0;
    t = (talk){.now_us = 1000000};
    realtime_config config = realtime_config_default();
    config.kernels = &k;
    config.gives_audio = true;
    config.calls = (data[0] & 1) != 0;
    config.speculates = (data[0] & 2) != 0;
    config.half_duplex = (data[0] & 4) != 0;
    config.transcribes_only = (data[0] & 24) == 24;
    config.sees = (data[0] & 32) != 0;
    realtime_ops ops = fake;
    ops.wire = ops.model = &t;
    config.error_max = 500; /* or few would get far */
    config.clip_seconds_max = 3;
    if (realtime_create(&config, &ops, start, sizeof start - 1, &t.rt, NULL) != RNL_OK) abort();
    realtime_open(t.rt, t.now_us);
    const char *text = (const char *)data + 1, *end = (const char *)data + size;
    while (text < end && !realtime_is_over(t.rt)) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (stop == NULL) stop = end;
        take_line(&t, text, (size_t)(stop - text));
        text = stop < end ? stop + 1 : end;
    }
    realtime_destroy(&t.rt);
    realtime_order_free(&t.order);
    return 0;
}
