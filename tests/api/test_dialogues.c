/* Two scripted dialogues, with pauses and words into the answers, through `runnel talk` itself and
 * its file device: what it traces of them is what it traced before (data/dialogues). minnow knows
 * no word that lets an answer go on, so what the clips say is told to the loop (--wrap).
 *
 *     RUNNEL_DIALOGUES=FOLDER    the traces are left there, to be looked at and copied */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/commands.h"
#include "apps/messages.h"
#include "engine/live.h"
#include "tests/support/folder.h"
#include "tests/support/world.h"

/* ---- What the loop hears ---- */

static struct {
    const char *const *texts; /* of the clips, in their order; NULL ends them */
    int asked;
} ear;

rnl_status __wrap_live_hear_by_model(rnl_live *l, char *text, size_t cap, size_t *size);
rnl_status __wrap_live_hear_by_model(rnl_live *l, char *text, size_t cap, size_t *size) {
    l->part_count++;
    const char *said = ear.texts[ear.asked];
    assert_non_null(said);
    ear.asked++;
    *size = strlen(said);
    assert_true(*size <= cap);
    memcpy(text, said, *size);
    return RNL_DONE;
}

/* ---- Scripts ---- */

/* 350 ms of a voice. */
static void say_word(script *s) {
    enum { BEGIN = 3200, COUNT = 5600 };
    script voice = {0};
    script_say(&voice, "who");
    const size_t at = s->count;
    script_silence(s, COUNT / 16000.0);
    memcpy(s->samples + at, voice.samples + BEGIN, COUNT * sizeof *voice.samples);
    script_free(&voice);
}

/* A question with a pause behind its first `ms`. */
static void say_haltingly(script *s, const char *name, int ms, double pause_s) {
    script voice = {0};
    script_say(&voice, name);
    const size_t first = (size_t)ms * 16, rest = voice.count - first, at = s->count;
    script_silence(s, (double)voice.count / 16000 + pause_s);
    memcpy(s->samples + at, voice.samples, first * sizeof *voice.samples);
    memcpy(s->samples + s->count - rest, voice.samples + first, rest * sizeof *voice.samples);
    script_free(&voice);
}

/* An answer that goes on behind "mhm" and ends at "stop", and one that nobody speaks into. */
static script kitchen(void) {
    script s = {0};
    script_silence(&s, 1);
    script_say(&s, "heating");
    script_silence(&s, 2);
    say_word(&s);
    script_silence(&s, 5);
    script_say(&s, "music");
    script_silence(&s, 1.1);
    say_word(&s);
    script_silence(&s, 5);
    script_say(&s, "light");
    script_silence(&s, 4);
    script_noise(&s, 0.0005f, 1);
    return s;
}

/* Who searches for a word is let finish; "okay" and a cough change nothing; who asks on is
 * answered. */
static script pauses(void) {
    script s = {0};
    script_silence(&s, 1);
    say_haltingly(&s, "heating", 990, 0.6);
    script_silence(&s, 1.3);
    say_word(&s);
    script_silence(&s, 4);
    script_say(&s, "sum");
    script_silence(&s, 2);
    say_word(&s);
    script_silence(&s, 4);
    say_haltingly(&s, "timer", 970, 0.25);
    script_silence(&s, 1.2);
    script_say(&s, "light");
    script_silence(&s, 4);
    script_noise(&s, 0.0005f, 2);
    return s;
}

/* ---- A run of the program ---- */

static void write_script(const script *s, const char *path) {
    int16_t *samples = malloc(s->count * sizeof *samples);
    assert_non_null(samples);
    for (size_t i = 0; i < s->count; i++) samples[i] = (int16_t)lrintf(32767 * s->samples[i]);
    const size_t size = s->count * sizeof *samples;
    write_wav(path, 16000, 1, 16, samples, size, (uint32_t)size);
    free(samples);
}

static void talk(const char *sound, const char *trace) {
    char input[PATH_CAP + 8];
    (void)snprintf(input, sizeof input, "file:%s", sound);
    char *words[] = {"talk",
                     "-q",
                     "-m",
                     SOURCE_DIR "/samples/minnow/minnow.gguf",
                     "--input",
                     input,
                     "--trace",
                     (char *)trace,
                     "--sim-cost",
                     "5",
                     "--backchannel-ms",
                     "600"};
    const int count = sizeof words / sizeof *words;
    options o;
    int code = EXIT_OK;
    assert_true(options_parse(&o, &command_talk, count, words, &code));
    assert_int_equal(command_talk.run(&o), EXIT_OK);
}

/* ---- Traces ---- */

enum { LINE_CAP = 4096 };

/* Cuts the last field off; its number, NAN when it is null. */
static double cut_probability(char *line, const char *path) {
    static const char key[] = ",\"end_probability\":";
    char *field = strstr(line, key);
    if (field == NULL) fail_msg("%s: no probability in %s", path, line);
    *field = '\0';
    const char *number = field + sizeof key - 1;
    return strncmp(number, "null", 4) == 0 ? (double)NAN : strtod(number, NULL);
}

/* The machine's arithmetic may move a probability a little, and with it nothing else. */
static void assert_same_turn(char *wanted, const char *wanted_path, char *got,
                             const char *got_path) {
    const double p = cut_probability(wanted, wanted_path), q = cut_probability(got, got_path);
    assert_string_equal(got, wanted);
    assert_int_equal(isnan(p) != 0, isnan(q) != 0);
    assert_true(isnan(p) || fabs(p - q) <= 0.03);
}

static int assert_same_trace(const char *wanted_path, const char *got_path) {
    static char lines[2][LINE_CAP];
    FILE *wanted = fopen(wanted_path, "r"), *got = fopen(got_path, "r");
    if (wanted == NULL || got == NULL) fail_msg("%s, %s: one is missing", wanted_path, got_path);
    int count = 0;
    for (;; count++) {
        const bool more = fgets(lines[0], LINE_CAP, wanted) != NULL;
        if ((fgets(lines[1], LINE_CAP, got) != NULL) != more)
            fail_msg("%s and %s do not have the same turns", wanted_path, got_path);
        if (!more) break;
        assert_same_turn(lines[0], wanted_path, lines[1], got_path);
    }
    fclose(wanted);
    fclose(got);
    return count;
}

static void replay(const folder *f, const char *name, script s, const char *const *texts) {
    char sound[PATH_CAP], trace[PATH_CAP], file[64], wanted[PATH_CAP];
    const char *kept = getenv("RUNNEL_DIALOGUES");
    (void)snprintf(file, sizeof file, "%s.wav", name);
    name_in(f, file, sound);
    (void)snprintf(file, sizeof file, "%s.jsonl", name);
    name_in(f, file, trace);
    if (kept != NULL) (void)snprintf(trace, sizeof trace, "%s/%s", kept, file);
    (void)snprintf(wanted, sizeof wanted, "%s/dialogues/%s", TEST_DATA, file);
    write_script(&s, sound);
    script_free(&s);
    ear.texts = texts;
    ear.asked = 0;
    talk(sound, trace);
    assert_true(assert_same_trace(wanted, trace) >= 4);
    assert_null(texts[ear.asked]);
}

static void mhm_and_stop(void **state) {
    replay(*state, "kitchen", kitchen(), (const char *const[]){"Mhm.", "Stop.", NULL});
}

static void pauses_and_small_sounds(void **state) {
    replay(*state, "pauses", pauses(), (const char *const[]){"Okay.", "", NULL});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(mhm_and_stop),
        IN_FOLDER(pauses_and_small_sounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
