#include "devices/onnx_encoder.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "devices/onnx_ops.h"
#include "devices/onnx_stack.h"

const char *const onnx_encoder_names[ONNX_ENCODER_INPUT_COUNT] = {"mel", "first", "second", "there",
                                                                  "mask"};

typedef struct builder {
    const encoder_weights *w;
    onnx_graph *g;
    int64_t frames, rows; /* rows: positions */
    onnx_value inputs[ONNX_ENCODER_INPUT_COUNT];
    int layer;
} builder;

static const float norm_eps = 1e-5f; /* audio.md 4.3 */

/* ---- Checks ---- */

typedef struct named {
    const matrix *w;
    const char *name;
} named;

static rnl_status check_all(const named *list, size_t count, int layer, const char *file,
                            rnl_error *error) {
    rnl_status status = RNL_OK;
    for (size_t i = 0; i < count && status == RNL_OK; i++) {
        char name[ONNX_NAME_CAP];
        if (layer < 0)
            (void)snprintf(name, sizeof name, "a.%s.weight", list[i].name);
        else
            (void)snprintf(name, sizeof name, "a.blk.%d.%s.weight", layer, list[i].name);
        status = onnx_check_matrix(list[i].w, name, file, error);
    }
    return status;
}

rnl_status onnx_encoder_check(const encoder_weights *w, const char *file, rnl_error *error) {
    const named front[] = {{&w->subsampling.point[0], "conv1d.3"},
                           {&w->subsampling.point[1], "conv1d.6"},
                           {&w->subsampling.out, "pre_encode.out"}};
    rnl_status status = check_all(front, sizeof front / sizeof *front, -1, file, error);
    for (int i = 0; i < w->layer_count && status == RNL_OK; i++) {
        const encoder_layer *y = &w->layers[i];
        const named all[] = {{&y->ff1.up, "ffn_up"},
                             {&y->ff1.down, "ffn_down"},
                             {&y->ff2.up, "ffn_up_1"},
                             {&y->ff2.down, "ffn_down_1"},
                             {&y->q, "attn_q"},
                             {&y->k, "attn_k"},
                             {&y->v, "attn_v"},
                             {&y->out, "attn_out"},
                             {&y->position, "linear_pos"},
                             {&y->point1, "conv_pw1"},
                             {&y->point2, "conv_pw2"}};
        status = check_all(all, sizeof all / sizeof *all, i, file, error);
    }
    return status;
}

/* ---- Inputs ---- */

onnx_shape onnx_encoder_shape(const encoder_weights *w, int frame_count, onnx_encoder_input input) {
    const int64_t frames = frame_count, rows = frame_count / ONNX_ENCODER_STEP;
    switch (input) {
    case ONNX_ENCODER_MEL:
        return ONNX_SHAPE(1, 1, frames, w->subsampling.band_count);
    case ONNX_ENCODER_FIRST:
        return ONNX_SHAPE(1, 1, frames / 2, 1);
    case ONNX_ENCODER_SECOND:
        return ONNX_SHAPE(1, 1, frames / 4, 1);
    case ONNX_ENCODER_THERE:
        return ONNX_SHAPE(1, rows, 1);
    default:
        return ONNX_SHAPE(1, 1, rows);
    }
}

void onnx_encoder_fill(const encoder_weights *w, int frame_count, const float *mel, int count,
                       float *const *inputs) {
    const size_t bands = (size_t)w->subsampling.band_count;
    const int rows = frame_count / ONNX_ENCODER_STEP, there = encoder_position_count(count);
    const int first = (count + 1) / 2, second = (first + 1) / 2;
    assert(count <= frame_count);
    memcpy(inputs[ONNX_ENCODER_MEL], mel, (size_t)count * bands * sizeof *mel);
    memset(inputs[ONNX_ENCODER_MEL] + (size_t)count * bands, 0,
           (size_t)(frame_count - count) * bands * sizeof *mel);
    for (int i = 0; i < frame_count / 2; i++) inputs[ONNX_ENCODER_FIRST][i] = i < first ? 1 : 0;
    for (int i = 0; i < frame_count / 4; i++) inputs[ONNX_ENCODER_SECOND][i] = i < second ? 1 : 0;
    for (int i = 0; i < rows; i++) {
        inputs[ONNX_ENCODER_THERE][i] = i < there ? 1 : 0;
        inputs[ONNX_ENCODER_MASK][i] = i < there ? 0 : ONNX_UNSEEN;
    }
}

/* ---- Subsampling ---- */

/* taps [9, channels] as [channels, 1, 3, 3]. */
static onnx_value kernel(const builder *b, const float *taps, int64_t channels, const char *name) {
    onnx_data *d = onnx_graph_data(b->g);
    if (!onnx_data_has(d, name)) {
        float *turned = malloc((size_t)channels * 9 * sizeof *turned);
        for (int64_t c = 0; c < channels && turned != NULL; c++)
            for (int tap = 0; tap < 9; tap++) turned[c * 9 + tap] = taps[tap * channels + c];
        if (turned != NULL)
            onnx_data_add(d, name, ONNX_FLOAT, &ONNX_SHAPE(channels, 1, 3, 3), turned);
        else
            onnx_data_exhausted(d, name);
        free(turned);
    }
    return onnx_graph_weight(b->g, name);
}

/* 3 x 3 taps, every second row and band; group: the input's channels, each for itself, or 1. */
static onnx_value halve(const builder *b, onnx_value x, const float *taps, const float *bias,
                        int64_t group, const char *name) {
    const int64_t channels = b->w->subsampling.channel_count;
    char bias_name[ONNX_NAME_CAP];
    (void)snprintf(bias_name, sizeof bias_name, "%s.bias", name);
    return onnx_halving(b->g, x, kernel(b, taps, channels, name),
                        onnx_vector(b->g, bias_name, bias, channels), group);
}

/* x [1, channels, rows, bands] -> the same through a matrix for each cell. */
static onnx_value point(const builder *b, onnx_value x, const matrix *w, const float *bias,
                        const char *name) {
    static const int last[] = {0, 2, 3, 1}, back[] = {0, 3, 1, 2};
    if (onnx_graph_failed(b->g)) return 0;
    const onnx_shape s = *onnx_graph_shape(b->g, x);
    const onnx_value cells = onnx_reshape(b->g, onnx_transpose(b->g, x, last),
                                          ONNX_SHAPE(1, s.dims[2] * s.dims[3], s.dims[1]));
    const onnx_value y = onnx_product(b->g, cells, w, bias, name);
    return onnx_transpose(
        b->g, onnx_reshape(b->g, y, ONNX_SHAPE(1, s.dims[2], s.dims[3], w->row_count)), back);
}

static onnx_value masked(const builder *b, onnx_value x, onnx_encoder_input mask) {
    return onnx_binary(b->g, "Mul", x, b->inputs[mask]);
}

static onnx_value subsampling(const builder *b) {
    static const int by_rows[] = {0, 2, 1, 3};
    const subsampling_weights *w = &b->w->subsampling;
    const int64_t channels = w->channel_count;
    onnx_value x = halve(b, b->inputs[ONNX_ENCODER_MEL], w->conv0, w->bias0, 1, "a.conv1d.0");
    x = masked(b, onnx_unary(b->g, "Relu", x), ONNX_ENCODER_FIRST);
    x = halve(b, x, w->depth[0], w->depth_bias[0], channels, "a.conv1d.2");
    x = point(b, x, &w->point[0], w->point_bias[0], "a.conv1d.3");
    x = masked(b, onnx_unary(b->g, "Relu", x), ONNX_ENCODER_SECOND);
    x = halve(b, x, w->depth[1], w->depth_bias[1], channels, "a.conv1d.5");
    x = point(b, x, &w->point[1], w->point_bias[1], "a.conv1d.6");
    x = onnx_unary(b->g, "Relu", x);
    const onnx_value flat = onnx_reshape(b->g, onnx_transpose(b->g, x, by_rows),
                                         ONNX_SHAPE(1, b->rows, channels * w->out_bands));
    return onnx_product(b->g, flat, &w->out, w->out_bias, "a.pre_encode.out");
}

/* ---- Layers ---- */

static const char *name_of(const builder *b, char out[ONNX_NAME_CAP], const char *name) {
    (void)snprintf(out, ONNX_NAME_CAP, "a.blk.%d.%s", b->layer, name);
    return out;
}

static onnx_value product(const builder *b, onnx_value x, const matrix *w, const float *bias,
                          const char *name) {
    char full[ONNX_NAME_CAP];
    return onnx_product(b->g, x, w, bias, name_of(b, full, name));
}

static onnx_value vector(const builder *b, const float *numbers, int64_t count, const char *name) {
    char full[ONNX_NAME_CAP];
    return onnx_vector(b->g, name_of(b, full, name), numbers, count);
}

/* The norm of layers: of what is left without the mean, an RMS norm. */
static onnx_value norm(const builder *b, onnx_value x, const encoder_norm *n, const char *name) {
    char full[ONNX_NAME_CAP], bias[32];
    const onnx_value rest = onnx_binary(b->g, "Sub", x, onnx_reduce(b->g, "ReduceMean", x));
    (void)snprintf(bias, sizeof bias, "%s.bias", name);
    return onnx_binary(b->g, "Add",
                       onnx_rms_norm(b->g, rest, n->gain, norm_eps, name_of(b, full, name)),
                       vector(b, n->bias, b->w->width, bias));
}

static onnx_value silu(const builder *b, onnx_value x) {
    return onnx_binary(b->g, "Mul", x, onnx_unary(b->g, "Sigmoid", x));
}

/* x + 1/2 FF(LN(x)); ending: "" or "_1". */
static onnx_value feed_forward(const builder *b, onnx_value x, const encoder_ff *ff,
                               const char *ending) {
    char names[3][32];
    (void)snprintf(names[0], sizeof names[0], "ffn_norm%s", ending);
    (void)snprintf(names[1], sizeof names[1], "ffn_up%s", ending);
    (void)snprintf(names[2], sizeof names[2], "ffn_down%s", ending);
    const onnx_value normed = norm(b, x, &ff->norm, names[0]);
    const onnx_value wide = silu(b, product(b, normed, &ff->up, ff->up_bias, names[1]));
    const onnx_value y = product(b, wide, &ff->down, ff->down_bias, names[2]);
    return onnx_binary(b->g, "Add", x, onnx_binary(b->g, "Mul", y, onnx_number(b->g, 0.5f)));
}

/* [1, 2 * rows - 1, width]: sines of relative positions, row rows - 1 - d of distance d (audio.md
 * 4.2). */
static onnx_value distances(const builder *b) {
    onnx_data *d = onnx_graph_data(b->g);
    const int64_t width = b->w->width, count = 2 * b->rows - 1;
    char name[ONNX_NAME_CAP];
    (void)snprintf(name, sizeof name, "a.distances.%d", (int)b->rows);
    if (!onnx_data_has(d, name)) {
        float *table = calloc((size_t)count * (size_t)width, sizeof *table);
        for (int64_t r = 0; r < count && table != NULL; r++)
            for (int64_t q = 0; q < width / 2; q++) {
                const double turn = exp(-log(10000.0) * 2.0 * (double)q / (double)width);
                const double angle = (double)(b->rows - 1 - r) * turn;
                table[r * width + 2 * q] = (float)sin(angle);
                table[r * width + 2 * q + 1] = (float)cos(angle);
            }
        if (table != NULL)
            onnx_data_add(d, name, ONNX_FLOAT, &ONNX_SHAPE(1, count, width), table);
        else
            onnx_data_exhausted(d, name);
        free(table);
    }
    return onnx_graph_weight(b->g, name);
}

/* x [1, count, width] -> [heads, count, head width]. */
static onnx_value by_heads(const builder *b, onnx_value x, int64_t count) {
    static const int order[] = {1, 0, 2};
    const onnx_shape shape = ONNX_SHAPE(count, b->w->head_count, b->w->head_width);
    return onnx_transpose(b->g, onnx_reshape(b->g, x, shape), order);
}

/* [heads, rows, 2 * rows - 1], a column a distance, -> [heads, rows, rows], a column a key: in rows
 * that are one shorter, each begins one further on. */
static onnx_value by_keys(const builder *b, onnx_value moved) {
    const int64_t heads = b->w->head_count, rows = b->rows, all = 2 * rows - 1;
    const onnx_value flat = onnx_reshape(b->g, moved, ONNX_SHAPE(heads, rows * all));
    const onnx_value shifted = onnx_slice(b->g, flat, 1, rows - 1, rows * (all - 1));
    return onnx_slice(b->g, onnx_reshape(b->g, shifted, ONNX_SHAPE(heads, rows, all - 1)), 2, 0,
                      rows);
}

/* x + ATT(LN(x)) */
static onnx_value attention(const builder *b, onnx_value x, const encoder_layer *y) {
    static const int across[] = {0, 2, 1}, back[] = {1, 0, 2};
    const int64_t rows = b->rows, width = b->w->width;
    const onnx_value scale = onnx_number(b->g, 1.0f / sqrtf((float)b->w->head_width));
    const onnx_value normed = norm(b, x, &y->attention_norm, "ln1");
    const onnx_value q = product(b, normed, &y->q, y->q_bias, "attn_q");
    const onnx_value k = by_heads(b, product(b, normed, &y->k, y->k_bias, "attn_k"), rows);
    const onnx_value v = by_heads(b, product(b, normed, &y->v, y->v_bias, "attn_v"), rows);
    const onnx_value p =
        by_heads(b, product(b, distances(b), &y->position, NULL, "linear_pos"), 2 * rows - 1);
    const onnx_value u = onnx_binary(b->g, "Add", q, vector(b, y->bias_u, width, "pos_bias_u"));
    const onnx_value w = onnx_binary(b->g, "Add", q, vector(b, y->bias_v, width, "pos_bias_v"));
    const onnx_value near = onnx_matmul(b->g, by_heads(b, onnx_binary(b->g, "Mul", u, scale), rows),
                                        onnx_transpose(b->g, k, across));
    const onnx_value far = onnx_matmul(b->g, by_heads(b, onnx_binary(b->g, "Mul", w, scale), rows),
                                       onnx_transpose(b->g, p, across));
    const onnx_value scores = onnx_binary(b->g, "Add", near, by_keys(b, far));
    const onnx_value open = onnx_binary(b->g, "Add", scores, b->inputs[ONNX_ENCODER_MASK]);
    const onnx_value mixed = onnx_matmul(b->g, onnx_softmax(b->g, open), v);
    const onnx_value joined =
        onnx_reshape(b->g, onnx_transpose(b->g, mixed, back), ONNX_SHAPE(1, rows, width));
    return onnx_binary(b->g, "Add", x, product(b, joined, &y->out, y->out_bias, "attn_out"));
}

/* [1, rows, width] -> the same: taps over time, zeros on both sides. */
static onnx_value depthwise(const builder *b, onnx_value x, const encoder_layer *y) {
    const int64_t width = b->w->width, side = b->w->taps / 2;
    onnx_value sum = vector(b, y->depth_bias, width, "conv_dw.bias");
    if (side > 0) {
        const onnx_value none = onnx_zeros(b->g, ONNX_SHAPE(1, side, width));
        x = onnx_concat(b->g, onnx_concat(b->g, none, x, 1), none, 1);
    }
    for (int tap = 0; tap < b->w->taps; tap++) {
        char name[32];
        (void)snprintf(name, sizeof name, "conv_dw.tap%d", tap);
        const onnx_value part =
            onnx_binary(b->g, "Mul", onnx_slice(b->g, x, 1, tap, b->rows),
                        vector(b, y->depth + (int64_t)tap * width, width, name));
        sum = onnx_binary(b->g, "Add", part, sum);
    }
    return sum;
}

/* x + CNV(LN(x)) */
static onnx_value convolution(const builder *b, onnx_value x, const encoder_layer *y) {
    const int64_t width = b->w->width;
    const onnx_value wide =
        product(b, norm(b, x, &y->conv_norm, "norm_conv"), &y->point1, y->point1_bias, "conv_pw1");
    const onnx_value gated =
        onnx_binary(b->g, "Mul", onnx_slice(b->g, wide, 2, 0, width),
                    onnx_unary(b->g, "Sigmoid", onnx_slice(b->g, wide, 2, width, width)));
    onnx_value z = depthwise(b, masked(b, gated, ONNX_ENCODER_THERE), y);
    z = onnx_binary(b->g, "Mul", z, vector(b, y->scale, width, "conv_norm.scale"));
    z = onnx_binary(b->g, "Add", z, vector(b, y->shift, width, "conv_norm.shift"));
    return onnx_binary(b->g, "Add", x,
                       product(b, silu(b, z), &y->point2, y->point2_bias, "conv_pw2"));
}

onnx_graph *onnx_encoder_graph(const encoder_weights *w, int frame_count, onnx_data *data) {
    builder b = {.w = w, .frames = frame_count, .rows = frame_count / ONNX_ENCODER_STEP};
    assert(frame_count % ONNX_ENCODER_STEP == 0 && b.rows >= 2);
    b.g = onnx_graph_create("encoder", data);
    if (b.g == NULL) return NULL;
    for (int i = 0; i < ONNX_ENCODER_INPUT_COUNT; i++) {
        const onnx_shape shape = onnx_encoder_shape(w, frame_count, (onnx_encoder_input)i);
        b.inputs[i] = onnx_graph_input(b.g, onnx_encoder_names[i], ONNX_FLOAT, &shape);
    }
    onnx_value x = subsampling(&b);
    for (b.layer = 0; b.layer < w->layer_count; b.layer++) {
        const encoder_layer *y = &w->layers[b.layer];
        x = feed_forward(&b, x, &y->ff1, "");
        x = attention(&b, x, y);
        x = convolution(&b, x, y);
        x = feed_forward(&b, x, &y->ff2, "_1");
        x = norm(&b, x, &y->out_norm, "ln2");
    }
    onnx_graph_output(b.g, x, "rows");
    return b.g;
}
