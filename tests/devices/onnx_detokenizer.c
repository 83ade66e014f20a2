/*     codes ─► rows ─► layers ─► hidden ─► last matrix ─► log magnitude, phase ─► inverse STFT
 *                      CPU or device       CPU or device                          CPU
 */
#include "tests/devices/onnx_detokenizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "devices/onnx.h"
#include "engine/session.h"
#include "tests/support/npy.h"
#include "tests/support/rig.h"

enum { CODEBOOKS = 8, STEP = 32 /* rows of a pass */, HEAD_ROWS = 8 };

typedef struct rig {
    rnl_model *model;
    rnl_session *s;
    const lfm_weights *w;
    compute c;
    void *device;
    int row_count;
    float *x; /* [row_count, width] what goes through the layers */
    stack_state state;
    stack_work work;
    void *memory;
} rig;

static void *need(void *memory) {
    assert_non_null(memory);
    return memory;
}

/* ---- Codes ---- */

/* The first answer of the demo model's reference. [*count, CODEBOOKS]; free() them. */
static int32_t *spoken_codes(size_t *count) {
    json_t *all = need(json_load_file(TEST_DATA "/minnow/expected.json", 0, NULL));
    const json_t *frames =
        need(json_object_get(json_array_get(json_object_get(all, "typed"), 0), "reply_frames"));
    *count = json_array_size(frames);
    int32_t *codes = need(malloc(*count * CODEBOOKS * sizeof *codes));
    for (size_t i = 0; i < *count * CODEBOOKS; i++)
        codes[i] = (int32_t)json_integer_value(
            json_array_get(json_array_get(frames, i / CODEBOOKS), i % CODEBOOKS));
    json_decref(all);
    return codes;
}

/* Likewise of the random checkpoint, by chance. */
static int32_t *random_codes(size_t *count) {
    npy by_book = npy_read("tiny/expect/detok7/codes.npy"); /* [CODEBOOKS, frames] */
    *count = (size_t)by_book.shape[1];
    int32_t *codes = need(malloc(*count * CODEBOOKS * sizeof *codes));
    for (size_t i = 0; i < *count * CODEBOOKS; i++)
        codes[i] = by_book.i[i % CODEBOOKS * *count + i / CODEBOOKS];
    npy_free(&by_book);
    return codes;
}

/* Their rows, one frame after the other. */
static void embed_all(rig *r, const int32_t *all, size_t frame_count) {
    const size_t width = (size_t)r->w->stack.config.width;
    float *row = need(malloc(width * sizeof *row));
    int count = 0;
    r->x = need(calloc(frame_count * LFM_POSITIONS * width, sizeof *r->x));
    for (size_t f = 0; f < frame_count; f++) {
        const int32_t *codes = all + f * CODEBOOKS;
        if (!lfm_has_sound(r->w, codes)) continue;
        float *to = r->x + (size_t)count * width;
        for (int b = 0; b < CODEBOOKS; b++) {
            matrix_row(&r->c, &r->w->embedding, (int64_t)b * r->w->code_count + codes[b], row);
            for (size_t i = 0; i < width; i++) to[i] += row[i] / CODEBOOKS;
        }
        for (int k = 1; k < LFM_POSITIONS; k++)
            memcpy(to + (size_t)k * width, to, width * sizeof *to);
        count += LFM_POSITIONS;
    }
    r->row_count = count;
    free(row);
}

/* ---- Layers ---- */

static void layout(rig *r, arena *a) {
    const stack_weights *w = &r->w->stack;
    stack_state_layout(&r->state, w, KERNELS_CACHE_F32, r->row_count, STEP, a, a);
    stack_work_layout(&r->work, w, STEP, r->row_count, 1, a);
}

static void open_rig(rig *r, const rnl_device_config *config, const char *provider, bool trained) {
    stack_device_facts facts;
    rnl_error error;
    arena a = {0};
    size_t frame_count;
    *r = (rig){.model = rig_model(trained ? SOURCE_DIR "/samples/minnow/minnow.gguf" : "tiny")};
    r->s = rig_session(r->model, 1);
    r->w = &r->model->codec.lfm;
    r->c = session_compute(r->s);
    int32_t *codes = trained ? spoken_codes(&frame_count) : random_codes(&frame_count);
    embed_all(r, codes, frame_count);
    free(codes);
    layout(r, &a);
    r->memory = need(aligned_alloc(ARENA_ALIGN, a.size_used));
    a = (arena){.base = r->memory, .size_cap = a.size_used};
    layout(r, &a);
    if (onnx_device_ops.open(config, provider, &r->device, &facts, &error) != RNL_OK)
        fail_msg("%s", error.text);
}

static void close_rig(rig *r) {
    onnx_device_ops.close(r->device);
    rnl_session_destroy(&r->s);
    rnl_model_close(&r->model);
    free(r->memory);
    free(r->x);
}

/* Behind the layers; stack NULL: by the CPU. free() it. */
static float *hidden_of(rig *r, void *stack) {
    const size_t width = (size_t)r->w->stack.config.width;
    const size_t size = (size_t)r->row_count * width * sizeof *r->x;
    float *x = memcpy(need(malloc(size)), r->x, size);
    stack_reset(&r->state);
    r->state.unseen = 0;
    for (int at = 0; at < r->row_count;) {
        const int count = r->row_count - at < STEP ? r->row_count - at : STEP;
        const stack_piece piece = {.state = &r->state, .count = count};
        const stack_pass whole = {
            .work = &r->work, .c = &r->c, .pieces = &piece, .piece_count = 1, .row_count = count};
        float *rows = x + (size_t)at * width;
        rnl_error error;
        at += count;
        if (stack == NULL) {
            stack_forward(&r->work, &r->c, &piece, 1, rows);
            continue;
        }
        stack_forward_begin(&r->work, &piece, 1);
        if (onnx_device_ops.forward(stack, &whole, rows, &error) != RNL_DONE)
            fail_msg("%s", error.text);
        onnx_device_ops.take(stack, &whole, rows);
        r->state.position = r->state.unseen = at;
    }
    return x;
}

static float *hidden_of_device(rig *r) {
    const stack_device_room room = {
        .row_cap = STEP, .position_cap = r->row_count, .cache = KERNELS_CACHE_F32, .exact = true};
    void *stack = NULL;
    rnl_error error;
    if (onnx_device_ops.load(r->device, &r->w->stack, &room, &stack, &error) != RNL_OK ||
        onnx_device_ops.attach(stack, &r->state, &r->state.mirror, &error) != RNL_OK)
        fail_msg("%s", error.text);
    float *x = hidden_of(r, stack);
    onnx_device_ops.detach(stack, r->state.mirror);
    onnx_device_ops.unload(stack);
    return x;
}

/* ---- Sound ---- */

/* The last matrix, by the CPU or the device. free() it. */
static float *spectra_of(const rig *r, const float *hidden, bool by_device) {
    const size_t width = (size_t)r->w->stack.config.width, size = 2 * (size_t)r->w->bins;
    float *out = need(malloc((size_t)r->row_count * size * sizeof *out));
    rnl_error error;
    for (int at = 0; at < r->row_count; at += HEAD_ROWS) {
        const int count = r->row_count - at < HEAD_ROWS ? r->row_count - at : HEAD_ROWS;
        const float *x = hidden + (size_t)at * width;
        float *y = out + (size_t)at * size;
        if (!by_device)
            linear(&r->c, &r->w->out, NULL, x, width, y, size, count);
        else if (onnx_device_ops.product(r->device, &r->w->out, true, x, count, y, &error) !=
                 RNL_OK)
            fail_msg("%s", error.text);
        for (size_t i = 0; i < (size_t)count * size; i++) y[i] += r->w->out_bias[i % size];
    }
    return out;
}

/* All samples of the answer. free() them. */
static float *sound_of(const rig *r, float *spectra, size_t *count) {
    const istft_weights *w = &r->w->istft;
    const size_t size = 2 * (size_t)r->w->bins;
    float *out = need(calloc((size_t)r->row_count * (size_t)w->hop + (size_t)w->size, sizeof *out));
    istft_state *state = &r->s->live->codec.lfm.istft;
    istft_work *work = r->s->pass->codec.lfm.istft;
    istft_reset(state);
    *count = 0;
    for (int i = 0; i < r->row_count; i++) {
        const float *row = spectra + (size_t)i * size;
        *count += (size_t)istft_push(state, work, row, row + r->w->bins, out + *count);
    }
    *count += (size_t)istft_finish(state, out + *count);
    free(spectra);
    return out;
}

static double snr(const float *want, const float *got, size_t count) {
    double own = 0, off = 0;
    for (size_t i = 0; i < count; i++) {
        own += (double)want[i] * want[i];
        off += ((double)want[i] - got[i]) * ((double)want[i] - got[i]);
    }
    assert_true(own > 0);
    return off > 0 ? 10 * log10(own / off) : DETOKENIZER_SAME;
}

detokenizer_snr onnx_detokenizer_measure(const rnl_device_config *config, const char *provider,
                                         bool trained) {
    detokenizer_snr db;
    size_t count;
    rig r;
    open_rig(&r, config, provider, trained);
    float *by_cpu = hidden_of(&r, NULL), *by_device = hidden_of_device(&r);
    float *want = sound_of(&r, spectra_of(&r, by_cpu, false), &count);
    float *half = sound_of(&r, spectra_of(&r, by_device, false), &count);
    float *whole = sound_of(&r, spectra_of(&r, by_device, true), &count);
    db.stack_db = snr(want, half, count);
    db.head_db = snr(want, whole, count);
    free(by_cpu);
    free(by_device);
    free(want);
    free(half);
    free(whole);
    close_rig(&r);
    return db;
}
