/* Turns of people (docs/LATENCY.md, "Ends of turns"): when does the loop take them for over? Prints
 * the table.
 *
 * The voices are prompts that a person has spoken for telephones (tests/support/make_prompts.sh);
 * canceller, gates, networks and turn logic are the loop's (tests/support/hearing). Those whose
 * name hashes even are for seeking the rule, the odd ones for the figures. In the environment:
 * TURNS_EVEN=1 takes the even ones; TURNS_FOLDER, prompts that were made before; TURNS_VERBOSE=1
 * tells every pause with what the network says about it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "tests/support/hearing.h"
#include "tests/support/quantile.h"
#include "tests/support/turn_rig.h"
#include "tests/support/voices.h"

enum {
    RATE = 16000,
    MS = RATE / 1000,
    LEAD = RATE / 2, /* silence before somebody speaks, */
    TAIL = 2 * RATE  /* and behind */
};

static prompts all;
static bool verbose;

/* ---- Listening ---- */

static double share(int part, int whole) {
    return 100.0 * part / fmax(1, whole);
}

/* Somebody speaks to the loop: the script, and what comes of it. */
typedef struct listener {
    hearing h;
    const float *script;
    int count;
    float *heard; /* [count] behind the canceller */
    turn_event first_end;
    int end_count;
    float p_last; /* of the latest look */
} listener;

static turn_rig rig;

static void ask(listener *l, const turn_event *e) {
    const int64_t longest = TURN_WINDOW, length = e->clip_end - e->clip_begin;
    const int64_t begin = length > longest ? e->clip_end - longest : e->clip_begin;
    l->p_last = turn_rig_hear(&rig, l->heard + begin, (size_t)(e->clip_end - begin));
    endpoint_answer(&l->h.turns, l->p_last);
}

/* Feeds [from, to) of the script. */
static void listen(listener *l, int from, int to) {
    static const float silence[ECHO_FRAME];
    static const char *const kinds[] = {"guess", "withdrawn", "end"};
    for (int at = from; at + ECHO_FRAME <= to; at += ECHO_FRAME) {
        turn_events events;
        hearing_push(&l->h, l->script + at, silence, false, &events);
        memcpy(l->heard + at, l->h.out, sizeof l->h.out);
        for (int i = 0; i < events.count; i++) {
            const turn_event *e = &events.list[i];
            if (e->kind == TURN_GUESS && l->h.turns.config.asks) ask(l, e);
            if (e->kind == TURN_END && l->end_count++ == 0) l->first_end = *e;
            if (verbose && e->kind >= TURN_GUESS)
                printf("  %7.3f %s p %.3f zone %d, speech to %.3f\n", (double)e->position / RATE,
                       kinds[e->kind - TURN_GUESS], (double)l->p_last, (int)e->zone,
                       (double)e->speech_end / RATE);
        }
    }
}

static listener begin(const float *script, int count, bool asks) {
    endpoint_config config = endpoint_config_default();
    config.asks = asks;
    listener l = {.script = script, .count = count};
    l.heard = calloc((size_t)count, sizeof *l.heard);
    assert_non_null(l.heard);
    hearing_open(&l.h, &config);
    return l;
}

static void finish(listener *l) {
    hearing_close(&l->h);
    free(l->heard);
}

/* Noise of a quiet room, 60 dB below full scale. */
static float *room_noise(int count, uint64_t seed) {
    float *x = calloc((size_t)count, sizeof *x);
    assert_non_null(x);
    random_state r;
    random_seed(&r, seed);
    for (int i = 0; i < count; i++) x[i] = 0.0017f * (float)(2 * random_unit(&r) - 1);
    return x;
}

static void lay(float *to, const float *x, int count) {
    for (int i = 0; i < count; i++) to[i] += x[i];
}

/* ---- The ends of what people say ---- */

typedef struct ends {
    list wait, after; /* ms: silence that ended them; behind the last sound by energy */
    int count, early, never, zones[4];
} ends;

static void say_one(const prompt *p, bool asks, ends *t) {
    const int spoken = p->end - p->onset, count = (LEAD + spoken + TAIL) / ECHO_FRAME * ECHO_FRAME;
    float *script = room_noise(count, prompt_hash(p->name));
    lay(script + LEAD, p->samples + p->onset, spoken);
    listener l = begin(script, count, asks);
    if (verbose) printf("%s: %.3f to %.3f\n", p->name, 0.5, (double)(LEAD + spoken) / RATE);
    listen(&l, 0, count);
    const int end = LEAD + spoken;
    t->count++;
    if (l.end_count == 0) {
        t->never++;
    } else if (l.first_end.position < end) {
        t->early++;
    } else {
        keep(&t->wait, (double)(l.first_end.position - l.first_end.speech_end) / MS);
        keep(&t->after, (double)(l.first_end.position - end) / MS);
        t->zones[l.first_end.zone]++;
    }
    finish(&l);
    free(script);
}

static void print_ends(const char *name, ends *t) {
    printf("| %s | %d | %.0f / %.0f ms | %.0f / %.0f ms | %.1f %% | %d | %d, %d, %d |\n", name,
           t->count, quantile(&t->wait, 0.5), quantile(&t->wait, 0.9), quantile(&t->after, 0.5),
           quantile(&t->after, 0.9), share(t->early, t->count), t->never, t->zones[TURN_SURE],
           t->zones[TURN_MIDDLE], t->zones[TURN_LONG]);
}

static void people_end(void **state) {
    (void)state;
    static ends fixed, asked;
    for (int i = 0; i < all.count; i++) {
        if (!verbose) say_one(&all.list[i], false, &fixed);
        say_one(&all.list[i], true, &asked);
    }
    printf(
        "| rule | prompts | wait, median / 90 %% | end after last sound, median / 90 %% | cut at a "
        "pause of their own | never ended | sure, middle, long |\n|---|---|---|---|---|---|---|\n");
    print_ends("fixed, 500 ms", &fixed);
    print_ends("asked", &asked);
    if (verbose) return;
    assert_true(quantile(&asked.wait, 0.5) <= 360);
    assert_true(quantile(&asked.wait, 0.9) <= 520);
    assert_true(share(asked.early, asked.count) <= 2.5);
    assert_int_equal(asked.never, 0);
}

/* ---- People who search for a word ---- */

/* A dip between words in 35 to 80 % of what is said: the quietest place there, but no pause of
 * 120 ms or more, where a phrase may end. -1: there is none. */
static int dip_of(const prompt *p) {
    enum { PAUSE = 12 };
    const int spoken = p->end - p->onset;
    const int from = p->onset + spoken * 35 / 100, to = p->onset + spoken * 80 / 100;
    int best = -1;
    double least = p->power * 0.05; /* 13 dB below speech */
    for (int at = from; at < to; at += ECHO_FRAME) {
        int quiet = 0;
        for (int f = -PAUSE; f <= PAUSE && quiet < PAUSE; f++) {
            const int place = at + f * ECHO_FRAME;
            const bool inside = place >= p->onset && place + ECHO_FRAME <= p->end;
            quiet = inside && frame_power(p->samples + place) < p->power * 1e-3 ? quiet + 1 : 0;
        }
        const double power = prompt_power_at(p, at);
        if (quiet >= PAUSE || power >= least) continue;
        least = power;
        best = at;
    }
    return best;
}

typedef struct hesitations {
    int count, survived;
} hesitations;

static void hesitate(const prompt *p, bool asks, hesitations *t) {
    enum { PAUSE = 800 * MS };
    const int dip = dip_of(p);
    if (dip < 0) return;
    const int first = dip - p->onset, rest = p->end - dip;
    const int count = (LEAD + first + PAUSE + rest + TAIL) / ECHO_FRAME * ECHO_FRAME;
    float *script = room_noise(count, prompt_hash(p->name));
    lay(script + LEAD, p->samples + p->onset, first);
    lay(script + LEAD + first + PAUSE, p->samples + dip, rest);
    listener l = begin(script, count, asks);
    if (verbose) printf("%s: pause at %.3f\n", p->name, (double)(LEAD + first) / RATE);
    const int back = LEAD + first + PAUSE;
    listen(&l, 0, back);
    /* Who has said too little to be heard at all is no case; short of that, an end is a cut. */
    const bool heard = l.end_count > 0 || l.h.turns.phase == TURN_SPEAKING;
    t->count += heard;
    t->survived += heard && l.end_count == 0;
    finish(&l);
    free(script);
}

static void people_hesitate(void **state) {
    (void)state;
    static hesitations fixed, asked;
    for (int i = 0; i < all.count; i++) {
        if (!verbose) hesitate(&all.list[i], false, &fixed);
        hesitate(&all.list[i], true, &asked);
    }
    printf("| hesitations of 800 ms | n | survive |\n|---|---|---|\n");
    printf("| fixed, 500 ms | %d | %.1f %% |\n", fixed.count, share(fixed.survived, fixed.count));
    printf("| asked | %d | %.1f %% |\n", asked.count, share(asked.survived, asked.count));
    if (!verbose) assert_true(share(asked.survived, asked.count) >= 80);
}

static int open_all(void **state) {
    (void)state;
    turn_rig_open(&rig, NULL, false, 1);
    verbose = getenv("TURNS_VERBOSE") != NULL;
    prompts_make(&all, getenv("TURNS_FOLDER"), getenv("TURNS_EVEN") != NULL);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    turn_rig_close(&rig);
    prompts_free(&all);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_end),
        cmocka_unit_test(people_hesitate),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
