#include "tests/support/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/live.h"
#include "tests/support/rig.h"
#include "tests/support/room.h"

enum { TICK_US = 10000 };

static uint32_t next_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static float *grow(float **samples, size_t *cap, size_t count) {
    if (count > *cap) {
        *cap = 2 * count + 16000;
        *samples = realloc(*samples, *cap * sizeof **samples);
        assert_non_null(*samples);
    }
    return *samples;
}

void script_silence(script *s, double seconds) {
    const size_t count = (size_t)(seconds * 16000);
    grow(&s->samples, &s->cap, s->count + count);
    memset(s->samples + s->count, 0, count * sizeof *s->samples);
    s->count += count;
}

void script_wav(script *s, const char *path, size_t begin, size_t end) {
    const size_t count = end - begin;
    float *clip = rig_wav(path, begin, end);
    grow(&s->samples, &s->cap, s->count + count);
    memcpy(s->samples + s->count, clip, count * sizeof *clip);
    s->count += count;
    free(clip);
}

size_t script_say(script *s, const char *name) {
    char path[256];
    (void)snprintf(path, sizeof path, "../../samples/questions/%s.wav", name);
    const size_t begin = s->count;
    script_wav(s, path, 0, rig_wav_count(path));
    return begin;
}

void script_noise(script *s, float amplitude, uint64_t seed) {
    for (size_t i = 0; i < s->count; i++)
        s->samples[i] += amplitude * ((float)next_random(&seed) / 1073741824.0f - 1.0f);
}

void script_free(script *s) {
    free(s->samples);
    *s = (script){0};
}

void world_open(world *w, rnl_model *model, const rnl_live_config *config, const script *in) {
    rnl_error error = {0};
    if (rnl_live_create(model, config, &w->live, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_true(w->live->config.rate_out <= RNL_RATE_OUT);
    w->in = in;
    w->tick_us = TICK_US;
}

void world_close(world *w) {
    rnl_live_destroy(&w->live);
    free(w->sound);
    free(w->reply);
}

world *world_new(rnl_model *model, const rnl_live_config *config, const script *in) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    world_open(w, model, config, in);
    return w;
}

void world_drop(world *w) {
    world_close(w);
    free(w);
}

static void push(world *w, const float *mic, const float *reference, size_t count, int64_t adc_us) {
    rnl_error error = {0};
    const rnl_live_sound sound = {
        .mic = mic, .reference = reference, .count = count, .adc_us = adc_us};
    size_t taken;
    if (rnl_live_push(w->live, &sound, w->now_us, &taken, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_int_equal(taken, count);
}

/* The microphone has 10 ms more; whole, or in pieces that may come late. */
static void listen(world *w) {
    float mic[160] = {0};
    size_t got = w->in->count - w->at < 160 ? w->in->count - w->at : 160;
    const bool over = got == 0;
    if (w->cut_seed == 0 || over) {
        float rest[8000];
        memcpy(rest, w->in->samples + w->at - w->held_back, w->held_back * sizeof *rest);
        if (w->held_back > 0) push(w, rest, NULL, w->held_back, 0);
        w->held_back = 0;
        memcpy(mic, w->in->samples + w->at, got * sizeof *mic);
        push(w, mic, NULL, 160, w->tick_us - TICK_US);
        w->at += got;
        return;
    }
    w->at += got;
    w->held_back += got;
    for (size_t piece; (piece = 1 + next_random(&w->cut_seed) % w->cut_cap) <= w->held_back;) {
        push(w, w->in->samples + w->at - w->held_back, NULL, piece, 0);
        w->held_back -= piece;
    }
}

/* The same in a room, behind what the loudspeaker got. */
static void listen_in_room(world *w) {
    float near[ROOM_BLOCK] = {0}, mic[ROOM_BLOCK];
    const size_t left = w->in->count - w->at, got = left < ROOM_BLOCK ? left : ROOM_BLOCK;
    if (got > 0) memcpy(near, w->in->samples + w->at, got * sizeof *near);
    w->at += got;
    room_step(w->room, w->out, near, mic, NULL);
    push(w, mic, w->out, ROOM_BLOCK, w->tick_us - TICK_US);
}

static void play(world *w) {
    const size_t count = (size_t)w->live->config.rate_out / 100;
    float *out = w->out;
    size_t done = 0, got, most = count;
    memset(out, 0, sizeof w->out);
    if (w->working && w->made < most) most = w->made;
    while (done < most &&
           rnl_live_pull(w->live, out + done, most - done, w->now_us, w->tick_us, &got) == RNL_OK)
        done += got;
    w->made -= w->working ? done : 0;
    if (done > 0)
        memcpy(grow(&w->reply, &w->reply_cap, w->reply_count + done) + w->reply_count, out,
               done * sizeof *out);
    w->reply_count += done;
    if (w->keep_sound)
        memcpy(grow(&w->sound, &w->sound_cap, w->sound_count + count) + w->sound_count, out,
               count * sizeof *out);
    w->sound_count += count;
}

static void tick(world *w) {
    if (w->room == NULL) listen(w);
    play(w);
    if (w->room != NULL) listen_in_room(w);
    w->tick_us += TICK_US;
}

static void move_clock(world *w, int64_t to_us) {
    while (w->tick_us <= to_us) {
        w->now_us = w->tick_us;
        tick(w);
    }
    w->now_us = to_us;
}

static void note(char *lines, const char *text, size_t size) {
    const size_t at = strlen(lines);
    assert_true(at + size + 2 < WORLD_TEXT_CAP);
    memcpy(lines + at, text, size);
    memcpy(lines + at + size, "\n", 2);
}

static void take_events(world *w) {
    rnl_live_event e;
    while (rnl_live_next_event(w->live, &e) == RNL_OK) {
        assert_true(w->event_count < WORLD_EVENT_CAP);
        w->events[w->event_count++] = (world_event){.kind = e.kind,
                                                    .mic_sample = e.mic_sample,
                                                    .now_us = w->now_us,
                                                    .speech_us = e.speech_us,
                                                    .played = (int64_t)w->sound_count,
                                                    .turn = e.turn};
        if (e.kind == RNL_LIVE_TEXT) {
            assert_true(w->text_size + e.text_size < WORLD_TEXT_CAP);
            memcpy(w->text + w->text_size, e.text, e.text_size);
            w->text_size += e.text_size;
        }
        if (e.kind == RNL_LIVE_TURN) {
            const char *text;
            size_t size;
            rnl_live_said(w->live, &text, &size);
            note(w->said, text, size);
            rnl_live_heard(w->live, &text, &size);
            note(w->heard, text, size);
        }
        if (w->on_event != NULL) w->on_event(w, &e);
    }
}

/* What a callback could take now, were it called, and not before the work that follows is done. */
static void note_made(world *w) {
    float none;
    size_t got;
    (void)!rnl_live_pull(w->live, &none, 0, w->now_us, -1, &got); /* releases what is held */
    const rnl_live *l = w->live;
    const int64_t waiting = l->play_in - l->play_out;
    w->made = 0;
    if (l->phase == LIVE_REPLY && !l->reply.holding)
        w->made = (size_t)(waiting * l->config.rate_out / RNL_RATE_OUT);
    w->made += l->fade_end - l->fade_begin;
}

/* One step, and the time it takes. True while more is to do. */
static void step(world *w) {
    rnl_error error = {0};
    rnl_live_facts before, after;
    rnl_live_get_facts(w->live, &before);
    note_made(w);
    const rnl_status status = rnl_live_step(w->live, w->now_us, &error);
    if (status < 0) fail_msg("%s", error.text);
    rnl_live_get_facts(w->live, &after);
    w->idle = after.idle;
    take_events(w);
    if (after.work_count > before.work_count) {
        const bool sound = after.buffered_seconds > before.buffered_seconds;
        w->working = true;
        move_clock(w, w->now_us + (sound ? w->frame_cost_us : w->text_cost_us));
        w->working = false;
    } else if (after.part_count > before.part_count && w->part_cost_us > 0) {
        w->working = true;
        move_clock(w, w->now_us + w->part_cost_us);
        w->working = false;
    } else if (status == RNL_AGAIN) {
        move_clock(w, w->tick_us);
    }
}

void world_run_until(world *w, int64_t until_us) {
    while (w->now_us < until_us) step(w);
}

void world_run(world *w) {
    bool over = false;
    for (;;) {
        step(w);
        if (!over && w->at == w->in->count && w->held_back == 0) {
            over = true;
            rnl_live_finish(w->live);
        } else if (over && w->idle) {
            return;
        }
        if (w->now_us > 36000000000) fail_msg("the world does not come to rest");
    }
}

int world_count(const world *w, rnl_live_kind kind) {
    int count = 0;
    for (int i = 0; i < w->event_count; i++) count += w->events[i].kind == kind;
    return count;
}

const world_event *world_find(const world *w, rnl_live_kind kind, int n) {
    for (int i = 0; i < w->event_count; i++)
        if (w->events[i].kind == kind && n-- == 0) return &w->events[i];
    return NULL;
}
