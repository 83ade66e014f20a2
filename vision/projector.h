/* Rows of the tower -> rows of the backbone's embedding space: four patches, a square of two by
 * two, become one. family.md 2.7. */
#ifndef VISION_PROJECTOR_H
#define VISION_PROJECTOR_H

#include "core/linear.h"
#include "core/weights.h"

typedef struct projector_weights {
    const float *gain, *bias;        /* [4 * tower width] of the norm, or NULL: the file has none */
    matrix up, out;                  /* [hidden, 4 * tower width], [backbone width, hidden] */
    const float *up_bias, *out_bias; /* or NULL */
} projector_weights;

/* Names mm.input_norm, mm.1, mm.2. Sticky in l. */
void projector_load(loader *l, int tower_width, int backbone_width, projector_weights *out);

typedef struct projector_state {
    const projector_weights *w;
    float *joined; /* [PROJECTOR_BLOCK, 4 * tower width] scratch */
    float *hidden; /* [PROJECTOR_BLOCK, hidden] scratch */
    void (*tap)(void *context, const char *stage, int layer, const float *x, int rows, int cols);
    void *tap_context; /* tap may be NULL: it sees "joined" in blocks, behind the norm */
} projector_state;

enum { PROJECTOR_BLOCK = 64 /* rows computed at a time */ };

void projector_layout(projector_state *s, const projector_weights *w, arena *a);

/* x [rows * cols, tower width], rows and cols even -> out [rows / 2 * cols / 2, backbone width]. */
void projector_forward(projector_state *s, const compute *c, const float *x, int rows, int cols,
                       float *out);

#endif
