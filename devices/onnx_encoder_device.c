/* The encoder by ONNX Runtime, a row of encoder_device.h: a clip goes through the graph of the
 * shortest length that it fits in. */
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "devices/onnx.h"
#include "devices/onnx_runner.h"

typedef struct length {
    int frame_count;
    float *inputs[ONNX_ENCODER_INPUT_COUNT];
    float *rows;
    onnx_runner runner;
} length;

typedef struct encoder {
    const encoder_weights *w;
    void *memory; /* of all inputs and outputs */
    length lengths[ONNX_SIZE_CAP];
    int count;
    const length *last; /* that the clip at hand went through */
    int row_count;
    size_t size;
} encoder;

static onnx_shape rows_shape(const encoder_weights *w, int frame_count) {
    return ONNX_SHAPE(1, frame_count / ONNX_ENCODER_STEP, w->width);
}

static void layout(encoder *e, const onnx_set *set, arena *a) {
    for (int i = 0; i < set->count; i++) {
        length *l = &e->lengths[i];
        l->frame_count = set->sizes[i];
        for (int n = 0; n < ONNX_ENCODER_INPUT_COUNT; n++)
            l->inputs[n] =
                arena_take(a,
                           onnx_size_of(ONNX_FLOAT, onnx_encoder_shape(e->w, l->frame_count,
                                                                       (onnx_encoder_input)n)),
                           1);
        l->rows = arena_take(a, onnx_size_of(ONNX_FLOAT, rows_shape(e->w, l->frame_count)), 1);
    }
}

static rnl_status take_memory(encoder *e, const onnx_set *set, rnl_error *error) {
    arena a = {0};
    layout(e, set, &a);
    e->size = a.size_used;
    e->memory = a.overflowed ? NULL : aligned_alloc(ARENA_ALIGN, a.size_used);
    if (e->memory == NULL) return stack_device_no_memory(error);
    memset(e->memory, 0, a.size_used);
    a = (arena){.base = e->memory, .size_cap = e->size};
    layout(e, set, &a);
    return RNL_OK;
}

static rnl_status open_length(encoder *e, length *l, const onnx_device *d, const onnx_place *place,
                              rnl_error *error) {
    onnx_terminal inputs[ONNX_ENCODER_INPUT_COUNT];
    for (int n = 0; n < ONNX_ENCODER_INPUT_COUNT; n++)
        inputs[n] = (onnx_terminal){
            .name = onnx_encoder_names[n],
            .type = ONNX_FLOAT,
            .shape = onnx_encoder_shape(e->w, l->frame_count, (onnx_encoder_input)n),
            .memory = l->inputs[n]};
    const onnx_terminal rows = {.name = "rows",
                                .type = ONNX_FLOAT,
                                .shape = rows_shape(e->w, l->frame_count),
                                .memory = l->rows};
    return onnx_runner_open(&l->runner, d, place, l->frame_count, inputs, ONNX_ENCODER_INPUT_COUNT,
                            &rows, 1, error);
}

static void unload(void *context) {
    encoder *e = context;
    for (int i = 0; i < e->count; i++) onnx_runner_close(&e->lengths[i].runner);
    free(e->memory);
    free(e);
}

static rnl_status open_all(encoder *e, const onnx_device *d, const onnx_set *set,
                           rnl_error *error) {
    onnx_place place;
    rnl_status status = onnx_place_enter(&place, d->cache_path, set, error);
    if (status != RNL_OK) return status;
    for (int i = 0; i < set->count && status == RNL_OK; i++) {
        status = open_length(e, &e->lengths[e->count++], d, &place, error);
        e->size += onnx_runner_weights_size(&place);
    }
    onnx_place_leave(&place);
    return status;
}

static rnl_status load(void *device, const encoder_weights *w, bool exact, void **out,
                       rnl_error *error) {
    (void)exact; /* inputs are never rounded to integers */
    rnl_status status = onnx_encoder_check(w, "the model", error);
    if (status != RNL_OK) return status;
    encoder *e = calloc(1, sizeof *e);
    if (e == NULL) return stack_device_no_memory(error);
    e->w = w;
    const onnx_set set = onnx_set_of_encoder(w);
    status = take_memory(e, &set, error);
    if (status == RNL_OK) status = open_all(e, device, &set, error);
    if (status != RNL_OK)
        unload(e);
    else
        *out = e;
    return status;
}

static size_t memory(const void *context) {
    return ((const encoder *)context)->size;
}

static int frame_cap(const void *context) {
    const encoder *e = context;
    return e->lengths[e->count - 1].frame_count;
}

static rnl_status encode(void *context, const float *mel, int frame_count, rnl_error *error) {
    encoder *e = context;
    int i = 0;
    while (e->lengths[i].frame_count < frame_count) i++;
    onnx_encoder_fill(e->w, e->lengths[i].frame_count, mel, frame_count, e->lengths[i].inputs);
    e->last = &e->lengths[i];
    e->row_count = encoder_position_count(frame_count);
    return onnx_runner_run(&e->last->runner, error);
}

static void take(void *context, float *out) {
    const encoder *e = context;
    memcpy(out, e->last->rows, (size_t)e->row_count * (size_t)e->w->width * sizeof *out);
}

const encoder_device_ops onnx_encoder_ops = {.load = load,
                                             .unload = unload,
                                             .memory = memory,
                                             .frame_cap = frame_cap,
                                             .encode = encode,
                                             .take = take};
