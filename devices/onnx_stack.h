/* A stack of layers as a graph of ONNX, of fixed shapes: so many rows of one state, which has had
 * up to so many positions before. The graph keeps nothing: what the state keeps comes in, and only
 * what is new goes out, so that state stays with the host, in the layout of stack_state:
 *
 *     x, keys and values, tails, what may be seen, angles -> graph -> hidden, new rows of each
 *
 * Convolution, attention and dense parts, whatever taps, biases, gates, windows, shared keys or
 * post norms they have; formulas as in stack/. Rows that a pass has none for (a pass of 5 rows
 * through a graph of 32) are 0, and come last. What nothing is kept at yet must be numbers, too. */
#ifndef DEVICES_ONNX_STACK_H
#define DEVICES_ONNX_STACK_H

#include "devices/onnx_write.h"
#include "stack/stack.h"

typedef struct onnx_stack_config {
    int row_count;  /* rows of a pass, >= 1 */
    int past_count; /* positions that the states have room for, >= 1 */
    bool half;      /* keys and values come in as FP16, else as float32 */
} onnx_stack_config;

/* Far below all scores, and a number of FP16. */
#define ONNX_UNSEEN (-30000.0f)

typedef enum onnx_role {
    ONNX_ROWS, /* x [1, rows, width]: what goes through the stack; out: what it becomes */
    ONNX_MASK, /* [rows, past + rows]: 0 where a row sees a position, ONNX_UNSEEN where not: those
                  * before the pass by where they are kept, then those of the pass */
    ONNX_COS,  /* [rows, 1, head width]: by pairs as the heads have them; 1 where nothing turns */
    ONNX_SIN,  /* likewise; 0 where nothing turns */
    ONNX_LAST, /* [1, taps - 1, taps - 1 + rows]: 1 where row i of the new tail is row j of the old
                  * one and the pass behind it, else 0 */
    ONNX_TAIL, /* [1, taps - 1, width] of a convolution; out: the new one */
    ONNX_KEYS, /* [kv heads, past, head width]; out: [kv heads, rows, head width] of the pass */
    ONNX_VALUES, /* likewise */
    ONNX_ROLE_COUNT
} onnx_role;

/* An input or output. */
typedef struct onnx_port {
    onnx_role role;
    int layer; /* whose it is; one of those that share it */
    char name[32];
    onnx_type type;
    onnx_shape shape;
    size_t size; /* bytes */
} onnx_port;

typedef struct onnx_ports {
    onnx_port *inputs, *outputs;
    int input_count, output_count;
} onnx_ports;

/* Whether the stack can be such a graph: RNL_ERR_UNSUPPORTED with a sentence. */
RNL_MUST_USE rnl_status onnx_stack_check(const stack_weights *w, const char *file,
                                         rnl_error *error);

/* All that goes in and comes out, in the graph's order. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status onnx_ports_make(const stack_weights *w, const onnx_stack_config *c,
                                        onnx_ports *out);
void onnx_ports_free(onnx_ports *p);

/* The graph, of a stack that was checked. Weights that the data has not yet go there. NULL:
 * memory. */
onnx_graph *onnx_stack_graph(const stack_weights *w, const onnx_stack_config *c, onnx_data *data);

#endif
