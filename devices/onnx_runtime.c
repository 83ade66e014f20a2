/* The C interface of ONNX Runtime is a table of functions that only grows: a function is known by
 * its place. Places and types: onnxruntime_c_api.h, version 22. */
#include "devices/onnx_runtime.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/folder.h"
#include "core/library.h"
#include "core/status.h"
#include "devices/onnx_kept.h"

enum {
    API_VERSION = 22,
    SLOT_ERROR_MESSAGE = 2,
    SLOT_CREATE_ENV_LOGGING = 4,
    SLOT_DISABLE_TELEMETRY = 6,
    SLOT_CREATE_SESSION = 7,
    SLOT_RUN = 9,
    SLOT_CREATE_OPTIONS = 10,
    SLOT_OPTIMIZATION = 23,
    SLOT_THREADS = 24,
    SLOT_TENSOR = 49,
    SLOT_MEMORY_INFO = 69,
    SLOT_RELEASE_ENV = 92,
    SLOT_RELEASE_STATUS = 93,
    SLOT_RELEASE_MEMORY_INFO = 94,
    SLOT_RELEASE_SESSION = 95,
    SLOT_RELEASE_VALUE = 96,
    SLOT_RELEASE_OPTIONS = 100,
    SLOT_CONFIG_ENTRY = 130,
    SLOT_KEY_VALUE = 297,
    SLOT_REGISTER_PROVIDER = 301,
    SLOT_DEVICES = 303,
    SLOT_APPEND_PROVIDER = 304,
    SLOT_HARDWARE_TYPE = 307,
    SLOT_HARDWARE_VENDOR = 308,
    SLOT_HARDWARE_DEVICE = 310,
    SLOT_PROVIDER_NAME = 312,
    SLOT_PROVIDER_VENDOR = 313,
    SLOT_PROVIDER_FACTS = 314,
    SLOT_PROVIDER_HARDWARE = 316,
};
enum { LOG_FATAL = 4, OPTIMIZE_NOTHING = 0, ALLOCATOR_ARENA = 1, MEMORY_DEFAULT = 0 };
enum { OPTION_CAP = 32, OPTIONS_SIZE = 4096, PROVIDER_DEVICE_CAP = 16 };

/* Types of ONNX Runtime's own; we only hand pointers about. */
typedef struct ort_status ort_status;
typedef struct ort_env ort_env;
typedef struct ort_session ort_session;
typedef struct ort_options ort_options;
typedef struct ort_memory_info ort_memory_info;
typedef struct ort_device ort_device;
typedef struct ort_hardware ort_hardware;
typedef struct ort_pairs ort_pairs;

typedef struct ort_base {
    const library_fn *(*table)(uint32_t version);
    const char *(*version)(void);
} ort_base;

typedef void (*ort_log_fn)(void *context, int severity, const char *category, const char *id,
                           const char *place, const char *message);

struct onnx_runtime {
    library *library;
    const library_fn *table;
    const char *version;
    ort_env *env;
    ort_memory_info *memory;
    const ort_device *const *devices; /* [device_count] of the env */
    size_t device_count;
    char *provider_folder; /* where the provider's library lies; NULL: it is none of its own */
};

struct onnx_session {
    onnx_runtime *r;
    ort_session *session;
};

#define CALL(r, slot, type) ((type)(void (*)(void))(r)->table[slot])

/* A failure in ONNX Runtime's own words. what: "FILE: cannot be opened by ONNX Runtime". */
static rnl_status failed(const onnx_runtime *r, ort_status *status, const char *what,
                         rnl_error *error) {
    if (status == NULL) return RNL_OK;
    const char *text = CALL(r, SLOT_ERROR_MESSAGE, const char *(*)(const ort_status *))(status);
    (void)status_fail(error, RNL_ERR_UNSUPPORTED, "%s: %s", what, text);
    CALL(r, SLOT_RELEASE_STATUS, void (*)(ort_status *))(status);
    return RNL_ERR_UNSUPPORTED;
}

static void drop_log(void *context, int severity, const char *category, const char *id,
                     const char *place, const char *message) {
    (void)context, (void)severity, (void)category, (void)id, (void)place, (void)message;
}

/* ---- The runtime ---- */

static rnl_status open_table(onnx_runtime *r, const char *path, rnl_error *error) {
    static const char *const names[] = {"libonnxruntime.so.1", "libonnxruntime.so", NULL};
    library_fn entry = NULL;
    rnl_status status = library_open(path, names, &r->library, error);
    if (status == RNL_OK) status = library_find(r->library, "OrtGetApiBase", &entry, error);
    if (status != RNL_OK) return status;
    const ort_base *base = ((const ort_base *(*)(void))entry)();
    r->version = base->version();
    int major = 0, minor = 0; /* an older library complains aloud when it is asked for more */
    if (sscanf(r->version, "%d.%d", &major, &minor) != 2 || major != 1 || minor < API_VERSION ||
        (r->table = base->table(API_VERSION)) == NULL)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: this is ONNX Runtime %s; 1.%d or a later 1.x is wanted",
                           library_path(r->library), r->version, API_VERSION);
    return RNL_OK;
}

static rnl_status open_env(onnx_runtime *r, rnl_error *error) {
    typedef ort_status *(*create_fn)(ort_log_fn, void *, int, const char *, ort_env **);
    typedef ort_status *(*telemetry_fn)(const ort_env *);
    typedef ort_status *(*memory_fn)(int, int, ort_memory_info **);
    const char *what = library_path(r->library);
    rnl_status status = failed(
        r,
        CALL(r, SLOT_CREATE_ENV_LOGGING, create_fn)(drop_log, NULL, LOG_FATAL, "runnel", &r->env),
        what, error);
    if (status == RNL_OK)
        status = failed(r, CALL(r, SLOT_DISABLE_TELEMETRY, telemetry_fn)(r->env), what, error);
    if (status == RNL_OK)
        status = failed(
            r, CALL(r, SLOT_MEMORY_INFO, memory_fn)(ALLOCATOR_ARENA, MEMORY_DEFAULT, &r->memory),
            what, error);
    return status;
}

static const char *provider_name(const onnx_runtime *r, size_t index) {
    typedef const char *(*name_fn)(const ort_device *);
    return CALL(r, SLOT_PROVIDER_NAME, name_fn)(r->devices[index]);
}

static rnl_status find_devices(onnx_runtime *r, rnl_error *error) {
    typedef ort_status *(*devices_fn)(const ort_env *, const ort_device *const **, size_t *);
    return failed(r, CALL(r, SLOT_DEVICES, devices_fn)(r->env, &r->devices, &r->device_count),
                  library_path(r->library), error);
}

/* What a provider is registered as, which some take for their own name. */
static const char *registered_name(const char *path) {
    static const struct {
        const char *part, *name;
    } known[] = {{"qnn", "QNNExecutionProvider"},
                 {"openvino", "OpenVINOExecutionProvider"},
                 {"vitisai", "VitisAIExecutionProvider"}};
    const char *slash = strrchr(path, '/'), *file = slash != NULL ? slash + 1 : path;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(file, known[i].part) != NULL) return known[i].name;
    return file;
}

/* A provider that is a library of its own. Devices of one process share what is registered. */
static rnl_status register_provider(onnx_runtime *r, const char *path, rnl_error *error) {
    typedef ort_status *(*register_fn)(ort_env *, const char *, const char *);
    const char *slash = strrchr(path, '/'), *name = registered_name(path);
    r->provider_folder = slash != NULL ? strndup(path, (size_t)(slash - path)) : strdup(".");
    if (r->provider_folder == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    for (size_t i = 0; i < r->device_count; i++)
        if (strcmp(provider_name(r, i), name) == 0) return RNL_OK;
    const rnl_status status =
        failed(r, CALL(r, SLOT_REGISTER_PROVIDER, register_fn)(r->env, name, path), path, error);
    return status == RNL_OK ? find_devices(r, error) : status;
}

rnl_status onnx_runtime_open(const rnl_device_config *config, onnx_runtime **out,
                             rnl_error *error) {
    onnx_runtime *r = *out = calloc(1, sizeof *r);
    if (r == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    rnl_status status = open_table(r, config->onnx_path, error);
    if (status == RNL_OK) status = open_env(r, error);
    if (status == RNL_OK) status = find_devices(r, error);
    if (status == RNL_OK && config->provider_path != NULL)
        status = register_provider(r, config->provider_path, error);
    if (status != RNL_OK) onnx_runtime_close(out);
    return status;
}

void onnx_runtime_close(onnx_runtime **out) {
    onnx_runtime *r = *out;
    if (r == NULL) return;
    *out = NULL;
    if (r->memory != NULL)
        CALL(r, SLOT_RELEASE_MEMORY_INFO, void (*)(ort_memory_info *))(r->memory);
    if (r->env != NULL) CALL(r, SLOT_RELEASE_ENV, void (*)(ort_env *))(r->env);
    library_close(&r->library);
    free(r->provider_folder);
    free(r);
}

const char *onnx_runtime_version(const onnx_runtime *r) {
    return r->version;
}

int onnx_runtime_count(const onnx_runtime *r) {
    return (int)r->device_count;
}

onnx_provider onnx_runtime_provider(const onnx_runtime *r, int index) {
    typedef const char *(*vendor_fn)(const ort_device *);
    typedef const ort_hardware *(*hardware_fn)(const ort_device *);
    typedef int (*type_fn)(const ort_hardware *);
    static const char *const types[] = {"CPU", "GPU", "NPU"};
    const ort_device *device = r->devices[index];
    const int type =
        CALL(r, SLOT_HARDWARE_TYPE, type_fn)(CALL(r, SLOT_PROVIDER_HARDWARE, hardware_fn)(device));
    onnx_provider p = {.name = provider_name(r, (size_t)index),
                       .vendor = CALL(r, SLOT_PROVIDER_VENDOR, vendor_fn)(device),
                       .hardware = type >= 0 && type < 3 ? types[type] : "?"};
    p.is_cpu = strcmp(p.name, "CPUExecutionProvider") == 0;
    return p;
}

/* ---- Sessions ---- */

typedef struct option_list {
    char text[OPTIONS_SIZE]; /* cut into keys and values */
    const char *keys[OPTION_CAP], *values[OPTION_CAP];
    size_t count;
} option_list;

static bool option_has(const option_list *l, const char *key) {
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->keys[i], key) == 0) return true;
    return false;
}

static void option_add(option_list *l, const char *key, const char *value) {
    if (l->count == OPTION_CAP || option_has(l, key)) return;
    l->keys[l->count] = key;
    l->values[l->count++] = value;
}

/* "key=value,key=value". */
static rnl_status read_options(option_list *l, const char *text, rnl_error *error) {
    l->count = 0;
    if (text == NULL || text[0] == '\0') return RNL_OK;
    bool good = (size_t)snprintf(l->text, sizeof l->text, "%s", text) < sizeof l->text;
    for (char *at = l->text; at != NULL && good;) {
        char *end = strchr(at, ','), *equals = strchr(at, '=');
        if (end != NULL) *end = '\0';
        good =
            equals != NULL && equals > at && (end == NULL || equals < end) && l->count < OPTION_CAP;
        if (!good) break;
        *equals = '\0';
        option_add(l, at, equals + 1);
        at = end != NULL ? end + 1 : NULL;
    }
    if (good) return RNL_OK;
    return status_fail(
        error, RNL_ERR_ARGUMENT,
        "the options of the provider are not 'key=value,key=value', at most %d: '%s'", OPTION_CAP,
        text);
}

/* Qualcomm's provider computes by Hexagon in FP16, from the library beside its own. */
static void add_qnn_options(option_list *l, const onnx_runtime *r, char backend[OPTIONS_SIZE]) {
    if (r->provider_folder == NULL) return;
    (void)snprintf(backend, OPTIONS_SIZE, "%s/libQnnHtp.so", r->provider_folder);
    option_add(l, "backend_path", backend);
    option_add(l, "enable_htp_fp16_precision", "1");
}

static rnl_status append_provider(onnx_runtime *r, ort_options *options,
                                  const onnx_session_config *config, rnl_error *error) {
    typedef ort_status *(*append_fn)(ort_options *, ort_env *, const ort_device *const *, size_t,
                                     const char *const *, const char *const *, size_t);
    const ort_device *devices[PROVIDER_DEVICE_CAP];
    const char *name = provider_name(r, (size_t)config->provider);
    char backend[OPTIONS_SIZE];
    size_t count = 0;
    option_list list;
    const rnl_status status = read_options(&list, config->options, error);
    if (status != RNL_OK) return status;
    if (strcmp(name, "QNNExecutionProvider") == 0) add_qnn_options(&list, r, backend);
    for (size_t i = 0; i < r->device_count && count < PROVIDER_DEVICE_CAP; i++)
        if (strcmp(provider_name(r, i), name) == 0) devices[count++] = r->devices[i];
    return failed(r,
                  CALL(r, SLOT_APPEND_PROVIDER, append_fn)(options, r->env, devices, count,
                                                           list.keys, list.values, list.count),
                  name, error);
}

static rnl_status set_entry(const onnx_runtime *r, ort_options *options, const char *key,
                            const char *value, rnl_error *error) {
    typedef ort_status *(*entry_fn)(ort_options *, const char *, const char *);
    return failed(r, CALL(r, SLOT_CONFIG_ENTRY, entry_fn)(options, key, value), key, error);
}

/* What each session has: nothing is rewritten, as what ONNX Runtime makes of our nodes is not what
 * devices take; no thread of its own; no node elsewhere. */
static rnl_status set_options(onnx_runtime *r, ort_options *options,
                              const onnx_session_config *config, const char *compiled,
                              rnl_error *error) {
    typedef ort_status *(*number_fn)(ort_options *, int);
    const bool is_cpu = onnx_runtime_provider(r, config->provider).is_cpu;
    const char *what = config->graph_path;
    rnl_status status =
        failed(r, CALL(r, SLOT_OPTIMIZATION, number_fn)(options, OPTIMIZE_NOTHING), what, error);
    if (status == RNL_OK)
        status = failed(r, CALL(r, SLOT_THREADS, number_fn)(options, 1), what, error);
    if (status == RNL_OK && is_cpu) return RNL_OK; /* it is there in any case */
    if (status == RNL_OK)
        status = set_entry(r, options, "session.disable_cpu_ep_fallback", "1", error);
    if (status == RNL_OK && compiled != NULL) {
        status = set_entry(r, options, "ep.context_enable", "1", error);
        if (status == RNL_OK)
            status = set_entry(r, options, "ep.context_file_path", compiled, error);
        /* In files of its own: inside the graph's, which may have 2 GiB, some providers lose it. */
        if (status == RNL_OK) status = set_entry(r, options, "ep.context_embed_mode", "0", error);
    }
    return status == RNL_OK ? append_provider(r, options, config, error) : status;
}

/* From the file at path. compiled: where the provider writes what it makes of it; NULL: nowhere. */
static rnl_status create_from(onnx_session *s, const onnx_session_config *config, const char *path,
                              const char *compiled, rnl_error *error) {
    typedef ort_status *(*options_fn)(ort_options **);
    typedef ort_status *(*session_fn)(const ort_env *, const char *, const ort_options *,
                                      ort_session **);
    onnx_runtime *r = s->r;
    ort_options *options = NULL;
    rnl_status status = failed(r, CALL(r, SLOT_CREATE_OPTIONS, options_fn)(&options), path, error);
    if (status == RNL_OK) status = set_options(r, options, config, compiled, error);
    if (status == RNL_OK)
        status =
            failed(r, CALL(r, SLOT_CREATE_SESSION, session_fn)(r->env, path, options, &s->session),
                   path, error);
    if (options != NULL) CALL(r, SLOT_RELEASE_OPTIONS, void (*)(ort_options *))(options);
    return status;
}

/* ---- What was compiled ---- */

static void add_device(checksum *sum, const onnx_runtime *r, const ort_device *device) {
    typedef const ort_pairs *(*facts_fn)(const ort_device *);
    typedef const char *(*value_fn)(const ort_pairs *, const char *);
    typedef const ort_hardware *(*hardware_fn)(const ort_device *);
    typedef uint32_t (*number_fn)(const ort_hardware *);
    const ort_pairs *facts = CALL(r, SLOT_PROVIDER_FACTS, facts_fn)(device);
    const ort_hardware *hardware = CALL(r, SLOT_PROVIDER_HARDWARE, hardware_fn)(device);
    checksum_add_text(sum, CALL(r, SLOT_KEY_VALUE, value_fn)(facts, "version"));
    checksum_add_text(sum, CALL(r, SLOT_KEY_VALUE, value_fn)(facts, "os_driver_version"));
    checksum_add_number(sum, CALL(r, SLOT_HARDWARE_VENDOR, number_fn)(hardware));
    checksum_add_number(sum, CALL(r, SLOT_HARDWARE_DEVICE, number_fn)(hardware));
}

/* A library's file, if the system was told where it lies. */
static void add_library(checksum *sum, const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash != NULL ? strndup(path, (size_t)(slash - path)) : NULL;
    if (folder != NULL) (void)folder_sum(folder, slash + 1, false, sum);
    free(folder);
}

/* Of all that what is compiled depends on besides the graph: ONNX Runtime, the provider with the
 * libraries beside it, which are its driver, the devices, and what they are told. */
static void key_of(const onnx_runtime *r, const onnx_session_config *config,
                   char key[CHECKSUM_TEXT_CAP]) {
    checksum sum;
    const char *name = provider_name(r, (size_t)config->provider);
    checksum_begin(&sum);
    checksum_add_text(&sum, r->version);
    add_library(&sum, library_path(r->library));
    checksum_add_text(&sum, name);
    checksum_add_text(&sum, config->options);
    for (size_t i = 0; i < r->device_count; i++)
        if (strcmp(provider_name(r, i), name) == 0) add_device(&sum, r, r->devices[i]);
    if (r->provider_folder != NULL) (void)folder_sum(r->provider_folder, ".so", false, &sum);
    checksum_text(&sum, key);
}

/* Compiles the graph and keeps what that gives, if the provider gives anything to keep. */
static rnl_status compile(onnx_session *s, const onnx_session_config *config, const char *key) {
    char *fresh = onnx_kept_begin(config->kept_path);
    char *path = fresh != NULL ? onnx_kept_graph(fresh) : NULL;
    const rnl_status status =
        path != NULL ? create_from(s, config, config->graph_path, path, NULL) : RNL_ERR_IO;
    if (status == RNL_OK)
        onnx_kept_commit(&fresh, config->kept_path, key);
    else
        onnx_kept_abort(&fresh);
    free(path);
    return status;
}

/* As it was compiled before, or else as it is now. Negative: neither way, for whatever reason. */
static rnl_status create_kept(onnx_session *s, const onnx_session_config *config) {
    char key[CHECKSUM_TEXT_CAP];
    rnl_status status = RNL_ERR_IO;
    key_of(s->r, config, key);
    if (onnx_kept_whole(config->kept_path, key)) {
        char *path = onnx_kept_graph(config->kept_path);
        if (path != NULL) status = create_from(s, config, path, NULL, NULL);
        free(path);
    }
    return status == RNL_OK ? RNL_OK : compile(s, config, key);
}

rnl_status onnx_session_create(onnx_runtime *r, const onnx_session_config *config,
                               onnx_session **out, rnl_error *error) {
    onnx_session *s = *out = calloc(1, sizeof *s);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    s->r = r;
    const bool keeps =
        config->kept_path != NULL && !onnx_runtime_provider(r, config->provider).is_cpu;
    rnl_status status = keeps ? create_kept(s, config) : RNL_ERR_IO;
    if (status != RNL_OK) status = create_from(s, config, config->graph_path, NULL, error);
    if (status != RNL_OK) onnx_session_destroy(out);
    return status;
}

void onnx_session_destroy(onnx_session **out) {
    onnx_session *s = *out;
    if (s == NULL) return;
    *out = NULL;
    if (s->session != NULL) CALL(s->r, SLOT_RELEASE_SESSION, void (*)(ort_session *))(s->session);
    free(s);
}

/* ---- Tensors ---- */

rnl_status onnx_tensor_create(onnx_runtime *r, onnx_type type, const onnx_shape *shape,
                              void *memory, onnx_tensor **out, rnl_error *error) {
    typedef ort_status *(*tensor_fn)(const ort_memory_info *, void *, size_t, const int64_t *,
                                     size_t, int, onnx_tensor **);
    *out = NULL;
    return failed(r,
                  CALL(r, SLOT_TENSOR, tensor_fn)(r->memory, memory, onnx_size_of(type, *shape),
                                                  shape->dims, (size_t)shape->rank, type, out),
                  "a tensor", error);
}

void onnx_tensor_destroy(onnx_runtime *r, onnx_tensor **t) {
    if (*t != NULL) CALL(r, SLOT_RELEASE_VALUE, void (*)(onnx_tensor *))(*t);
    *t = NULL;
}

rnl_status onnx_session_run(onnx_session *s, const char *const *input_names,
                            const onnx_tensor *const *inputs, size_t input_count,
                            const char *const *output_names, onnx_tensor *const *outputs,
                            size_t output_count, rnl_error *error) {
    typedef ort_status *(*run_fn)(ort_session *, const void *, const char *const *,
                                  const onnx_tensor *const *, size_t, const char *const *, size_t,
                                  onnx_tensor *const *);
    return failed(s->r,
                  CALL(s->r, SLOT_RUN, run_fn)(s->session, NULL, input_names, inputs, input_count,
                                               output_names, output_count, outputs),
                  "a pass", error);
}
