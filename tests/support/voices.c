#include "tests/support/voices.h"

#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/resample.h"
#include "tests/support/hearing.h"
#include "tests/support/rig.h"

enum { RATE = 16000, MS = RATE / 1000 };

/* ---- Files that a script makes ---- */

/* Runs tests/support/SCRIPT with a new folder, hands over every WAV file there, removes all. */
static void read_made(const char *script, const char *packages, void (*read)(void *, const char *),
                      void *context) {
    char folder[] = "/tmp/runnel-voices-XXXXXX", command[512];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(command, sizeof command, "%s/tests/support/%s %s", SOURCE_DIR, script, folder);
    if (system(command) != 0)
        fail_msg("%s makes no voices: install the packages %s", script, packages);
    (void)snprintf(command, sizeof command, "%s/*.wav", folder);
    glob_t found;
    assert_int_equal(glob(command, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        read(context, found.gl_pathv[i]);
        (void)unlink(found.gl_pathv[i]);
    }
    globfree(&found);
    (void)rmdir(folder);
}

/* Spoken is what is within `share` of the level of speech, which is returned. */
static double label(const float *samples, int count, double share, int *onset, int *end) {
    const int frames = count / ECHO_FRAME;
    const double level = speech_power(samples, count);
    bool begun = false;
    *onset = *end = 0;
    for (int f = 0; f < frames; f++) {
        if (frame_power(samples + f * ECHO_FRAME) <= level * share) continue;
        if (!begun) *onset = f * ECHO_FRAME;
        begun = true;
        *end = (f + 1) * ECHO_FRAME;
    }
    return level;
}

static void scale(float *samples, int count, double level, double rms) {
    if (level <= 0) return;
    for (int i = 0; i < count; i++) samples[i] *= (float)(rms / sqrt(level));
}

/* ---- Clips ---- */

void clips_add(clips *to, const char *voice, float *samples, int count) {
    assert_true(to->count < CLIP_CAP);
    clip *c = &to->list[to->count++];
    *c = (clip){.samples = samples, .count = count};
    (void)snprintf(c->voice, sizeof c->voice, "%s", voice);
    scale(samples, count, label(samples, count, 1e-2, &c->onset, &c->end), 1);
}

const clip *clips_pick(const clips *from, const char *voice, random_state *s) {
    for (;;) {
        const clip *c = &from->list[random_u64(s) % (uint64_t)from->count];
        if (voice == NULL || strcmp(c->voice, voice) == 0) return c;
    }
}

static float *resampled(const float *in, size_t in_count, int rate, int *count) {
    const size_t cap = in_count * RATE / (size_t)rate + 1;
    float *out = calloc(cap, sizeof *out);
    assert_non_null(out);
    resampler *r;
    assert_int_equal(resampler_create(&r), RNL_OK);
    resampler_begin(r, rate, RATE);
    size_t used = 0, taken, made, total = 0;
    while (used < in_count) {
        resampler_push(r, in + used, in_count - used, &taken, out + total, cap - total, &made);
        used += taken;
        total += made;
    }
    do {
        resampler_finish(r, out + total, cap - total, &made);
        total += made;
    } while (made > 0);
    resampler_destroy(&r);
    *count = (int)total;
    return out;
}

static voice_kind kind_of(const char *name) {
    static const char *const names[] = {"ask", "cut", "nod", "end", "say"};
    for (int k = 0; k < VOICE_KIND_COUNT; k++)
        if (strncmp(name, names[k], 3) == 0) return (voice_kind)k;
    fail_msg("%s is no voice", name);
    return VOICE_SAY;
}

/* FOLDER/KIND-VOICE-NUMBER-RATE.wav, of single words FOLDER/KIND-VOICE-WORD-RATE.wav */
static void read_clip(void *context, const char *path) {
    voices *v = context;
    const char *name = strrchr(path, '/') + 1, *rate = strrchr(path, '-') + 1;
    const char *word = name + 4 + strcspn(name + 4, "-") + 1;
    char voice[64];
    (void)snprintf(voice, sizeof voice, "%.*s", (int)strcspn(name + 4, "-"), name + 4);
    const size_t count = rig_wav_count(path);
    float *in = rig_wav(path, 0, count);
    int out_count;
    float *out = resampled(in, count, atoi(rate), &out_count);
    free(in);
    clips *to = &v->of[kind_of(name)];
    clips_add(to, voice, out, out_count);
    clip *c = &to->list[to->count - 1];
    (void)snprintf(c->word, sizeof c->word, "%.*s", (int)strcspn(word, "-"), word);
}

static void add_recording(clips *to, const char *path, double begin_s, double end_s) {
    const size_t begin = (size_t)(begin_s * RATE), end = (size_t)(end_s * RATE);
    const size_t count = rig_wav_count(path), last = end < count ? end : count;
    clips_add(to, "human", rig_wav(path, begin, last), (int)(last - begin));
}

void voices_make(voices *v) {
    read_made("make_voices.sh", "espeak-ng and flite", read_clip, v);
    clips *ask = &v->of[VOICE_ASK], *cut = &v->of[VOICE_CUT];
    /* People: whole sentences, between the pauses of those who spoke them. */
    for (int i = 0; i < 3; i++) {
        add_recording(ask, "audio/question.wav", 0.3, 4.6);
        add_recording(ask, "audio/test_speech.wav", 0.7, 3.7);
        add_recording(ask, "audio/jfk.wav", 5.2, 7.8);
        add_recording(cut, "audio/jfk.wav", 8.0, 10.6);
        add_recording(cut, "audio/jfk.wav", 3.2, 4.6);
        add_recording(cut, "audio/test_speech.wav", 0.7, 3.7);
    }
}

void voices_free(voices *v) {
    for (int k = 0; k < VOICE_KIND_COUNT; k++)
        for (int c = 0; c < v->of[k].count; c++) free(v->of[k].list[c].samples);
    *v = (voices){0};
}

/* ---- Prompts ---- */

unsigned prompt_hash(const char *name) {
    uint32_t h = 2166136261u;
    for (; *name != '\0'; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}

/* Of sentences that a program puts together. */
static bool is_piece(const char *name) {
    static const char *const kinds[] = {"digits_", "letters_", "phonetic_", "silence_"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(name, kinds[i], strlen(kinds[i])) == 0) return true;
    return false;
}

typedef struct prompt_choice {
    prompts *list;
    bool even;
} prompt_choice;

static void read_prompt(void *context, const char *path) {
    enum { SECONDS_MAX = 25, SHORTEST = 3 * RATE / 2 };
    const prompt_choice *choice = context;
    prompts *all = choice->list;
    assert_true(all->count < PROMPT_CAP);
    prompt *p = &all->list[all->count];
    const char *name = strrchr(path, '/') + 1;
    (void)snprintf(p->name, sizeof p->name, "%.*s", (int)strcspn(name, "."), name);
    if ((prompt_hash(p->name) % 2 == 0) != choice->even || is_piece(p->name)) return;
    const size_t count = rig_wav_count(path);
    if (count < RATE / 2 || count > SECONDS_MAX * RATE) return;
    p->samples = rig_wav(path, 0, count);
    p->count = (int)count;
    scale(p->samples, p->count, label(p->samples, p->count, 1e-3, &p->onset, &p->end), PROMPT_RMS);
    p->power = PROMPT_RMS * PROMPT_RMS;
    all->count++;
    if (p->end - p->onset >= SHORTEST) return;
    free(p->samples);
    all->count--;
}

void prompts_make(prompts *p, const char *folder, bool even) {
    prompt_choice choice = {p, even};
    *p = (prompts){.count = 0};
    if (folder == NULL) {
        read_made("make_prompts.sh", "asterisk-core-sounds-en-g722 and ffmpeg", read_prompt,
                  &choice);
    } else {
        char pattern[512];
        (void)snprintf(pattern, sizeof pattern, "%s/*.wav", folder);
        glob_t found;
        assert_int_equal(glob(pattern, 0, NULL, &found), 0);
        for (size_t i = 0; i < found.gl_pathc; i++) read_prompt(&choice, found.gl_pathv[i]);
        globfree(&found);
    }
    assert_true(p->count > 0);
}

void prompts_free(prompts *p) {
    for (int i = 0; i < p->count; i++) free(p->list[i].samples);
    p->count = 0;
}

double prompt_power_at(const prompt *p, int at) {
    double sum = 0;
    for (int f = -1; f < 2; f++) sum += frame_power(p->samples + at + f * ECHO_FRAME);
    return sum / 3;
}

/* 13 dB below speech, and no louder than what lies around. */
static bool is_dip(const prompt *p, int at) {
    const double power = prompt_power_at(p, at);
    return power < 0.05 * p->power && power <= prompt_power_at(p, at - ECHO_FRAME) &&
           power < prompt_power_at(p, at + ECHO_FRAME);
}

static double mean_power(const float *x, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) sum += (double)x[i] * (double)x[i] / count;
    return sum;
}

bool prompt_stretch(const prompt *p, random_state *s, int *begin, int *end) {
    enum { DIP_CAP = 256, LEAST = 150 * MS, MOST = 500 * MS, TRIES = 200 };
    int dips[DIP_CAP], count = 0;
    for (int at = p->onset; at < p->end && count < DIP_CAP; at += ECHO_FRAME) {
        const bool inside = at >= 2 * ECHO_FRAME && at + 3 * ECHO_FRAME <= p->count;
        if (inside && is_dip(p, at)) dips[count++] = at + ECHO_FRAME / 2;
    }
    for (int i = 0; i < TRIES && count > 1; i++) {
        *begin = dips[random_u64(s) % (uint64_t)count];
        *end = dips[random_u64(s) % (uint64_t)count];
        const int length = *end - *begin;
        if (length < LEAST || length > MOST) continue;
        if (mean_power(p->samples + *begin, length) >= 0.25 * p->power) return true;
    }
    return false;
}
