/* GPUs by OpenCL 1.2, as a row of the table of devices. */
#include "devices/opencl.h"

#include "devices/opencl_product.h"
#include "devices/opencl_stack.h"

static int list(const rnl_device_config *config, stack_device_entry *entries, int cap) {
    return gpu_list(config->opencl_path, entries, cap);
}

static rnl_status open(const rnl_device_config *config, const char *name, void **device,
                       stack_device_facts *facts, rnl_error *error) {
    gpu *g;
    const rnl_status status = gpu_open(config, name, &g, facts, error);
    *device = g;
    return status;
}

static void close(void *device) {
    gpu *g = device;
    gpu_close(&g);
}

/* Packed products have the CPU's bits. Those of floats have the scalar level's, from which the
 * other levels differ in the last bits of sums. */
static float bound(const void *device, const matrix *w) {
    static const float of_floats = 1e-5f;
    (void)device;
    const gpu_form form = gpu_form_of(w, w->packed == NULL);
    return form == GPU_NO_FORM ? -1.0f : form < GPU_Q4_0 ? of_floats : 0.0f;
}

static rnl_status product(void *device, const matrix *w, bool exact, const float *x, int count,
                          float *y, rnl_error *error) {
    return gpu_multiply_once(device, w, exact, x, count, y, error);
}

const stack_device_ops opencl_ops = {.kind = "gpu",
                                     .list = list,
                                     .open = open,
                                     .close = close,
                                     .bound = bound,
                                     .product = product,
                                     .load = gpu_stack_load,
                                     .unload = gpu_stack_unload,
                                     .memory = gpu_stack_memory,
                                     .attach = gpu_stack_attach,
                                     .detach = gpu_stack_detach,
                                     .forward = gpu_stack_forward,
                                     .take = gpu_stack_take};
