#include "devices/onnx_ops.h"

#include <assert.h>
#include <stdlib.h>

static const onnx_shape *shape_of(const onnx_graph *g, onnx_value v) {
    return onnx_graph_shape(g, v);
}

/* Axis i from the end; 1 where there is none. */
static int64_t dim_back(const onnx_shape *s, int i) {
    return i < s->rank ? s->dims[s->rank - 1 - i] : 1;
}

/* The shape that two make together, the last `skip` axes aside. */
static onnx_shape broadcast(const onnx_shape *a, const onnx_shape *b, int skip) {
    onnx_shape out = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (int i = skip; i < out.rank; i++) {
        const int64_t of_a = dim_back(a, i), of_b = dim_back(b, i);
        assert(of_a == of_b || of_a == 1 || of_b == 1);
        out.dims[out.rank - 1 - i] = of_a > of_b ? of_a : of_b;
    }
    return out;
}

onnx_value onnx_binary(onnx_graph *g, const char *op, onnx_value a, onnx_value b) {
    if (onnx_graph_failed(g)) return 0;
    return onnx_graph_node(g, &(onnx_node){.op = op,
                                           .inputs = {a, b},
                                           .input_count = 2,
                                           .type = onnx_graph_type(g, a),
                                           .shape = broadcast(shape_of(g, a), shape_of(g, b), 0)});
}

onnx_value onnx_unary(onnx_graph *g, const char *op, onnx_value x) {
    return onnx_graph_node(g, &(onnx_node){.op = op,
                                           .inputs = {x},
                                           .input_count = 1,
                                           .type = onnx_graph_type(g, x),
                                           .shape = *shape_of(g, x)});
}

static onnx_value whole_numbers(onnx_graph *g, const int64_t *numbers, int count) {
    return onnx_graph_constant(g, ONNX_INT64, &ONNX_SHAPE(count), numbers);
}

onnx_value onnx_number(onnx_graph *g, float number) {
    return onnx_graph_constant(g, ONNX_FLOAT, &ONNX_SHAPE(1), &number);
}

onnx_value onnx_zeros(onnx_graph *g, onnx_shape shape) {
    void *zeros = calloc(onnx_size_of(ONNX_FLOAT, shape), 1);
    const onnx_value v = onnx_graph_constant(g, ONNX_FLOAT, &shape, zeros);
    free(zeros);
    return v;
}

onnx_value onnx_halving(onnx_graph *g, onnx_value x, onnx_value w, onnx_value bias, int64_t group) {
    if (onnx_graph_failed(g)) return 0;
    const onnx_shape *in = shape_of(g, x);
    assert(in->rank == 4 && in->dims[1] == shape_of(g, w)->dims[1] * group);
    const onnx_shape shape =
        ONNX_SHAPE(1, shape_of(g, w)->dims[0], (in->dims[2] + 1) / 2, (in->dims[3] + 1) / 2);
    return onnx_graph_node(
        g, &(onnx_node){.op = "Conv",
                        .inputs = {x, w, bias},
                        .input_count = 3,
                        .attributes = {{.name = "strides", .count = 2, .values = {2, 2}},
                                       {.name = "pads", .count = 4, .values = {1, 1, 1, 1}},
                                       {.name = "kernel_shape", .count = 2, .values = {3, 3}},
                                       {.name = "group", .values = {group}}},
                        .attribute_count = 4,
                        .type = ONNX_FLOAT,
                        .shape = shape});
}

onnx_value onnx_reduce(onnx_graph *g, const char *op, onnx_value x) {
    if (onnx_graph_failed(g)) return 0;
    onnx_shape shape = *shape_of(g, x);
    const int64_t last = -1;
    shape.dims[shape.rank - 1] = 1;
    return onnx_graph_node(g, &(onnx_node){.op = op,
                                           .inputs = {x, whole_numbers(g, &last, 1)},
                                           .input_count = 2,
                                           .attributes = {{.name = "keepdims", .values = {1}}},
                                           .attribute_count = 1,
                                           .type = onnx_graph_type(g, x),
                                           .shape = shape});
}

onnx_value onnx_softmax(onnx_graph *g, onnx_value x) {
    return onnx_graph_node(g, &(onnx_node){.op = "Softmax",
                                           .inputs = {x},
                                           .input_count = 1,
                                           .attributes = {{.name = "axis", .values = {-1}}},
                                           .attribute_count = 1,
                                           .type = onnx_graph_type(g, x),
                                           .shape = *shape_of(g, x)});
}

onnx_value onnx_cast(onnx_graph *g, onnx_value x, onnx_type type) {
    if (onnx_graph_type(g, x) == type) return x;
    return onnx_graph_node(g, &(onnx_node){.op = "Cast",
                                           .inputs = {x},
                                           .input_count = 1,
                                           .attributes = {{.name = "to", .values = {type}}},
                                           .attribute_count = 1,
                                           .type = type,
                                           .shape = *shape_of(g, x)});
}

onnx_value onnx_matmul(onnx_graph *g, onnx_value a, onnx_value b) {
    if (onnx_graph_failed(g)) return 0;
    const onnx_shape *of_a = shape_of(g, a), *of_b = shape_of(g, b);
    assert(of_a->rank >= 2 && of_b->rank >= 2 && dim_back(of_a, 0) == dim_back(of_b, 1));
    onnx_shape shape = broadcast(of_a, of_b, 2);
    shape.dims[shape.rank - 2] = dim_back(of_a, 1);
    shape.dims[shape.rank - 1] = dim_back(of_b, 0);
    return onnx_graph_node(g, &(onnx_node){.op = "MatMul",
                                           .inputs = {a, b},
                                           .input_count = 2,
                                           .type = onnx_graph_type(g, a),
                                           .shape = shape});
}

onnx_value onnx_concat(onnx_graph *g, onnx_value a, onnx_value b, int axis) {
    if (onnx_graph_failed(g)) return 0;
    onnx_shape shape = *shape_of(g, a);
    const onnx_shape *other = shape_of(g, b);
    assert(axis < shape.rank && shape.rank == other->rank);
    for (int i = 0; i < shape.rank; i++) assert(i == axis || shape.dims[i] == other->dims[i]);
    shape.dims[axis] += other->dims[axis];
    return onnx_graph_node(g, &(onnx_node){.op = "Concat",
                                           .inputs = {a, b},
                                           .input_count = 2,
                                           .attributes = {{.name = "axis", .values = {axis}}},
                                           .attribute_count = 1,
                                           .type = onnx_graph_type(g, a),
                                           .shape = shape});
}

onnx_value onnx_slice(onnx_graph *g, onnx_value x, int axis, int64_t begin, int64_t count) {
    if (onnx_graph_failed(g)) return 0;
    onnx_shape shape = *shape_of(g, x);
    const int64_t end = begin + count, at = axis;
    assert(axis < shape.rank && begin >= 0 && count >= 1 && end <= shape.dims[axis]);
    if (count == shape.dims[axis]) return x;
    shape.dims[axis] = count;
    return onnx_graph_node(
        g, &(onnx_node){.op = "Slice",
                        .inputs = {x, whole_numbers(g, &begin, 1), whole_numbers(g, &end, 1),
                                   whole_numbers(g, &at, 1)},
                        .input_count = 4,
                        .type = onnx_graph_type(g, x),
                        .shape = shape});
}

static int64_t cells(const onnx_shape *s) {
    int64_t all = 1;
    for (int i = 0; i < s->rank; i++) all *= s->dims[i];
    return all;
}

onnx_value onnx_reshape(onnx_graph *g, onnx_value x, onnx_shape shape) {
    if (onnx_graph_failed(g)) return 0;
    assert(cells(shape_of(g, x)) == cells(&shape));
    return onnx_graph_node(g, &(onnx_node){.op = "Reshape",
                                           .inputs = {x, whole_numbers(g, shape.dims, shape.rank)},
                                           .input_count = 2,
                                           .type = onnx_graph_type(g, x),
                                           .shape = shape});
}

onnx_value onnx_transpose(onnx_graph *g, onnx_value x, const int *order) {
    if (onnx_graph_failed(g)) return 0;
    const onnx_shape *from = shape_of(g, x);
    onnx_node node = {.op = "Transpose",
                      .inputs = {x},
                      .input_count = 1,
                      .attributes = {{.name = "perm", .count = from->rank}},
                      .attribute_count = 1,
                      .type = onnx_graph_type(g, x),
                      .shape = {.rank = from->rank}};
    for (int i = 0; i < from->rank; i++) {
        assert(order[i] >= 0 && order[i] < from->rank);
        node.attributes[0].values[i] = order[i];
        node.shape.dims[i] = from->dims[order[i]];
    }
    return onnx_graph_node(g, &node);
}

onnx_value onnx_vector(onnx_graph *g, const char *name, const float *numbers, int64_t count) {
    onnx_data *d = onnx_graph_data(g);
    if (!onnx_data_has(d, name)) onnx_data_add(d, name, ONNX_FLOAT, &ONNX_SHAPE(count), numbers);
    return onnx_graph_weight(g, name);
}

onnx_value onnx_rms_norm(onnx_graph *g, onnx_value x, const float *gain, float eps,
                         const char *name) {
    if (onnx_graph_failed(g)) return 0;
    const int64_t width = dim_back(shape_of(g, x), 0);
    const onnx_value one = onnx_number(g, 1), small = onnx_number(g, eps);
    const onnx_value largest = onnx_reduce(g, "ReduceMax", onnx_unary(g, "Abs", x));
    const onnx_value scale = onnx_binary(g, "Max", largest, one);
    const onnx_value y = onnx_binary(g, "Div", x, scale);
    /* By the scale twice: its square is what might be too large. */
    const onnx_value floor = onnx_binary(g, "Div", onnx_binary(g, "Div", small, scale), scale);
    const onnx_value mean = onnx_reduce(g, "ReduceMean", onnx_binary(g, "Mul", y, y));
    const onnx_value root = onnx_unary(g, "Sqrt", onnx_binary(g, "Add", mean, floor));
    return onnx_binary(g, "Mul", onnx_binary(g, "Div", y, root), onnx_vector(g, name, gain, width));
}
