/* Where graphs lie on the disk: once for the same weights and sizes, apart for others, and not at
 * all behind what has no cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/onnx_place.h"
#include "tests/support/folder.h"
#include "tests/support/layers.h"

enum { PAST = 16 };

static layers *open_layers(void) {
    const stack_layer_config c[] = {layers_config(&stack_convolution, 0),
                                    layers_config(&stack_attention, 2)};
    layers *l = calloc(1, sizeof *l);
    assert_non_null(l);
    layers_open(l, c, 2, LAYERS_POSITIONS, false);
    return l;
}

static void close_layers(layers *l) {
    layers_close(l);
    free(l);
}

static onnx_place enter(const char *cache, const onnx_set *set) {
    rnl_error error = {0};
    onnx_place p;
    if (onnx_place_enter(&p, cache, set, &error) != RNL_OK) fail_msg("%s", error.text);
    return p;
}

/* The file of one row's graph: 0, there is none. */
static ino_t graph_in(const onnx_place *p) {
    char path[ONNX_PATH_CAP];
    struct stat info;
    assert_int_equal(onnx_set_path(p->folder, "graph", 1, ".onnx", path, NULL), RNL_OK);
    return stat(path, &info) == 0 ? info.st_ino : 0;
}

static void remove_place(const onnx_place *p) {
    onnx_place copy = *p;
    copy.kept = false;
    onnx_place_leave(&copy);
}

static void a_cache_keeps_them_by_their_weights(void **state) {
    const folder *f = *state;
    layers *l = open_layers();
    const onnx_set set = onnx_set_of_stack(&l->w, 1, PAST, false);
    onnx_place first = enter(f->path, &set);
    const ino_t file = graph_in(&first);
    assert_int_not_equal(file, 0);
    onnx_place_leave(&first);
    assert_int_equal(graph_in(&first), file); /* it stays */
    const onnx_place again = enter(f->path, &set);
    assert_string_equal(again.folder, first.folder);
    assert_int_equal(graph_in(&again), file); /* and is not written again */

    onnx_set other = set;
    other.half = true;
    const onnx_place half = enter(f->path, &other);
    assert_string_not_equal(half.folder, first.folder);
    other = set;
    other.past_count++;
    const onnx_place longer = enter(f->path, &other);
    assert_string_not_equal(longer.folder, first.folder);
    stack_rotary *rotary = &l->w.config.layers[1].rotary;
    rotary->base *= 2; /* layers of one base share inputs */
    const onnx_place turned = enter(f->path, &set);
    assert_string_not_equal(turned.folder, first.folder);
    rotary->base /= 2;
    float *norm = (float *)(uintptr_t)l->w.layers[1].parts[STACK_FEED_FORWARD].norm;
    const float was = norm[3];
    norm[3] = was + 1;
    const onnx_place changed = enter(f->path, &set);
    assert_string_not_equal(changed.folder, first.folder);
    norm[3] = was;

    char path[ONNX_PATH_CAP];
    assert_int_equal(onnx_set_path(first.folder, "graph", 1, ".onnx", path, NULL), RNL_OK);
    assert_int_equal(unlink(path), 0);
    const onnx_place whole = enter(f->path, &set);
    assert_string_equal(whole.folder, first.folder);
    assert_int_not_equal(graph_in(&whole), 0); /* what is missing is made */
    const onnx_place *const all[] = {&first, &half, &longer, &turned, &changed};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) remove_place(all[i]);
    close_layers(l);
}

static void without_a_cache_nothing_stays(void **state) {
    (void)state;
    layers *l = open_layers();
    const onnx_set set = onnx_set_of_stack(&l->w, 1, PAST, false);
    onnx_place p = enter(NULL, &set);
    char name[ONNX_PATH_CAP];
    struct stat info;
    (void)strcpy(name, p.folder);
    assert_int_not_equal(graph_in(&p), 0);
    onnx_place_leave(&p);
    assert_int_not_equal(stat(name, &info), 0);
    onnx_place_leave(&p); /* twice is fine */
    close_layers(l);
}

static void a_cache_that_is_not_there_is_told(void **state) {
    (void)state;
    rnl_error error = {0};
    onnx_place p;
    layers *l = open_layers();
    const onnx_set set = onnx_set_of_stack(&l->w, 1, PAST, false);
    assert_int_equal(onnx_place_enter(&p, "/none", &set, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "/none/onnx-"));
    close_layers(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_cache_keeps_them_by_their_weights),
        cmocka_unit_test(without_a_cache_nothing_stays),
        cmocka_unit_test(a_cache_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
