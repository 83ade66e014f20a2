/* OpenCL 1.2 behind opencl_driver.h: the library, its devices, and one queue that takes everything
 * in order. Header: Khronos', Debian's opencl-c-headers. */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl_icd.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/library.h"
#include "core/status.h"
#include "devices/opencl_cache.h"
#include "devices/opencl_driver.h"

enum { PLATFORM_CAP = 16, DEVICE_CAP = 64, TEXT_CAP = 256 };

#define FUNCTIONS(X)                                                                               \
    X(clGetPlatformIDs)                                                                            \
    X(clGetDeviceIDs)                                                                              \
    X(clGetDeviceInfo)                                                                             \
    X(clCreateContext)                                                                             \
    X(clReleaseContext)                                                                            \
    X(clCreateCommandQueue)                                                                        \
    X(clReleaseCommandQueue)                                                                       \
    X(clCreateProgramWithSource)                                                                   \
    X(clCreateProgramWithBinary)                                                                   \
    X(clGetProgramInfo)                                                                            \
    X(clReleaseProgram)                                                                            \
    X(clBuildProgram)                                                                              \
    X(clGetProgramBuildInfo)                                                                       \
    X(clCreateKernel)                                                                              \
    X(clReleaseKernel)                                                                             \
    X(clGetKernelWorkGroupInfo)                                                                    \
    X(clSetKernelArg)                                                                              \
    X(clCreateBuffer)                                                                              \
    X(clReleaseMemObject)                                                                          \
    X(clEnqueueWriteBuffer)                                                                        \
    X(clEnqueueReadBuffer)                                                                         \
    X(clEnqueueMapBuffer)                                                                          \
    X(clEnqueueUnmapMemObject)                                                                     \
    X(clEnqueueNDRangeKernel)                                                                      \
    X(clFinish)

typedef struct functions {
#define FIELD(name) cl_api_##name name;
    FUNCTIONS(FIELD)
#undef FIELD
} functions;

struct gpu {
    library *library;
    functions cl;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_kernel kernels[GPU_KERNEL_COUNT];
    stack_device_facts facts;
    size_t buffer_cap, local_size;
    int64_t launch_count, wait_count;
    bool was_kept;
    cl_int code; /* of what failed; CL_SUCCESS: nothing */
    const char *failed;
};

extern const char gpu_source[]; /* opencl_source.S */

/* ---- The library ---- */

static rnl_status open_library(const char *path, library **out, functions *cl, rnl_error *error) {
    static const char *const names[] = {"libOpenCL.so.1", "libOpenCL.so", NULL};
    static const struct {
        const char *name;
        size_t at;
    } all[] = {
#define ROW(name) {#name, offsetof(functions, name)},
        FUNCTIONS(ROW)
#undef ROW
    };
    rnl_status status = library_open(path, names, out, error);
    for (size_t i = 0; i < sizeof all / sizeof *all && status == RNL_OK; i++) {
        library_fn found;
        status = library_find(*out, all[i].name, &found, error);
        if (status == RNL_OK) memcpy((char *)cl + all[i].at, &found, sizeof found);
    }
    if (status != RNL_OK) library_close(out);
    return status;
}

/* ---- Devices ---- */

static void text_of(const functions *cl, cl_device_id device, cl_device_info what,
                    char out[TEXT_CAP]) {
    size_t size = 0;
    out[0] = '\0';
    if (cl->clGetDeviceInfo(device, what, TEXT_CAP - 1, out, &size) != CL_SUCCESS) size = 0;
    out[size < TEXT_CAP ? size : TEXT_CAP - 1] = '\0';
    status_clean(out);
}

/* 0: it does not say. */
static uint64_t number_of(const functions *cl, cl_device_id device, cl_device_info what,
                          size_t size) {
    uint64_t all = 0;
    uint32_t some = 0;
    void *const out = size == sizeof all ? (void *)&all : (void *)&some;
    if (cl->clGetDeviceInfo(device, what, size, out, NULL) != CL_SUCCESS) return 0;
    return size == sizeof all ? all : some;
}
static bool is_so(const functions *cl, cl_device_id device, cl_device_info what) {
    return number_of(cl, device, what, sizeof(cl_bool)) != CL_FALSE;
}

/* What the bits of a product hang on: fused steps and rounding to nearest, which the full profile
 * promises, and codes read as words. */
static rnl_status refuse(const functions *cl, cl_device_id device, rnl_error *error) {
    char version[TEXT_CAP], profile[TEXT_CAP];
    int major = 0, minor = 0;
    text_of(cl, device, CL_DEVICE_VERSION, version);
    text_of(cl, device, CL_DEVICE_PROFILE, profile);
    if (sscanf(version, "OpenCL %d.%d", &major, &minor) != 2 || major < 1 ||
        (major == 1 && minor < 2))
        return status_fail(error, RNL_ERR_UNSUPPORTED, "it has %s, and OpenCL 1.2 is needed",
                           version);
    if (strcmp(profile, "FULL_PROFILE") != 0)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "it has the embedded profile, in which results may be rounded as it "
                           "likes");
    if (!is_so(cl, device, CL_DEVICE_AVAILABLE) || !is_so(cl, device, CL_DEVICE_COMPILER_AVAILABLE))
        return status_fail(error, RNL_ERR_UNSUPPORTED, "it is not there, or has no compiler");
    if (!is_so(cl, device, CL_DEVICE_ENDIAN_LITTLE))
        return status_fail(error, RNL_ERR_UNSUPPORTED, "it is big-endian");
    if (number_of(cl, device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t)) < GPU_ITEMS)
        return status_fail(error, RNL_ERR_UNSUPPORTED, "it has work-groups of less than %d",
                           (int)GPU_ITEMS);
    return RNL_OK;
}

static void describe(const functions *cl, cl_device_id device, stack_device_entry *out) {
    char name[TEXT_CAP], version[TEXT_CAP], driver[TEXT_CAP];
    *out = (stack_device_entry){.refusal = {.status = RNL_OK}};
    text_of(cl, device, CL_DEVICE_NAME, name);
    text_of(cl, device, CL_DEVICE_VERSION, version);
    text_of(cl, device, CL_DRIVER_VERSION, driver);
    (void)snprintf(out->facts.name, sizeof out->facts.name, "%.*s", (int)sizeof out->facts.name - 1,
                   name);
    (void)snprintf(out->facts.driver, sizeof out->facts.driver, "%.80s, %.40s", version, driver);
    status_clean(out->facts.name); /* a character may have been cut */
    status_clean(out->facts.driver);
    out->facts.memory = (size_t)number_of(cl, device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(cl_ulong));
    out->facts.shared = is_so(cl, device, CL_DEVICE_HOST_UNIFIED_MEMORY);
    (void)refuse(cl, device, &out->refusal);
}

/* All there are, GPUs first: what computes on the CPU itself is for those who name it. */
static int find_devices(const functions *cl, cl_device_id out[DEVICE_CAP]) {
    static const cl_device_type order[] = {CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ACCELERATOR,
                                           CL_DEVICE_TYPE_CPU};
    cl_platform_id platforms[PLATFORM_CAP];
    cl_uint platform_count = 0;
    int count = 0;
    if (cl->clGetPlatformIDs(PLATFORM_CAP, platforms, &platform_count) != CL_SUCCESS) return 0;
    if (platform_count > PLATFORM_CAP) platform_count = PLATFORM_CAP;
    for (size_t t = 0; t < sizeof order / sizeof *order; t++)
        for (cl_uint p = 0; p < platform_count && count < DEVICE_CAP; p++) {
            cl_uint found = 0;
            const cl_uint left = (cl_uint)(DEVICE_CAP - count);
            if (cl->clGetDeviceIDs(platforms[p], order[t], left, out + count, &found) != CL_SUCCESS)
                continue;
            count += (int)(found < left ? found : left);
        }
    return count;
}

static rnl_status fail_none(const library *l, rnl_error *error) {
    return status_fail(error, RNL_ERR_UNSUPPORTED,
                       "%s finds no device; install the OpenCL driver of your GPU",
                       library_path(l));
}

int gpu_list(const char *path, stack_device_entry *entries, int cap) {
    library *l = NULL;
    functions cl;
    cl_device_id devices[DEVICE_CAP];
    stack_device_entry none = {.facts = {.memory = 0}};
    int count = 0;
    if (open_library(path, &l, &cl, &none.refusal) == RNL_OK) {
        count = find_devices(&cl, devices);
        if (count == 0) (void)fail_none(l, &none.refusal);
    }
    for (int i = 0; i < count && i < cap; i++) describe(&cl, devices[i], &entries[i]);
    library_close(&l);
    if (count > 0) return count;
    if (cap > 0) entries[0] = none;
    return 1;
}

/* The first that can be used and has the name. */
static rnl_status choose(gpu *g, const char *name, rnl_error *error) {
    cl_device_id devices[DEVICE_CAP];
    const int count = find_devices(&g->cl, devices);
    stack_device_entry entry;
    bool refused = false;
    for (int i = 0; i < count; i++) {
        describe(&g->cl, devices[i], &entry);
        if (!stack_device_named(&entry.facts, name)) continue;
        if (entry.refusal.status == RNL_OK) {
            g->device = devices[i];
            g->facts = entry.facts;
            return RNL_OK;
        }
        if (!refused)
            (void)status_fail(error, RNL_ERR_UNSUPPORTED, "%s: %s", entry.facts.name,
                              entry.refusal.text);
        refused = true;
    }
    if (refused) return RNL_ERR_UNSUPPORTED;
    if (count == 0) return fail_none(g->library, error);
    return status_fail(error, RNL_ERR_UNSUPPORTED, "no OpenCL device is called %s", name);
}

/* ---- Failures ---- */

/* Whether nothing has failed; what fails first is kept. */
static bool went(gpu *g, cl_int code, const char *what) {
    if (g->code == CL_SUCCESS && code != CL_SUCCESS) {
        g->code = code;
        g->failed = what;
    }
    return code == CL_SUCCESS;
}

rnl_status gpu_check(gpu *g, rnl_error *error) {
    const cl_int code = g->code;
    g->code = CL_SUCCESS;
    if (code == CL_SUCCESS) return RNL_OK;
    if (code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES ||
        code == CL_OUT_OF_HOST_MEMORY || code == CL_INVALID_BUFFER_SIZE)
        return status_fail(error, RNL_ERR_MEMORY, "its driver has no memory (%s: %d)", g->failed,
                           (int)code);
    return status_fail(error, RNL_ERR_IO, "its driver failed (%s: %d)", g->failed, (int)code);
}

/* ---- Opening ---- */

/* What the compiler said first. */
static rnl_status fail_build(gpu *g, rnl_error *error) {
    char log[TEXT_CAP] = "";
    size_t size = 0;
    char *all = NULL;
    if (g->cl.clGetProgramBuildInfo(g->program, g->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) ==
        CL_SUCCESS)
        all = calloc(1, size + 1);
    if (all != NULL && g->cl.clGetProgramBuildInfo(g->program, g->device, CL_PROGRAM_BUILD_LOG,
                                                   size, all, NULL) == CL_SUCCESS)
        (void)snprintf(log, sizeof log, "%.*s", (int)strcspn(all, "\n"), all);
    free(all);
    return status_fail(error, RNL_ERR_UNSUPPORTED,
                       "its driver cannot compile Runnel's kernels (%s); another version of it may",
                       log);
}

static cl_int compile(gpu *g) {
    return g->cl.clBuildProgram(g->program, 1, &g->device, "-cl-std=CL1.2", NULL, NULL);
}

/* From what was kept; false: it is to be compiled. */
static bool take_kept(gpu *g, const char *folder, uint64_t key) {
    size_t size;
    unsigned char *bytes = gpu_cache_read(folder, key, &size);
    const unsigned char *const all = bytes;
    cl_int code = CL_INVALID_BINARY;
    if (bytes == NULL) return false;
    g->program = g->cl.clCreateProgramWithBinary(g->context, 1, &g->device, &size,
                                                 (const unsigned char **)&all, NULL, &code);
    free(bytes);
    g->was_kept = code == CL_SUCCESS && compile(g) == CL_SUCCESS;
    if (g->was_kept) return true;
    if (code == CL_SUCCESS) (void)g->cl.clReleaseProgram(g->program);
    g->program = NULL;
    return false;
}

static void keep(gpu *g, const char *folder, uint64_t key) {
    size_t size = 0;
    unsigned char *bytes = NULL;
    if (g->cl.clGetProgramInfo(g->program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) ==
            CL_SUCCESS &&
        size > 0)
        bytes = malloc(size);
    if (bytes != NULL && g->cl.clGetProgramInfo(g->program, CL_PROGRAM_BINARIES, sizeof bytes,
                                                &bytes, NULL) == CL_SUCCESS)
        gpu_cache_write(folder, key, bytes, size);
    free(bytes);
}

/* folder: where compiled kernels are kept, or NULL. */
static rnl_status build(gpu *g, const char *folder, rnl_error *error) {
    const char *const texts[] = {g->facts.name, g->facts.driver, gpu_source};
    const uint64_t key = gpu_cache_key(texts, sizeof texts / sizeof *texts);
    const char *source = gpu_source;
    cl_int code;
    if (folder != NULL && take_kept(g, folder, key)) return RNL_OK;
    g->program = g->cl.clCreateProgramWithSource(g->context, 1, &source, NULL, &code);
    if (!went(g, code, "clCreateProgramWithSource")) return gpu_check(g, error);
    if (compile(g) != CL_SUCCESS) return fail_build(g, error);
    if (folder != NULL) keep(g, folder, key);
    return RNL_OK;
}

static rnl_status find_kernels(gpu *g, rnl_error *error) {
    static const char *const names[] = {
#define NAME(name, text) text,
        GPU_KERNELS(NAME)
#undef NAME
    };
    cl_int code;
    for (int i = 0; i < GPU_KERNEL_COUNT; i++) {
        size_t items = 0;
        g->kernels[i] = g->cl.clCreateKernel(g->program, names[i], &code);
        if (!went(g, code, "clCreateKernel")) break;
        code = g->cl.clGetKernelWorkGroupInfo(g->kernels[i], g->device, CL_KERNEL_WORK_GROUP_SIZE,
                                              sizeof items, &items, NULL);
        if (went(g, code, "clGetKernelWorkGroupInfo") && items < GPU_ITEMS)
            return status_fail(error, RNL_ERR_UNSUPPORTED,
                               "it runs the kernel %s in work-groups of %zu, less than %d",
                               names[i], items, (int)GPU_ITEMS);
    }
    return gpu_check(g, error);
}

static rnl_status begin(gpu *g, const char *folder, rnl_error *error) {
    cl_int code;
    g->buffer_cap =
        (size_t)number_of(&g->cl, g->device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(cl_ulong));
    g->local_size =
        (size_t)number_of(&g->cl, g->device, CL_DEVICE_LOCAL_MEM_SIZE, sizeof(cl_ulong));
    g->context = g->cl.clCreateContext(NULL, 1, &g->device, NULL, NULL, &code);
    if (!went(g, code, "clCreateContext")) return gpu_check(g, error);
    g->queue = g->cl.clCreateCommandQueue(g->context, g->device, 0, &code);
    if (!went(g, code, "clCreateCommandQueue")) return gpu_check(g, error);
    const rnl_status status = build(g, folder, error);
    return status == RNL_OK ? find_kernels(g, error) : status;
}

rnl_status gpu_open(const rnl_device_config *config, const char *name, gpu **out,
                    stack_device_facts *facts, rnl_error *error) {
    gpu *g = *out = calloc(1, sizeof *g);
    if (g == NULL) return stack_device_no_memory(error);
    rnl_status status = open_library(config->opencl_path, &g->library, &g->cl, error);
    if (status == RNL_OK) status = choose(g, name, error);
    if (status == RNL_OK) status = begin(g, config->cache_path, error);
    *facts = g->facts;
    if (status != RNL_OK) gpu_close(out);
    return status;
}

void gpu_close(gpu **device) {
    gpu *g = *device;
    if (g == NULL) return;
    *device = NULL;
    for (int i = 0; i < GPU_KERNEL_COUNT; i++)
        if (g->kernels[i] != NULL) (void)g->cl.clReleaseKernel(g->kernels[i]);
    if (g->program != NULL) (void)g->cl.clReleaseProgram(g->program);
    if (g->queue != NULL) (void)g->cl.clReleaseCommandQueue(g->queue);
    if (g->context != NULL) (void)g->cl.clReleaseContext(g->context);
    library_close(&g->library);
    free(g);
}

bool gpu_is_shared(const gpu *g) {
    return g->facts.shared;
}
size_t gpu_buffer_cap(const gpu *g) {
    return g->buffer_cap;
}
size_t gpu_memory(const gpu *g) {
    return g->facts.memory;
}
size_t gpu_local_size(const gpu *g) {
    return g->local_size;
}
bool gpu_was_kept(const gpu *g) {
    return g->was_kept;
}
int64_t gpu_launch_count(const gpu *g) {
    return g->launch_count;
}
int64_t gpu_wait_count(const gpu *g) {
    return g->wait_count;
}

/* ---- Memory ---- */

static gpu_buffer create(gpu *g, cl_mem_flags flags, const void *host, size_t size) {
    cl_int code;
    if (g->code != CL_SUCCESS) return NULL;
    const gpu_buffer b = g->cl.clCreateBuffer(g->context, flags, size, (void *)host, &code);
    (void)went(g, code, "clCreateBuffer");
    return b;
}

gpu_buffer gpu_borrow(gpu *g, const void *host, size_t size) {
    return create(g, CL_MEM_READ_ONLY | CL_MEM_USE_HOST_PTR, host, size);
}

gpu_buffer gpu_copy(gpu *g, const void *host, size_t size) {
    void *const zeros = host == NULL ? calloc(1, size) : NULL;
    if (host == NULL && zeros == NULL && g->code == CL_SUCCESS)
        (void)went(g, CL_OUT_OF_HOST_MEMORY, "calloc");
    const gpu_buffer b =
        create(g, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, host != NULL ? host : zeros, size);
    free(zeros);
    return b;
}

gpu_buffer gpu_take(gpu *g, size_t size) {
    return create(g, CL_MEM_READ_WRITE, NULL, size);
}

void gpu_release(gpu *g, gpu_buffer *b) {
    if (*b != NULL) (void)g->cl.clReleaseMemObject(*b);
    *b = NULL;
}

void gpu_write(gpu *g, gpu_buffer b, size_t at, const void *host, size_t size) {
    if (g->code != CL_SUCCESS || size == 0) return;
    (void)went(g, g->cl.clEnqueueWriteBuffer(g->queue, b, CL_FALSE, at, size, host, 0, NULL, NULL),
               "clEnqueueWriteBuffer");
}

void gpu_read(gpu *g, gpu_buffer b, size_t at, void *host, size_t size) {
    if (g->code != CL_SUCCESS || size == 0) return;
    (void)went(g, g->cl.clEnqueueReadBuffer(g->queue, b, CL_FALSE, at, size, host, 0, NULL, NULL),
               "clEnqueueReadBuffer");
}

void gpu_lend(gpu *g, gpu_buffer b, void *host) {
    if (g->code != CL_SUCCESS) return;
    (void)went(g, g->cl.clEnqueueUnmapMemObject(g->queue, b, host, 0, NULL, NULL),
               "clEnqueueUnmapMemObject");
}

void gpu_regain(gpu *g, gpu_buffer b, size_t size) {
    cl_int code;
    if (g->code != CL_SUCCESS) return;
    (void)g->cl.clEnqueueMapBuffer(g->queue, b, CL_FALSE, CL_MAP_READ | CL_MAP_WRITE, 0, size, 0,
                                   NULL, NULL, &code);
    (void)went(g, code, "clEnqueueMapBuffer");
}

/* ---- Computing ---- */

static cl_int set_arg(const gpu *g, cl_kernel kernel, cl_uint at, const gpu_arg *arg) {
    switch (arg->kind) {
    case GPU_ARG_BUFFER:
        return g->cl.clSetKernelArg(kernel, at, sizeof arg->v.buffer, &arg->v.buffer);
    case GPU_ARG_INT:
        return g->cl.clSetKernelArg(kernel, at, sizeof arg->v.i, &arg->v.i);
    case GPU_ARG_LONG:
        return g->cl.clSetKernelArg(kernel, at, sizeof arg->v.u, &arg->v.u);
    case GPU_ARG_FLOAT:
        return g->cl.clSetKernelArg(kernel, at, sizeof arg->v.f, &arg->v.f);
    default:
        return g->cl.clSetKernelArg(kernel, at, (size_t)arg->v.u, NULL);
    }
}

void gpu_launch(gpu *g, gpu_kernel kernel, const gpu_arg *args, int arg_count, size_t columns,
                size_t rows) {
    const size_t local[2] = {GPU_ITEMS, 1}, global[2] = {columns * GPU_ITEMS, rows};
    for (int i = 0; i < arg_count && g->code == CL_SUCCESS; i++)
        (void)went(g, set_arg(g, g->kernels[kernel], (cl_uint)i, &args[i]), "clSetKernelArg");
    if (g->code != CL_SUCCESS) return;
    g->launch_count++;
    (void)went(g,
               g->cl.clEnqueueNDRangeKernel(g->queue, g->kernels[kernel], 2, NULL, global, local, 0,
                                            NULL, NULL),
               "clEnqueueNDRangeKernel");
}

rnl_status gpu_wait(gpu *g, rnl_error *error) {
    g->wait_count++;
    const cl_int code = g->cl.clFinish(g->queue); /* of what was begun before a failure, too */
    (void)went(g, code, "clFinish");
    return gpu_check(g, error);
}
