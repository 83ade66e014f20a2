/* What Runnel knows of OpenCL 1.2: devices, buffers, launches. The library is opened while the
 * program runs, and opencl_driver.c alone sees its header.
 *
 * Failures are sticky: after the first one nothing is asked of the driver until gpu_check, which
 * tells it. Nothing here waits but gpu_wait, and gpu_regain where it says so. One thread at a time,
 * but for gpu_list. */
#ifndef DEVICES_OPENCL_DRIVER_H
#define DEVICES_OPENCL_DRIVER_H

#include "stack/device.h"

typedef struct gpu gpu;             /* an open device with its kernels */
typedef struct _cl_mem *gpu_buffer; /* OpenCL's cl_mem */

enum { GPU_ITEMS = 128 /* of every work-group, as opencl_product.cl has it */ };

/* In opencl_product.cl and opencl_stack.cl, by these names. */
#define GPU_KERNELS(X)                                                                             \
    X(GPU_PRODUCT, "product")                                                                      \
    X(GPU_GATED_PRODUCT, "gated_product")                                                          \
    X(GPU_NORM, "norm")                                                                            \
    X(GPU_CONVOLVE, "convolve")                                                                    \
    X(GPU_KEEP, "keep")                                                                            \
    X(GPU_ATTEND, "attend")
typedef enum gpu_kernel {
#define GPU_KERNEL(name, text) name,
    GPU_KERNELS(GPU_KERNEL)
#undef GPU_KERNEL
        GPU_KERNEL_COUNT
} gpu_kernel;

/* As stack_device_ops.list; path: libOpenCL, or NULL. */
int gpu_list(const char *path, stack_device_entry *entries, int cap);
/* As stack_device_ops.open, with its kernels compiled, or taken from config->cache_path. */
rnl_status gpu_open(const rnl_device_config *config, const char *name, gpu **out,
                    stack_device_facts *facts, rnl_error *error);
void gpu_close(gpu **g); /* NULL is fine; sets NULL */

bool gpu_is_shared(const gpu *g);    /* computes in the host's memory */
size_t gpu_buffer_cap(const gpu *g); /* bytes of one buffer, at the most */
size_t gpu_memory(const gpu *g);     /* bytes that it has; 0: it does not say */
size_t gpu_local_size(const gpu *g); /* bytes of local memory of a work-group */
bool gpu_was_kept(const gpu *g);     /* its kernels were compiled before, and kept */
/* Since gpu_open: what tests count. */
int64_t gpu_launch_count(const gpu *g);
int64_t gpu_wait_count(const gpu *g);

/* What failed since the last check: RNL_ERR_MEMORY, RNL_ERR_IO with the driver's code. */
rnl_status gpu_check(gpu *g, rnl_error *error);

/* ---- Memory. NULL on failure; release takes NULL and sets it ---- */

/* The host's own memory, to be read by kernels; it stays while the buffer does. Where the device
 * has memory of its own, the driver copies. */
gpu_buffer gpu_borrow(gpu *g, const void *host, size_t size);
/* A copy of host, or of zeros where that is NULL. */
gpu_buffer gpu_copy(gpu *g, const void *host, size_t size);
/* The device's own, with nothing in it. */
gpu_buffer gpu_take(gpu *g, size_t size);
void gpu_release(gpu *g, gpu_buffer *b);

/* Begun, and over at the next gpu_wait: host stays until then. */
void gpu_write(gpu *g, gpu_buffer b, size_t at, const void *host, size_t size);
void gpu_read(gpu *g, gpu_buffer b, size_t at, void *host, size_t size);

/* Whose turn borrowed memory is: kernels read it between lend and regain, the host writes it before
 * and after. Borrowed memory that never changes needs neither. The host has it again when the next
 * gpu_wait is over. */
void gpu_lend(gpu *g, gpu_buffer b, void *host);
void gpu_regain(gpu *g, gpu_buffer b, size_t size);

/* ---- Computing ---- */

typedef enum gpu_arg_kind {
    GPU_ARG_BUFFER,
    GPU_ARG_INT,
    GPU_ARG_LONG,
    GPU_ARG_FLOAT,
    GPU_ARG_LOCAL
} gpu_arg_kind;

typedef struct gpu_arg {
    gpu_arg_kind kind;
    union {
        gpu_buffer buffer;
        int32_t i;
        uint64_t u; /* also bytes of local memory */
        float f;
    } v;
} gpu_arg;

static inline gpu_arg gpu_of_buffer(gpu_buffer b) {
    return (gpu_arg){.kind = GPU_ARG_BUFFER, .v.buffer = b};
}
static inline gpu_arg gpu_of_int(int32_t i) {
    return (gpu_arg){.kind = GPU_ARG_INT, .v.i = i};
}
static inline gpu_arg gpu_of_long(uint64_t u) {
    return (gpu_arg){.kind = GPU_ARG_LONG, .v.u = u};
}
static inline gpu_arg gpu_of_float(float f) {
    return (gpu_arg){.kind = GPU_ARG_FLOAT, .v.f = f};
}
static inline gpu_arg gpu_of_local(size_t size) {
    return (gpu_arg){.kind = GPU_ARG_LOCAL, .v.u = size};
}

/* Begins columns x rows work-groups, behind what was begun before. */
void gpu_launch(gpu *g, gpu_kernel kernel, const gpu_arg *args, int arg_count, size_t columns,
                size_t rows);
/* Until all that was begun is over; then as gpu_check. */
rnl_status gpu_wait(gpu *g, rnl_error *error);

#endif
