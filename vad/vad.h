/* Voice activity: 512 samples at 16 kHz -> the probability that they hold speech.
 *
 * The Silero network, 16 kHz (docs/MODEL.md; weights in weights.h): a spectrum of four windows,
 * four convolutions and an LSTM cell. Streaming: the last 64 samples and the cell's state go over
 * from block to block. What a probability means for a turn is endpoint.h's business. */
#ifndef VAD_VAD_H
#define VAD_VAD_H

#include "core/arena.h"
#include "kernels/kernels.h"

enum {
    VAD_RATE = 16000, /* Hz */
    VAD_BLOCK = 512   /* samples, 32 ms */
};
/* From this probability on a block is taken for speech where nothing else is known. */
#define VAD_SPEECH_PROBABILITY 0.5f

typedef struct vad_state {
    float *context; /* [64] the end of the previous block */
    float *cell_in; /* [256] conv4's output (scratch), then the cell's h */
    float *cell;    /* [128] the cell's c */
    /* Scratch, dead between calls, in the order of the signal. [time, channels]; the rows of zeros
     * at the ends are the padding of the convolutions. */
    float *input;    /* [640] context, block, 64 samples mirrored */
    float *spectrum; /* [4, 258] */
    float *bins;     /* [1 + 4 + 1, 129] magnitudes */
    float *wide;     /* [1 + 4, 128] conv1 */
    float *half;     /* [2, 64] conv2 */
    float *single;   /* [64] conv3 */
    float *gates;    /* [512] */
} vad_state;

/* About 17 KiB. While the arena measures, the pointers are NULL. */
void vad_layout(vad_state *s, arena *a);
/* Fresh: silence before the first sample. */
void vad_reset(vad_state *s);
/* samples [VAD_BLOCK], in [-1, 1]; larger ones are no error. Returns the probability, in [0, 1].
 * The same blocks give the same bits with the same kernels. About 0.7 million multiply-adds, no
 * allocation. One thread at a time per state. */
float vad_block(vad_state *s, const kernels *k, const float *samples);

#endif
