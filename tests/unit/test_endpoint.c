/* The turn logic by tables: a line of blocks in, a line of events out; then its invariants over
 * random input. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "tests/support/rig.h"
#include "vad/endpoint.h"

enum { TEXT_CAP = 1024, MS = VAD_RATE / 1000 };

/* The language of a line of blocks, each letter once or with a count behind it ("S10"):
 *   S speech (0.95)   m between exit and enter (0.42)   b doubtful (0.52)   . silence (0.02)
 *   > we begin to speak   < we stop   [ key pressed   ] key released   ! the input is over
 *   F from now on turns sound finished (0.9)   U unsure (0.65)   N unfinished (0.2): only with asks
 * The events that come out, with the number of the block that told:
 *   O onset  R rejected  C confirmed  G guess  W withdrawn  E end by silence  L by length
 *   K by the key  F by finish; + behind C: it continues the turn before. With asks, behind E what
 *   set the wait: s sure  m middle  l long  a learned. */
static char letter_of(const turn_event *e) {
    return e->kind == TURN_END ? "ELKF"[e->reason] : "ORCGW"[e->kind];
}

static void tell(const endpoint *t, const turn_events *events, char *text) {
    for (int i = 0; i < events->count; i++) {
        const turn_event *e = &events->list[i];
        const size_t used = strlen(text);
        const bool plus = e->kind == TURN_CONFIRMED && e->continues;
        const bool by_silence = e->kind == TURN_END && e->reason == TURN_BY_SILENCE;
        const char zone[] = {t->config.asks && by_silence ? "msla"[e->zone] : '\0', '\0'};
        (void)snprintf(text + used, TEXT_CAP - used, "%s%c%lld%s%s", used > 0 ? " " : "",
                       letter_of(e), (long long)(e->position / VAD_BLOCK - 1), plus ? "+" : "",
                       zone);
    }
}

static float probability_of(char letter) {
    return letter == 'S' ? 0.95f : letter == 'm' ? 0.42f : letter == 'b' ? 0.52f : 0.02f;
}

/* Runs the line; text gets the events; last, when given, the latest of each kind. */
static void run(endpoint *t, const char *line, char *text, turn_event last[TURN_END + 1]) {
    bool speaking = false, held = false;
    float answer = 0.9f;
    turn_events events;
    text[0] = 0;
    for (const char *p = line; *p != 0;) {
        const char letter = *p++;
        char *end;
        const long given = strtol(p, &end, 10), count = end == p ? 1 : given;
        p = end;
        if (letter == ' ') continue;
        if (letter == '>' || letter == '<') speaking = letter == '>';
        if (letter == '[' || letter == ']') held = letter == '[';
        if (strchr("FUN", letter) != NULL)
            answer = letter == 'F' ? 0.9f : letter == 'U' ? 0.65f : 0.2f;
        if (strchr("Smb.!", letter) == NULL) continue;
        for (long i = 0; i < count; i++) {
            if (endpoint_waits(t)) endpoint_answer(t, answer);
            if (letter == '!')
                endpoint_finish(t, &events);
            else
                endpoint_push(t, probability_of(letter), speaking, held, &events);
            tell(t, &events, text);
            for (int e = 0; e < events.count && last != NULL; e++)
                last[events.list[e].kind] = events.list[e];
        }
    }
}

typedef struct row {
    const char *what, *line, *want;
} row;

static void check_rows(const endpoint_config *config, const row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char got[TEXT_CAP];
        endpoint t;
        endpoint_reset(&t, config);
        run(&t, rows[i].line, got, NULL);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s\n  blocks %s\n  wanted %s\n  got    %s", rows[i].what, rows[i].line,
                     rows[i].want, got);
    }
}
#define CHECK_ROWS(config, rows) check_rows(config, rows, sizeof(rows) / sizeof *(rows))

static void listening(void **state) {
    (void)state;
    static const row rows[] = {
        {"silence", ".100", ""},
        {"a question: the end after 512 ms of silence", ".10 S30 .40", "O10 C17 G43 E55"},
        {"speech from the first block", "S20 .20", "O0 C7 G23 E35"},
        {"a click", ".5 S1 .30", "O5 R10"},
        {"two clicks far apart", ".5 S1 .10 S2 .10", "O5 R10 O16 R22"},
        {"a door: 224 ms of sound", ".5 S7 .30", "O5 R16"},
        {"the shortest word: 256 ms", ".5 S8 .30", "O5 C12 G16 E28"},
        {"a word with a hole", ".5 S4 .4 S4 .30", "O5 C16 G20 E32"},
        {"bursts with silence between never add up", ".5 S4 .5 S4 .5 S4 .5",
         "O5 R13 O14 R22 O23 R31"},
        {"breath: too doubtful to be speech", ".5 b12 .30", "O5 R21"},
        {"a cough: loud, then breath", ".5 S1 b9 .30", "O5 R19"},
        {"a doubtful beginning, then words", ".5 b6 S10 .30", "O5 C12 G24 E36"},
        {"hum is suspected once, until it stops", ".5 b100 .10", "O5 R36"},
        {"after hum, speech is heard", ".5 b60 . S8 .20", "O5 R36 O66 C73 G77 E89"},
        {"between the thresholds nothing begins", ".5 m100", ""},
        {"between the thresholds speech goes on", "S10 m20 .20", "O0 C7 G33 E45"},
        {"a pause within a sentence", "S20 .8 S20 .20", "O0 C7 G23 W29 G51 E63"},
        {"a pause too short to guess", "S20 .3 S20 .20", "O0 C7 G46 E58"},
        {"a click in the last pause ends nothing later", "S20 .8 S1 .20", "O0 C7 G23 E35"},
        {"a click when the guess is due", "S20 .3 S1 .20", "O0 C7 G24 E35"},
        {"a click when the end is due: one block later", "S20 .15 S1 .20", "O0 C7 G23 E36"},
        {"clicks do not add up", "S20 .4 S . S . S . S .20", "O0 C7 G23 E35"},
        {"a soft word in a pause ends it", "S20 .5 S m .20", "O0 C7 G23 W26 G30 E42"},
        {"a pause of mumbling is a pause", "S20 . m20", "O0 C7 G23 E35"},
        {"speech in the last moment", "S20 .15 S10 .20", "O0 C7 G23 W36 G48 E60"},
        {"the input ends in speech", "S20 !", "O0 C7 F19"},
        {"the input ends in a pause", "S20 .5 ! .30", "O0 C7 G23 F24"},
        {"the input ends in a suspicion", "S3 ! .10", "O0 R2"},
        {"the input ends in silence", ".3 !2", ""},
    };
    const endpoint_config config = endpoint_config_default();
    CHECK_ROWS(&config, rows);
}

static void interrupting(void **state) {
    (void)state;
    static const row rows[] = {
        {"96 ms of speech interrupt", "> .10 S3 < S10 .20", "O10 C12 G26 E38"},
        {"64 ms do not", "> .10 S2 .20", "O10 R16"},
        {"what is doubtful takes longer than what is plain", "> .10 b3 S4 .20", "O10 C15 G20 E32"},
        {"breath never adds up, however long", "> .10 b100 .20", "O10 R41"},
        {"two words with a hole: what speaks against it is taken away", "> .10 S2 .3 S3 < .20",
         "O10 C17 G21 E33"},
        {"what was suspected before we spoke counts", "S4 > S1 < S10 .20", "O0 C4 G18 E30"},
        {"our own speech that the gate lets through for a moment", "> S1 .10 S2 .10",
         "O0 R5 O11 R17"},
    };
    endpoint_config config = endpoint_config_default();
    CHECK_ROWS(&config, rows);
    static const row hasty[] = {
        {"64 ms are enough where less is asked", "> .10 S2 < .20", "O10 C11 G15 E27"},
        {"32 ms are not", "> .10 S1 .20", "O10 R15"},
        {"nor is breath", "> .10 b20 .20", "O10 R34"},
        {"while we are silent nothing changes", ".10 S2 .20", "O10 R16"},
    };
    config.interrupt_odds = 3;
    CHECK_ROWS(&config, hasty);
    config.interrupt_odds = endpoint_config_default().interrupt_odds;
    static const row deaf[] = {
        {"no barge-in: speech during ours is nothing", "> .5 S20 .5 < .20", ""},
        {"no barge-in: what goes on behind ours is heard", "> .5 S20 < S10 .20", "O25 C32 G38 E50"},
    };
    config.barge_in = false;
    CHECK_ROWS(&config, deaf);
}

static void early_cuts(void **state) {
    (void)state;
    static const row rows[] = {
        {"speech soon after the end: patience grows by 150 ms", "S10 .16 S10 .30",
         "O0 C7 G13 E25 O26 C33+ G39 E56"},
        {"speech 640 ms after the end: a new turn", "S10 .36 S10 .20",
         "O0 C7 G13 E25 O46 C53 G59 E71"},
        {"not more than 900 ms", "S10 .16 S10 .21 S10 .26 S10 .40 S10 .40",
         "O0 C7 G13 E25 O26 C33+ G39 E56 O57 C64+ G70 E91 O93 C100+ G106 E131 O143 C150+ G156 "
         "E181"},
        {"three good turns and it is 500 ms again: 21, 19, 18, 16 blocks",
         "S10 .16 S10 .60 S10 .60 S10 .60 S10 .60",
         "O0 C7 G13 E25 O26 C33+ G39 E56 O96 C103 G109 E124 O166 C173 G179 E193 O236 C243 G249 "
         "E261"},
        {"a click after the end is no early cut", "S10 .16 S1 .10 S10 .40",
         "O0 C7 G13 E25 O26 R31 O37 C44+ G50 E67"},
    };
    const endpoint_config config = endpoint_config_default();
    CHECK_ROWS(&config, rows);
}

static void the_network_is_asked(void **state) {
    (void)state;
    static const row rows[] = {
        {"it sounds finished: 352 ms", "F S20 .40", "O0 C7 G23 E30s"},
        {"in doubt: 512 ms", "U S20 .40", "O0 C7 G23 E35m"},
        {"unfinished: 928 ms", "N S20 .40", "O0 C7 G23 E48l"},
        {"unfinished, and goes on", "N S20 .20 F S10 .40", "O0 C7 G23 W41 G53 E60s"},
        {"an answer is of its own pause", "F S20 .8 N S20 .40", "O0 C7 G23 W29 G51 E76l"},
        {"a click when the guess is due: a block later, the end is not", "F S20 .3 S1 .20",
         "O0 C7 G24 E30s"},
        {"a click when the end is due", "F S20 .10 S1 .20", "O0 C7 G23 E31s"},
        {"speech in the last moment", "F S20 .10 S10 .20", "O0 C7 G23 W31 G43 E50s"},
        {"a turn cut early: every wait grows, not beyond 900 ms",
         "F S10 .11 S10 .40 U S10 .40 N S10 .40",
         "O0 C7 G13 E20s O21 C28+ G34 E46a O71 C78 G84 E99a O121 C128 G134 E159l"},
        {"three good turns and it is 352 ms again: 16, 15, 13, 11 blocks",
         "F S10 .11 S10 .60 S10 .60 S10 .60 S10 .60",
         "O0 C7 G13 E20s O21 C28+ G34 E46a O91 C98 G104 E115a O161 C168 G174 E183a O231 C238 G244 "
         "E251s"},
        {"the input ends before the answer", "N S20 .5 !", "O0 C7 G23 F24"},
    };
    static const row by_key[] = {
        {"the key decides", "F [ S10 .30 ] .", "O0 C0 G13 K39"},
    };
    endpoint_config config = endpoint_config_default();
    config.asks = true;
    CHECK_ROWS(&config, rows);
    config.push_to_talk = true;
    CHECK_ROWS(&config, by_key);
}

/* The answer is wanted at the earliest end and not before; one that comes sooner counts there. */
static void the_answer_has_its_place(void **state) {
    (void)state;
    endpoint_config config = endpoint_config_default();
    config.asks = true;
    for (int early = 0; early < 2; early++) {
        endpoint t;
        turn_events events;
        endpoint_reset(&t, &config);
        endpoint_answer(&t, 0.9f); /* about nothing */
        for (int i = 0; i < 30; i++) {
            assert_false(endpoint_waits(&t));
            endpoint_push(&t, i < 20 ? 0.95f : 0.02f, false, false, &events);
            if (early && events.count > 0 && events.list[0].kind == TURN_GUESS)
                endpoint_answer(&t, 0.9f);
        }
        assert_int_equal(endpoint_waits(&t), !early);
        endpoint_answer(&t, 0.9f);
        assert_false(endpoint_waits(&t));
        endpoint_push(&t, 0.02f, false, false, &events);
        assert_int_equal(events.count, 1);
        assert_int_equal(events.list[0].kind, TURN_END);
    }
}

/* 100 ms are not a multiple of three turns: nothing may be left over. */
static void patience_returns_exactly(void **state) {
    (void)state;
    endpoint_config config = endpoint_config_default();
    config.end_ms_step = 100;
    char text[TEXT_CAP];
    endpoint t;
    endpoint_reset(&t, &config);
    run(&t, "S10 .16 S10 .60", text, NULL);
    assert_int_equal(endpoint_end_ms(&t, TURN_MIDDLE), 600);
    run(&t, "S10 .60 S10 .60", text, NULL);
    assert_true(endpoint_end_ms(&t, TURN_MIDDLE) > 500);
    run(&t, "S10 .60", text, NULL);
    assert_int_equal(endpoint_end_ms(&t, TURN_MIDDLE), 500);
}

/* 2 s are 62 blocks; the last quarter begins with the 47th block of the clip. */
/* What was no turn leaves no trace: what comes next is taken as if it had not been, also when it
 * had come soon after an end, and the end after it is looked at as before. */
static void a_dismissed_turn_is_none(void **state) {
    (void)state;
    const endpoint_config c = endpoint_config_default();
    char got[TEXT_CAP];
    endpoint t;
    endpoint_reset(&t, &c);
    endpoint_dismiss(&t); /* nothing is under way */
    run(&t, "S10 .16 > .5 S6 .8 <", got, NULL);
    assert_string_equal(got, "O0 C7 G13 E25 O31 C33+ G40");
    assert_int_equal(endpoint_end_ms(&t, TURN_MIDDLE), 650);
    endpoint_dismiss(&t);
    assert_int_equal(t.phase, TURN_LISTENING);
    assert_int_equal(endpoint_end_ms(&t, TURN_MIDDLE), 500);
    run(&t, ".10 S10 .20", got, NULL);
    assert_string_equal(got, "O55 C62 G68 E80");
    assert_int_equal(endpoint_end_ms(&t, TURN_MIDDLE), 500);
}

static void long_turns(void **state) {
    (void)state;
    static const row rows[] = {
        {"a pause of 128 ms in the last quarter ends it", "S50 .20", "O0 C7 L53"},
        {"a guess before the quarter, a pause into it", "S42 .20", "O0 C7 G45 L46"},
        {"an end by length is no early cut", "S50 .4 S10 .20", "O0 C7 L53 O54 C61 G67 E79"},
        {"nobody pauses: cut in the least probable block", "S50 m1 S30 .20",
         "O0 C7 L61 O61 C61+ G84 E96"},
        {"the rest is a turn of its own and may be cut again", "S200",
         "O0 C7 L61 O61 C61+ L108 O108 "
         "C108+ L155 O155 C155+"},
        {"silent when it is full, but not long enough to guess", "S60 .20", "O0 C7 L61"},
    };
    endpoint_config config = endpoint_config_default();
    config.turn_ms_max = 2000;
    CHECK_ROWS(&config, rows);
}

static void push_to_talk(void **state) {
    (void)state;
    static const row rows[] = {
        {"without the key nothing is heard", "S50 .20", ""},
        {"the key begins and ends", ".10 [ .3 S20 .10 ] .30", "O10 C10 G36 K42"},
        {"released in the middle of a word", "[ S20 ] S10", "O0 C0 K19"},
        {"nothing said", "[ .60 ] .30", "O0 C0 R59"},
        {"a click is nothing said", "[ .10 S1 .10 ] .", "O0 C0 R20"},
        {"less than 150 ms is nothing said", "[ .10 S4 .10 ] .", "O0 C0 R23"},
        {"so are coughs", "[ .10 S2 .10 S2 .10 ] .", "O0 C0 R33"},
        {"a short word", "[ .10 S5 .10 ] .", "O0 C0 G18 K24"},
        {"two very short words", "[ .5 S3 .10 S3 .3 ] .", "O0 C0 K23"},
        {"a cough, and nothing for long, then a word", "[ S3 .200 S10 ] .", "O0 C0 K212"},
        {"the key while we speak interrupts at once", "> .5 [ .3 S20 ] .", "O5 C5 K27"},
        {"pressed twice", "[ S10 ] . [ S10 ] .", "O0 C0 K9 O11 C11 K20"},
        {"the input ends while it is held", "[ S10 !", "O0 C0 F9"},
        {"held too long", "[ S70 ] .", "O0 C0 L61 O61 C61+ K69"},
        {"held and silent for long, then a word", "[ .200 S10 ] .", "O0 C0 K209"},
    };
    static const row patient[] = {
        {"a long pause ends nothing", "[ S20 .60 S10 ] .", "O0 C0 G23 W81 K89"},
        {"nor does it make the next one longer", "[ S20 ] . [ S20 ] .", "O0 C0 K19 O21 C21 K40"},
    };
    endpoint_config config = endpoint_config_default();
    config.push_to_talk = true;
    CHECK_ROWS(&config, patient);
    config.turn_ms_max = 2000;
    CHECK_ROWS(&config, rows);
}

static void positions_are_samples(void **state) {
    (void)state;
    char text[TEXT_CAP];
    turn_event last[TURN_END + 1];
    endpoint_config config = endpoint_config_default();
    endpoint t;
    endpoint_reset(&t, &config);
    run(&t, ".20 S20 .8 S20 .30", text, last);
    assert_true(last[TURN_ONSET].speech_begin == 20 * VAD_BLOCK);
    assert_true(last[TURN_ONSET].clip_begin == 20 * VAD_BLOCK - 300 * MS);
    assert_true(last[TURN_END].clip_begin == last[TURN_ONSET].clip_begin);
    assert_true(last[TURN_END].speech_end == 68 * VAD_BLOCK);
    assert_true(last[TURN_END].clip_end == 68 * VAD_BLOCK + 100 * MS);
    assert_true(last[TURN_GUESS].clip_end == last[TURN_END].clip_end);
    assert_true(last[TURN_END].position == 84 * VAD_BLOCK);
    assert_int_equal(endpoint_end_ms(&t, TURN_MIDDLE), 500);

    /* The pre-roll begins with the sound and does not reach into the clip before. */
    endpoint_reset(&t, &config);
    run(&t, ".2 S20 .16", text, last);
    assert_true(last[TURN_ONSET].clip_begin == 0);
    config.pre_roll_ms = 2000;
    endpoint_reset(&t, &config);
    run(&t, "S20 .20 S20", text, last);
    assert_true(last[TURN_ONSET].clip_begin == last[TURN_END].clip_end);

    /* A cut by length: the next clip begins where this one ends, in the quiet block. */
    config.turn_ms_max = 2000;
    endpoint_reset(&t, &config);
    run(&t, "S50 m1 S12", text, last);
    assert_true(last[TURN_END].clip_end == 50 * VAD_BLOCK + VAD_BLOCK / 2);
    assert_true(last[TURN_CONFIRMED].clip_begin == last[TURN_END].clip_end);

    /* With the key, silence before the first word is dropped but for the pre-roll. */
    config = endpoint_config_default();
    config.push_to_talk = true;
    endpoint_reset(&t, &config);
    run(&t, "[ .100 S10 .1 ] .", text, last);
    assert_true(last[TURN_END].clip_begin == 100 * VAD_BLOCK - 300 * MS);
    assert_true(last[TURN_END].speech_end == 110 * VAD_BLOCK);
    assert_true(last[TURN_END].clip_end == 111 * VAD_BLOCK); /* not beyond what was heard */
}

/* What holds for every event, whatever was pushed. */
typedef struct watch {
    bool suspected, confirmed, guessed;
    int64_t guess_end, clip_end, position;
} watch;

static void check_event(watch *w, const turn_event *e, const endpoint_config *c) {
    assert_true(e->position >= w->position);
    w->position = e->position;
    assert_true(e->clip_begin >= w->clip_end && e->clip_begin <= e->speech_begin);
    switch (e->kind) {
    case TURN_ONSET:
        assert_false(w->suspected || w->confirmed);
        w->suspected = true;
        break;
    case TURN_REJECTED:
        assert_true(w->suspected || (c->push_to_talk && w->confirmed));
        w->suspected = w->confirmed = false;
        break;
    case TURN_CONFIRMED:
        assert_true(w->suspected);
        w->suspected = false;
        w->confirmed = true;
        break;
    case TURN_GUESS:
        assert_true(w->confirmed && !w->guessed);
        w->guessed = true;
        w->guess_end = e->clip_end;
        break;
    case TURN_WITHDRAWN:
        assert_true(w->guessed);
        w->guessed = false;
        break;
    case TURN_END:
        assert_true(w->confirmed);
        assert_true(!w->guessed || w->guess_end == e->clip_end);
        assert_true(e->clip_end <= e->position && e->clip_end > e->clip_begin);
        assert_true(e->speech_end <= e->clip_end && e->speech_end >= e->speech_begin);
        assert_true(e->clip_end - e->clip_begin <= (int64_t)c->turn_ms_max * MS);
        w->clip_end = e->clip_end;
        w->confirmed = w->guessed = false;
        break;
    }
}

static void anything_goes(void **state) {
    (void)state;
    const int rounds = rig_rounds(400);
    for (int seed = 0; seed < rounds; seed++) {
        random_state r;
        random_seed(&r, (uint64_t)seed);
        endpoint_config config = endpoint_config_default();
        config.push_to_talk = seed % 3 == 0;
        config.turn_ms_max = seed % 2 == 0 ? 2000 : 5000;
        config.asks = seed % 5 < 3;
        endpoint t;
        endpoint_reset(&t, &config);
        watch w = {0};
        bool speaking = false, held = false;
        float level = 0;
        for (int i = 0; i < 3000; i++) {
            if (random_unit(&r) < 0.08) level = (float)random_unit(&r);
            if (random_unit(&r) < 0.02) speaking = !speaking;
            if (random_unit(&r) < 0.02) held = !held;
            turn_events events;
            if (endpoint_waits(&t)) endpoint_answer(&t, (float)random_unit(&r));
            if (random_unit(&r) < 0.002)
                endpoint_finish(&t, &events);
            else
                endpoint_push(&t, random_unit(&r) < 0.1 ? 1 - level : level, speaking, held,
                              &events);
            for (int e = 0; e < events.count; e++) check_event(&w, &events.list[e], &config);
        }
    }
}

static void bad_settings_are_named(void **state) {
    (void)state;
    rnl_error error;
    endpoint_config c = endpoint_config_default();
    assert_int_equal(endpoint_config_check(&c, &error), RNL_OK);
    c.exit = 0.6f;
    assert_int_equal(endpoint_config_check(&c, &error), RNL_ERR_ARGUMENT);
    assert_string_equal(error.text, "exit is 0.6, outside 0.01 to 0.5");
    c = endpoint_config_default();
    c.end_ms = 99;
    assert_int_equal(endpoint_config_check(&c, &error), RNL_ERR_ARGUMENT);
    assert_string_equal(error.text, "end_ms is 99, outside 100 to 5000");
    c = endpoint_config_default();
    c.end_ms_max = 400;
    assert_int_equal(endpoint_config_check(&c, NULL), RNL_ERR_ARGUMENT);
    c = endpoint_config_default();
    c.mean_min = NAN;
    assert_int_equal(endpoint_config_check(&c, NULL), RNL_ERR_ARGUMENT);
    c = endpoint_config_default();
    c.end_ms_min = 163;
    assert_int_equal(endpoint_config_check(&c, NULL), RNL_OK); /* without asks nobody looks at it */
    c.asks = true;
    assert_int_equal(endpoint_config_check(&c, &error), RNL_ERR_ARGUMENT);
    assert_string_equal(error.text, "end_ms_min is 163, outside 164 to 500");
    c.end_ms_min = 350;
    c.border = 0.9f;
    assert_int_equal(endpoint_config_check(&c, &error), RNL_ERR_ARGUMENT);
    assert_string_equal(error.text, "border is 0.9, outside 0 to 0.8");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listening),
        cmocka_unit_test(interrupting),
        cmocka_unit_test(early_cuts),
        cmocka_unit_test(the_network_is_asked),
        cmocka_unit_test(the_answer_has_its_place),
        cmocka_unit_test(patience_returns_exactly),
        cmocka_unit_test(a_dismissed_turn_is_none),
        cmocka_unit_test(long_turns),
        cmocka_unit_test(push_to_talk),
        cmocka_unit_test(positions_are_samples),
        cmocka_unit_test(anything_goes),
        cmocka_unit_test(bad_settings_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
