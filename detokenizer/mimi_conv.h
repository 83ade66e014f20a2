/* Streaming causal convolutions of Mimi (audio.md 9.2, 9.4). A signal is [time, channel], so the
 * window of one output is one run of memory: a convolution is a matrix product whose input rows
 * overlap, and needs no copying beyond the tail of the block before. */
#ifndef DETOKENIZER_MIMI_CONV_H
#define DETOKENIZER_MIMI_CONV_H

#include "core/linear.h"
#include "core/weights.h"

typedef struct mimi_conv {
    bool transposed;
    int in, out, kernel, stride;
    matrix w;          /* plain: [out, kernel * in], taps outermost; transposed:
                        * [kernel * out, in]. Float32, owned by the weights set */
    const float *bias; /* [out] or NULL */
} mimi_conv;

/* name: "mimi." is the loader's prefix, ".weight" and ".bias" are added. stride 0: a transposed or
 * strided convolution whose kernel is twice its stride. Sticky in l. */
mimi_conv mimi_conv_load(loader *l, bool transposed, int stride, const char *name);

/* Rows of the tail kept between blocks, and floats in one. */
int mimi_conv_tail_rows(const mimi_conv *c);
size_t mimi_conv_tail_size(const mimi_conv *c);
int mimi_conv_out_count(const mimi_conv *c, int count);
/* Floats of scratch that a block of count rows needs. */
size_t mimi_conv_scratch_size(const mimi_conv *c, int count);

/* x [count, in] -> y [out_count, out]; ELU is applied to x on the way in when elu is set. tail
 * [mimi_conv_tail_size] is read and renewed; zeros at the start. count is a multiple of the stride
 * of a plain convolution. */
void mimi_conv_run(const mimi_conv *c, const compute *k, float *tail, const float *x, int count,
                   bool elu, float *scratch, float *y);

#endif
