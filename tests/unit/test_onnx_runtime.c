/* Sessions of ONNX Runtime, of a library that computes nothing (devices/fake_onnxruntime.c): what
 * was compiled is compiled once for one graph, provider, version, library and options, and whatever
 * is wrong with what is kept, the session is there. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/folder.h"
#include "core/library.h"
#include "devices/onnx_kept.h"
#include "devices/onnx_runtime.h"
#include "tests/devices/fake_onnxruntime.h"
#include "tests/support/folder.h"

typedef struct rig {
    const folder *f;
    library *library;
    fake_onnxruntime *fake;
    rnl_device_config config;
    char graph[PATH_CAP], kept[PATH_CAP], provider[PATH_CAP];
    const char *options;
} rig;

static rig open_rig(const folder *f) {
    static const char *const names[] = {FAKE_ONNXRUNTIME, NULL};
    rig r = {.f = f, .config = rnl_device_config_default()};
    rnl_error error;
    library_fn state;
    if (library_open(NULL, names, &r.library, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_int_equal(library_find(r.library, "fake_onnxruntime_state", &state, &error), RNL_OK);
    r.fake = ((fake_onnxruntime_fn)state)();
    *r.fake = (fake_onnxruntime){.version = "1.0"};
    name_in(f, "graph-1.onnx", r.graph);
    name_in(f, "compiled-1", r.kept);
    name_in(f, "libqnn.so", r.provider);
    write_file(r.graph, "a graph", 7);
    write_file(r.provider, "a driver", 8);
    r.config.onnx_path = FAKE_ONNXRUNTIME;
    return r;
}

static void close_rig(rig *r) {
    assert_int_equal(r->fake->open_count, 0);
    (void)folder_remove(AT_FDCWD, r->kept);
    library_close(&r->library);
}

/* A session is made and dropped, after which so many were compiled and so many taken as kept. */
static void open_once(const rig *r, int compiled, int kept) {
    onnx_runtime *runtime = NULL;
    onnx_session *session = NULL;
    rnl_error error;
    rnl_device_config config = r->config;
    config.provider_path = r->provider;
    if (onnx_runtime_open(&config, &runtime, &error) != RNL_OK) fail_msg("%s", error.text);
    const onnx_session_config c = {
        .graph_path = r->graph, .kept_path = r->kept, .options = r->options};
    if (onnx_session_create(runtime, &c, &session, &error) != RNL_OK) fail_msg("%s", error.text);
    onnx_session_destroy(&session);
    onnx_runtime_close(&runtime);
    assert_int_equal(r->fake->compiled_count, compiled);
    assert_int_equal(r->fake->kept_count, kept);
}

static void a_graph_is_compiled_once(void **state) {
    rig r = open_rig(*state);
    open_once(&r, 1, 0);
    open_once(&r, 1, 1);
    open_once(&r, 1, 2);
    close_rig(&r);
}

static void another_driver_compiles_again(void **state) {
    rig r = open_rig(*state);
    char beside[PATH_CAP];
    open_once(&r, 1, 0);
    r.fake->version = "1.1"; /* the provider */
    open_once(&r, 2, 0);
    open_once(&r, 2, 1);
    r.fake->driver = "31.0"; /* the system's driver */
    open_once(&r, 3, 1);
    r.options = "soc_model=57"; /* what it is told */
    open_once(&r, 4, 1);
    r.options = "soc_model=69";
    open_once(&r, 5, 1);
    open_once(&r, 5, 2);
    write_file(r.provider, "another one", 11); /* the library, */
    open_once(&r, 6, 2);
    name_in(r.f, "libbackend.so.2", beside); /* and those beside it */
    write_file(beside, "", 0);
    open_once(&r, 7, 2);
    open_once(&r, 7, 3);
    close_rig(&r);
}

/* Damaged, cut short, refused though nothing told that: compiled again. */
static void what_is_no_good_is_compiled_again(void **state) {
    rig r = open_rig(*state);
    char path[PATH_CAP + 32];
    open_once(&r, 1, 0);
    (void)snprintf(path, sizeof path, "%s/graph_qnn.bin", r.kept);
    write_file(path, "nombres", 7);
    open_once(&r, 2, 0);
    open_once(&r, 2, 1);
    assert_int_equal(unlink(path), 0);
    open_once(&r, 3, 1);
    r.fake->refuses_kept = true;
    open_once(&r, 4, 1);
    r.fake->refuses_kept = false;
    open_once(&r, 4, 2);
    close_rig(&r);
}

static void nothing_need_be_kept(void **state) {
    rig r = open_rig(*state);
    const int files = entry_count(r.f);
    r.fake->keeps_nothing = true;
    open_once(&r, 1, 0);
    open_once(&r, 2, 0);
    r.fake->fails_keeping = true; /* it tries, and then without */
    open_once(&r, 4, 0);
    assert_int_equal(entry_count(r.f), files);
    r.fake->is_cpu = true; /* which has nothing to compile */
    (void)snprintf(r.provider, sizeof r.provider, "%s/CPUExecutionProvider", r.f->path);
    open_once(&r, 5, 0);
    assert_int_equal(entry_count(r.f), files);
    close_rig(&r);
}

static void what_is_refused_says_why(void **state) {
    rig r = open_rig(*state);
    onnx_runtime *runtime = NULL;
    onnx_session *session = NULL;
    rnl_error error;
    const int files = entry_count(r.f);
    r.fake->refuses_graph = true;
    assert_int_equal(onnx_runtime_open(&r.config, &runtime, &error), RNL_OK);
    const onnx_session_config c = {.graph_path = r.graph, .kept_path = r.kept};
    assert_int_equal(onnx_session_create(runtime, &c, &session, &error), RNL_ERR_UNSUPPORTED);
    assert_null(session);
    assert_non_null(strstr(error.text, "graph-1.onnx: it does not take the graph"));
    assert_int_equal(entry_count(r.f), files);
    onnx_runtime_close(&runtime);
    close_rig(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_graph_is_compiled_once),          IN_FOLDER(another_driver_compiles_again),
        IN_FOLDER(what_is_no_good_is_compiled_again), IN_FOLDER(nothing_need_be_kept),
        IN_FOLDER(what_is_refused_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
