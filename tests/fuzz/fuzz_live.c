/* Any order of the calls of runnel_live.h, on the tiny checkpoint, with a spoken question, noise
 * and silence at the microphone. Held true of each conversation:
 *
 *     every reply that was not cut is told to be over by RNL_DONE, once
 *     what was pulled, played and cut adds up
 *     a turn's marks lie where its clip does, and in their order
 *     no call fails, and everything comes to rest
 *
 * Two bytes choose the conversation, every further two make a call: which and how much. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/live.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALL_CAP = 40, TICK_US = 10000, TICK_CAP = 800, REST_CAP = 4000, PULL_CAP = 24000 };

typedef struct talk {
    rnl_live *live;
    rnl_live_config config;
    int64_t now_us, mic_count; /* samples pushed, at rate_in */
    int ticks;
    size_t voice_at, pull_cap;
    bool steps, pulls, listens, reports, finished; /* what a tick does by itself */
    size_t queued;
    int64_t pulled;
    int turn_count;
    bool done_early; /* of the reply under way, before its TURN was taken */
    int done_owed;   /* replies that are over and whole, and RNL_DONE was not said */
    uint32_t noise;
} talk;

static rnl_model *model;
static float voice[16000 * 4];
static size_t voice_count;

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) fail(__LINE__, #x);                                                              \
    } while (0)

static void fail(int line, const char *what) {
    (void)fprintf(stderr, "fuzz_live.c:%d: not so: %s\n", line, what);
    abort();
}

static void open_all(void) {
    static int16_t pcm[sizeof voice / sizeof *voice];
    rnl_model_config c = rnl_model_config_default();
    c.thread_count = 1;
    CHECK(rnl_model_open(TEST_DATA "/tiny", &c, &model, NULL) == RNL_OK);
    FILE *f = fopen(SOURCE_DIR "/samples/questions/light.wav", "rb");
    CHECK(f != NULL && fseek(f, 44, SEEK_SET) == 0);
    voice_count = fread(pcm, 2, sizeof pcm / sizeof *pcm, f);
    CHECK(voice_count > 16000);
    (void)fclose(f);
    for (size_t i = 0; i < voice_count; i++) voice[i] = (float)pcm[i] / 32768.0f;
}

/* Samples that a cut may have taken for its fade, which the caller pulls after its event. */
static int64_t fade_of(const talk *t) {
    return t->config.volume_inside ? t->config.rate_out / 200 + 1 : 0;
}

static void check_turn(const talk *t, const rnl_live_turn *turn) {
    const int64_t *mark = turn->mark_us;
    const int64_t fade = turn->barged_in ? fade_of(t) : 0;
    CHECK(turn->index == t->turn_count);
    CHECK(turn->clip_begin >= 0 && turn->clip_begin < turn->clip_end);
    CHECK(turn->played_count >= 0 && turn->played_count <= turn->sound_count);
    CHECK(turn->barged_in || turn->played_count == turn->sound_count);
    CHECK(turn->sound_begin < 0 || turn->sound_begin + turn->sound_count <= t->pulled + fade);
    /* The converter's clock is the count of samples. 10 ms: stamps are of frames. */
    CHECK(mark[RNL_LIVE_T0] >= turn->clip_begin * 1000000 / RNL_RATE_IN - TICK_US);
    CHECK(mark[RNL_LIVE_T0] <= turn->clip_end * 1000000 / RNL_RATE_IN + TICK_US);
    CHECK(mark[RNL_LIVE_T1] >= mark[RNL_LIVE_T0] && mark[RNL_LIVE_T3] >= mark[RNL_LIVE_T1]);
    for (int i = RNL_LIVE_T4; i < RNL_LIVE_T9; i++) CHECK(mark[i] <= t->now_us);
}

static void take_events(talk *t) {
    rnl_live_event e;
    while (rnl_live_next_event(t->live, &e) == RNL_OK) {
        CHECK(e.text_size <= RNL_LIVE_TEXT_CAP);
        if (e.kind == RNL_LIVE_CUT && !t->config.volume_inside) {
            rnl_live_cut_done(t->live, t->queued);
            t->queued = 0;
        }
        if (e.kind != RNL_LIVE_TURN) continue;
        t->turn_count++;
        if (!e.turn.barged_in && !t->done_early) t->done_owed++;
        t->done_early = false;
        check_turn(t, &e.turn);
    }
}

static void step(talk *t, int most) {
    rnl_error error = {0};
    rnl_status status = RNL_OK;
    if (t->reports) rnl_live_queued(t->live, t->queued);
    for (int i = 0; i < most && status == RNL_OK; i++) {
        status = rnl_live_step(t->live, t->now_us, &error);
        if (status < 0) (void)fprintf(stderr, "step: %s\n", error.text);
        CHECK(status >= 0);
        if (t->listens) take_events(t);
    }
}

static void pull(talk *t, size_t cap) {
    static float out[PULL_CAP];
    size_t got = 0;
    const rnl_status status = rnl_live_pull(t->live, out, cap, t->now_us, t->now_us, &got);
    CHECK(got <= cap && (got > 0) == (status == RNL_OK));
    CHECK(status != RNL_OK || t->done_owed == 0); /* before the sound of the next */
    if (status == RNL_DONE && t->done_owed > 0) {
        t->done_owed--;
    } else if (status == RNL_DONE) {
        CHECK(!t->done_early);
        t->done_early = true;
    }
    t->pulled += (int64_t)got;
    if (t->reports) t->queued += got;
}

/* 10 ms of the world. */
static void tick(talk *t, char sound) {
    float mic[1000] = {0};
    const int rate = t->config.rate_in;
    const size_t count = (size_t)rate / 100;
    if (!t->finished) {
        for (size_t i = 0; i < count; i++) {
            t->noise = t->noise * 1664525u + 1013904223u;
            if (sound == 'n') mic[i] = (float)(int32_t)t->noise / 8e9f;
            if (sound == 'v')
                mic[i] = voice[(t->voice_at + i * 16000 / (size_t)rate) % voice_count];
        }
        if (sound == 'v') t->voice_at = (t->voice_at + 160) % voice_count;
        const rnl_live_sound s = {
            .mic = mic, .count = count, .adc_us = t->mic_count * 1000000 / rate};
        size_t taken;
        CHECK(rnl_live_push(t->live, &s, t->now_us, &taken, NULL) == RNL_OK);
        CHECK(taken <= count);
        t->mic_count += (int64_t)taken;
    }
    if (t->steps) step(t, 1000);
    if (t->pulls) pull(t, t->pull_cap);
    t->queued -= t->queued < 240 ? t->queued : 240;
    t->now_us += TICK_US;
    t->ticks++;
}

static void look(talk *t, size_t much) {
    const char *text;
    size_t size, count;
    float samples[256];
    rnl_live_facts facts;
    rnl_live_said(t->live, &text, &size);
    rnl_live_heard(t->live, &text, &size);
    rnl_live_clip(t->live, samples, much, &count);
    CHECK(count <= much);
    rnl_live_get_facts(t->live, &facts);
    CHECK(facts.pulled_count >= t->pulled && facts.pulled_count <= t->pulled + fade_of(t));
    CHECK(facts.position_count <= t->config.session.context_cap);
    CHECK(facts.turn_count >= t->turn_count);
}

static void make(talk *t, uint8_t what, uint8_t much) {
    static const char kinds[] = "vvvvvvvvssssssnnSPTtpplerhHkkqz";
    const char kind = kinds[what % (sizeof kinds - 1)];
    switch (kind) {
    case 'v':
    case 's':
    case 'n':
        for (int i = 0; i < 1 + much % 100 && t->ticks < TICK_CAP; i++) tick(t, kind);
        break;
    case 'S':
        t->steps = much % 4 > 0; /* off: the machine is busy elsewhere */
        break;
    case 'P':
        t->pulls = much % 4 > 0;
        break;
    case 'T':
        t->listens = much % 4 > 0;
        break;
    case 't':
        step(t, 1 + much % 8);
        break;
    case 'p':
        pull(t, much * 90u);
        break;
    case 'l':
        t->pull_cap = much == 255 ? PULL_CAP : 1 + much * 20u;
        break;
    case 'e':
        take_events(t);
        break;
    case 'r':
        rnl_live_queued(t->live, t->queued);
        break;
    case 'h':
    case 'H':
        rnl_live_hold(t->live, kind == 'H');
        break;
    case 'q':
        rnl_live_cut_done(t->live, 0);
        break;
    case 'z':
        if (much < 32) rnl_live_finish(t->live), t->finished = true;
        break;
    default:
        look(t, much);
    }
}

/* The user says nothing more and everything is taken: it comes to rest, and the books are even. */
static void come_to_rest(talk *t) {
    rnl_live_facts facts;
    t->steps = t->pulls = t->listens = true;
    t->pull_cap = 2400;
    rnl_live_hold(t->live, false);
    take_events(t);
    for (int i = 0; i < REST_CAP; i++) {
        tick(t, 's');
        rnl_live_get_facts(t->live, &facts);
        if (facts.idle && t->queued == 0) break;
    }
    CHECK(facts.idle);
    pull(t, PULL_CAP);
    rnl_live_get_facts(t->live, &facts);
    CHECK(facts.turn_count == t->turn_count);
    CHECK(t->done_owed == 0 && !t->done_early);
    CHECK(facts.pulled_count == t->pulled);
    look(t, 256);
}

/* In place of the checkpoint's own hearing, which knows no word that lets a reply go on. */
static rnl_status hear_okay(rnl_live *l, char *text, size_t cap, size_t *size) {
    (void)l;
    *size = 4;
    CHECK(cap >= *size);
    memcpy(text, "okay", *size);
    return RNL_DONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (model == NULL) open_all();
    if (size < 4) return 0;
    rnl_live_config c = rnl_live_config_default(model);
    c.session.thread_count = 1;
    c.session.context_cap = data[0] & 1 ? 256 : 400;
    c.turn.step_max = 4 + data[1] % 16;
    c.turn.text_run = 2;
    c.turn.audio_run = 3;
    c.turn.text.temperature = data[1] & 128 ? 0.8f : 0.0f;
    c.rate_in = data[0] & 2 ? 8000 : 16000;
    c.rate_out = data[0] & 4 ? 16000 : 24000;
    c.speculation = (data[0] & 8) == 0;
    c.barge_in = (data[0] & 16) == 0;
    c.push_to_talk = (data[0] & 32) != 0;
    c.volume_inside = (data[0] & 64) == 0;
    c.echo_cancel = false;
    c.backchannel_ms = data[1] & 32 ? 1000 : 0;
    c.turn_seconds_max = 3;
    talk t = {.config = c,
              .now_us = TICK_US, /* what is pushed has been heard */
              .pull_cap = 240,
              .steps = true,
              .pulls = true,
              .listens = true,
              .reports = (data[0] & 128) != 0};
    rnl_error error = {0};
    if (rnl_live_create(model, &c, &t.live, &error) != RNL_OK) fail(__LINE__, error.text);
    if (data[1] & 64) t.live->hear = hear_okay;
    for (size_t i = 2; i + 2 <= size && i < 2 + 2 * CALL_CAP; i += 2)
        make(&t, data[i], data[i + 1]);
    come_to_rest(&t);
    rnl_live_destroy(&t.live);
    return 0;
}
