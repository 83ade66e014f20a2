/* Where a recording is cut into pieces of speech.
 *
 *     blocks of 512 samples with their speech probability -> pieces [begin, end) of samples
 *
 * A piece begins where speech does and ends at a pause: a run of frames of 8 ms that are quiet, in
 * level or by the VAD. One of 300 ms ends it once the piece has its length, one of 2 s always; at
 * the longest length the longest pause of 80 ms or more within reach is taken, so that no word is
 * cut; without one the piece ends anyway and the next begins a second earlier. Pure logic on
 * levels and probabilities: the same stream gives the same pieces, however it came. */
#ifndef ENGINE_TRANSCRIPT_CUT_H
#define ENGINE_TRANSCRIPT_CUT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"

enum {
    CUT_RATE = 16000,
    CUT_BLOCK = 512, /* samples, as the VAD takes them */
    CUT_FRAME = 128, /* samples of a level: 8 ms */
    CUT_BLOCK_FRAMES = CUT_BLOCK / CUT_FRAME
};

typedef struct cut_piece {
    int64_t begin, end;           /* samples of speech, since the start of the stream */
    int64_t clip_begin, clip_end; /* the same with what the model should hear around it */
    bool joined;                  /* overlaps the piece before: no pause stood between them */
    float speech;                 /* mean probability of speech in [begin, end) */
    bool is_speech;               /* false: too little of it was speech; not to be transcribed */
} cut_piece;

typedef struct cutter {
    int64_t piece_min, piece_max; /* samples */
    int frame_cap;
    float *samples;       /* [frame_cap * CUT_FRAME] the stream from sample `first` on */
    float *levels;        /* [frame_cap] dB of each frame */
    float *probabilities; /* [frame_cap] of the block of each frame */
    int frame_count;
    int64_t first;      /* sample of the stream at which the arrays begin */
    bool inside;        /* speech has begun */
    int begin;          /* frame at which it did */
    bool joined;        /* the open piece overlaps the one before */
    float floor, peak;  /* dB: of the noise, of the loudest speech of late */
    int64_t clip_limit; /* no clip reaches back before this sample */
} cutter;

/* Seconds, 0 <= piece_min <= piece_max, 1 <= piece_max <= 60. */
void cutter_layout(cutter *c, double piece_min, double piece_max, arena *a);
void cutter_reset(cutter *c);
/* samples [CUT_BLOCK]. True: *piece is complete, and cutter_samples gives its clip until the next
 * push. At most one piece a block. */
bool cutter_push(cutter *c, const float *samples, float probability, cut_piece *piece);
/* The end of the stream; the piece that was open, if any. */
bool cutter_finish(cutter *c, cut_piece *piece);
/* The samples of [piece->clip_begin, piece->clip_end). */
const float *cutter_samples(const cutter *c, const cut_piece *piece);
/* Samples before this one are settled: in pieces given, or silence. */
int64_t cutter_settled(const cutter *c);

/* The level of a frame in dB, full scale 0, at least -100. */
float cut_level(const float *samples, int count);
/* Where a clip may best be parted: the middle of its quietest 80 ms within the middle half. */
int64_t cut_middle(const float *samples, int64_t count);

#endif
