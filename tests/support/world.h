/* A simulated world around a live loop: a microphone that plays a script, a loudspeaker that takes
 * what there is, a clock that moves with the samples and with the work done. Every 10 ms of the
 * clock, sound is pushed and pulled, also while the model works: then the loudspeaker gets what had
 * been made before. Nothing is real, everything is exact: the same script gives the same log, every
 * time. */
#ifndef TESTS_SUPPORT_WORLD_H
#define TESTS_SUPPORT_WORLD_H

#include <runnel/runnel_live.h>

struct room; /* tests/support/room.h */

/* What the microphone hears, at 16 kHz. */
typedef struct script {
    float *samples;
    size_t count, cap;
} script;

void script_silence(script *s, double seconds);
/* A clip of samples/questions, e.g. "light"; returns where its first sample stands. */
size_t script_say(script *s, const char *name);
/* Samples [begin, end) of a WAV file (rig_wav). */
void script_wav(script *s, const char *path, size_t begin, size_t end);
/* A faint noise over everything so far, so that silence is not digital. */
void script_noise(script *s, float amplitude, uint64_t seed);
void script_free(script *s);

typedef struct world_event {
    rnl_live_kind kind;
    int64_t mic_sample, now_us, speech_us;
    int64_t played; /* samples that had left the loudspeaker */
    rnl_live_turn turn;
} world_event;

enum { WORLD_EVENT_CAP = 4096, WORLD_TEXT_CAP = 16384 };

typedef struct world {
    rnl_live *live;
    const script *in;
    size_t at; /* of the script */
    int64_t now_us, tick_us;
    int64_t text_cost_us, frame_cost_us; /* of a step that is through; frame: with sound */
    int64_t part_cost_us;                /* of its parts before */
    /* NULL, or where all of it stands: the script is then what somebody says there, as heard at
     * 1 m, silent behind its end, and the microphone hears the loudspeaker as well. Sound goes in
     * and out at 16 kHz (the loop's rate_out), 10 ms at a time. */
    struct room *room;
    uint64_t cut_seed; /* 0: 10 ms at a time; else random pieces up to cut_cap, some late */
    size_t cut_cap;
    bool idle;                     /* after the last step */
    bool working;                  /* a piece of work takes its time, */
    size_t made;                   /* and so many samples may be pulled meanwhile */
    size_t held_back;              /* samples the microphone has, not yet pushed */
    float out[RNL_RATE_OUT / 100]; /* what the loudspeaker got last */
    bool keep_sound;
    float *sound; /* [sound_count] all the loudspeaker gave, silence included */
    size_t sound_count, sound_cap;
    float *reply; /* [reply_count] the same without what was silence for want of a reply */
    size_t reply_count, reply_cap;
    world_event events[WORLD_EVENT_CAP];
    int event_count;
    char text[WORLD_TEXT_CAP]; /* of all replies */
    size_t text_size;
    char said[WORLD_TEXT_CAP], heard[WORLD_TEXT_CAP];           /* of all turns, one line each */
    void (*on_event)(struct world *w, const rnl_live_event *e); /* or NULL */
    void *context;
} world;

void world_open(world *w, rnl_model *model, const rnl_live_config *config, const script *in);
/* The same on the heap; world_drop closes and frees it. */
world *world_new(rnl_model *model, const rnl_live_config *config, const script *in);
void world_drop(world *w);
/* Until the script is over and the loop is idle, or the clock has come to until_us. */
void world_run(world *w);
void world_run_until(world *w, int64_t until_us);
void world_close(world *w);

int world_count(const world *w, rnl_live_kind kind);
/* The n-th event of a kind, from 0; NULL when there is none. */
const world_event *world_find(const world *w, rnl_live_kind kind, int n);

#endif
