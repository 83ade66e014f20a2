/* Files of ONNX: what is written reads back, lies where it says, and is not there when something
 * went wrong; each operator computes what it is called. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "devices/onnx_ops.h"
#include "tests/support/folder.h"
#include "tests/support/onnx_run.h"

typedef struct files {
    char graph[PATH_CAP], data[PATH_CAP];
    onnx_data *d;
    onnx_graph *g;
    onnx_read read;
} files;

static void begin(void *place, files *f) {
    rnl_error error = {0};
    memset(f, 0, sizeof *f);
    name_in(place, "a.onnx", f->graph);
    name_in(place, "a.weights", f->data);
    if (onnx_data_create(f->data, false, &f->d, &error) != RNL_OK) fail_msg("%s", error.text);
    f->g = onnx_graph_create("test", f->d);
    assert_non_null(f->g);
}

static void write_all(files *f) {
    rnl_error error = {0};
    staged_file *file = NULL;
    if (onnx_graph_stage(f->g, f->graph, &file, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_int_equal(onnx_data_commit(&f->d, &error), RNL_OK);
    assert_int_equal(staged_commit(&file, &error), RNL_OK);
    onnx_graph_destroy(&f->g);
    onnx_read_open(f->graph, f->data, &f->read);
}

static void what_is_written_reads_back(void **state) {
    files f;
    begin(*state, &f);
    float big[3000];
    for (int i = 0; i < 3000; i++) big[i] = (float)i;
    onnx_data_add(f.d, "odd", ONNX_UINT8, &ONNX_SHAPE(5), "abcde");
    onnx_data_add(f.d, "big", ONNX_FLOAT, &ONNX_SHAPE(1000, 3), big);
    const onnx_value x = onnx_graph_input(f.g, "x", ONNX_FLOAT, &ONNX_SHAPE(2, 1000));
    const onnx_value w = onnx_graph_weight(f.g, "big");
    assert_int_equal(onnx_graph_weight(f.g, "big"), w); /* once in the file */
    onnx_graph_output(f.g, onnx_matmul(f.g, x, w), "y");
    write_all(&f);

    assert_int_equal(f.read.ir_version, 8);
    assert_int_equal(f.read.opset, 18);
    assert_int_equal(f.read.opset_microsoft, 1);
    assert_int_equal(f.read.initializer_count, 1); /* not what no node asked for */
    const onnx_read_tensor *t = &f.read.initializers[0];
    assert_string_equal(t->name, "big");
    assert_true(t->external);
    assert_int_equal(t->offset, ONNX_DATA_ALIGN); /* behind the odd one */
    assert_memory_equal(t->data, big, sizeof big);
    assert_memory_equal(f.read.data.data, "abcde", 5);
    assert_int_equal(f.read.node_count, 2);
    assert_string_equal(f.read.nodes[0].op, "MatMul");
    assert_int_equal(f.read.output_count, 1);
    assert_string_equal(f.read.outputs[0].name, "y");
    assert_int_equal(f.read.outputs[0].shape.rank, 2);
    assert_int_equal(f.read.outputs[0].shape.dims[0], 2);
    assert_int_equal(f.read.outputs[0].shape.dims[1], 3);
    onnx_read_close(&f.read);
}

static void what_fails_leaves_no_file(void **state) {
    files f;
    staged_file *file = NULL;
    rnl_error told = {0};
    begin(*state, &f);
    assert_int_equal(entry_count(*state), 1); /* under another name yet */
    onnx_data_exhausted(f.d, "w");
    (void)onnx_graph_weight(f.g, "w");
    assert_true(onnx_graph_failed(f.g));
    onnx_graph_output(f.g, onnx_unary(f.g, "Abs", 0), "y");
    assert_int_equal(onnx_graph_stage(f.g, f.graph, &file, &told), RNL_ERR_MEMORY);
    assert_null(file);
    assert_non_null(strstr(told.text, "a.weights: memory for 'w' is exhausted"));
    assert_int_equal(onnx_data_commit(&f.d, &told), RNL_ERR_MEMORY);
    assert_null(f.d);
    onnx_graph_destroy(&f.g);
    assert_int_equal(entry_count(*state), 0);

    rnl_error full = {0};
    assert_int_equal(onnx_data_create("/none/a.weights", false, &f.d, &full), RNL_ERR_IO);
    assert_null(f.d);
    assert_non_null(strstr(full.text, "/none/a.weights"));
}

static void sizes_are_checked(void **state) {
    size_t size = 0;
    (void)state;
    assert_false(onnx_size(ONNX_FLOAT, &ONNX_SHAPE(INT64_MAX / 2, 4), &size));
    assert_false(onnx_size(ONNX_FLOAT, &ONNX_SHAPE(-1), &size));
    assert_true(onnx_size(ONNX_FLOAT16, &ONNX_SHAPE(3, 5), &size));
    assert_int_equal(size, 30);
}

static void fill(float *x, size_t count, uint64_t seed) {
    random_state random;
    random_seed(&random, seed);
    for (size_t i = 0; i < count; i++) x[i] = (float)(random_unit(&random) - 0.5);
}

static void operators_compute_what_they_are_called(void **state) {
    static const int turned[] = {1, 0, 2};
    files f;
    begin(*state, &f);
    float x[2 * 3 * 4];
    fill(x, 24, 1);
    onnx_data_add(f.d, "x", ONNX_FLOAT, &ONNX_SHAPE(24), x); /* an empty file is none */
    const onnx_value in = onnx_graph_input(f.g, "x", ONNX_FLOAT, &ONNX_SHAPE(2, 3, 4));
    onnx_graph_output(f.g, onnx_transpose(f.g, in, turned), "turned");
    onnx_graph_output(f.g, onnx_slice(f.g, in, 1, 1, 2), "slice");
    onnx_graph_output(f.g, onnx_concat(f.g, onnx_slice(f.g, in, 1, 2, 1), in, 1), "joined");
    onnx_graph_output(f.g, onnx_softmax(f.g, in), "softmax");
    onnx_graph_output(f.g, onnx_reshape(f.g, in, ONNX_SHAPE(6, 4)), "flat");
    onnx_graph_output(f.g, onnx_binary(f.g, "Mul", in, onnx_slice(f.g, in, 0, 1, 1)), "spread");
    write_all(&f);
    onnx_run *r = onnx_run_open(&f.read);
    onnx_run_set(r, "x", x, 24);
    onnx_run_all(r);
    const float *y = onnx_run_get(r, "turned", 24), *slice = onnx_run_get(r, "slice", 16);
    const float *joined = onnx_run_get(r, "joined", 32), *flat = onnx_run_get(r, "flat", 24);
    const float *softmax = onnx_run_get(r, "softmax", 24), *spread = onnx_run_get(r, "spread", 24);
    for (int i = 0; i < 24; i++) {
        const int a = i / 12, b = i / 4 % 3, c = i % 4;
        assert_true(y[(b * 2 + a) * 4 + c] == x[i]);
        assert_true(flat[i] == x[i]);
        assert_true(joined[(a * 4 + 1 + b) * 4 + c] == x[i]);
        assert_true(spread[i] == x[i] * x[12 + i % 12]);
        if (b > 0) assert_true(slice[(a * 2 + b - 1) * 4 + c] == x[i]);
        double sum = 0;
        for (int j = 0; j < 4; j++) sum += exp(x[i - c + j]);
        assert_true(fabs(softmax[i] - exp(x[i]) / sum) < 1e-6);
    }
    onnx_run_close(&r);
    onnx_read_close(&f.read);
}

/* Numbers whose squares FP16 does not hold, small ones, and none. */
static void norms_stay_in_range(void **state) {
    enum { WIDTH = 8 };
    static const float scales[] = {30000, 1, 1e-3f, 0};
    files f;
    begin(*state, &f);
    float x[4 * WIDTH], gain[WIDTH];
    fill(x, 4 * WIDTH, 2);
    fill(gain, WIDTH, 3);
    for (int i = 0; i < 4 * WIDTH; i++) x[i] *= scales[i / WIDTH];
    const onnx_value in = onnx_graph_input(f.g, "x", ONNX_FLOAT, &ONNX_SHAPE(1, 4, WIDTH));
    onnx_graph_output(f.g, onnx_rms_norm(f.g, in, gain, 1e-5f, "gain"), "y");
    write_all(&f);
    onnx_run *r = onnx_run_open(&f.read);
    onnx_run_set(r, "x", x, 4 * WIDTH);
    onnx_run_all(r);
    const float *y = onnx_run_get(r, "y", 4 * WIDTH);
    for (int row = 0; row < 4; row++) {
        double sum = 0;
        for (int i = 0; i < WIDTH; i++) sum += pow(x[row * WIDTH + i], 2);
        const double root = sqrt(sum / WIDTH + 1e-5);
        for (int i = 0; i < WIDTH; i++)
            assert_true(fabs(y[row * WIDTH + i] - x[row * WIDTH + i] / root * gain[i]) < 1e-6);
    }
    assert_true(onnx_run_largest(r) <= 30000); /* FP16 ends at 65504 */
    onnx_run_close(&r);
    onnx_read_close(&f.read);
}

/* Every type that ONNX has a form for gives the numbers of its own rows. */
static void matrices_keep_their_numbers(void **state) {
    enum { ROWS = 7, COLS = 96 };
    static const quant_type types[] = {QUANT_F32, QUANT_F16, QUANT_BF16, QUANT_Q4_0, QUANT_Q8_0};
    for (size_t n = 0; n < sizeof types / sizeof *types; n++) {
        files f;
        begin(*state, &f);
        float numbers[ROWS * COLS], row[COLS], eye[COLS * COLS] = {0};
        unsigned char stored[ROWS * COLS * 4];
        const quant_info *info = quant_describe((uint32_t)types[n]);
        const matrix w = {.data = stored,
                          .type = types[n],
                          .row_count = ROWS,
                          .col_count = COLS,
                          .row_size = COLS / info->block_len * info->block_size};
        fill(numbers, ROWS * COLS, 4 + n);
        for (int i = 0; i < ROWS; i++)
            assert_true(quant_quantise(types[n], numbers + i * COLS,
                                       stored + (size_t)i * w.row_size, COLS));
        for (int i = 0; i < COLS; i++) eye[i * COLS + i] = 1;
        const onnx_value x = onnx_graph_input(f.g, "x", ONNX_FLOAT, &ONNX_SHAPE(1, COLS, COLS));
        onnx_graph_output(f.g, onnx_product(f.g, x, &w, NULL, "w"), "y");
        write_all(&f);
        onnx_run *r = onnx_run_open(&f.read);
        onnx_run_set(r, "x", eye, COLS * COLS);
        onnx_run_all(r);
        const float *y = onnx_run_get(r, "y", ROWS * COLS);
        for (int i = 0; i < ROWS; i++) {
            quant_dequantise(types[n], stored + (size_t)i * w.row_size, row, COLS);
            for (int c = 0; c < COLS; c++) assert_true(y[c * ROWS + i] == row[c]);
        }
        onnx_run_close(&r);
        onnx_read_close(&f.read);
    }
}

static void other_matrices_are_refused(void **state) {
    (void)state;
    rnl_error error = {0};
    matrix w = {.data = (const unsigned char *)"", .type = QUANT_Q4_K, .row_count = 1};
    assert_int_equal(onnx_check_matrix(&w, "blk.0.ffn_up.weight", "a.gguf", &error),
                     RNL_ERR_UNSUPPORTED);
    assert_string_equal(error.text, "a.gguf: 'blk.0.ffn_up.weight' is Q4_K, which ONNX has no form "
                                    "for; write the model as q4_0, q8_0 or f16 first (runnel "
                                    "convert --type)");
    w = (matrix){.data = NULL, .type = QUANT_Q4_0, .row_count = 1};
    assert_int_equal(onnx_check_matrix(&w, "w", "a.gguf", &error), RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "packed"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_is_written_reads_back),
        IN_FOLDER(what_fails_leaves_no_file),
        cmocka_unit_test(sizes_are_checked),
        IN_FOLDER(operators_compute_what_they_are_called),
        IN_FOLDER(norms_stay_in_range),
        IN_FOLDER(matrices_keep_their_numbers),
        cmocka_unit_test(other_matrices_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
