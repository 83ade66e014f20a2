/* Voices of the campaigns, at 16 kHz: what programs say (make_voices.sh), whole sentences of three
 * people, and prompts that a person has spoken for telephones (make_prompts.sh). Every function
 * fails the running test when something is missing. */
#ifndef TESTS_SUPPORT_VOICES_H
#define TESTS_SUPPORT_VOICES_H

#include <stdbool.h>

#include "core/random.h"

typedef struct clip {
    float *samples;        /* rms 1 where it speaks */
    int count, onset, end; /* spoken: [onset, end) */
    char voice[64];
    char word[16]; /* of a single one: "mhm" */
} clip;

enum { CLIP_CAP = 128 };
typedef struct clips {
    clip list[CLIP_CAP];
    int count;
} clips;

typedef enum voice_kind {
    VOICE_ASK,    /* what a user asks, */
    VOICE_CUT,    /* what he interrupts a reply with, */
    VOICE_NOD,    /* one word to show that he listens, */
    VOICE_DEMAND, /* or to end the reply */
    VOICE_SAY,    /* what an assistant replies */
    VOICE_KIND_COUNT
} voice_kind;

typedef struct voices {
    clips of[VOICE_KIND_COUNT];
} voices;

void voices_make(voices *v);
void voices_free(voices *v);
/* Takes over the samples [count], and makes their level 1. */
void clips_add(clips *to, const char *voice, float *samples, int count);
/* Any; of that voice, unless it is NULL. */
const clip *clips_pick(const clips *from, const char *voice, random_state *s);

/* ---- Prompts ---- */

#define PROMPT_RMS 0.05 /* where it speaks: -26 dBFS */

typedef struct prompt {
    char name[128];
    float *samples;        /* level PROMPT_RMS */
    int count, onset, end; /* spoken: [onset, end) */
    double power;          /* of its speech */
} prompt;

enum { PROMPT_CAP = 1024 };
typedef struct prompts {
    prompt list[PROMPT_CAP];
    int count;
} prompts;

/* Whole phrases of 1.5 s and more, no single digits, letters and code words. Those whose name
 * hashes even are for seeking a rule, the odd ones for figures. folder: prompts that were made
 * before, or NULL. */
void prompts_make(prompts *p, const char *folder, bool even);
void prompts_free(prompts *p);
unsigned prompt_hash(const char *name);
/* Power of the 30 ms around the frame that begins at a sample. */
double prompt_power_at(const prompt *p, int at);
/* A piece of it of 150 to 500 ms that somebody could have said alone: from one dip between sounds
 * to another. False: it has none. */
bool prompt_stretch(const prompt *p, random_state *s, int *begin, int *end);

#endif
