/* The host's side of a stack's graph (onnx_stack.h): what a pass puts into the inputs, and where
 * what comes out goes. It knows no ONNX Runtime.
 *
 *     state ─► mirror ─► inputs ─► graph ─► outputs ─► mirror ─► state
 *      begin        fill                        keep        take
 *
 * A mirror is a state as graphs want it: keys and values of all positions that graphs have room
 * for, zeros where there are none yet, and the tails of the convolutions. What a pass makes is kept
 * there until it is taken, so that a pass may go through graphs in several runs, and that a state
 * is untouched until all of them are done. */
#ifndef DEVICES_ONNX_FEED_H
#define DEVICES_ONNX_FEED_H

#include "devices/onnx_stack.h"
#include "stack/kind.h"

typedef struct onnx_mirror {
    const stack_weights *w;
    int past_count;
    bool half;             /* FP16, else float32 */
    unsigned char *memory; /* of all below */
    size_t size;
    unsigned char **keys;   /* [layer_count] of [kv heads, past, head width]; NULL: it has none */
    unsigned char **values; /* likewise */
    float **tails;          /* [layer_count] of [taps - 1, width]; NULL: it has none */
    float *row;             /* [widest head] scratch */
} onnx_mirror;

/* Fresh. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status onnx_mirror_create(const stack_weights *w, int past_count, bool half,
                                           onnx_mirror *out);
void onnx_mirror_free(onnx_mirror *m);
/* Brings it up to the state: keys and values of positions [unseen, position), all tails. The
 * state's position_cap is in [1, past_count] (asserted). */
void onnx_mirror_begin(onnx_mirror *m, const stack_state *s);
/* Puts count new positions behind s->position, and the tails, into the state; not the position. */
void onnx_mirror_take(const onnx_mirror *m, const stack_state *s, const kernels *k, int count);

/* Memory of a graph's inputs and outputs. */
typedef struct onnx_feed {
    const stack_weights *w;
    onnx_stack_config c;
    onnx_ports ports;
    void *memory;
    size_t size;
    void **inputs;  /* [input_count]; NULL for keys and values, which are a mirror's */
    void **outputs; /* [output_count] */
} onnx_feed;

RNL_MUST_USE rnl_status onnx_feed_create(const stack_weights *w, const onnx_stack_config *c,
                                         onnx_feed *out);
void onnx_feed_free(onnx_feed *f);
/* Some rows of one piece: [first, first + count) of the pass, count <= row_count, which stand
 * behind `position` positions of their state. */
typedef struct onnx_run_rows {
    const float *x; /* [count, width] */
    int first, count;
    int64_t position;
} onnx_run_rows;
/* Fills every input that is not NULL. */
void onnx_feed_fill(const onnx_feed *f, const stack_pass *p, const onnx_mirror *m,
                    const onnx_run_rows *rows);
/* Puts what came out into the mirror, and hidden [count, width] into out. */
void onnx_feed_keep(const onnx_feed *f, onnx_mirror *m, const onnx_run_rows *rows, float *out);

#endif
