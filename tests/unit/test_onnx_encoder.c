/* The encoder as a graph of ONNX, computed by the operators' own documents (support/onnx_run.h):
 * clips of any length that it has room for give the rows that the CPU gives. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/onnx_set.h"
#include "tests/support/encode.h"
#include "tests/support/folder.h"
#include "tests/support/onnx_run.h"
#include "tests/support/rig.h"

enum { FRAMES = 48, ROWS = FRAMES / ONNX_ENCODER_STEP };

static void clips_give_what_the_cpu_gives(void **state) {
    static const int counts[] = {33, FRAMES, FRAMES - 1, FRAMES - 7, 17, 9};
    const folder *f = *state;
    char graph[ONNX_PATH_CAP], data[ONNX_PATH_CAP];
    rnl_error error = {0};
    onnx_set_files files;
    onnx_read read;
    encode_rig u;
    rnl_model *m = rig_model("tiny");
    const size_t width = (size_t)m->encoder.width;
    assert_int_equal(onnx_encoder_check(&m->encoder, "tiny", &error), RNL_OK);
    onnx_set set = onnx_set_of_encoder(&m->encoder);
    set.count = 2;
    set.sizes[0] = FRAMES / 2, set.sizes[1] = FRAMES; /* of seconds */
    if (onnx_set_stage(&set, f->path, "encoder", false, NULL, NULL, &files, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_int_equal(onnx_set_commit(&files, &error), RNL_OK);
    assert_int_equal(entry_count(f), 3);
    assert_int_equal(onnx_set_path(f->path, "encoder", FRAMES, ".onnx", graph, NULL), RNL_OK);
    assert_int_equal(onnx_set_path(f->path, "encoder", 0, ".weights", data, NULL), RNL_OK);
    onnx_read_open(graph, data, &read);
    onnx_run *r = onnx_run_open(&read);
    encode_open(&u, m, FRAMES);

    float *mel = encode_mel(m, FRAMES, 3);
    float *inputs[ONNX_ENCODER_INPUT_COUNT];
    size_t sizes[ONNX_ENCODER_INPUT_COUNT];
    for (int i = 0; i < ONNX_ENCODER_INPUT_COUNT; i++) {
        const onnx_shape shape = onnx_encoder_shape(&m->encoder, FRAMES, (onnx_encoder_input)i);
        assert_true(onnx_size(ONNX_FLOAT, &shape, &sizes[i]));
        assert_non_null(inputs[i] = malloc(sizes[i]));
        memset(inputs[i], 0xff, sizes[i]); /* NaN */
    }
    for (int n = 0; n < rig_rounds(sizeof counts / sizeof *counts); n++) {
        const float *want = encode_clip(&u, mel, counts[n]);
        onnx_encoder_fill(&m->encoder, FRAMES, mel, counts[n], inputs);
        for (int i = 0; i < ONNX_ENCODER_INPUT_COUNT; i++)
            onnx_run_set(r, onnx_encoder_names[i], inputs[i], sizes[i] / sizeof(float));
        onnx_run_all(r);
        const float *got = onnx_run_get(r, "rows", ROWS * width);
        double off = 0;
        for (size_t i = 0; i < (size_t)encoder_position_count(counts[n]) * width; i++) {
            assert_true(isfinite(got[i]));
            off = fmax(off, fabs(got[i] - want[i]));
        }
        if (off > 1e-4) fail_msg("%d frames: %g off", counts[n], off);
    }
    for (int i = 0; i < ONNX_ENCODER_INPUT_COUNT; i++) free(inputs[i]);
    free(mel);
    encode_close(&u);
    onnx_run_close(&r);
    onnx_read_close(&read);
    rnl_model_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(clips_give_what_the_cpu_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
