/* Stacks of layers on a GPU: convolution, attention and dense feed-forward parts, with all rows of
 * a pass at once.
 *
 *     x ─► norm ─► in ──────► convolve ───────► out, + x ─► norm ─► gate, up ─► down, + x ─►
 *                  q, k, v ─► (keep) attend ─► out, + x ─► ...
 *
 * That is seven launches for a layer and one row, and one wait for a pass. Weights, keys and values
 * are read where the host has them; what a pass makes of rows, tails, keys and values lies in
 * memory of this stack's until take. The functions are those of stack_device_ops. */
#ifndef DEVICES_OPENCL_STACK_H
#define DEVICES_OPENCL_STACK_H

#include "devices/opencl_driver.h"

typedef struct gpu_stack gpu_stack;

/* device: a gpu. */
rnl_status gpu_stack_load(void *device, const stack_weights *w, const stack_device_room *room,
                          void **stack, rnl_error *error);
void gpu_stack_unload(void *stack);
size_t gpu_stack_memory(const void *stack);
rnl_status gpu_stack_attach(void *stack, const stack_state *s, void **mirror, rnl_error *error);
void gpu_stack_detach(void *stack, void *mirror);
rnl_status gpu_stack_forward(void *stack, const stack_pass *p, float *x, rnl_error *error);
void gpu_stack_take(void *stack, const stack_pass *p, float *x);

#endif
