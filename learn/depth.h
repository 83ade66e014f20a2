/* The depthformer with gradients (audio.md 6.2 to 6.6; learn.md 3.6, 3.7): hidden rows of the
 * backbone and the frames that follow them -> loss of the frames' codes.
 *
 *     hidden [n, backbone width] -> split -> z [n, codebooks, dim]
 *     z_k += embedding of code k - 1 (what was there, not what was decided)
 *     stack over the codebooks of each frame -> norm_k -> head_k -> nll_k
 *
 * Frames are independent of each other: LEARN_DEPTH_FRAMES at a time go forward and back. */
#ifndef LEARN_DEPTH_H
#define LEARN_DEPTH_H

#include "backbone/depthformer.h"
#include "learn/loss.h"
#include "learn/stack.h"

enum { LEARN_DEPTH_FRAMES = 64 };

typedef struct learn_depth {
    const depth_weights *w;
    learn_stack stack;
    learn_linear split;
    learn_linear *embedding, *head; /* [codebook_count]; tied: the same */
    learn_vector *norm;             /* [codebook_count] */
    float *hidden, *dhidden;        /* [frames, backbone width] */
    float *dz;                      /* [frames * codebooks, dim] */
    float *rows, *drows;            /* [frames, dim] of one codebook */
    float *low, *dlow, *ratios;
    int32_t *labels; /* [frames] */
    int *begin;      /* [frames + 1] runs */
    learn_loss_work loss;
} learn_depth;

RNL_MUST_USE rnl_status learn_depth_check(const depth_weights *w, const char *file,
                                          rnl_error *error);
void learn_depth_bind(learn_depth *d, learn_binder *b, const depth_weights *w, int thread_count);
void learn_depth_begin(learn_depth *d);

/* Frames [frame_count] that are to be foreseen: of frame f the codes are codes [codebook_count]
 * at codes + f * codebook_count, and the hidden row is row at[f] of hidden [.., width]. Returns the
 * sum over the frames of sum_k share[k] nll_k, share summing to 1; adds what `weight` times it
 * gives to dhidden's rows (NULL: forward alone). book_nll [codebook_count], or NULL: adds the sums
 * of each codebook. */
double learn_depth_loss(learn_depth *d, const compute *c, const float *hidden, const int *at,
                        const int32_t *codes, int frame_count, const double *share, double weight,
                        float *dhidden, double *book_nll);

#endif
