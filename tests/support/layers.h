/* A small stack of layers of any kinds on random weights, and the laws that every kind keeps. Its
 * tensors are those that the kinds name. */
#ifndef TESTS_SUPPORT_LAYERS_H
#define TESTS_SUPPORT_LAYERS_H

#include "stack/kind.h"
#include "tests/support/stage.h"

enum {
    LAYERS_WIDTH = 32,
    LAYERS_HEADS = 4,
    LAYERS_HEAD_WIDTH = 8,
    LAYERS_FF = 48,
    LAYERS_TAPS = 3,
    LAYERS_POSITIONS = 40, /* a sequence of the laws */
    LAYERS_BATCH = 16,     /* most rows of a state in a pass */
    LAYERS_STATES = 5
};

typedef struct layers {
    stage s;
    stack_config config;
    stack_weights w;
    stack_state states[LAYERS_STATES];
    stack_work work;
    void *memory[LAYERS_STATES];
} layers;

/* Of that operator, with a dense feed-forward part; kv_heads 0: as many as heads. */
stack_layer_config layers_config(const stack_kind *kind, int kv_heads);
/* With all that is optional when asked for. A stack without position_cap is a stream. */
void layers_open(layers *r, const stack_layer_config *config, int count, int position_cap,
                 bool optional);
void layers_close(layers *r);

/* count random rows, by seed. */
void layers_fill(float *x, int count, uint64_t seed);
void layers_forward(layers *r, stack_state *state, float *x, int count);
/* count rows from fresh, in passes of at most batch; in and out may be the same. */
void layers_run(layers *r, const float *in, float *out, int count, int batch);

/* Each fails the test that calls it. */
void layers_check_cuts(layers *r);     /* any cut, and reset after other work: the same bits */
void layers_check_together(layers *r); /* sequences in one pass: those of each alone */
void layers_check_return(layers *r);   /* fixed bytes put back: goes on as from there */

#endif
