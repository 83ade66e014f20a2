/* The weights of the network (vad.c), compiled into the library. vad_weights.c is made by
 * tools/make_vad_weights.py, which writes the fields in this order. */
#ifndef VAD_VAD_WEIGHTS_H
#define VAD_VAD_WEIGHTS_H

#include <stdint.h>

enum {
    VAD_WINDOW = 256,     /* samples of one spectrum */
    VAD_BINS = 129,       /* VAD_WINDOW / 2 + 1 */
    VAD_WIDTH = 128,      /* channels of conv1, conv4 and the LSTM */
    VAD_HALF_WIDTH = 64,  /* channels of conv2 and conv3 */
    VAD_GATE_COUNT = 512, /* input, forget, cell, output: VAD_WIDTH each */
};

/* Row-major, [out, tap, in] for convolutions. */
typedef struct vad_weights {
    float stft[2 * VAD_BINS][VAD_WINDOW]; /* rows 0..128 real parts, 129..257 imaginary */
    float conv1[VAD_WIDTH][3 * VAD_BINS], conv1_bias[VAD_WIDTH];
    float conv2[VAD_HALF_WIDTH][3 * VAD_WIDTH], conv2_bias[VAD_HALF_WIDTH];
    float conv3[VAD_HALF_WIDTH][2 * VAD_HALF_WIDTH], conv3_bias[VAD_HALF_WIDTH]; /* taps 1, 2 */
    float conv4[VAD_WIDTH][VAD_HALF_WIDTH], conv4_bias[VAD_WIDTH];               /* tap 1 */
    float lstm[VAD_GATE_COUNT][2 * VAD_WIDTH]; /* columns: the input, then h */
    float lstm_bias_input[VAD_GATE_COUNT], lstm_bias_hidden[VAD_GATE_COUNT];
    float final[VAD_WIDTH], final_bias;
} vad_weights;

enum { VAD_WEIGHT_COUNT = sizeof(vad_weights) / sizeof(float) };

/* Bit patterns, because a decimal number may be rounded by who reads it. */
typedef union vad_table {
    uint32_t bits[VAD_WEIGHT_COUNT];
    vad_weights w;
} vad_table;

extern const vad_table vad_weight_table;

#endif
