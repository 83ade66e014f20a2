/* The rows of ONNX Runtime on a real one: onnx_check LIBRARY [NAME PROVIDER OPTIONS [TEST]].
 *
 * With the library alone its own CPU provider computes: float32 checkpoints within their golden
 * tolerances, quantised ones as the CPU computes them without rounding inputs. With a provider for
 * devices (QNNExecutionProvider, its library, its options) stacks and the encoder are held to the
 * bounds of docs/DEVICES.md, with nothing on the CPU. Ends with "N device tests ran": whoever
 * starts it counts. */
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/folder.h"
#include "devices/onnx.h"
#include "engine/convert.h"
#include "engine/session.h"
#include "tests/devices/onnx_detokenizer.h"
#include "tests/support/encode.h"
#include "tests/support/folder.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/prompt.h"
#include "tests/support/rig.h"

enum { POSITIONS = 128, PROMPT_COUNT = 2 };

/* dB, of sound by a device: below it no detokenizer goes there (docs/DEVICES.md). */
enum { SNR_ASKED = 40 };

static rnl_device_config config;
static const char *provider = "CPUExecutionProvider";
static int ran;

static bool on_cpu(void) {
    return strcmp(provider, "CPUExecutionProvider") == 0;
}

static void *open_device(void) {
    static bool told;
    rnl_error error = {0};
    stack_device_facts facts = {0};
    void *device = NULL;
    if (onnx_device_ops.open(&config, provider, &device, &facts, &error) != RNL_OK)
        fail_msg("%s", error.text);
    if (!told) printf("    %s; %s\n", facts.name, facts.driver);
    told = true;
    return device;
}

/* A model's backbone on the device, and a conversation of its own. */
typedef struct rig {
    rnl_model *model;
    rnl_session *s; /* what computes on the CPU, and lends its scratch */
    void *device, *stack, *mirror;
    size_t size; /* of the stack without a state */
    stack_state state;
    void *memory;
} rig;

static void open_state(rig *p, kernels_cache cache, int step) {
    arena kept = {0}, appended = {0};
    const stack_weights *w = &p->model->backbone.stack;
    stack_state_layout(&p->state, w, cache, POSITIONS, step, &kept, &appended);
    p->memory = aligned_alloc(ARENA_ALIGN, kept.size_used + appended.size_used);
    assert_non_null(p->memory);
    memset(p->memory, 0xff, kept.size_used + appended.size_used); /* NaN, to be right by no luck */
    arena a = {.base = p->memory, .size_cap = kept.size_used};
    arena b = {.base = (unsigned char *)p->memory + kept.size_used, .size_cap = appended.size_used};
    stack_state_layout(&p->state, w, cache, POSITIONS, step, &a, &b);
    stack_reset(&p->state);
}

static void place(rig *p, rnl_model *model, int step) {
    rnl_error error = {0};
    const kernels_cache cache = model->backbone.stack.cache;
    const stack_device_room room = {
        .row_cap = step, .position_cap = POSITIONS, .cache = cache, .exact = true};
    *p = (rig){.model = model, .s = rig_session(model, 1)};
    p->device = open_device();
    if (onnx_device_ops.load(p->device, &model->backbone.stack, &room, &p->stack, &error) != RNL_OK)
        fail_msg("%s", error.text);
    open_state(p, cache, step);
    p->size = onnx_device_ops.memory(p->stack);
    if (onnx_device_ops.attach(p->stack, &p->state, &p->mirror, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_true(onnx_device_ops.memory(p->stack) > p->size); /* the state's, which goes with it */
    p->state.mirror = p->mirror;
    ran++;
}

static void leave(rig *p) {
    onnx_device_ops.detach(p->stack, p->mirror);
    assert_int_equal(onnx_device_ops.memory(p->stack), p->size);
    onnx_device_ops.unload(p->stack);
    onnx_device_ops.close(p->device);
    rnl_session_destroy(&p->s);
    free(p->memory);
}

/* As prompt_run, of passes that the device computes. */
static void run(rig *p, const int32_t *ids, int count, int step, float *logits) {
    const backbone_weights *w = &p->model->backbone;
    const size_t width = (size_t)backbone_width(w), vocab = (size_t)backbone_vocab_count(w);
    const compute c = session_compute(p->s);
    float *x = p->s->pass->x;
    stack_reset(&p->state);
    p->state.unseen = 0;
    for (int at = 0; at < count; at += step) {
        const int batch = count - at < step ? count - at : step;
        rnl_error error = {0};
        for (int t = 0; t < batch; t++)
            backbone_embed_text(w, &c, ids[at + t], x + (size_t)t * width);
        const stack_piece piece = {.state = &p->state, .count = batch};
        const stack_pass whole = {.work = &p->s->pass->backbone,
                                  .c = &c,
                                  .pieces = &piece,
                                  .piece_count = 1,
                                  .row_count = batch};
        stack_forward_begin(&p->s->pass->backbone, &piece, 1);
        if (onnx_device_ops.forward(p->stack, &whole, x, &error) != RNL_DONE)
            fail_msg("%s", error.text);
        onnx_device_ops.take(p->stack, &whole, x);
        p->state.position += batch;
        p->state.unseen = p->state.position;
        for (int t = 0; t < batch; t++)
            backbone_logits(w, &c, x + (size_t)t * width, logits + (size_t)(at + t) * vocab, 1);
    }
}

static npy ids_of(const char *dir, int prompt) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/expect/prompt%d/ids.npy", dir, prompt);
    return npy_read(path);
}

/* ---- float32 ---- */

static void float_checkpoints_meet_the_goldens(void **state) {
    static const char *const checkpoints[] = {"dense/tied", "dense/untied", "dense/taps5"};
    static const int steps[] = {1, 20};
    (void)state;
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++) {
        rnl_model *model = rig_model(checkpoints[i]);
        rig p;
        place(&p, model, 20);
        const size_t vocab = (size_t)backbone_vocab_count(&model->backbone);
        for (int prompt = 0; prompt < PROMPT_COUNT; prompt++) {
            char dir[256], file[64];
            npy ids = ids_of(checkpoints[i], prompt);
            float *logits = malloc(ids.count * vocab * sizeof *logits);
            assert_non_null(logits);
            (void)snprintf(dir, sizeof dir, "%s/expect", checkpoints[i]);
            (void)snprintf(file, sizeof file, "prompt%d/logits.npy", prompt);
            run(&p, ids.i, (int)ids.count, steps[prompt], logits);
            golden_check(dir, file, logits, ids.count * vocab);
            npy_free(&ids);
            free(logits);
        }
        leave(&p);
        rnl_model_close(&model);
    }
}

/* ---- Quantised ---- */

typedef struct distance {
    double rms; /* of the difference / of what is wanted */
    double largest;
    int right, count; /* rows with the same best logit */
} distance;

static size_t best(const float *x, size_t count) {
    size_t at = 0;
    for (size_t i = 1; i < count; i++)
        if (x[i] > x[at]) at = i;
    return at;
}

/* Both prompts by the CPU and by the device. */
static distance measure(rnl_model *model, const char *dir, const int *steps) {
    distance d = {0};
    double error = 0, size = 0;
    rig p;
    place(&p, model, 20);
    const size_t vocab = (size_t)backbone_vocab_count(&model->backbone);
    for (int prompt = 0; prompt < PROMPT_COUNT; prompt++) {
        npy ids = ids_of(dir, prompt);
        float *want = malloc(ids.count * vocab * sizeof *want);
        float *got = malloc(ids.count * vocab * sizeof *got);
        assert_true(want != NULL && got != NULL);
        rnl_session_reset(p.s);
        prompt_run(p.s, ids.i, (int)ids.count, p.s->config.step_positions, want);
        run(&p, ids.i, (int)ids.count, steps[prompt], got);
        for (size_t i = 0; i < ids.count * vocab; i++) {
            const double off = (double)got[i] - (double)want[i];
            d.largest = fmax(d.largest, fabs(off));
            error += off * off;
            size += (double)want[i] * (double)want[i];
        }
        for (size_t t = 0; t < ids.count; t++)
            d.right += best(got + t * vocab, vocab) == best(want + t * vocab, vocab);
        d.count += (int)ids.count;
        npy_free(&ids);
        free(want);
        free(got);
    }
    leave(&p);
    d.rms = sqrt(error / size);
    return d;
}

/* The model's matrices in another type. */
static rnl_model *convert(const rnl_model *m, const char *type, const char *path) {
    const convert_config how = {.path = path, .recipe = recipe_find(type), .thread_count = 1};
    rnl_error error = {0};
    if (convert_model(m, &how, &error) != RNL_OK) fail_msg("%s", error.text);
    return rig_model(path);
}

static distance tell(const char *dir, const char *type, const char *as, distance d) {
    printf("    %s %s as %s: rms %.3g, largest %.3g, %d of %d right\n", dir, type, as, d.rms,
           d.largest, d.right, d.count);
    return d;
}

static void quantised_stacks_are_near(void **state) {
    static const char *const checkpoints[] = {"dense/tied", "dense/taps5"};
    static const char *const types[] = {"q4_0", "q8_0"};
    static const int steps[] = {20, 1};
    for (size_t i = 0; i < 4; i++) {
        const char *dir = checkpoints[i / 2], *type = types[i % 2];
        char rounded[PATH_CAP], floats[PATH_CAP];
        name_in(*state, "rounded.gguf", rounded);
        name_in(*state, "floats.gguf", floats);
        rnl_model *stored = rig_model(dir);
        rnl_model *model = convert(stored, type, rounded);
        const distance d = tell(dir, type, "blocks", measure(model, dir, steps));
        assert_true(d.rms <= (on_cpu() ? 1e-5 : 0.02));
        assert_true(d.right >= (on_cpu() ? d.count : d.count * 103 / 107));
        if (!on_cpu()) {
            rnl_model *same = convert(model, "f32", floats);
            const distance f = tell(dir, type, "floats", measure(same, dir, steps));
            assert_true(d.rms <= 1.1 * f.rms);
            rnl_model_close(&same);
        }
        rnl_model_close(&model);
        rnl_model_close(&stored);
    }
}

/* ---- The encoder ---- */

static void encoders_are_near(void **state) {
    static const int counts[] = {96, 301, 800};
    (void)state;
    rnl_error error = {0};
    void *encoder = NULL;
    encode_rig u;
    rnl_model *m = rig_model("tiny");
    encode_open(&u, m, counts[2]);
    void *const device = open_device();
    if (onnx_encoder_ops.load(device, &m->encoder, true, &encoder, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_true(onnx_encoder_ops.frame_cap(encoder) >= counts[2]);
    float *mel = encode_mel(m, counts[2], 6);
    for (int n = 0; n < 3; n++) {
        const size_t count = (size_t)encoder_position_count(counts[n]) * (size_t)m->encoder.width;
        const float *want = encode_clip(&u, mel, counts[n]);
        float *got = malloc(count * sizeof *got);
        assert_non_null(got);
        if (onnx_encoder_ops.encode(encoder, mel, counts[n], &error) != RNL_OK)
            fail_msg("%s", error.text);
        onnx_encoder_ops.take(encoder, got);
        const double off = golden_off(got, want, count);
        printf("    tiny, encoder, %d frames: rms %.3g\n", counts[n], off);
        assert_true(off <= (on_cpu() ? 1e-5 : 0.02));
        free(got);
    }
    ran++;
    free(mel);
    onnx_encoder_ops.unload(encoder);
    onnx_device_ops.close(device);
    encode_close(&u);
    rnl_model_close(&m);
}

/* As the reference has them, from its own mel. */
static void encoders_meet_the_goldens(void **state) {
    static const char *const clips[] = {"clipA", "clipB"};
    (void)state;
    rnl_error error;
    void *encoder = NULL;
    rnl_model *m = rig_model("tiny");
    void *const device = open_device();
    if (onnx_encoder_ops.load(device, &m->encoder, true, &encoder, &error) != RNL_OK)
        fail_msg("%s", error.text);
    for (size_t n = 0; n < sizeof clips / sizeof *clips; n++) {
        char file[64];
        (void)snprintf(file, sizeof file, "tiny/expect/%s/mel.npy", clips[n]);
        npy by_band = npy_read(file); /* [bands, frames] */
        const size_t bands = (size_t)by_band.shape[0], frames = (size_t)by_band.shape[1];
        const size_t rows = (size_t)encoder_position_count((int)frames);
        float *mel = malloc(by_band.count * sizeof *mel);
        float *got = malloc(rows * (size_t)m->encoder.width * sizeof *got);
        assert_true(mel != NULL && got != NULL);
        for (size_t i = 0; i < by_band.count; i++)
            mel[i % frames * bands + i / frames] = by_band.f[i];
        if (onnx_encoder_ops.encode(encoder, mel, (int)frames, &error) != RNL_OK)
            fail_msg("%s", error.text);
        onnx_encoder_ops.take(encoder, got);
        (void)snprintf(file, sizeof file, "%s/layer%d.npy", clips[n], m->encoder.layer_count - 1);
        golden_check("tiny/expect", file, got, rows * (size_t)m->encoder.width);
        npy_free(&by_band);
        free(mel);
        free(got);
    }
    ran++;
    onnx_encoder_ops.unload(encoder);
    onnx_device_ops.close(device);
    rnl_model_close(&m);
}

/* ---- What was compiled ---- */

/* All graphs of the cache are spoilt, so that nothing can be compiled from them. */
static void spoil_graphs(const char *cache) {
    char pattern[PATH_CAP];
    glob_t found;
    (void)snprintf(pattern, sizeof pattern, "%s/onnx-*/graph-*.onnx", cache);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) write_file(found.gl_pathv[i], "no graph", 8);
    globfree(&found);
}

static void remove_cache(const char *cache) {
    char pattern[PATH_CAP];
    glob_t found;
    (void)snprintf(pattern, sizeof pattern, "%s/onnx-*", cache);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        assert_true(folder_remove(AT_FDCWD, found.gl_pathv[i]));
    globfree(&found);
}

static bool can_load(const rnl_model *model, const char *options) {
    const stack_device_room room = {.row_cap = 20,
                                    .position_cap = POSITIONS,
                                    .cache = model->backbone.stack.cache,
                                    .exact = true};
    const rnl_device_config was = config;
    rnl_error error;
    void *stack = NULL;
    if (options != NULL) config.provider_options = options;
    void *const device = open_device();
    config = was;
    const bool good =
        onnx_device_ops.load(device, &model->backbone.stack, &room, &stack, &error) == RNL_OK;
    if (good) onnx_device_ops.unload(stack);
    onnx_device_ops.close(device);
    return good;
}

/* The second time the graphs are not there any more, and the answers are the same; with other
 * options for the provider what was compiled is not taken. */
static void what_was_compiled_is_taken_again(void **state) {
    const folder *f = *state;
    char rounded[PATH_CAP];
    float *logits[2];
    npy ids = ids_of("dense/tied", 0);
    name_in(f, "rounded.gguf", rounded);
    rnl_model *stored = rig_model("dense/tied"), *model = convert(stored, "q4_0", rounded);
    const size_t count = ids.count * (size_t)backbone_vocab_count(&model->backbone);
    config.cache_path = f->path;
    for (int i = 0; i < 2; i++) {
        rig p;
        logits[i] = malloc(count * sizeof *logits[i]);
        assert_non_null(logits[i]);
        const int64_t begin_us = clock_us();
        place(&p, model, 20);
        printf("    %s in %.3f s\n", i == 0 ? "compiled" : "taken",
               (double)(clock_us() - begin_us) / 1e6);
        run(&p, ids.i, (int)ids.count, 20, logits[i]);
        leave(&p);
        spoil_graphs(f->path);
    }
    assert_memory_equal(logits[0], logits[1], count * sizeof **logits);
    assert_true(can_load(model, NULL));
    assert_false(can_load(model, "soc_model=69"));
    config.cache_path = NULL;
    remove_cache(f->path);
    free(logits[0]);
    free(logits[1]);
    npy_free(&ids);
    rnl_model_close(&model);
    rnl_model_close(&stored);
}

/* ---- The detokenizer ---- */

/* What is lost in FP16 hangs on the weights and is too much for some, so that no device is given a
 * detokenizer; in float32 nothing is lost. */
static void the_detokenizer_is_judged(void **state) {
    double least = DETOKENIZER_SAME;
    (void)state;
    for (int trained = 0; trained < 2; trained++) {
        const detokenizer_snr db = onnx_detokenizer_measure(&config, provider, trained != 0);
        printf("    %s, detokenizer: layers %.1f dB, with its last matrix %.1f dB\n",
               trained ? "minnow" : "tiny", db.stack_db, db.head_db);
        least = fmin(least, fmin(db.stack_db, db.head_db));
    }
    assert_true(on_cpu() ? least >= 90 : least < SNR_ASKED);
    ran++;
}

/* ---- The row ---- */

static void products_are_within_the_bound(void **state) {
    enum { ROWS = 3 };
    char rounded[PATH_CAP];
    rnl_error error = {0};
    name_in(*state, "rounded.gguf", rounded);
    rnl_model *stored = rig_model("dense/tied");
    rnl_model *model = convert(stored, "q4_0", rounded);
    rnl_session *s = rig_session(model, 1);
    const compute c = session_compute(s);
    const matrix *w = stack_first_matrix(&model->backbone.stack);
    const size_t cols = (size_t)w->col_count, rows = (size_t)w->row_count;
    float *x = malloc(ROWS * (cols + 2 * rows) * sizeof *x);
    assert_non_null(x);
    float *want = x + ROWS * cols, *got = want + ROWS * rows;
    for (size_t i = 0; i < ROWS * cols; i++) x[i] = (float)((i * 7919) % 257) / 257 - 0.5f;
    void *const device = open_device();
    linear(&c, w, NULL, x, cols, want, rows, ROWS);
    if (onnx_device_ops.product(device, w, true, x, ROWS, got, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_true(golden_off(got, want, ROWS * rows) <= (double)onnx_device_ops.bound(device, w));
    ran++;
    onnx_device_ops.close(device);
    free(x);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
    rnl_model_close(&stored);
}

static void what_is_not_there_is_told(void **state) {
    (void)state;
    rnl_error error = {0};
    stack_device_facts facts = {0};
    void *device = NULL;
    rnl_device_config none = config;
    none.onnx_path = "/none/libonnxruntime.so";
    assert_true(onnx_device_ops.open(&none, NULL, &device, &facts, &error) < 0);
    assert_non_null(strstr(error.text, "/none/libonnxruntime.so"));
    stack_device_entry entries[4] = {0};
    assert_int_equal(onnx_device_ops.list(&none, entries, 4), 1);
    assert_true(entries[0].refusal.status < 0);
    assert_true(onnx_device_ops.open(&config, "no such provider", &device, &facts, &error) < 0);
    assert_non_null(strstr(error.text, "no such provider"));
    const int count = onnx_device_ops.list(&config, entries, 4);
    assert_true(count >= 1);
    none = config;
    none.provider_path = "/none/libprovider.so";
    assert_true(onnx_device_ops.open(&none, NULL, &device, &facts, &error) < 0);
    assert_non_null(strstr(error.text, "/none/libprovider.so"));
    assert_null(device);
    ran++;
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 5 && argc != 6) {
        (void)fprintf(stderr, "usage: onnx_check LIBRARY [NAME PROVIDER OPTIONS [TEST]]\n");
        return 2;
    }
    config = rnl_device_config_default();
    config.onnx_path = argv[1];
    if (argc == 6) cmocka_set_test_filter(argv[5]);
    if (argc >= 5) {
        provider = argv[2];
        config.provider_path = argv[3];
        config.provider_options = argv[4];
    }
    const struct CMUnitTest of_cpu[] = {
        cmocka_unit_test(what_is_not_there_is_told),
        IN_FOLDER(products_are_within_the_bound),
        cmocka_unit_test(float_checkpoints_meet_the_goldens),
        IN_FOLDER(quantised_stacks_are_near),
        cmocka_unit_test(encoders_are_near),
        cmocka_unit_test(encoders_meet_the_goldens),
        cmocka_unit_test(the_detokenizer_is_judged),
    };
    const struct CMUnitTest of_device[] = {
        IN_FOLDER(products_are_within_the_bound),    IN_FOLDER(quantised_stacks_are_near),
        cmocka_unit_test(encoders_are_near),         IN_FOLDER(what_was_compiled_is_taken_again),
        cmocka_unit_test(the_detokenizer_is_judged),
    };
    const int failed = argc >= 5 ? cmocka_run_group_tests(of_device, NULL, NULL)
                                 : cmocka_run_group_tests(of_cpu, NULL, NULL);
    printf("%d device tests ran\n", ran);
    return failed == 0 ? 0 : 1;
}
