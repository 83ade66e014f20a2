#include "tests/support/onnx_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Bytes of a message that are not read yet. */
typedef struct span {
    const unsigned char *at, *end;
} span;

typedef struct field {
    int number;
    uint64_t value; /* of a varint */
    span bytes;     /* of anything with a length */
} field;

static uint64_t varint(span *s) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(s->at < s->end && shift < 64);
        const unsigned char byte = *s->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) return value;
    }
}

static bool next(span *s, field *f) {
    if (s->at == s->end) return false;
    const uint64_t tag = varint(s);
    *f = (field){.number = (int)(tag >> 3)};
    if ((tag & 7) == 0) {
        f->value = varint(s);
    } else {
        assert_int_equal(tag & 7, 2);
        const uint64_t size = varint(s);
        assert_true(size <= (uint64_t)(s->end - s->at));
        f->bytes = (span){s->at, s->at + size};
        s->at += size;
    }
    return true;
}

static void text(const field *f, char *out, size_t cap) {
    const size_t size = (size_t)(f->bytes.end - f->bytes.at);
    assert_true(size < cap);
    memcpy(out, f->bytes.at, size);
    out[size] = '\0';
}

static void *grow(void *array, int count, size_t size) {
    if ((count & (count - 1)) != 0) return array; /* doubled at powers of two */
    void *grown = realloc(array, (size_t)(count == 0 ? 1 : 2 * count) * size);
    assert_non_null(grown);
    return grown;
}

static void add_dim(onnx_shape *s, int64_t size) {
    assert_true(s->rank < ONNX_RANK_CAP);
    s->dims[s->rank++] = size;
}

/* ---- Tensors ---- */

static void read_pair(span s, char key[32], char value[ONNX_NAME_CAP]) {
    field f;
    while (next(&s, &f)) text(&f, f.number == 1 ? key : value, f.number == 1 ? 32 : ONNX_NAME_CAP);
}

static void place_external(const onnx_read *r, span pair, const char *data, onnx_read_tensor *t) {
    char key[32] = "", value[ONNX_NAME_CAP] = "";
    read_pair(pair, key, value);
    if (strcmp(key, "location") == 0)
        assert_string_equal(value, strrchr(data, '/') + 1);
    else if (strcmp(key, "offset") == 0)
        t->offset = strtoull(value, NULL, 10);
    else if (strcmp(key, "length") == 0)
        t->size = (size_t)strtoull(value, NULL, 10);
    else
        fail_msg("an external tensor has '%s'", key);
    assert_non_null(r->data.data);
}

static onnx_read_tensor read_tensor(const onnx_read *r, span s, const char *data) {
    onnx_read_tensor t = {0};
    field f;
    while (next(&s, &f)) {
        if (f.number == 1) add_dim(&t.shape, (int64_t)f.value);
        if (f.number == 2) t.type = (onnx_type)f.value;
        if (f.number == 8) text(&f, t.name, sizeof t.name);
        if (f.number == 9) t.data = f.bytes.at, t.size = (size_t)(f.bytes.end - f.bytes.at);
        if (f.number == 13) place_external(r, f.bytes, data, &t);
        if (f.number == 14) t.external = f.value == 1;
    }
    size_t size = 0;
    assert_true(onnx_size(t.type, &t.shape, &size));
    assert_int_equal(t.size, size);
    if (t.external) {
        assert_null(t.data);
        assert_true(t.offset <= r->data.size && t.size <= r->data.size - t.offset);
        t.data = r->data.data + t.offset;
    }
    return t;
}

static void read_shape(span s, onnx_shape *out) {
    field f, dim;
    while (next(&s, &f)) {
        assert_int_equal(f.number, 1);
        while (next(&f.bytes, &dim)) {
            assert_int_equal(dim.number, 1); /* a fixed size, no name for one */
            add_dim(out, (int64_t)dim.value);
        }
    }
}

static onnx_read_tensor read_value(span s) {
    onnx_read_tensor t = {0};
    field f, type, tensor;
    while (next(&s, &f)) {
        if (f.number == 1) text(&f, t.name, sizeof t.name);
        if (f.number != 2) continue;
        assert_true(next(&f.bytes, &type) && type.number == 1);
        while (next(&type.bytes, &tensor)) {
            if (tensor.number == 1) t.type = (onnx_type)tensor.value;
            if (tensor.number == 2) read_shape(tensor.bytes, &t.shape);
        }
    }
    return t;
}

/* ---- Nodes ---- */

static void read_attribute(span s, onnx_read_attribute *out) {
    field f;
    int64_t kind = 0;
    *out = (onnx_read_attribute){0};
    while (next(&s, &f)) {
        if (f.number == 1) text(&f, out->name, sizeof out->name);
        if (f.number == 3) out->values[0] = (int64_t)f.value;
        if (f.number == 8) {
            assert_true(out->count < ONNX_RANK_CAP);
            out->values[out->count++] = (int64_t)f.value;
        }
        if (f.number == 20) kind = (int64_t)f.value;
    }
    assert_int_equal(kind, out->count > 0 ? 7 : 2);
}

static onnx_read_node read_node(span s) {
    onnx_read_node n = {0};
    field f;
    while (next(&s, &f)) {
        if (f.number == 1) {
            assert_true(n.input_count < ONNX_RANK_CAP);
            text(&f, n.inputs[n.input_count++], ONNX_NAME_CAP);
        }
        if (f.number == 2) text(&f, n.output, sizeof n.output);
        if (f.number == 4) text(&f, n.op, sizeof n.op);
        if (f.number == 5) {
            assert_true(n.attribute_count < ONNX_RANK_CAP);
            read_attribute(f.bytes, &n.attributes[n.attribute_count++]);
        }
        if (f.number == 7) text(&f, n.domain, sizeof n.domain);
    }
    return n;
}

/* ---- The file ---- */

static void read_graph(onnx_read *r, span s, const char *data) {
    field f;
    while (next(&s, &f)) {
        if (f.number == 1) {
            r->nodes = grow(r->nodes, r->node_count, sizeof *r->nodes);
            r->nodes[r->node_count++] = read_node(f.bytes);
        }
        if (f.number == 5) {
            r->initializers = grow(r->initializers, r->initializer_count, sizeof *r->initializers);
            r->initializers[r->initializer_count++] = read_tensor(r, f.bytes, data);
        }
        if (f.number == 11) {
            r->inputs = grow(r->inputs, r->input_count, sizeof *r->inputs);
            r->inputs[r->input_count++] = read_value(f.bytes);
        }
        if (f.number == 12) {
            r->outputs = grow(r->outputs, r->output_count, sizeof *r->outputs);
            r->outputs[r->output_count++] = read_value(f.bytes);
        }
    }
}

static void read_opset(onnx_read *r, span s) {
    char domain[32] = "";
    int64_t version = 0;
    field f;
    while (next(&s, &f)) {
        if (f.number == 1) text(&f, domain, sizeof domain);
        if (f.number == 2) version = (int64_t)f.value;
    }
    if (domain[0] == '\0')
        r->opset = version;
    else if (strcmp(domain, "com.microsoft") == 0)
        r->opset_microsoft = version;
    else
        fail_msg("operators of '%s'", domain);
}

/* Every name is made once, and before it is used. */
static void check_names(const onnx_read *r) {
    for (int i = 0; i < r->node_count; i++) {
        const onnx_read_node *n = &r->nodes[i];
        for (int j = 0; j < n->input_count; j++) {
            int made = onnx_read_find(r->inputs, r->input_count, n->inputs[j]) != NULL;
            made += onnx_read_find(r->initializers, r->initializer_count, n->inputs[j]) != NULL;
            for (int k = 0; k < i; k++) made += strcmp(r->nodes[k].output, n->inputs[j]) == 0;
            if (made != 1) fail_msg("'%s' was made %d times before node %d", n->inputs[j], made, i);
        }
    }
}

void onnx_read_open(const char *path, const char *data, onnx_read *out) {
    rnl_error error = {0};
    *out = (onnx_read){0};
    if (mapped_open(path, &out->file, &error) != RNL_OK) fail_msg("%s", error.text);
    if (mapped_open(data, &out->data, &error) != RNL_OK) fail_msg("%s", error.text);
    span s = {out->file.data, out->file.data + out->file.size};
    field f;
    while (next(&s, &f)) {
        if (f.number == 1) out->ir_version = (int64_t)f.value;
        if (f.number == 7) read_graph(out, f.bytes, data);
        if (f.number == 8) read_opset(out, f.bytes);
    }
    check_names(out);
}

void onnx_read_close(onnx_read *r) {
    mapped_close(&r->file);
    mapped_close(&r->data);
    free(r->nodes);
    free(r->initializers);
    free(r->inputs);
    free(r->outputs);
    *r = (onnx_read){0};
}

const onnx_read_tensor *onnx_read_find(const onnx_read_tensor *tensors, int count,
                                       const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(tensors[i].name, name) == 0) return &tensors[i];
    return NULL;
}

const onnx_read_attribute *onnx_read_attribute_of(const onnx_read_node *n, const char *name) {
    for (int i = 0; i < n->attribute_count; i++)
        if (strcmp(n->attributes[i].name, name) == 0) return &n->attributes[i];
    fail_msg("%s has no attribute '%s'", n->op, name);
    return NULL;
}
