/* The encoder of clips (tokenizer/encoder.h) as a graph of ONNX for so many mel frames; shorter
 * clips are filled up with zeros, which masks keep from being heard:
 *
 *     mel, masks -> subsampling -> conformer layers -> rows
 *
 * Distances between positions do not depend on the length, so that one table serves every clip. */
#ifndef DEVICES_ONNX_ENCODER_H
#define DEVICES_ONNX_ENCODER_H

#include "devices/onnx_write.h"
#include "tokenizer/encoder.h"

typedef enum onnx_encoder_input {
    ONNX_ENCODER_MEL,    /* [1, 1, frames, bands] */
    ONNX_ENCODER_FIRST,  /* [1, 1, frames / 2, 1]: 1 where the first halving has a row, else 0 */
    ONNX_ENCODER_SECOND, /* [1, 1, frames / 4, 1]: the second */
    ONNX_ENCODER_THERE,  /* [1, positions, 1]: 1 where there is a position, else 0 */
    ONNX_ENCODER_MASK,   /* [1, 1, positions]: 0 there, else ONNX_UNSEEN (onnx_stack.h) */
    ONNX_ENCODER_INPUT_COUNT
} onnx_encoder_input;
extern const char *const onnx_encoder_names[ONNX_ENCODER_INPUT_COUNT];
/* The output is "rows" [1, positions, width]. */

enum {
    ONNX_ENCODER_STEP = 8 /* frames of a position: a graph has a multiple of them, two at least */
};

RNL_MUST_USE rnl_status onnx_encoder_check(const encoder_weights *w, const char *file,
                                           rnl_error *error);
onnx_shape onnx_encoder_shape(const encoder_weights *w, int frame_count, onnx_encoder_input input);
/* Of an encoder that was checked. NULL: memory. */
onnx_graph *onnx_encoder_graph(const encoder_weights *w, int frame_count, onnx_data *data);
/* What goes in besides the mel frames, for a clip of count frames through a graph of frame_count:
 * inputs[ONNX_ENCODER_MEL] is filled up with zeros behind them. */
void onnx_encoder_fill(const encoder_weights *w, int frame_count, const float *mel, int count,
                       float *const *inputs);

#endif
