/* The weights of both networks, compiled into the library: weights.S includes vad/silero.bin and
 * vad/turn_network.bin, which tools/make_vad_weights.py has written, as the structs below lay them
 * out. Little-endian, as every machine that Runnel builds for. The assembler includes this file for
 * the sizes alone. */
#ifndef VAD_WEIGHTS_H
#define VAD_WEIGHTS_H

#define VAD_SILERO_SIZE 1156612       /* bytes */
#define VAD_TURN_NETWORK_SIZE 8591184 /* bytes */

#ifndef __ASSEMBLER__

#include <stdint.h>

/* ---- speech or not (vad.c) ---- */

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

_Static_assert(sizeof(vad_weights) == VAD_SILERO_SIZE, "the struct lays out all of silero.bin");

extern const vad_weights vad_silero;

/* ---- the end of a turn or not (turn_network.c) ---- */

enum {
    TURN_BANDS = 80,
    TURN_POSITIONS = 400, /* of 20 ms */
    TURN_WIDTH = 384,
    TURN_FF = 1536,
    TURN_HALF = 256, /* widths of the head */
    TURN_QUARTER = 64,
    TURN_LAYERS = 4,
    TURN_FIRST = 256 /* columns of the first convolution: 3 taps of 80 bands, then zeros */
};

/* A matrix [rows, cols]: value = code * scale of its row. Convolutions: [out, tap, in]. */
#define TURN_MATRIX(name, rows, cols)                                                              \
    int8_t name[rows][cols];                                                                       \
    float name##_scale[rows]

typedef struct turn_layer_weights {
    float norm1_gain[TURN_WIDTH], norm1_bias[TURN_WIDTH];
    TURN_MATRIX(q, TURN_WIDTH, TURN_WIDTH);
    float q_bias[TURN_WIDTH];
    TURN_MATRIX(k, TURN_WIDTH, TURN_WIDTH); /* has no bias */
    TURN_MATRIX(v, TURN_WIDTH, TURN_WIDTH);
    float v_bias[TURN_WIDTH];
    TURN_MATRIX(out, TURN_WIDTH, TURN_WIDTH);
    float out_bias[TURN_WIDTH];
    float norm2_gain[TURN_WIDTH], norm2_bias[TURN_WIDTH];
    TURN_MATRIX(fc1, TURN_FF, TURN_WIDTH);
    float fc1_bias[TURN_FF];
    TURN_MATRIX(fc2, TURN_WIDTH, TURN_FF);
    float fc2_bias[TURN_WIDTH];
} turn_layer_weights;

typedef struct turn_network_weights {
    TURN_MATRIX(conv1, TURN_WIDTH, TURN_FIRST);
    float conv1_bias[TURN_WIDTH];
    TURN_MATRIX(conv2, TURN_WIDTH, 3 * TURN_WIDTH);
    float conv2_bias[TURN_WIDTH];
    float positions[TURN_POSITIONS][TURN_WIDTH];
    turn_layer_weights layers[TURN_LAYERS];
    float norm_gain[TURN_WIDTH], norm_bias[TURN_WIDTH];
    TURN_MATRIX(pool0, TURN_HALF, TURN_WIDTH);
    float pool0_bias[TURN_HALF];
    TURN_MATRIX(pool2, 1, TURN_HALF);
    float pool2_bias[1];
    TURN_MATRIX(cls0, TURN_HALF, TURN_WIDTH);
    float cls0_bias[TURN_HALF], cls1_gain[TURN_HALF], cls1_bias[TURN_HALF];
    TURN_MATRIX(cls4, TURN_QUARTER, TURN_HALF);
    float cls4_bias[TURN_QUARTER];
    TURN_MATRIX(cls6, 1, TURN_QUARTER);
    float cls6_bias[1];
} turn_network_weights;

_Static_assert(sizeof(turn_network_weights) == VAD_TURN_NETWORK_SIZE,
               "the struct lays out all of turn_network.bin");

#ifdef RUNNEL_TURN_NETWORK /* else the library is built without it */
extern const turn_network_weights vad_turn_network;
#endif

#endif
#endif
