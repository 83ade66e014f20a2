/* How likely the speaker is done: the network "smart turn v3.2" (docs/MODEL.md), asked about the
 * last 8 seconds of a clip. A pause is not an end; this hears by melody and words which of both it
 * may be. What a probability means for a turn is the caller's business.
 *
 *     samples 16 kHz -> [128000] zeros in front -> mel [800, 80] -> two convolutions [400, 384]
 *     -> 4 layers that look both ways -> one vector [384] -> probability
 *
 * A look always costs the same, about 3.6 G multiply-adds, and is cut into pieces (turn_look_step).
 * Weights are compiled in (weights.h) unless the library was built with RUNNEL_TURN_NETWORK=OFF. */
#ifndef VAD_TURN_NETWORK_H
#define VAD_TURN_NETWORK_H

#include <runnel/runnel.h>

#include "core/arena.h"
#include "core/linear.h"

enum {
    TURN_RATE = 16000,          /* Hz */
    TURN_WINDOW = 8 * 16000,    /* samples that it hears */
    TURN_NETWORK_COL_CAP = 1536 /* widest matrix: what compute_layout must have room for */
};

typedef struct turn_network turn_network; /* read-only after create: shared by threads */

/* Whether the weights are in this library. */
bool turn_network_is_built(void);

/* exact: products in float32 with the weights as stored; otherwise they are packed for products of
 * integers (about 9 MB, over the threads of p). RNL_ERR_UNSUPPORTED: not built; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status turn_network_create(bool exact, pool *p, turn_network **out,
                                            rnl_error *error);
void turn_network_destroy(turn_network **n); /* NULL and half-built are fine; sets NULL */

typedef struct turn_look {
    const turn_network *n; /* borrowed */
    float *ring;           /* [TURN_WINDOW] the last samples of the clip */
    int64_t sample_count;  /* ever put into it since reset */
    int step;              /* next piece of the look under way; its count: none is */
    float probability;     /* of the last look that was done */
    /* Scratch of a look, dead between looks. [time, channels]; rows of zeros at the ends are the
     * padding of the convolutions. */
    float *mel;           /* [1 + 800 + 1, 80], then 16 zeros */
    float *x;             /* [400, 384] what the layers change */
    float *normed, *q;    /* [400, 384] each, as are the next three */
    float *k, *v, *mixed; /* */
    float *wide;          /* [400, 1536]; before the layers the 8 s of samples, then conv1 */
    float *spectra;       /* [thread_count] scratch of a Fourier transform */
    float *scores;        /* [thread_count] scratch of attention */
    void (*tap)(void *context, const char *stage, int layer, const float *x, int rows, int cols);
    void
        *tap_context; /* tap may be NULL: it sees "mel", "conv", every "layer", "pooled", "logit" */
} turn_look;

/* About 8 MiB. While the arena measures, the pointers are NULL. */
void turn_look_layout(turn_look *s, const turn_network *n, int thread_count, arena *a);
/* A new clip, nothing heard; a look under way is forgotten. */
void turn_look_reset(turn_look *s);
/* The clip goes on: samples [count], finite, in [-1, 1] (larger ones are no error). Any cut gives
 * the same bits. A look under way is not disturbed: it hears what had come when it began. */
void turn_look_push(turn_look *s, const float *samples, size_t count);
/* Begins a look at the clip as it stands. One under way is forgotten. */
void turn_look_begin(turn_look *s);
/* One piece of the look that was begun, at most an eighth of it. c->exact as in create, room for
 * TURN_NETWORK_COL_CAP. RNL_OK: more remains; RNL_DONE: the probability is there (also when no look
 * is under way). No allocation; the number of threads changes no bit. */
rnl_status turn_look_step(turn_look *s, const compute *c);
/* Of the last look that was done, in [0, 1]. Not before one was, since the reset. */
float turn_look_probability(const turn_look *s);

#endif
