/* The gated short convolution with gradients (backbone.md 1.3), between its two matrices:
 *
 *     wide [rows, 3 width]: B, C, X -> y = B X -> z = taps over y (+ bias) -> mixed = C z
 *
 * Threads share out the channels. */
#ifndef LEARN_CONVOLUTION_H
#define LEARN_CONVOLUTION_H

#include "learn/linear.h"
#include "learn/rows.h"

typedef struct learn_convolution {
    learn_vector taps; /* [width, tap_count] as stored */
    learn_vector bias; /* [width]; v NULL: none */
    int width, tap_count;
} learn_convolution;

/* z and mixed [rows, width]; products [rows, width] and turned [tap_count, width] are scratch. The
 * engine's bits. */
void learn_convolve(const compute *c, const learn_convolution *v, const learn_rows *rows,
                    const float *wide, float *z, float *mixed, float *products, float *turned);
/* mixed again, of what is kept. */
void learn_convolve_gate(const compute *c, const learn_convolution *v, const learn_rows *rows,
                         const float *wide, const float *z, float *mixed);
/* dwide from dmixed, which is used up; products and turned as above. */
void learn_convolve_back(const compute *c, const learn_convolution *v, const learn_rows *rows,
                         const float *wide, const float *z, float *dmixed, float *dwide,
                         float *products, float *turned);

#endif
