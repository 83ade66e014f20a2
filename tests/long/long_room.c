/* Conversations in simulated rooms (docs/LATENCY.md, "Room simulator"): does the loop answer
 * itself, does it notice who interrupts it, does it let people finish? Prints the table.
 *
 * A user asks, an assistant (recordings, no model) replies, and is interrupted at random. What is
 * tested: canceller, gates, network and turn logic (tests/support/hearing). In the environment:
 * ROOM_TURNS, the number of turns; ROOM_SEED, the first room; ROOM_VERBOSE=1 tells all. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audio/gain.h"
#include "core/random.h"
#include "tests/support/hearing.h"
#include "tests/support/quantile.h"
#include "tests/support/room.h"
#include "tests/support/voices.h"
#include "tests/support/workers.h"

enum { MS = ROOM_RATE / 1000, BAND_COUNT = 3 };

static voices said;

static int make_voices(void **state) {
    (void)state;
    voices_make(&said);
    return 0;
}

static int drop_voices(void **state) {
    (void)state;
    voices_free(&said);
    return 0;
}

/* ---- What is counted, for each band of the noise (0 to 10, 10 to 20, 20 to 30 dB) ---- */

typedef struct tally {
    int turns, replies, own_voice, cut_early, never_ended, ducked;
    int interrupts[2], in_time[2]; /* [1]: in the first 3 s of our own sound */
    double reply_s;
    list onset, found_after, ended_after; /* ms */
} tally;

static void add_list(list *to, const list *from) {
    for (int i = 0; i < from->count; i++) keep(to, from->values[i]);
}

static void add_tally(tally *to, const tally *from) {
    to->turns += from->turns;
    to->replies += from->replies;
    to->own_voice += from->own_voice;
    for (int i = 0; i < 2; i++) {
        to->interrupts[i] += from->interrupts[i];
        to->in_time[i] += from->in_time[i];
    }
    to->cut_early += from->cut_early;
    to->never_ended += from->never_ended;
    to->ducked += from->ducked;
    to->reply_s += from->reply_s;
    add_list(&to->onset, &from->onset);
    add_list(&to->found_after, &from->found_after);
    add_list(&to->ended_after, &from->ended_after);
}

/* ---- A conversation ---- */

typedef enum user_phase { PAUSING, TALKING, WAITING, LISTENING } user_phase;

typedef struct talk {
    random_state s;
    room_config config;
    room *r;
    hearing h;
    tally *t;
    bool verbose;
    int64_t now; /* samples heard */

    user_phase phase;
    float user_level;
    const char *user_voice;
    const clip *user;                              /* the clip under way or the last one */
    int user_position;                             /* next sample of it */
    int64_t pause_until, onset, end, interrupt_at; /* positions of the microphone */
    bool interrupting, was_suspected, was_found, was_cut, left, is_first;

    const char *own_voice;
    const clip *reply; /* NULL: silent */
    int reply_position;
    int64_t reply_at; /* when thinking is over, -1: not thinking */
    bool fading;
    gain volume;
    float speaker[ROOM_BLOCK]; /* handed over last */
    float own_level;
} talk;

static double between(random_state *s, double low, double high) {
    return low + (high - low) * random_unit(s);
}

static const clip *pick(talk *k, voice_kind kind, const char *voice) {
    return clips_pick(&said.of[kind], voice, &k->s);
}

static void note(const talk *k, const char *what) {
    if (k->verbose) printf("  %7.3f s  %s\n", (double)k->now / ROOM_RATE, what);
}

static void pause_user(talk *k) {
    k->phase = PAUSING;
    k->pause_until = k->now + (int64_t)(between(&k->s, 0.8, 1.8) * ROOM_RATE);
}

static void talk_user(talk *k, bool interrupting) {
    const int way = (int)(k->config.talker_m / 343 * ROOM_RATE);
    k->phase = TALKING;
    k->user = pick(k, interrupting ? VOICE_CUT : VOICE_ASK, k->user_voice);
    k->user_position = 0;
    k->onset = k->now + k->user->onset + way;
    k->end = k->now + k->user->end + way;
    k->interrupting = interrupting;
    k->was_suspected = k->was_found = k->was_cut = k->left = false;
    k->t->turns++;
    k->is_first = !k->h.measure.settled;
    k->t->interrupts[k->is_first] += interrupting;
    note(k, interrupting ? "the user interrupts" : "the user asks");
}

static void silence_assistant(talk *k) {
    k->reply_at = -1;
    if (k->reply != NULL) gain_to(&k->volume, 0, GAIN_FADE_MS);
    k->fading = k->reply != NULL;
}

/* The user's side of the clock. */
static void step_user(talk *k, float *near) {
    memset(near, 0, ROOM_BLOCK * sizeof *near);
    const bool replying = k->reply != NULL && !k->fading;
    if (k->phase == PAUSING && k->now >= k->pause_until) talk_user(k, false);
    if (k->phase == WAITING && replying) {
        k->phase = LISTENING;
        k->t->replies++;
        const double seconds = (double)k->reply->count / ROOM_RATE;
        k->interrupt_at = random_unit(&k->s) < 0.6
                              ? k->now + (int64_t)(between(&k->s, 0.3, seconds - 1.5) * ROOM_RATE)
                              : INT64_MAX;
    } else if (k->phase == WAITING && k->now > k->end + 3 * ROOM_RATE && k->reply_at < 0) {
        note(k, "NEVER ENDED");
        k->t->never_ended++;
        pause_user(k);
    } else if (k->phase == LISTENING && !replying) {
        pause_user(k);
    } else if (k->phase == LISTENING && k->now >= k->interrupt_at) {
        talk_user(k, true);
    }
    if (k->phase != TALKING) return;
    for (int i = 0; i < ROOM_BLOCK && k->user_position < k->user->count; i++)
        near[i] = k->user_level * k->user->samples[k->user_position++];
    if (k->user_position < k->user->count) return;
    if (k->interrupting && !k->was_found) note(k, "MISSED");
    k->phase = WAITING;
}

/* The reply ends by itself: who has just begun to speak over its end interrupts nothing. */
static void too_late(talk *k) {
    if (!k->interrupting || k->was_found || k->now >= k->onset + 400 * MS) return;
    k->t->interrupts[k->is_first]--;
    k->interrupting = false;
}

/* The assistant's side: the next block for the loudspeaker. */
static void step_assistant(talk *k) {
    memset(k->speaker, 0, sizeof k->speaker);
    if (k->reply_at >= 0 && k->now >= k->reply_at) {
        note(k, "the assistant replies");
        k->reply = pick(k, VOICE_SAY, k->own_voice);
        k->reply_position = 0;
        k->reply_at = -1;
        k->fading = false;
        gain_init(&k->volume, ROOM_RATE);
    }
    if (k->reply == NULL) return;
    for (int i = 0; i < ROOM_BLOCK && k->reply_position < k->reply->count; i++)
        k->speaker[i] = k->own_level * k->reply->samples[k->reply_position++];
    gain_apply(&k->volume, k->speaker, ROOM_BLOCK);
    k->t->reply_s += (double)ROOM_BLOCK / ROOM_RATE;
    if (k->reply_position >= k->reply->count) too_late(k);
    if (k->reply_position >= k->reply->count || (k->fading && k->volume.now == 0)) k->reply = NULL;
}

static bool user_is_heard(const talk *k) {
    return (k->phase == TALKING && k->now >= k->onset) ||
           (k->phase == WAITING && k->now < k->end + ROOM_RATE);
}

static void confirmed(talk *k) {
    const bool replying = k->reply != NULL;
    if (!user_is_heard(k)) {
        note(k, "OWN VOICE OR NOISE taken for speech");
        if (replying) k->t->own_voice++;
        silence_assistant(k);
        const endpoint_config config = endpoint_config_default();
        endpoint_reset(&k->h.turns, &config);
        return;
    }
    note(k, "confirmed");
    if (k->interrupting && !k->was_found && replying) {
        const double after = (double)(k->now - k->onset) / MS;
        k->was_found = true;
        k->t->in_time[k->is_first] += after <= 400;
        keep(&k->t->found_after, after);
    }
    silence_assistant(k);
}

static void ended(talk *k) {
    if (k->now < k->end && k->phase == TALKING) {
        note(k, "CUT EARLY");
        if (!k->was_cut) k->t->cut_early++;
        k->was_cut = true;
    } else if (k->phase == WAITING && !k->left) {
        note(k, "ended");
        keep(&k->t->ended_after, (double)(k->now - k->end) / MS);
        k->left = true;
    }
    k->reply_at = k->now + (int64_t)(between(&k->s, 0.1, 0.4) * ROOM_RATE);
}

static void react(talk *k, const turn_event *e) {
    if (e->kind == TURN_ONSET) {
        if (k->reply != NULL && !k->fading) gain_to(&k->volume, GAIN_DUCKED, GAIN_DUCK_MS);
        if (!user_is_heard(k)) {
            note(k, "(ducked for nothing)");
            k->t->ducked += k->reply != NULL;
        } else if (k->interrupting && !k->was_suspected) {
            k->was_suspected = true;
            keep(&k->t->onset, (double)(k->now - k->onset) / MS);
        }
    } else if (e->kind == TURN_REJECTED) {
        if (k->reply != NULL && !k->fading) gain_to(&k->volume, 1, GAIN_RESTORE_MS);
    } else if (e->kind == TURN_CONFIRMED) {
        confirmed(k);
    } else if (e->kind == TURN_END) {
        ended(k);
    }
}

static void loop_pull(void *context, float *speaker) {
    talk *k = context;
    step_assistant(k);
    memcpy(speaker, k->speaker, sizeof k->speaker);
}

static void loop_push(void *context, const float *mic) {
    talk *k = context;
    turn_events events;
    k->now += ROOM_BLOCK;
    hearing_push(&k->h, mic, k->speaker, k->reply != NULL, &events);
    for (int i = 0; i < events.count; i++) react(k, &events.list[i]);
}

/* Levels: a talker of -34 to -26 dBFS at 1 m, noise 0 to 30 dB below what arrives of him, our own
 * speech at -20 dBFS. */
static void converse(uint64_t seed, int turn_count, tally bands[BAND_COUNT]) {
    talk k = {.reply_at = -1, .verbose = getenv("ROOM_VERBOSE") != NULL};
    random_seed(&k.s, seed);
    k.config = room_draw(seed);
    const double level_db = between(&k.s, -34, -26), snr_db = between(&k.s, 0, 30);
    k.user_level = (float)pow(10, level_db / 20);
    k.own_level = 0.1f;
    k.config.noise_db = level_db - 20 * log10(k.config.talker_m) - snr_db;
    k.user_voice = pick(&k, VOICE_ASK, NULL)->voice;
    k.own_voice = pick(&k, VOICE_SAY, NULL)->voice;
    k.t = &bands[(int)(snr_db / 10)];
    if (k.verbose)
        printf(
            "room %llu: T60 %.2f s, talker %.2f m %s %.0f dB, loudspeaker %.2f m %.0f dB %s, clip "
            "%.2f, delay %.0f ms, drift %.0f ppm, noise %.0f dB below\n",
            (unsigned long long)seed, k.config.t60_s, k.config.talker_m, k.user_voice, level_db,
            k.config.speaker_m, k.config.speaker_db, k.own_voice, k.config.clip, k.config.delay_ms,
            k.config.drift_ppm, snr_db);
    k.r = room_create(&k.config);
    const endpoint_config config = endpoint_config_default();
    hearing_open(&k.h, &config);
    const room_loop loop = {&k, loop_push, loop_pull};
    const int first = k.t->turns;
    pause_user(&k);
    /* Not longer than the drift allows. */
    while ((k.t->turns - first < turn_count || k.phase != PAUSING) && k.now < 70 * ROOM_RATE) {
        float near[ROOM_BLOCK];
        step_user(&k, near);
        room_turn(k.r, &loop, near, NULL);
    }
    hearing_close(&k.h);
    room_destroy(k.r);
}

static double share(int part, int whole) {
    return 100.0 * part / fmax(1, whole);
}

static void print_row(const char *name, tally *t) {
    printf(
        "| %s | %d | %d | %d | %.1f | %d | %.1f %% | %d | %.1f %% | %.0f / %.0f ms | %.0f / %.0f "
        "ms | %.1f %% | %d | %.0f / %.0f ms |\n",
        name, t->turns, t->replies, t->own_voice, 60 * t->ducked / fmax(1, t->reply_s),
        t->interrupts[0], share(t->in_time[0], t->interrupts[0]), t->interrupts[1],
        share(t->in_time[1], t->interrupts[1]), quantile(&t->onset, 0.5), quantile(&t->onset, 0.95),
        quantile(&t->found_after, 0.5), quantile(&t->found_after, 0.95),
        share(t->cut_early, t->turns), t->never_ended, quantile(&t->ended_after, 0.5),
        quantile(&t->ended_after, 0.95));
}

typedef struct tallies {
    tally bands[BAND_COUNT];
} tallies;

static int turns_wanted(void) {
    const char *wanted = getenv("ROOM_TURNS");
    return wanted != NULL ? atoi(wanted) : 600;
}

/* Every worker takes the rooms first + worker, first + worker + count, ... */
static void work(int worker, int count, void *result) {
    tally *bands = ((tallies *)result)->bands;
    const char *first = getenv("ROOM_SEED");
    uint64_t seed = (first != NULL ? strtoull(first, NULL, 10) : 0) + (uint64_t)worker;
    const int share = (turns_wanted() + count - 1) / count;
    for (int done = 0; done < share; seed += (uint64_t)count) {
        converse(seed, 6, bands);
        done = bands[0].turns + bands[1].turns + bands[2].turns;
    }
}

static void run_workers(tally bands[BAND_COUNT]) {
    const int count = getenv("ROOM_VERBOSE") != NULL ? 1 : workers_count();
    tallies *parts = workers_run(count, sizeof *parts, work);
    for (int w = 0; w < count; w++)
        for (int b = 0; b < BAND_COUNT; b++) add_tally(&bands[b], &parts[w].bands[b]);
    workers_free(parts, count, sizeof *parts);
}

static void conversations(void **state) {
    (void)state;
    static tally bands[BAND_COUNT], all;
    const char *names[] = {"0 to 10 dB", "10 to 20 dB", "20 to 30 dB"};
    run_workers(bands);
    printf(
        "| speech over noise | turns | replies | stopped by own voice | ducked for nothing, a "
        "minute | interruptions | within 400 ms | in the first 3 s of our sound | within 400 ms | "
        "suspected after, median / 95 %% | confirmed after, median / 95 %% | turns cut early | "
        "never ended | end after last sample, median / 95 %% |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (int b = 0; b < BAND_COUNT; b++) {
        print_row(names[b], &bands[b]);
        add_tally(&all, &bands[b]);
    }
    print_row("all", &all);
    assert_true(100 * all.own_voice <= all.turns);
    assert_true(share(all.in_time[0], all.interrupts[0]) >= 97);
    assert_true(quantile(&all.found_after, 0.5) <= 250);
    assert_true(share(all.cut_early, all.turns) <= 3);
}

/* Own speech alone, no noise: how much of its echo is left after the first 3 s. */
static double reduction_db(uint64_t seed) {
    room_config c = room_draw(seed);
    room *r = room_create(&c);
    hearing h;
    const endpoint_config config = endpoint_config_default();
    hearing_open(&h, &config);
    double echoed = 0, left = 0;
    int position = 0;
    const clips *say = &said.of[VOICE_SAY];
    const clip *reply = &say->list[seed % (uint64_t)say->count];
    for (int f = 0; f < 12 * ROOM_RATE / ROOM_BLOCK; f++) {
        const float silence[ROOM_BLOCK] = {0};
        float speaker[ROOM_BLOCK], mic[ROOM_BLOCK];
        room_parts parts;
        turn_events events;
        for (int i = 0; i < ROOM_BLOCK; i++) {
            speaker[i] = 0.1f * reply->samples[position];
            position = (position + 1) % reply->count;
        }
        room_step(r, speaker, silence, mic, &parts);
        hearing_push(&h, mic, speaker, true, &events);
        if (!h.measure.settled) continue;
        echoed += frame_power(parts.echo);
        left += frame_power(h.out);
    }
    hearing_close(&h);
    room_destroy(r);
    return 10 * log10(echoed / left);
}

static void the_echo_is_reduced(void **state) {
    (void)state;
    static list all;
    for (uint64_t seed = 0; seed < 40; seed++) keep(&all, reduction_db(seed));
    printf(
        "echo reduction after 3 s of sound, 40 rooms: median %.1f dB, 10 %% below %.1f dB, least "
        "%.1f dB\n",
        quantile(&all, 0.5), quantile(&all, 0.1), quantile(&all, 0));
    assert_true(quantile(&all, 0.5) >= 25);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_echo_is_reduced),
        cmocka_unit_test(conversations),
    };
    return cmocka_run_group_tests(tests, make_voices, drop_voices);
}
