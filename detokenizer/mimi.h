/* The Mimi codec of LFM2-Audio v1: code frames <-> samples at 24 kHz, streaming, both ways.
 *
 *     codes -> centroids -> x2 up-sampling -> transformer -> SEANet decoder -> 1920 samples
 *     1920 samples -> SEANet encoder -> transformer -> /2 down-sampling -> residual quantiser -> codes
 *
 * audio.md 9. Nothing looks ahead: a frame in is a frame out, and streaming equals the whole
 * run. */
#ifndef DETOKENIZER_MIMI_H
#define DETOKENIZER_MIMI_H

#include "detokenizer/mimi_seanet.h"
#include "detokenizer/mimi_transformer.h"

enum { MIMI_BOOK_CAP = 32 };

/* One quantiser: the semantic book, or the acoustic ones. */
typedef struct mimi_quantizer {
    int book_count;
    const float *books[MIMI_BOOK_CAP]; /* [code_count, dim] centroids */
    matrix in, out;                    /* [dim, width], [width, dim] */
} mimi_quantizer;

typedef struct mimi_weights {
    mimi_quantizer first, rest; /* book 0; books 1 ... codebook_count - 1 */
    int codebook_count, code_count, dim, width;
    const float *up_taps; /* [width, up_kernel] depthwise up-sampling */
    int up_kernel;
    seanet_weights decoder;
    mimi_transformer decoder_transformer;
    bool has_encoder;
    mimi_conv downsample;
    seanet_weights encoder;
    mimi_transformer encoder_transformer;
    int frame_size; /* samples of a frame */
} mimi_weights;

/* Names of audio.md 9.5 under "mimi.". Sizes follow from the tensors, but for head width and
 * window. Sticky in l. */
void mimi_load(loader *l, int head_width, int window, int codebook_count, mimi_weights *out);

/* What a tap sees: stage "latent", [count, width]. */
typedef void (*mimi_tap)(void *context, const char *stage, const float *x, int count, int width);

typedef struct mimi_decoder {
    const mimi_weights *w;
    mimi_transformer_state transformer;
    seanet_state seanet;
    float *up_tail; /* [kernel - 2, width] kept */
    float *latent;  /* [width] scratch, as all below */
    float *sum;     /* [dim] */
    float *steps;   /* [MIMI_STEPS, width] */
    mimi_tap tap;   /* or NULL */
    void *tap_context;
} mimi_decoder;

void mimi_decoder_layout(mimi_decoder *s, const mimi_weights *w, int thread_count, arena *kept,
                         arena *scratch);
void mimi_decoder_reset(mimi_decoder *s);
/* codes [codebook_count] -> out [frame_size]. RNL_ERR_DATA: a code out of range, nothing
 * changed. */
RNL_MUST_USE rnl_status mimi_decoder_push(mimi_decoder *s, const compute *c, const int32_t *codes,
                                          float *out);

typedef struct mimi_encoder {
    const mimi_weights *w;
    mimi_transformer_state transformer;
    seanet_state seanet;
    float *down_tail; /* [kernel - 2, width] kept */
    float *waiting;   /* [frame_size] kept: samples of a frame that is not complete */
    int waiting_count;
    bool started;    /* the down-sampling has seen its first step */
    float *steps;    /* [MIMI_STEPS, width] scratch, as all below */
    float *latent;   /* [width] */
    float *residual; /* [dim] */
    float *scratch;
    mimi_tap tap;
    void *tap_context;
} mimi_encoder;

void mimi_encoder_layout(mimi_encoder *s, const mimi_weights *w, int thread_count, arena *kept,
                         arena *scratch);
void mimi_encoder_reset(mimi_encoder *s);
/* Takes samples until one frame is complete: *taken of count, *made true when codes
 * [codebook_count] were written; call again with the rest. */
void mimi_encoder_push(mimi_encoder *s, const compute *c, const float *samples, size_t count,
                       size_t *taken, int32_t *codes, bool *made);
/* The end: what waits is completed with zeros. *made false when nothing waited. */
void mimi_encoder_finish(mimi_encoder *s, const compute *c, int32_t *codes, bool *made);

#endif
