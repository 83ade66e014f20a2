/* Places in the table: onnxruntime_c_api.h, version 22. What Runnel does not call is NULL. */
#include "tests/devices/fake_onnxruntime.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { SLOT_COUNT = 320, PATH_SIZE = 4096 };
typedef void (*any_fn)(void);
typedef struct base {
    const any_fn *(*table)(uint32_t version);
    const char *(*version)(void);
} base;

static fake_onnxruntime state = {.version = "1.0"};
static char failure[128];         /* the status of who failed; NULL: nothing did */
static char keep_path[PATH_SIZE]; /* of the options at hand; "": nothing is kept */

EXPORT fake_onnxruntime *fake_onnxruntime_state(void);
fake_onnxruntime *fake_onnxruntime_state(void) {
    return &state;
}

static void *fail(const char *why) {
    (void)snprintf(failure, sizeof failure, "%s", why);
    return failure;
}

static const char *message(const void *status) {
    return status;
}

/* What is made of nothing and means nothing: an env, options, memory. */
static void *make_env(void *log, void *context, int level, const char *id, void **out) {
    (void)log, (void)context, (void)level, (void)id;
    *out = &state;
    return NULL;
}
static void *make_memory(int allocator, int type, void **out) {
    (void)allocator, (void)type;
    *out = &state;
    return NULL;
}
static void *make_options(void **out) {
    keep_path[0] = '\0';
    *out = &state;
    return NULL;
}
static void *take(const void *thing) {
    (void)thing;
    return NULL;
}
static void *take_number(void *options, int number) {
    (void)options, (void)number;
    return NULL;
}
static void release(void *thing) {
    (void)thing;
}
static void release_session(void *session) {
    (void)session;
    state.open_count--;
}

static void *take_entry(void *options, const char *key, const char *value) {
    (void)options;
    if (strcmp(key, "ep.context_file_path") == 0)
        (void)snprintf(keep_path, sizeof keep_path, "%s", value);
    return NULL;
}

/* ---- The device ---- */

static void *list(const void *env, const void *const **devices, size_t *count) {
    static const void *const only[] = {&state};
    (void)env;
    *devices = only;
    *count = 1;
    return NULL;
}
static void *append(void *options, void *env, const void *const *devices, size_t count,
                    const char *const *keys, const char *const *values, size_t key_count) {
    (void)options, (void)env, (void)devices, (void)keys, (void)values, (void)key_count;
    return count == 1 ? NULL : fail("there is one device");
}
static const char *name(const void *device) {
    (void)device;
    return state.is_cpu ? "CPUExecutionProvider" : "QNNExecutionProvider";
}
static const char *vendor(const void *device) {
    (void)device;
    return "Imagined";
}
static const void *itself(const void *device) {
    return device;
}
static int type(const void *hardware) {
    (void)hardware;
    return 2;
}
static uint32_t number(const void *hardware) {
    (void)hardware;
    return 17;
}
static const char *value(const void *facts, const char *key) {
    (void)facts;
    if (strcmp(key, "version") == 0) return state.version;
    return strcmp(key, "os_driver_version") == 0 ? state.driver : NULL;
}

/* ---- Sessions ---- */

static const char compiled[] = "compiled by the fake";

static bool write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "wx"); /* a provider does not write over what is there */
    const bool good = f != NULL && fputs(text, f) >= 0;
    return f != NULL && fclose(f) == 0 && good;
}

/* graph.onnx, and what it stands for beside it. */
static bool keep(void) {
    char path[PATH_SIZE + 16];
    (void)snprintf(path, sizeof path, "%.*s_qnn.bin", (int)(strrchr(keep_path, '.') - keep_path),
                   keep_path);
    return write_file(path, "numbers") && write_file(keep_path, compiled);
}

static bool is_compiled(const char *path) {
    char text[sizeof compiled] = "";
    FILE *f = fopen(path, "rb");
    if (f != NULL && fgets(text, sizeof text, f) == NULL) text[0] = '\0';
    if (f != NULL) (void)fclose(f);
    return strcmp(text, compiled) == 0;
}

static void *make_session(const void *env, const char *path, const void *options, void **out) {
    (void)env, (void)options;
    if (is_compiled(path)) {
        if (state.refuses_kept) return fail("it was compiled for another device");
        state.kept_count++;
    } else {
        if (state.refuses_graph) return fail("it does not take the graph");
        state.compiled_count++;
        if (keep_path[0] != '\0' && state.fails_keeping) return fail("it cannot be kept");
        if (keep_path[0] != '\0' && !state.keeps_nothing && !keep()) return fail("no disk");
    }
    state.open_count++;
    *out = &state;
    return NULL;
}

/* ---- The table ---- */

static const any_fn table[SLOT_COUNT] = {
    [2] = (any_fn)message,      [4] = (any_fn)make_env,      [6] = (any_fn)take,
    [7] = (any_fn)make_session, [10] = (any_fn)make_options, [23] = (any_fn)take_number,
    [24] = (any_fn)take_number, [69] = (any_fn)make_memory,  [92] = (any_fn)release,
    [93] = (any_fn)release,     [94] = (any_fn)release,      [95] = (any_fn)release_session,
    [100] = (any_fn)release,    [130] = (any_fn)take_entry,  [297] = (any_fn)value,
    [303] = (any_fn)list,       [304] = (any_fn)append,      [307] = (any_fn)type,
    [308] = (any_fn)number,     [310] = (any_fn)number,      [312] = (any_fn)name,
    [313] = (any_fn)vendor,     [314] = (any_fn)itself,      [316] = (any_fn)itself,
};

static const any_fn *get_table(uint32_t version) {
    return version == 22 ? table : NULL;
}
static const char *get_version(void) {
    return "1.22.0";
}

EXPORT const base *OrtGetApiBase(void);
const base *OrtGetApiBase(void) {
    static const base only = {get_table, get_version};
    return &only;
}
