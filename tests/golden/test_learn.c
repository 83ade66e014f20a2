/* Gradients, losses and steps of learning against the reference (HF, PEFT, liquid-audio by torch in
 * float64). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/safetensors.h"
#include "learn/attention.h"
#include "learn/linear_attention.h"
#include "learn/scan.h"
#include "learn/state_space.h"
#include "tests/support/golden.h"
#include "tests/support/learn_rig.h"
#include "tests/support/npy.h"
#include "tests/support/operators.h"
#include "tests/support/pooled.h"
#include "tests/support/rig.h"

static const char text_model[] = "quality/base";

static double run(learn_network *n, const learn_rig_batch *b) {
    const learn_result r = learn_network_run(n, &b->b, true);
    return b->b.text_weight * r.text_nll + b->b.frame_weight * r.frame_loss;
}

static void assert_loss(double got, const char *dir, const char *file) {
    const double want = learn_rig_number(dir, file, "loss");
    printf("loss %.9f, reference %.9f\n", got, want);
    assert_true(fabs(got - want) <= 2e-6 * want);
}

/* ids, labels of "a". */
static void fill_a(learn_rig_batch *b) {
    npy ids = npy_read("learn/text/a-ids.npy"), labels = npy_read("learn/text/a-labels.npy");
    learn_rig_fill(b, ids.i, labels.i, NULL, (int)ids.shape[0], (int)ids.shape[1]);
    npy_free(&ids);
    npy_free(&labels);
}

static void fill_packed(learn_rig_batch *b) {
    npy ids = npy_read("learn/text/packed-ids.npy"),
        labels = npy_read("learn/text/packed-labels.npy");
    npy segments = npy_read("learn/text/packed-segments.npy");
    learn_rig_fill(b, ids.i, labels.i, segments.i, 1, (int)ids.count);
    npy_free(&ids);
    npy_free(&labels);
    npy_free(&segments);
}

typedef struct taps {
    float *grads; /* [2 rows, layers + 1, length, width] */
    int layers, length, width;
} taps;

static void keep_tap(void *context, int layer, const float *dx, int count) {
    const taps *t = context;
    const size_t cells = (size_t)t->length * (size_t)t->width;
    assert_int_equal(count, 2 * t->length);
    for (size_t row = 0; row < 2; row++)
        memcpy(t->grads + (row * (size_t)(t->layers + 1) + (size_t)layer) * cells, dx + row * cells,
               cells * sizeof *dx);
}

static void gradients_of_a_text_model_are_the_reference(void **state) {
    (void)state;
    rnl_model *m = rig_model(text_model);
    const learn_config config = learn_rig_config();
    learn_network *n = learn_rig_network(m, &config);
    learn_rig_batch b;
    fill_a(&b);
    npy want = npy_read("learn/text/a-block-grads.npy");
    taps t = {.layers = (int)want.shape[1] - 1,
              .length = (int)want.shape[2],
              .width = (int)want.shape[3]};
    t.grads = malloc(want.count * sizeof *t.grads);
    n->stack.tap = keep_tap;
    n->stack.tap_context = &t;
    assert_loss(run(n, &b), "learn/text", "a-grads");
    learn_rig_compare(n, LEARN_RIG_GRADIENTS, "learn/text", "a-grads");
    golden_compare("by block", want.f, t.grads, want.count, 1e-6, 1e-7);
    free(t.grads);
    npy_free(&want);
    learn_network_destroy(&n);
    rnl_model_close(&m);
}

static void packed_documents_keep_apart(void **state) {
    (void)state;
    rnl_model *m = rig_model(text_model);
    const learn_config config = learn_rig_config();
    learn_network *n = learn_rig_network(m, &config);
    learn_rig_batch b;
    fill_packed(&b);
    assert_int_equal(b.b.rows.run_count, 3);
    assert_loss(run(n, &b), "learn/text", "packed-grads");
    learn_rig_compare(n, LEARN_RIG_GRADIENTS, "learn/text", "packed-grads");
    learn_network_destroy(&n);
    rnl_model_close(&m);
}

static void gradients_of_an_adapter_are_the_reference(void **state) {
    (void)state;
    rnl_model *m = rig_model(text_model);
    const learn_config config = learn_rig_adapters(4, 2);
    learn_network *n = learn_rig_network(m, &config);
    learn_rig_batch b;
    fill_a(&b);
    learn_rig_load(n, "learn/lora/adapter/adapter_model.safetensors");
    assert_loss(run(n, &b), "learn/lora", "grads");
    learn_rig_compare(n, LEARN_RIG_GRADIENTS, "learn/lora", "grads");
    learn_network_destroy(&n);
    rnl_model_close(&m);
}

/* ---- Steps ---- */

static double number(const json_t *o, const char *key) {
    return json_number_value(json_object_get(o, key));
}

/* What the optimiser sees in a step, against the reference's. */
static void assert_step(const json_t *want, double loss, double norm, double rate) {
    if (fabs(loss - number(want, "loss")) > 2e-5 * number(want, "loss") ||
        fabs(norm - number(want, "grad_norm")) > 2e-4 * number(want, "grad_norm") ||
        fabs(rate - number(want, "lr")) > 1e-12)
        fail_msg("step %d: loss %.9g of %.9g, norm %.9g of %.9g, rate %.9g of %.9g",
                 (int)number(want, "step"), loss, number(want, "loss"), norm,
                 number(want, "grad_norm"), rate, number(want, "lr"));
}

static void check_curve(learn_network *n, const char *dir) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s/curve-final.json", TEST_DATA, dir);
    json_t *root = json_load_file(path, 0, NULL);
    const json_t *h = json_object_get(root, "hyper"), *steps = json_object_get(root, "steps");
    const learn_hyper hyper = {.rate = number(h, "lr"),
                               .beta1 = number(h, "beta1"),
                               .beta2 = number(h, "beta2"),
                               .eps = number(h, "eps"),
                               .decay = number(h, "weight_decay"),
                               .clip = number(h, "clip"),
                               .warmup = (int64_t)number(h, "warmup"),
                               .steps = (int64_t)number(h, "steps"),
                               .floor = number(h, "floor")};
    npy ids = npy_read("learn/text/curve-ids.npy"),
        labels = npy_read("learn/text/curve-labels.npy");
    const int micro = (int)ids.shape[1], rows = (int)ids.shape[2], length = (int)ids.shape[3];
    const size_t cells = (size_t)(rows * length);
    assert_int_equal(ids.shape[0], hyper.steps);
    for (int s = 0; s < (int)hyper.steps; s++) {
        learn_rig_batch b;
        double loss = 0;
        int total = 0;
        learn_tensors_clear(&n->tensors);
        for (int pass = 0; pass < 2; pass++) /* counts the labels of the step, then learns */
            for (int i = 0; i < micro; i++) {
                const size_t at = (size_t)(s * micro + i) * cells;
                learn_rig_fill(&b, ids.i + at, labels.i + at, NULL, rows, length);
                if (pass == 0) {
                    total += b.b.text_count;
                    continue;
                }
                b.b.text_weight = 1.0 / total;
                loss += run(n, &b);
            }
        const double norm = learn_gradient_norm(&n->tensors), factor = learn_schedule(&hyper, s);
        assert_step(json_array_get(steps, (size_t)s), loss, norm, hyper.rate * factor);
        learn_step(&n->tensors, &n->compute, &hyper, s, factor, norm);
    }
    learn_rig_compare(n, LEARN_RIG_VALUES, dir, "curve-final");
    npy_free(&ids);
    npy_free(&labels);
    json_decref(root);
}

static void twenty_steps_of_all_weights_follow_the_reference(void **state) {
    (void)state;
    rnl_model *m = rig_model(text_model);
    const learn_config config = learn_rig_config();
    learn_network *n = learn_rig_network(m, &config);
    check_curve(n, "learn/text");
    learn_network_destroy(&n);
    rnl_model_close(&m);
}

static void twenty_steps_of_an_adapter_follow_the_reference(void **state) {
    (void)state;
    rnl_model *m = rig_model(text_model);
    const learn_config config = learn_rig_adapters(4, 2);
    learn_network *n = learn_rig_network(m, &config);
    learn_rig_load(n, "learn/lora/adapter/adapter_model.safetensors");
    for (int i = 0; i < n->tensors.count; i++) /* A as it is there, B zero */
        if (strstr(n->tensors.all[i].name, ".lora_b") != NULL)
            memset(n->tensors.all[i].value, 0, n->tensors.all[i].count * sizeof(float));
    check_curve(n, "learn/lora");
    learn_network_destroy(&n);
    rnl_model_close(&m);
}

/* ---- Sound ---- */

/* The chat of learn/audio: text 1, heard 2, frames 3; what is supervised is foreseen by the row
 * before it. */
typedef struct chat {
    learn_rig_batch b;
    int32_t *frames; /* [frames, codebooks] */
    npy heard;
} chat;

static void fill_chat(chat *c) {
    npy text = npy_read("learn/audio/text.npy"), frames = npy_read("learn/audio/frames.npy");
    npy modality = npy_read("learn/audio/modality.npy");
    npy supervised = npy_read("learn/audio/supervised.npy");
    const size_t books = (size_t)frames.shape[0], count = (size_t)frames.shape[1];
    *c = (chat){.heard = npy_read("learn/audio/encoder.npy")};
    c->frames = malloc(books * count * sizeof *c->frames);
    for (size_t f = 0; f < count; f++)
        for (size_t k = 0; k < books; k++) c->frames[f * books + k] = frames.i[k * count + f];
    learn_batch *b = &c->b.b;
    int word = 0, frame = 0;
    for (int t = 0; t < (int)modality.count; t++) {
        const int32_t kind = modality.i[t];
        c->b.ids[t] = kind == 1 ? text.i[word] : kind == 2 ? LEARN_ROW_HEARD : LEARN_ROW_FRAME;
        if (t > 0 && supervised.i[t] && kind == 1) {
            c->b.text_at[b->text_count] = t - 1;
            c->b.text_ids[b->text_count++] = text.i[word];
        } else if (t > 0 && supervised.i[t] && kind == 3) {
            c->b.frame_at[b->label_frame_count] = t - 1;
            c->b.frame_of[b->label_frame_count++] = frame;
        }
        word += kind == 1;
        frame += kind == 3;
    }
    c->b.begin[1] = (int)modality.count;
    b->rows = (learn_rows){.count = (int)modality.count, .run_count = 1, .begin = c->b.begin};
    b->ids = c->b.ids, b->text_at = c->b.text_at, b->text_ids = c->b.text_ids;
    b->frame_at = c->b.frame_at, b->frame_of = c->b.frame_of;
    b->heard = c->heard.f, b->heard_count = (int)c->heard.shape[0];
    b->frames = c->frames, b->frame_count = frame;
    b->text_weight = b->frame_weight = 1 / (b->text_count + b->label_frame_count + 1e-6);
    npy_free(&text), npy_free(&frames), npy_free(&modality), npy_free(&supervised);
}

static void gradients_of_an_audio_model_are_the_reference(void **state) {
    (void)state;
    rnl_model *m = rig_model("tiny");
    const learn_config config = learn_rig_config();
    learn_network *n = learn_rig_network(m, &config);
    chat c;
    fill_chat(&c);
    const learn_result r = learn_network_run(n, &c.b.b, true);
    const double text = r.text_nll / (c.b.b.text_count + 1e-6);
    const double sound = r.frame_loss / (c.b.b.label_frame_count + 1e-6);
    assert_loss(c.b.b.text_weight * (r.text_nll + r.frame_loss), "learn/audio", "grads");
    assert_true(fabs(text - learn_rig_number("learn/audio", "grads", "text_loss")) < 1e-4);
    assert_true(fabs(sound - learn_rig_number("learn/audio", "grads", "audio_loss")) < 1e-4);
    learn_rig_compare(n, LEARN_RIG_GRADIENTS, "learn/audio", "grads");
    free(c.frames);
    npy_free(&c.heard);
    learn_network_destroy(&n);
    rnl_model_close(&m);
}

/* ---- Operators alone ---- */

static void a_window_slides_forward_and_back(void **state) {
    (void)state;
    operator_golden o = operator_open("swa");
    int64_t q_shape[TENSOR_RANK_CAP], k_shape[TENSOR_RANK_CAP];
    const float *q = operator_in(&o, "x", q_shape), *k = operator_in(&o, "w.k", k_shape);
    const float *v = operator_in(&o, "w.v", k_shape), *dy = operator_in(&o, "dy", q_shape);
    const size_t count = (size_t)q_shape[0], h = (size_t)q_shape[2];
    const size_t all = (size_t)q_shape[1] * h, kv = (size_t)k_shape[1] * h, cols = all + 2 * kv;
    const stack_layer_config l = {.head_count = (int)q_shape[1],
                                  .kv_head_count = (int)k_shape[1],
                                  .head_width = (int)h,
                                  .window = operator_note(&o, "window")};
    const int begin[] = {0, (int)count};
    const learn_rows rows = {.count = (int)count, .run_count = 1, .begin = begin};
    float *wide = calloc(count * cols, sizeof *wide), *dwide = calloc(count * cols, sizeof *wide);
    float *y = calloc(count * all, sizeof *y), *part = calloc(count * all, sizeof *y);
    for (size_t t = 0; t < count; t++) {
        memcpy(wide + t * cols, q + t * all, all * sizeof *q);
        memcpy(wide + t * cols + all, k + t * kv, kv * sizeof *k);
        memcpy(wide + t * cols + all + kv, v + t * kv, kv * sizeof *v);
    }
    pooled p = pooled_make(&kernels_scalar, 2, 64, false);
    arena measured = {0};
    learn_attention_work work;
    const int group = l.head_count / l.kv_head_count;
    learn_attention_layout(&work, &l, group, (int)count, (int)count, 2, &measured);
    arena placed = {.base = aligned_alloc(ARENA_ALIGN, measured.size_used),
                    .size_cap = measured.size_used};
    learn_attention_layout(&work, &l, group, (int)count, (int)count, 2, &placed);
    const learn_attention own = {.config = &l, .rotary = wide};
    learn_attend(&p.c, &own, &work, &rows, wide, y);
    operator_check(&o, "y", y, count * all);
    learn_attend_back(&p.c, &own, &work, &rows, wide, dy, dwide);
    for (size_t t = 0; t < count; t++) memcpy(part + t * all, dwide + t * cols, all * sizeof *q);
    operator_check(&o, "dx", part, count * all);
    for (size_t t = 0; t < count; t++)
        memcpy(part + t * kv, dwide + t * cols + all, kv * sizeof *q);
    operator_check(&o, "d.k", part, count * kv);
    for (size_t t = 0; t < count; t++)
        memcpy(part + t * kv, dwide + t * cols + all + kv, kv * sizeof *q);
    operator_check(&o, "d.v", part, count * kv);
    free(wide), free(dwide), free(y), free(part), free(placed.base);
    pooled_drop(&p);
    operator_close(&o);
}

/* The bare scan, from a state, with a gradient by the last one. */
static void a_scan_goes_back(void **state) {
    (void)state;
    operator_golden o = operator_open("scan");
    int64_t q_shape[TENSOR_RANK_CAP], v_shape[TENSOR_RANK_CAP];
    const float *q = operator_in(&o, "x", q_shape), *v = operator_in(&o, "w.v", v_shape);
    const float *log = operator_in(&o, "w.l", NULL), *dy = operator_in(&o, "dy", NULL);
    const size_t rows = (size_t)q_shape[0], n = (size_t)q_shape[1], width = (size_t)v_shape[1];
    float *dq = malloc(rows * n * sizeof *dq), *dk = malloc(rows * n * sizeof *dk);
    float *dv = malloc(rows * width * sizeof *dv), *dl = malloc(rows * sizeof *dl);
    float *dstart = malloc(n * width * sizeof *dstart);
    double *l = malloc(rows * sizeof *l);
    for (size_t t = 0; t < rows; t++) l[t] = (double)log[t];
    float *scratch = malloc(learn_scan_scratch((int)n, (int)width, (int)rows) * sizeof *scratch);
    const learn_scan s = {.n = (int)n,
                          .width = (int)width,
                          .q = q,
                          .k = operator_in(&o, "w.k", NULL),
                          .v = v,
                          .dy = dy,
                          .l = l,
                          .start = operator_in(&o, "w.S0", NULL),
                          .dend = dy + rows * width,
                          .dq = dq,
                          .dk = dk,
                          .dv = dv,
                          .dl = dl,
                          .dstart = dstart};
    learn_scan_back(&kernels_scalar, &s, (int)rows, scratch);
    operator_check(&o, "dx", dq, rows * n);
    operator_check(&o, "d.k", dk, rows * n);
    operator_check(&o, "d.v", dv, rows * width);
    operator_check(&o, "d.l", dl, rows);
    operator_check(&o, "d.S0", dstart, n * width);
    free(dq), free(dk), free(dv), free(dl), free(dstart), free(l), free(scratch);
    operator_close(&o);
}

/* An operator with its matrices: x -> in -> operate -> out -> y, and back. */
typedef struct operator_run {
    operator_golden o;
    pooled p;
    int count, width, wide, mixed; /* columns */
    float *wides, *kept, *out, *y, *dmixed, *dwide, *dx;
    void *memory;
} operator_run;

static operator_run open_run(const char *name, int wide) {
    operator_run r = {.o = operator_open(name), .wide = wide};
    int64_t shape[TENSOR_RANK_CAP];
    (void)operator_in(&r.o, "x", shape);
    r.p = pooled_make(&kernels_scalar, 2, 128, false);
    r.count = (int)shape[0];
    r.width = r.mixed = (int)shape[1];
    const size_t cells = (size_t)r.count * (size_t)r.width, wides = (size_t)(r.count * wide);
    r.wides = calloc(wides, sizeof(float)), r.dwide = calloc(wides, sizeof(float));
    r.kept = calloc(cells, sizeof(float)), r.out = calloc(cells, sizeof(float));
    r.y = calloc(cells, sizeof(float)), r.dmixed = calloc(cells, sizeof(float));
    r.dx = calloc(cells, sizeof(float));
    return r;
}

static void close_run(operator_run *r) {
    free(r->wides), free(r->dwide), free(r->kept), free(r->out), free(r->y), free(r->dmixed);
    free(r->dx), free(r->memory);
    pooled_drop(&r->p);
    operator_close(&r->o);
}

static learn_linear linear_of(const operator_run *r, const char *name) {
    char full[64];
    int64_t shape[TENSOR_RANK_CAP];
    (void)snprintf(full, sizeof full, "w.%s", name);
    const float *data = operator_in(&r->o, full, shape);
    return (learn_linear){.w = {.data = (const unsigned char *)data,
                                .type = QUANT_F32,
                                .row_count = shape[0],
                                .col_count = shape[1],
                                .row_size = (size_t)shape[1] * sizeof(float)},
                          .dw = calloc((size_t)(shape[0] * shape[1]), sizeof(float))};
}

static learn_vector vector_of(const operator_run *r, const char *name) {
    char full[64];
    int64_t shape[TENSOR_RANK_CAP];
    (void)snprintf(full, sizeof full, "w.%s", name);
    const float *data = operator_in(&r->o, full, shape);
    size_t count = 1;
    for (int i = 0; i < TENSOR_RANK_CAP && shape[i] > 0; i++) count *= (size_t)shape[i];
    return (learn_vector){.v = data, .dv = calloc(count, sizeof(float))};
}

static void check_vector(const operator_run *r, const char *name, learn_vector v, size_t count) {
    char full[64];
    (void)snprintf(full, sizeof full, "d.%s", name);
    operator_check(&r->o, full, v.dv, count);
    free(v.dv);
}

static void check_linear(const operator_run *r, const char *name, learn_linear l) {
    char full[64];
    (void)snprintf(full, sizeof full, "d.%s", name);
    operator_check(&r->o, full, l.dw, (size_t)(l.w.row_count * l.w.col_count));
    free(l.dw);
}

static learn_x rows_of(const float *x, int stride) {
    return (learn_x){x, (size_t)stride};
}

static void linear_attention(const char *name, stack_linear kind) {
    static const char *const ins[] = {"q_proj.weight", "k_proj.weight", "v_proj.weight"};
    operator_run r = open_run(name, 72);
    const int d = r.width, begin[] = {0, r.count};
    const learn_rows rows = {.count = r.count, .run_count = 1, .begin = begin};
    const stack_layer_config l = {.head_count = operator_note(&r.o, "heads"),
                                  .head_width = d / operator_note(&r.o, "heads"),
                                  .linear = kind};
    learn_linear in[3], out;
    for (int i = 0; i < 3; i++) in[i] = linear_of(&r, ins[i]);
    out = linear_of(&r, "out_proj.weight");
    const learn_linear_attention v = {
        .config = &l, .norm = vector_of(&r, "norm.weight"), .eps = 1e-5f};
    learn_linear_work work;
    arena a = {0};
    learn_linear_layout(&work, &l, d, r.count, r.count, 2, &a);
    r.memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    a = (arena){.base = r.memory, .size_cap = a.size_used};
    learn_linear_layout(&work, &l, d, r.count, r.count, 2, &a);
    const learn_x x = rows_of(operator_in(&r.o, "x", NULL), d);
    const learn_x dy = rows_of(operator_in(&r.o, "dy", NULL), d);
    for (int i = 0; i < 3; i++)
        learn_forward(&r.p.c, &in[i], x, r.wides + i * d, (size_t)r.wide, NULL, r.count);
    learn_linear_attend(&r.p.c, &v, &work, &rows, r.wides, r.kept, r.out);
    learn_forward(&r.p.c, &out, rows_of(r.out, d), r.y, (size_t)d, NULL, r.count);
    operator_check(&r.o, "y", r.y, (size_t)(r.count * d));
    learn_back(&r.p.c, &out, rows_of(r.out, d), NULL, dy, r.dmixed, (size_t)d, NULL, r.count);
    learn_linear_attend_back(&r.p.c, &v, &work, &rows, r.wides, r.kept, r.dmixed, r.dwide);
    for (int i = 0; i < 3; i++)
        learn_back(&r.p.c, &in[i], x, NULL, rows_of(r.dwide + i * d, r.wide), r.dx, (size_t)d, NULL,
                   r.count);
    operator_check(&r.o, "dx", r.dx, (size_t)(r.count * d));
    for (int i = 0; i < 3; i++) check_linear(&r, ins[i], in[i]);
    check_linear(&r, "out_proj.weight", out);
    check_vector(&r, "norm.weight", v.norm, (size_t)l.head_width);
    close_run(&r);
}

static void linear_attention_goes_back(void **state) {
    (void)state;
    linear_attention("linattn-sum", STACK_LINEAR_SUM);
    linear_attention("linattn-decay", STACK_LINEAR_DECAY);
}

static void a_state_space_goes_back(void **state) {
    (void)state;
    operator_run r = open_run("ssd", 67);
    const int d = r.width, begin[] = {0, r.count}, heads = operator_note(&r.o, "heads");
    const learn_rows rows = {.count = r.count, .run_count = 1, .begin = begin};
    const stack_layer_config l = {.head_count = heads,
                                  .head_width = operator_note(&r.o, "inner") / heads,
                                  .state_width = operator_note(&r.o, "state"),
                                  .taps = operator_note(&r.o, "taps")};
    learn_linear in = linear_of(&r, "in_proj.weight");
    learn_linear out = linear_of(&r, "out_proj.weight");
    const learn_state_space v = {.config = &l,
                                 .taps = vector_of(&r, "conv.weight"),
                                 .dt_bias = vector_of(&r, "dt_bias"),
                                 .a_log = vector_of(&r, "A_log"),
                                 .d = vector_of(&r, "D"),
                                 .norm = vector_of(&r, "norm.weight"),
                                 .eps = 1e-5f};
    learn_space_most most = {0};
    learn_space_work work;
    arena a = {0};
    learn_space_widen(&most, &l);
    learn_space_layout(&work, &most, r.count, r.count, 2, &a);
    r.memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    a = (arena){.base = r.memory, .size_cap = a.size_used};
    learn_space_layout(&work, &most, r.count, r.count, 2, &a);
    assert_int_equal(learn_space_wide(&l), r.wide);
    const learn_x x = rows_of(operator_in(&r.o, "x", NULL), d);
    const learn_x dy = rows_of(operator_in(&r.o, "dy", NULL), d);
    learn_forward(&r.p.c, &in, x, r.wides, (size_t)r.wide, NULL, r.count);
    learn_space_run(&r.p.c, &v, &work, &rows, r.wides, r.kept, r.out);
    learn_forward(&r.p.c, &out, rows_of(r.out, d), r.y, (size_t)d, NULL, r.count);
    operator_check(&r.o, "y", r.y, (size_t)(r.count * d));
    learn_back(&r.p.c, &out, rows_of(r.out, d), NULL, dy, r.dmixed, (size_t)d, NULL, r.count);
    learn_space_back(&r.p.c, &v, &work, &rows, r.wides, r.kept, r.dmixed, r.dwide);
    learn_back(&r.p.c, &in, x, NULL, rows_of(r.dwide, r.wide), r.dx, (size_t)d, NULL, r.count);
    operator_check(&r.o, "dx", r.dx, (size_t)(r.count * d));
    check_linear(&r, "in_proj.weight", in);
    check_linear(&r, "out_proj.weight", out);
    check_vector(&r, "conv.weight", v.taps, (size_t)(learn_space_mixed(&l) * l.taps));
    check_vector(&r, "dt_bias", v.dt_bias, (size_t)heads);
    check_vector(&r, "A_log", v.a_log, (size_t)heads);
    check_vector(&r, "D", v.d, (size_t)heads);
    check_vector(&r, "norm.weight", v.norm, (size_t)learn_space_inner(&l));
    close_run(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_text_model_are_the_reference),
        cmocka_unit_test(packed_documents_keep_apart),
        cmocka_unit_test(gradients_of_an_adapter_are_the_reference),
        cmocka_unit_test(twenty_steps_of_all_weights_follow_the_reference),
        cmocka_unit_test(twenty_steps_of_an_adapter_follow_the_reference),
        cmocka_unit_test(gradients_of_an_audio_model_are_the_reference),
        cmocka_unit_test(a_window_slides_forward_and_back),
        cmocka_unit_test(a_scan_goes_back),
        cmocka_unit_test(linear_attention_goes_back),
        cmocka_unit_test(a_state_space_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
