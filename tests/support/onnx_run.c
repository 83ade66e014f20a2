#include "tests/support/onnx_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/quant.h"

/* A value by its name: numbers as floats, whole numbers too (they are small); bytes as they are. */
typedef struct value {
    char name[ONNX_NAME_CAP];
    onnx_shape shape;
    float *numbers;
    const unsigned char *bytes; /* ONNX_UINT8 */
} value;

struct onnx_run {
    const onnx_read *file;
    value *values;
    int count, cap, fixed_count; /* the first are inputs and initialisers */
};

static int64_t cells(const onnx_shape *s) {
    int64_t all = 1;
    for (int i = 0; i < s->rank; i++) all *= s->dims[i];
    return all;
}

static value *add(onnx_run *r, const char *name, const onnx_shape *shape) {
    assert_true(r->count < r->cap);
    value *v = &r->values[r->count++];
    *v = (value){.shape = *shape, .numbers = malloc((size_t)cells(shape) * sizeof(float))};
    assert_non_null(v->numbers);
    (void)snprintf(v->name, sizeof v->name, "%s", name);
    return v;
}

static value *find(const onnx_run *r, const char *name) {
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->values[i].name, name) == 0) return &r->values[i];
    fail_msg("nothing is called '%s'", name);
    return NULL;
}

static void add_initializer(onnx_run *r, const onnx_read_tensor *t) {
    value *v = add(r, t->name, &t->shape);
    v->bytes = t->data;
    for (int64_t i = 0; i < cells(&t->shape); i++) {
        int64_t whole;
        if (t->type == ONNX_FLOAT) {
            memcpy(&v->numbers[i], t->data + 4 * i, 4);
        } else if (t->type == ONNX_INT64) {
            memcpy(&whole, t->data + 8 * i, 8);
            v->numbers[i] = (float)whole;
        } else {
            assert_int_equal(t->type, ONNX_UINT8);
            v->numbers[i] = t->data[i];
        }
    }
}

onnx_run *onnx_run_open(const onnx_read *file) {
    onnx_run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->file = file;
    r->cap = file->input_count + file->initializer_count + file->node_count;
    r->values = calloc((size_t)r->cap, sizeof *r->values);
    assert_non_null(r->values);
    for (int i = 0; i < file->input_count; i++) {
        value *v = add(r, file->inputs[i].name, &file->inputs[i].shape);
        for (int64_t j = 0; j < cells(&v->shape); j++) v->numbers[j] = NAN; /* until it is set */
    }
    for (int i = 0; i < file->initializer_count; i++) add_initializer(r, &file->initializers[i]);
    r->fixed_count = r->count;
    return r;
}

static void drop(onnx_run *r, int from) {
    for (int i = from; i < r->count; i++) free(r->values[i].numbers);
    r->count = from;
}

void onnx_run_close(onnx_run **out) {
    drop(*out, 0);
    free((*out)->values);
    free(*out);
    *out = NULL;
}

void onnx_run_set(onnx_run *r, const char *name, const float *numbers, size_t count) {
    value *v = find(r, name);
    const onnx_read_tensor *t = onnx_read_find(r->file->inputs, r->file->input_count, name);
    assert_non_null(t);
    assert_int_equal(cells(&v->shape), count);
    for (size_t i = 0; i < count; i++)
        v->numbers[i] =
            t->type == ONNX_FLOAT16 ? quant_f16_to_f32(quant_f32_to_f16(numbers[i])) : numbers[i];
}

/* ---- Operators ---- */

/* Where a cell of the shape stands in one that is broadcast to it. */
static int64_t place(const onnx_shape *shape, int64_t cell, const onnx_shape *of) {
    int64_t at = 0, step = 1;
    for (int i = 0; i < shape->rank; i++) {
        const int64_t dim = shape->dims[shape->rank - 1 - i], index = cell % dim;
        cell /= dim;
        if (i >= of->rank) continue;
        const int64_t own = of->dims[of->rank - 1 - i];
        assert_true(own == dim || own == 1);
        if (own > 1) at += index * step;
        step *= own;
    }
    return at;
}

static onnx_shape together(const onnx_shape *a, const onnx_shape *b) {
    onnx_shape out = a->rank >= b->rank ? *a : *b;
    const onnx_shape *other = a->rank >= b->rank ? b : a;
    for (int i = 0; i < other->rank; i++) {
        int64_t *dim = &out.dims[out.rank - 1 - i];
        const int64_t its = other->dims[other->rank - 1 - i];
        assert_true(*dim == its || *dim == 1 || its == 1);
        if (its > *dim) *dim = its;
    }
    return out;
}

static float apply(const char *op, float a, float b) {
    if (strcmp(op, "Add") == 0) return a + b;
    if (strcmp(op, "Sub") == 0) return a - b;
    if (strcmp(op, "Mul") == 0) return a * b;
    if (strcmp(op, "Div") == 0) return a / b;
    if (strcmp(op, "Max") == 0) return a > b ? a : b;
    if (strcmp(op, "Abs") == 0) return fabsf(a);
    if (strcmp(op, "Relu") == 0) return a > 0 ? a : 0;
    if (strcmp(op, "Sqrt") == 0) return sqrtf(a);
    if (strcmp(op, "Sigmoid") == 0) return 1.0f / (1.0f + expf(-a));
    if (strcmp(op, "Identity") == 0 || strcmp(op, "Cast") == 0) return a;
    fail_msg("there is no operator '%s'", op);
    return 0;
}

static void pointwise(onnx_run *r, const onnx_read_node *n, const value *const *in) {
    const value *a = in[0], *b = n->input_count > 1 ? in[1] : in[0];
    const onnx_shape shape = together(&a->shape, &b->shape);
    value *out = add(r, n->output, &shape);
    for (int64_t i = 0; i < cells(&shape); i++)
        out->numbers[i] = apply(n->op, a->numbers[place(&shape, i, &a->shape)],
                                b->numbers[place(&shape, i, &b->shape)]);
}

/* Over the last axis: ReduceMean, ReduceMax, Softmax. */
static void along(onnx_run *r, const onnx_read_node *n, const value *x) {
    const int64_t width = x->shape.dims[x->shape.rank - 1];
    const bool softmax = strcmp(n->op, "Softmax") == 0, mean = strcmp(n->op, "ReduceMean") == 0;
    onnx_shape shape = x->shape;
    if (softmax) {
        assert_int_equal(onnx_read_attribute_of(n, "axis")->values[0], -1);
    } else {
        assert_int_equal(onnx_read_attribute_of(n, "keepdims")->values[0], 1);
        shape.dims[shape.rank - 1] = 1;
    }
    value *out = add(r, n->output, &shape);
    for (int64_t row = 0; row < cells(&x->shape) / width; row++) {
        const float *from = x->numbers + row * width;
        double sum = 0, largest = -INFINITY;
        for (int64_t i = 0; i < width; i++) largest = fmax(largest, from[i]);
        for (int64_t i = 0; i < width; i++) sum += softmax ? exp(from[i] - largest) : from[i];
        for (int64_t i = 0; i < width && softmax; i++)
            out->numbers[row * width + i] = (float)(exp(from[i] - largest) / sum);
        if (!softmax) out->numbers[row] = (float)(mean ? sum / (double)width : largest);
    }
}

static void multiply(onnx_run *r, const onnx_read_node *n, const value *a, const value *b) {
    const int64_t rows = a->shape.dims[a->shape.rank - 2], inner = a->shape.dims[a->shape.rank - 1];
    const int64_t cols = b->shape.dims[b->shape.rank - 1];
    assert_int_equal(b->shape.dims[b->shape.rank - 2], inner);
    onnx_shape outer_a = a->shape, outer_b = b->shape;
    outer_a.rank -= 2, outer_b.rank -= 2;
    const onnx_shape outer = together(&outer_a, &outer_b);
    onnx_shape shape = outer;
    shape.dims[shape.rank++] = rows;
    shape.dims[shape.rank++] = cols;
    value *out = add(r, n->output, &shape);
    for (int64_t o = 0; o < cells(&outer); o++) {
        const float *x = a->numbers + place(&outer, o, &outer_a) * rows * inner;
        const float *w = b->numbers + place(&outer, o, &outer_b) * inner * cols;
        for (int64_t i = 0; i < rows * cols; i++) {
            double sum = 0;
            for (int64_t k = 0; k < inner; k++)
                sum += (double)x[i / cols * inner + k] * (double)w[k * cols + i % cols];
            out->numbers[o * rows * cols + i] = (float)sum;
        }
    }
}

/* The weight of column k in row j, by com.microsoft's own words: blocks along K, codes of the lower
 * columns in the lower bits, zero in the middle. */
static float weight_at(const onnx_read_node *n, const value *codes, const value *scales, int64_t j,
                       int64_t k, int64_t blocks) {
    const int64_t bits = onnx_read_attribute_of(n, "bits")->values[0];
    const int64_t block = onnx_read_attribute_of(n, "block_size")->values[0];
    const int64_t row = j * blocks + k / block, at = k % block;
    const unsigned char *own = codes->bytes + row * (block * bits / 8);
    const int code = bits == 8 ? own[at] : own[at / 2] >> (at % 2 * 4) & 15;
    return (float)(code - (bits == 8 ? 128 : 8)) * scales->numbers[row];
}

static void multiply_blocks(onnx_run *r, const onnx_read_node *n, const value *const *in) {
    const int64_t inner = onnx_read_attribute_of(n, "K")->values[0];
    const int64_t cols = onnx_read_attribute_of(n, "N")->values[0];
    const int64_t block = onnx_read_attribute_of(n, "block_size")->values[0];
    const int64_t blocks = (inner + block - 1) / block;
    onnx_shape shape = in[0]->shape;
    assert_int_equal(shape.rank, 3); /* Hexagon takes no others */
    assert_int_equal(shape.dims[2], inner);
    assert_int_equal(cells(&in[2]->shape), cols * blocks);
    shape.dims[2] = cols;
    value *out = add(r, n->output, &shape);
    const int64_t rows = shape.dims[0] * shape.dims[1];
    for (int64_t j = 0; j < cols; j++)
        for (int64_t i = 0; i < rows; i++) {
            double sum = 0;
            for (int64_t k = 0; k < inner; k++)
                sum += (double)in[0]->numbers[i * inner + k] *
                       (double)weight_at(n, in[1], in[2], j, k, blocks);
            out->numbers[i * cols + j] = (float)sum;
        }
}

static void concat(onnx_run *r, const onnx_read_node *n, const value *a, const value *b) {
    const int axis = (int)onnx_read_attribute_of(n, "axis")->values[0];
    onnx_shape shape = a->shape;
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < axis; i++) outer *= shape.dims[i];
    for (int i = axis + 1; i < shape.rank; i++) inner *= shape.dims[i];
    const int64_t of_a = a->shape.dims[axis] * inner, of_b = b->shape.dims[axis] * inner;
    shape.dims[axis] += b->shape.dims[axis];
    value *out = add(r, n->output, &shape);
    for (int64_t o = 0; o < outer; o++) {
        float *to = out->numbers + o * (of_a + of_b);
        memcpy(to, a->numbers + o * of_a, (size_t)of_a * sizeof *to);
        memcpy(to + of_a, b->numbers + o * of_b, (size_t)of_b * sizeof *to);
    }
}

static void slice(onnx_run *r, const onnx_read_node *n, const value *const *in) {
    const int64_t begin = (int64_t)in[1]->numbers[0], end = (int64_t)in[2]->numbers[0];
    const int axis = (int)in[3]->numbers[0];
    onnx_shape shape = in[0]->shape;
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < axis; i++) outer *= shape.dims[i];
    for (int i = axis + 1; i < shape.rank; i++) inner *= shape.dims[i];
    const int64_t step = shape.dims[axis] * inner, count = (end - begin) * inner;
    assert_true(begin >= 0 && begin < end && end <= shape.dims[axis]);
    shape.dims[axis] = end - begin;
    value *out = add(r, n->output, &shape);
    for (int64_t o = 0; o < outer; o++)
        memcpy(out->numbers + o * count, in[0]->numbers + o * step + begin * inner,
               (size_t)count * sizeof(float));
}

static void reshape(onnx_run *r, const onnx_read_node *n, const value *x, const value *to) {
    onnx_shape shape = {.rank = (int)to->shape.dims[0]};
    for (int i = 0; i < shape.rank; i++) shape.dims[i] = (int64_t)to->numbers[i];
    assert_int_equal(cells(&shape), cells(&x->shape));
    value *out = add(r, n->output, &shape);
    memcpy(out->numbers, x->numbers, (size_t)cells(&shape) * sizeof(float));
}

static void transpose(onnx_run *r, const onnx_read_node *n, const value *x) {
    const onnx_read_attribute *order = onnx_read_attribute_of(n, "perm");
    onnx_shape shape = {.rank = x->shape.rank};
    int64_t steps[ONNX_RANK_CAP] = {0};
    assert_int_equal(order->count, shape.rank);
    for (int i = 0; i < shape.rank; i++) {
        const int from = (int)order->values[i];
        shape.dims[i] = x->shape.dims[from];
        steps[i] = 1;
        for (int j = from + 1; j < x->shape.rank; j++) steps[i] *= x->shape.dims[j];
    }
    value *out = add(r, n->output, &shape);
    for (int64_t cell = 0; cell < cells(&shape); cell++) {
        int64_t at = 0, left = cell;
        for (int i = shape.rank - 1; i >= 0; i--) {
            at += left % shape.dims[i] * steps[i];
            left /= shape.dims[i];
        }
        out->numbers[cell] = x->numbers[at];
    }
}

/* 3 x 3, as "kernel_shape", "strides" and "pads" must say. */
static void convolve(onnx_run *r, const onnx_read_node *n, const value *const *in) {
    static const char *const names[] = {"kernel_shape", "strides", "pads"};
    static const int64_t numbers[] = {3, 2, 1};
    for (int i = 0; i < 3; i++) {
        const onnx_read_attribute *a = onnx_read_attribute_of(n, names[i]);
        assert_int_equal(a->count, i < 2 ? 2 : 4);
        for (int j = 0; j < a->count; j++) assert_int_equal(a->values[j], numbers[i]);
    }
    const onnx_shape *x = &in[0]->shape, *w = &in[1]->shape;
    const int64_t group = onnx_read_attribute_of(n, "group")->values[0];
    const int64_t own = w->dims[1], per_group = w->dims[0] / group;
    assert_int_equal(own * group, x->dims[1]);
    const onnx_shape shape = {4,
                              {1, w->dims[0], (x->dims[2] - 1) / 2 + 1, (x->dims[3] - 1) / 2 + 1}};
    value *out = add(r, n->output, &shape);
    for (int64_t cell = 0; cell < cells(&shape); cell++) {
        const int64_t f = cell % shape.dims[3], t = cell / shape.dims[3] % shape.dims[2];
        const int64_t c = cell / shape.dims[3] / shape.dims[2];
        double sum = in[2]->numbers[c];
        for (int64_t i = 0; i < own * 9; i++) {
            const int64_t from = c / per_group * own + i / 9;
            const int64_t row = 2 * t + i % 9 / 3 - 1, band = 2 * f + i % 3 - 1;
            if (row < 0 || row >= x->dims[2] || band < 0 || band >= x->dims[3]) continue;
            sum += (double)in[0]->numbers[(from * x->dims[2] + row) * x->dims[3] + band] *
                   (double)in[1]->numbers[c * own * 9 + i];
        }
        out->numbers[cell] = (float)sum;
    }
}

static void run_node(onnx_run *r, const onnx_read_node *n) {
    const value *in[ONNX_RANK_CAP] = {0};
    for (int i = 0; i < n->input_count; i++) in[i] = find(r, n->inputs[i]);
    assert_string_equal(n->domain, strcmp(n->op, "MatMulNBits") == 0 ? "com.microsoft" : "");
    if (strcmp(n->op, "MatMul") == 0)
        multiply(r, n, in[0], in[1]);
    else if (strcmp(n->op, "MatMulNBits") == 0)
        multiply_blocks(r, n, in);
    else if (strcmp(n->op, "Conv") == 0)
        convolve(r, n, in);
    else if (strcmp(n->op, "Concat") == 0)
        concat(r, n, in[0], in[1]);
    else if (strcmp(n->op, "Slice") == 0)
        slice(r, n, in);
    else if (strcmp(n->op, "Reshape") == 0)
        reshape(r, n, in[0], in[1]);
    else if (strcmp(n->op, "Transpose") == 0)
        transpose(r, n, in[0]);
    else if (strncmp(n->op, "Reduce", 6) == 0 || strcmp(n->op, "Softmax") == 0)
        along(r, n, in[0]);
    else
        pointwise(r, n, in);
}

void onnx_run_all(onnx_run *r) {
    drop(r, r->fixed_count);
    for (int i = 0; i < r->file->node_count; i++) run_node(r, &r->file->nodes[i]);
}

const float *onnx_run_get(const onnx_run *r, const char *name, size_t count) {
    const value *v = find(r, name);
    const onnx_read_tensor *t = onnx_read_find(r->file->outputs, r->file->output_count, name);
    assert_non_null(t);
    assert_int_equal(cells(&v->shape), count);
    assert_int_equal(v->shape.rank, t->shape.rank);
    for (int i = 0; i < v->shape.rank; i++) assert_int_equal(v->shape.dims[i], t->shape.dims[i]);
    return v->numbers;
}

double onnx_run_largest(const onnx_run *r) {
    double largest = 0;
    for (int i = 0; i < r->count; i++)
        for (int64_t j = 0; j < cells(&r->values[i].shape); j++)
            largest = fmax(largest, fabs(r->values[i].numbers[j]));
    return largest;
}
