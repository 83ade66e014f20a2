/* Words, coughs and demands into replies, in simulated rooms (docs/LATENCY.md, "Backchannels"):
 * does the reply go on, does it end? Prints the table.
 *
 * The loop is the real one, with minnow; its loudspeaker and its microphone stand in a room
 * (tests/support/world, room). What a clip says is told to it in place of what the model hears,
 * which is reported beside it. In the environment: BACKCHANNEL_COUNT, how many of each kind (300);
 * BACKCHANNEL_DEMANDS, how many demands (as many); BACKCHANNEL_SEED, the first room;
 * BACKCHANNEL_EVEN=1 takes the prompts whose name hashes even, for seeking; BACKCHANNEL_MS, the
 * longest speech that may be one (800); BACKCHANNEL_VERBOSE=1 tells all. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "engine/backchannel.h"
#include "engine/live.h"
#include "tests/support/quantile.h"
#include "tests/support/rig.h"
#include "tests/support/room.h"
#include "tests/support/voices.h"
#include "tests/support/workers.h"
#include "tests/support/world.h"

enum { MS = ROOM_RATE / 1000, BAND_COUNT = 3, SOUND_CAP = 2 * ROOM_RATE };

typedef enum what { WORD, STRETCH, COUGH, TWO_COUGHS, DEMAND, WHAT_COUNT } what;
static const char *const what_names[] = {"words", "stretches", "coughs", "two coughs", "demands"};

static voices said;
static prompts spoken;

static int number_of(const char *variable, int otherwise) {
    const char *value = getenv(variable);
    return value != NULL ? atoi(value) : otherwise;
}

static int make_voices(void **state) {
    (void)state;
    voices_make(&said);
    prompts_make(&spoken, getenv("TURNS_FOLDER"), getenv("BACKCHANNEL_EVEN") != NULL);
    return 0;
}

static int drop_voices(void **state) {
    (void)state;
    voices_free(&said);
    prompts_free(&spoken);
    return 0;
}

/* ---- What is counted, for each band of the noise (0 to 10, 10 to 20, 20 to 30 dB) ---- */

typedef struct tally {
    int count;
    int unnoticed, resumed;  /* the reply went on: it was not held, it was */
    int by_length, by_words; /* it was cut: before anything was heard, after */
    int asked, own;          /* clips heard; those after which minnow's own hearing lets it go on */
    list held, on; /* ms: from the first sound to the hold or cut, from the last to RESUME */
} tally;

typedef struct tallies {
    tally of[WHAT_COUNT][BAND_COUNT];
    int replies, own_voice;
} tallies;

static void add_list(list *to, const list *from) {
    for (int i = 0; i < from->count; i++) keep(to, from->values[i]);
}

static void add_tally(tally *to, const tally *from) {
    to->count += from->count;
    to->unnoticed += from->unnoticed;
    to->resumed += from->resumed;
    to->by_length += from->by_length;
    to->by_words += from->by_words;
    to->asked += from->asked;
    to->own += from->own;
    add_list(&to->held, &from->held);
    add_list(&to->on, &from->on);
}

static int count_of(const tallies *t, what w) {
    int count = 0;
    for (int b = 0; b < BAND_COUNT; b++) count += t->of[w][b].count;
    return count;
}

/* ---- What is said into a reply ---- */

typedef struct sound {
    float samples[SOUND_CAP]; /* as heard at 1 m */
    int count, onset, end;    /* to be heard: [onset, end) */
    const char *text;         /* what it says */
    char name[160];
} sound;

static double between(random_state *s, double low, double high) {
    return low + (high - low) * random_unit(s);
}

static void say_clip(sound *x, const clip *c, double rms) {
    assert_true(c->count <= SOUND_CAP);
    for (int i = 0; i < c->count; i++) x->samples[i] = (float)rms * c->samples[i];
    x->count = c->count;
    x->onset = c->onset;
    x->end = c->end;
    x->text = c->word;
    (void)snprintf(x->name, sizeof x->name, "\"%s\" by %s", c->word, c->voice);
}

/* Nobody knows what such a piece says: it stands for a human "mhm". */
static void say_stretch(sound *x, double rms, random_state *s) {
    enum { FADE = 5 * MS };
    int begin, end;
    const prompt *p;
    do p = &spoken.list[random_u64(s) % (uint64_t)spoken.count];
    while (!prompt_stretch(p, s, &begin, &end));
    x->count = end - begin;
    for (int i = 0; i < x->count; i++) {
        const int edge = i < x->count - 1 - i ? i : x->count - 1 - i;
        const double fade = edge < FADE ? (double)edge / FADE : 1;
        x->samples[i] = (float)(fade * rms / PROMPT_RMS) * p->samples[begin + i];
    }
    x->onset = 0;
    x->end = x->count;
    x->text = "Mhm.";
    (void)snprintf(x->name, sizeof x->name, "%s, %d ms from %d", p->name, x->count / MS,
                   begin / MS);
}

/* Two poles: a resonance of a throat. */
typedef struct resonance {
    double a1, a2, gain, y1, y2;
} resonance;

static resonance resonance_at(double hz, double width_hz) {
    static const double pi = 3.14159265358979323846;
    const double r = exp(-pi * width_hz / ROOM_RATE);
    return (resonance){.a1 = 2 * r * cos(2 * pi * hz / ROOM_RATE), .a2 = -r * r, .gain = 1 - r};
}

static double resound(resonance *f, double x) {
    const double y = f->gain * x + f->a1 * f->y1 + f->a2 * f->y2;
    f->y2 = f->y1;
    f->y1 = y;
    return y;
}

/* One cough behind what is there: the throat springs open, air rushes out, and in half of them the
 * voice falls in at the end. */
static void cough_once(sound *x, random_state *s) {
    resonance throat[] = {resonance_at(between(s, 450, 800), 250),
                          resonance_at(between(s, 1200, 1900), 350),
                          resonance_at(between(s, 2500, 3500), 600)};
    const int burst = (int)(between(s, 30, 60) * MS), rush = (int)(between(s, 90, 180) * MS);
    const int voiced = random_unit(s) < 0.5 ? (int)(between(s, 50, 120) * MS) : 0;
    const double period = ROOM_RATE / between(s, 110, 240);
    double phase = 0;
    for (int i = 0; i < burst + rush + voiced; i++) {
        const double noise = 2 * random_unit(s) - 1;
        double in = i < burst ? noise * fmin(1, i / (3.0 * MS))
                              : 0.4 * noise * exp(-2.0 * (i - burst) / (rush + voiced));
        phase += 1 / period;
        if (i >= burst + rush && phase >= 1) in += 3;
        phase -= floor(phase);
        double out = 0;
        for (int f = 0; f < 3; f++) out += resound(&throat[f], in);
        x->samples[x->count++] = (float)out;
    }
}

/* As loud as speech or up to 6 dB louder. */
static void make_cough(sound *x, bool twice, double rms, random_state *s) {
    x->count = 0;
    cough_once(x, s);
    if (twice) {
        const int gap = (int)(between(s, 80, 200) * MS);
        memset(x->samples + x->count, 0, (size_t)gap * sizeof *x->samples);
        x->count += gap;
        cough_once(x, s);
    }
    double power = 0;
    for (int i = 0; i < x->count; i++)
        power += (double)x->samples[i] * (double)x->samples[i] / x->count;
    const double scale = rms * pow(10, between(s, 0, 6) / 20) / sqrt(power);
    for (int i = 0; i < x->count; i++) x->samples[i] *= (float)scale;
    x->onset = 0;
    x->end = x->count;
    x->text = "";
    (void)snprintf(x->name, sizeof x->name, "a cough of %d ms", x->count / MS);
}

/* ---- What the loop hears ---- */

static struct {
    const char *text; /* of the clip; NULL: nobody speaks */
    bool verbose;
    int asked, own;
} ear;

static rnl_status hear(rnl_live *l, char *text, size_t cap, size_t *size) {
    const rnl_status status = live_hear_by_model(l, text, cap, size);
    if (status == RNL_OK) return RNL_OK;
    ear.asked++;
    ear.own += status == RNL_DONE && backchannel_is(text, *size);
    if (ear.verbose)
        printf("    heard by minnow: \"%.*s\"%s\n", (int)*size, text,
               status < 0 ? ", and not to its end" : "");
    if (ear.text == NULL) return RNL_ERR_STATE;
    *size = strlen(ear.text);
    memcpy(text, ear.text, *size);
    return RNL_DONE;
}

/* ---- A conversation ---- */

typedef struct talk {
    random_state s;
    room_config config;
    world *w;
    script near;
    tallies *t;
    int band, seen; /* events looked at */
    double rms;     /* of the user, at 1 m */
    const char *voice;
    bool verbose;
} talk;

/* Somebody begins to speak now. */
static void utter(talk *k, const float *samples, int count, double scale) {
    const size_t at = k->near.count;
    script_silence(&k->near, (double)count / ROOM_RATE);
    for (int i = 0; i < count; i++) k->near.samples[at + (size_t)i] = (float)scale * samples[i];
}

static void note(const talk *k, const char *text) {
    if (k->verbose) printf("  %7.3f s  %s\n", (double)k->w->now_us / 1e6, text);
}

/* Runs on until an event of that kind comes, at most ms; NULL: it did not. */
static const world_event *await(talk *k, rnl_live_kind kind, int ms) {
    const int64_t until_us = k->w->now_us + (int64_t)ms * 1000;
    for (;;) {
        while (k->seen < k->w->event_count)
            if (k->w->events[k->seen++].kind == kind) return &k->w->events[k->seen - 1];
        if (k->w->now_us >= until_us) return NULL;
        world_run_until(k->w, k->w->now_us + 10000);
    }
}

static void forget_events(talk *k) {
    world *w = k->w;
    k->seen = w->event_count = 0;
    w->reply_count = w->text_size = 0;
    w->said[0] = w->heard[0] = '\0';
}

/* Of that kind, for one of so many workers. */
static int share_of_worker(what w, int workers) {
    const int count = number_of("BACKCHANNEL_COUNT", 300);
    return ((w == DEMAND ? number_of("BACKCHANNEL_DEMANDS", count) : count) + workers - 1) /
           workers;
}

/* What lags behind most. */
static what wanted(const tallies *t, const int *share) {
    what w = WORD;
    for (int i = 1; i < WHAT_COUNT; i++)
        if (share[w] == 0 || count_of(t, (what)i) * share[w] < count_of(t, w) * share[i])
            w = (what)i;
    return w;
}

static void make_sound(talk *k, what w, sound *x) {
    if (w == STRETCH)
        say_stretch(x, k->rms, &k->s);
    else if (w == COUGH || w == TWO_COUGHS)
        make_cough(x, w == TWO_COUGHS, k->rms, &k->s);
    else
        say_clip(x, clips_pick(&said.of[w == WORD ? VOICE_NOD : VOICE_DEMAND], k->voice, &k->s),
                 k->rms);
}

static const world_event *find(const talk *k, rnl_live_kind kind) {
    return world_find(k->w, kind, 0);
}

/* The reply into which something was said is over. */
static void count_sound(talk *k, what w, const sound *x, int64_t begin_us) {
    tally *t = &k->t->of[w][k->band];
    const world_event *hold = find(k, RNL_LIVE_HOLD), *cut = find(k, RNL_LIVE_CUT);
    const world_event *resume = find(k, RNL_LIVE_RESUME), *first = hold != NULL ? hold : cut;
    const int64_t way_us = (int64_t)(k->config.talker_m / 343 * 1e6);
    const int64_t onset_us = begin_us + way_us + x->onset * 1000 / MS;
    const int64_t end_us = begin_us + way_us + x->end * 1000 / MS;
    t->count++;
    t->asked += ear.asked > 0;
    t->own += ear.asked > 0 && ear.own == ear.asked;
    t->unnoticed += first == NULL;
    t->resumed += first != NULL && cut == NULL;
    t->by_length += cut != NULL && ear.asked == 0;
    t->by_words += cut != NULL && ear.asked > 0;
    if (first != NULL) keep(&t->held, (double)(first->now_us - onset_us) / 1000);
    if (resume != NULL) keep(&t->on, (double)(resume->now_us - end_us) / 1000);
    if (!k->verbose) return;
    printf("    %s: %s\n", what_names[w],
           first == NULL    ? "not noticed"
           : cut == NULL    ? "goes on"
           : ear.asked == 0 ? "cut, too long"
                            : "cut");
}

/* A reply has begun. True: the user has a turn of his own now. */
static bool speak_into(talk *k, const int *share) {
    enum { FIRST_MS = 700, LAST_MS = 300, TURN_MS = 20000 };
    static sound x;
    const live_reply *r = &k->w->live->reply;
    const int64_t begun_us = k->w->now_us;
    forget_events(k);
    k->t->replies++;
    world_run_until(k->w, begun_us + 20000);
    const int length = (int)((r->made - r->trimmed) / (RNL_RATE_OUT / 1000));
    const what w = wanted(k->t, share);
    make_sound(k, w, &x);
    const int last = length - LAST_MS - x.end / MS;
    if (!k->w->live->measure.settled || !r->complete || last < FIRST_MS) {
        const world_event *e = await(k, RNL_LIVE_TURN, TURN_MS);
        k->t->own_voice += e != NULL && e->turn.barged_in;
        return false;
    }
    world_run_until(k->w, begun_us + (int64_t)(between(&k->s, FIRST_MS, last) * 1000));
    const bool own = find(k, RNL_LIVE_HOLD) != NULL || find(k, RNL_LIVE_CUT) != NULL;
    const int64_t begin_us = k->w->now_us;
    if (!own) {
        note(k, x.name);
        ear.text = x.text;
        ear.asked = ear.own = 0;
        utter(k, x.samples, x.count, 1);
    }
    const world_event *e = await(k, RNL_LIVE_TURN, TURN_MS);
    ear.text = NULL;
    if (own) note(k, "OWN VOICE taken for speech");
    k->t->own_voice += own;
    assert_true(own || e != NULL);
    if (!own) count_sound(k, w, &x, begin_us);
    return !own && e->turn.barged_in;
}

static bool is_through(const tallies *t, const int *share) {
    for (int w = 0; w < WHAT_COUNT; w++)
        if (count_of(t, (what)w) < share[w]) return false;
    return true;
}

/* Levels as in long_room: a talker of -34 to -26 dBFS at 1 m, noise 0 to 30 dB below what arrives
 * of him. Not longer than the drift of the clocks allows. */
static void converse(rnl_model *model, uint64_t seed, const int *share, tallies *t) {
    enum { SECONDS = 60, ANSWER_MS = 4000, IDLE_MS = 600 };
    talk k = {.t = t, .verbose = getenv("BACKCHANNEL_VERBOSE") != NULL};
    random_seed(&k.s, seed);
    k.config = room_draw(seed);
    const double level_db = between(&k.s, -34, -26), snr_db = between(&k.s, 0, 30);
    k.rms = pow(10, level_db / 20);
    k.config.noise_db = level_db - 20 * log10(k.config.talker_m) - snr_db;
    k.band = (int)(snr_db / 10);
    k.voice = clips_pick(&said.of[VOICE_NOD], NULL, &k.s)->voice;
    if (k.verbose)
        printf("room %llu: T60 %.2f s, talker %.2f m %s %.0f dB, noise %.0f dB below\n",
               (unsigned long long)seed, k.config.t60_s, k.config.talker_m, k.voice, level_db,
               snr_db);
    rnl_live_config c = rnl_live_config_default(model);
    c.session.thread_count = 1;
    c.rate_out = ROOM_RATE;
    c.turn_network = false; /* has no part in a hold, and takes most of the time */
    c.backchannel_ms = number_of("BACKCHANNEL_MS", 800);
    k.w = world_new(model, &c, &k.near);
    k.w->room = room_create(&k.config);
    k.w->live->hear = hear;
    ear.verbose = k.verbose;
    bool answered = false;
    while (k.w->now_us < (int64_t)SECONDS * 1000000 && !is_through(t, share)) {
        if (!answered) {
            const clip *ask = clips_pick(&said.of[VOICE_ASK], k.voice, &k.s);
            world_run_until(k.w, k.w->now_us + IDLE_MS * 1000);
            forget_events(&k);
            utter(&k, ask->samples, ask->count, k.rms);
            world_run_until(k.w, k.w->now_us + ask->count * 1000 / MS);
        }
        answered = await(&k, RNL_LIVE_SPEAKING, ANSWER_MS) != NULL && speak_into(&k, share);
    }
    room_destroy(k.w->room);
    world_drop(k.w);
    script_free(&k.near);
}

static void work(int worker, int count, void *result) {
    tallies *t = result;
    int share[WHAT_COUNT];
    for (int w = 0; w < WHAT_COUNT; w++) share[w] = share_of_worker((what)w, count);
    rnl_model *model = rig_model_fast(SOURCE_DIR "/samples/minnow/minnow.gguf");
    uint64_t seed = (uint64_t)number_of("BACKCHANNEL_SEED", 0) + (uint64_t)worker;
    for (; !is_through(t, share); seed += (uint64_t)count) converse(model, seed, share, t);
    rnl_model_close(&model);
}

/* ---- The table ---- */

static double share_of(int part, int whole) {
    return 100.0 * part / fmax(1, whole);
}

static double goes_on(const tally *t) {
    return share_of(t->unnoticed + t->resumed, t->count);
}

static void print_row(const char *name, const char *band, tally *t) {
    printf("| %s | %s | %d | %.1f %% | %d | %d | %d | %d | %.0f / %.0f ms | %.0f / %.0f ms | %d of "
           "%d |\n",
           name, band, t->count, goes_on(t), t->unnoticed, t->resumed, t->by_length, t->by_words,
           quantile(&t->held, 0.5), quantile(&t->held, 0.95), quantile(&t->on, 0.5),
           quantile(&t->on, 0.95), t->own, t->asked);
}

static void words_into_replies(void **state) {
    (void)state;
    static tally all[WHAT_COUNT];
    static const char *const bands[] = {"0 to 10 dB", "10 to 20 dB", "20 to 30 dB"};
    const int count = getenv("BACKCHANNEL_VERBOSE") != NULL ? 1 : workers_count();
    tallies *parts = workers_run(count, sizeof *parts, work);
    for (int w = 1; w < count; w++) {
        for (int i = 0; i < WHAT_COUNT; i++)
            for (int b = 0; b < BAND_COUNT; b++) add_tally(&parts->of[i][b], &parts[w].of[i][b]);
        parts->replies += parts[w].replies;
        parts->own_voice += parts[w].own_voice;
    }
    printf(
        "| into a reply | speech over noise | n | it goes on | not noticed | held, goes on | cut: "
        "too long | cut by the words | held after, median / 95 %% | goes on after the end, median "
        "/ 95 %% | minnow's own hearing lets it go on |\n|---|---|---|---|---|---|---|---|---|---"
        "|---|\n");
    for (int i = 0; i < WHAT_COUNT; i++) {
        for (int b = 0; b < BAND_COUNT; b++) {
            print_row(what_names[i], bands[b], &parts->of[i][b]);
            add_tally(&all[i], &parts->of[i][b]);
        }
        print_row(what_names[i], "all", &all[i]);
    }
    printf("%d replies, %d stopped by own voice\n", parts->replies, parts->own_voice);
    workers_free(parts, count, sizeof *parts);
    assert_true(goes_on(&all[WORD]) >= 90);
    assert_true(goes_on(&all[COUGH]) >= 90);
    assert_true(100 - goes_on(&all[DEMAND]) >= 95);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_into_replies),
    };
    return cmocka_run_group_tests(tests, make_voices, drop_voices);
}
