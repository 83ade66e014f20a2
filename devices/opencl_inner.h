/* What loading a stack on a GPU and running it share: opencl_load.c and opencl_stack.c. */
#ifndef DEVICES_OPENCL_INNER_H
#define DEVICES_OPENCL_INNER_H

#include <stdatomic.h>

#include "devices/opencl_product.h"
#include "devices/opencl_stack.h"

enum { GPU_KEYS = 128 /* whose scores wait in local memory, as opencl_stack.cl has it */ };

/* The matrices of a layer. A convolution has one `in`, attention three: q, k, v. */
enum { GPU_IN, GPU_OUT = GPU_TASK_CAP, GPU_GATE, GPU_UP, GPU_DOWN, GPU_MATRICES };

/* Vectors are places in gpu_stack.vectors; -1: none. */
typedef struct gpu_layer {
    bool attends;
    gpu_matrix matrices[GPU_MATRICES]; /* memory NULL: none */
    int norms[STACK_PLACE_COUNT];
    int in_bias[GPU_TASK_CAP], out_bias;
    int taps, bias;     /* of a convolution */
    int q_norm, k_norm; /* of attention */
} gpu_layer;

struct gpu_stack {
    gpu *g;
    const stack_weights *w;
    stack_device_room room;
    gpu_layer *layers;
    gpu_buffer vectors; /* norms, biases, taps of all layers */
    int final_norm;
    gpu_buffer x, normed, mixed; /* [row_cap, width]; mixed: or all heads */
    gpu_buffer wide;             /* [row_cap, the widest that products make] */
    gpu_buffer turns;            /* [rotary_count, rows, rotary width] cosines, then sines */
    gpu_buffer fresh; /* for each attention layer [2, kv heads, rows] rows of keys, of values */
    /* What the last pass made, to be taken. */
    float *made;               /* [row_cap, width] */
    unsigned char *made_fresh; /* [fresh_size] */
    size_t fresh_size;         /* for row_cap rows */
    atomic_size_t size;        /* bytes beyond the host's own */
};

/* What a stack has for a state. */
typedef struct gpu_mirror {
    gpu_buffer kept;        /* its appended bytes, borrowed; NULL: it has none */
    gpu_buffer tails, next; /* its fixed bytes before and after a pass; NULL: it has none */
    unsigned char *made;    /* [fixed_size] next, to be taken */
    void *host;             /* of kept */
    size_t kept_size, fixed_size;
} gpu_mirror;

/* Bytes of the keys and values that `rows` rows of a pass make in a layer. */
size_t gpu_fresh_size(const stack_layer_config *l, kernels_cache cache, int rows);
/* Bytes of local memory that attention of so many heads takes. */
size_t gpu_attend_size(const stack_layer_config *l);

#endif
