/* The encoder's front: mel frames -> positions, eight times fewer (audio.md 4.1).
 *
 *     [M, bands] -conv 3x3 /2-> [M/2, bands/2, C] -depthwise /2, pointwise-> [M/4, bands/4, C]
 *     -depthwise /2, pointwise-> [M/8, bands/8, C] -Linear-> [M/8, width]
 *
 * Done in pieces of positions: a whole minute at once would take 200 MB in the official model. The
 * rows at the border of a piece are computed twice, so no result depends on where pieces begin. */
#ifndef TOKENIZER_SUBSAMPLING_H
#define TOKENIZER_SUBSAMPLING_H

#include "core/linear.h"
#include "core/weights.h"

enum {
    SUBSAMPLING_BLOCK = 32, /* positions of one call: enough to pay for reading the last matrix */
    SUBSAMPLING_PIECE = 8   /* positions whose pictures are held at a time: 4 MB, officially */
};

typedef struct subsampling_weights {
    int band_count;             /* mel bands in */
    int channel_count;          /* C */
    int width;                  /* out */
    int out_bands;              /* bands after three halvings */
    const float *conv0, *bias0; /* [3 x 3 taps, C], taps time x band; [C] */
    const float *depth[2];      /* [3 x 3 taps, C] */
    const float *depth_bias[2]; /* [C] */
    matrix point[2];            /* [C, C] */
    const float *point_bias[2]; /* [C] */
    matrix out;                 /* [width, C * out_bands], input index channel-major */
    const float *out_bias;      /* [width] */
} subsampling_weights;

/* Sizes follow from the tensors. Sticky in l. */
void subsampling_load(loader *l, int band_count, subsampling_weights *w);

typedef struct subsampling_state {
    const subsampling_weights *w;
    float *first;  /* [rows, bands / 2, C] scratch of a piece, as all below */
    float *second; /* [rows, bands / 4, C] */
    float *third;  /* [SUBSAMPLING_PIECE, bands / 8, C] */
    float *mixed;  /* depthwise output before its pointwise product */
    float *flat;   /* [SUBSAMPLING_BLOCK, C * out_bands] of the whole call */
} subsampling_state;

void subsampling_layout(subsampling_state *s, const subsampling_weights *w, arena *a);

/* Positions that frame_count mel frames give: ceil(frame_count / 8). */
int subsampling_position_count(int frame_count);

/* Positions [begin, begin + count), count <= SUBSAMPLING_BLOCK, of mel [frame_count, bands] into
 * out [count, width]. */
void subsampling_block(subsampling_state *s, const compute *c, const float *mel, int frame_count,
                       int begin, int count, float *out);

#endif
