/* runnel bench: how fast each kind of work is on this machine, beside what its memory allows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/cli.h"
#include "core/json.h"
#include "engine/session.h"

enum { CLIP_SECONDS = 10, REPEAT_CAP = 1000, DECODE_STEPS = 8 };
static const double frame_ms = 80; /* audio.md 8.5: 1,920 samples at 24 kHz */

typedef struct bench {
    const options *o;
    rnl_model *model;
    rnl_session *s;
    int repeat;
    double bandwidth; /* bytes a second, measured */
    double values[REPEAT_CAP];
} bench;

typedef struct result {
    const char *work, *unit;
    int tokens, depth;
    double limit; /* what the memory bandwidth allows, in the same unit; 0: no such law */
} result;

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static const char *type_name(const rnl_model *m) {
    return quant_describe((uint32_t)m->backbone.stack.layers[0].gate.type)->name;
}

static void print_json(const bench *b, const result *r, double median, double min, double max) {
    json *o = json_new_object();
    const char *type = type_name(b->model), *level = b->model->kernels.name;
    json_set(o, "work", json_new_string(r->work, strlen(r->work)));
    json_set(o, "type", json_new_string(type, strlen(type)));
    json_set(o, "level", json_new_string(level, strlen(level)));
    json_set(o, "threads", json_new_int(b->s->config.thread_count));
    json_set(o, "tokens", json_new_int(r->tokens));
    json_set(o, "depth", json_new_int(r->depth));
    json_set(o, "unit", json_new_string(r->unit, strlen(r->unit)));
    json_set(o, "median", json_new_number(median));
    json_set(o, "min", json_new_number(min));
    json_set(o, "max", json_new_number(max));
    json_set(o, "n", json_new_int(b->repeat));
    json_set(o, "limit", r->limit > 0 ? json_new_number(r->limit) : json_new_number(NAN));
    char *line = json_text(o);
    json_destroy(&o);
    if (line != NULL) puts(line);
    free(line);
}

static void report(bench *b, const result *r) {
    if (interrupted()) return; /* not all was measured */
    qsort(b->values, (size_t)b->repeat, sizeof *b->values, by_value);
    const double median = b->values[b->repeat / 2];
    const double min = b->values[0], max = b->values[b->repeat - 1];
    if (b->o->json) {
        print_json(b, r, median, min, max);
        return;
    }
    printf("%-12s %6d %6d  %10.3f %-16s %10.3f %10.3f", r->work, r->tokens, r->depth, median,
           r->unit, min, max);
    if (r->limit > 0) printf("  %10.3f", r->limit);
    printf("\n");
    (void)fflush(stdout);
}

/* The values just reported in another unit. */
static void report_as(bench *b, result r, const char *unit, double scale, double limit) {
    for (int i = 0; i < b->repeat; i++) b->values[i] *= scale;
    r.unit = unit;
    r.limit = limit;
    report(b, &r);
}

/* ---- Memory bandwidth: all threads sum a buffer that no cache holds ---- */

enum { STREAM_FLOATS = 64 << 20 }; /* 256 MiB */

typedef struct stream {
    const kernels *k;
    const float *data;
    volatile float sink[RNL_THREAD_CAP];
} stream;

static void stream_part(void *context, int64_t begin, int64_t end, int thread_index) {
    stream *s = context;
    /* A row of a matrix against a short vector: the pattern of decoding. */
    float x[4096], y[16];
    for (int i = 0; i < 4096; i++) x[i] = 1.0f;
    for (int64_t at = begin; at + 4096 * 16 <= end; at += 4096 * 16) {
        s->k->gemv[QUANT_F32](y, s->data + at, 4096 * sizeof(float), 16, x, 4096);
        s->sink[thread_index] += y[0];
    }
}

static bool measure_bandwidth(bench *b) {
    float *data = malloc((size_t)STREAM_FLOATS * sizeof *data);
    if (data == NULL) return false;
    for (size_t i = 0; i < STREAM_FLOATS; i++) data[i] = (float)(i & 7);
    stream s = {.k = b->s->compute.k, .data = data};
    double best = 0;
    for (int i = 0; i < 5; i++) {
        const double begin = now_seconds();
        pool_run(b->s->pool, STREAM_FLOATS, 4096 * 16, stream_part, &s);
        const double rate = (double)STREAM_FLOATS * sizeof *data / (now_seconds() - begin);
        if (rate > best) best = rate;
    }
    free(data);
    b->bandwidth = best;
    return true;
}

/* ---- Bytes that one step reads ---- */

static double bytes_of(const matrix *m) {
    return (double)m->row_size * (double)m->row_count;
}

static double stack_bytes(const lfm2_weights *w) {
    double sum = 0;
    for (int i = 0; i < w->config.layer_count; i++) {
        const lfm2_layer *l = &w->layers[i];
        sum += bytes_of(&l->gate) + bytes_of(&l->up) + bytes_of(&l->down);
        sum += l->kv_head_count > 0 ? bytes_of(&l->q) + bytes_of(&l->k) + bytes_of(&l->v) +
                                          bytes_of(&l->attention_out)
                                    : bytes_of(&l->conv_in) + bytes_of(&l->conv_out);
    }
    return sum;
}

static double decode_bytes(const rnl_model *m) {
    return stack_bytes(&m->backbone.stack) + bytes_of(&m->backbone.head);
}

/* Each weight of the frame once: the depthformer's steps after the first may find it in a cache. */
static double frame_bytes(const rnl_model *m) {
    double sum =
        stack_bytes(&m->backbone.stack) + stack_bytes(&m->depth.stack) + bytes_of(&m->depth.split);
    for (int k = 0; k < m->depth.codebook_count; k++) sum += bytes_of(&m->depth.head[k]);
    if (m->codec.kind == CODEC_LFM)
        sum += stack_bytes(&m->codec.lfm.stack) + bytes_of(&m->codec.lfm.out);
    return sum;
}

/* ---- Work ---- */

static void bench_load(bench *b) {
    for (int i = 0; i < b->repeat && !interrupted(); i++) {
        rnl_model *again = NULL;
        const double begin = now_seconds();
        if (rnl_model_open(b->model->path, NULL, &again, NULL) != RNL_OK) return;
        b->values[i] = 1e3 * (now_seconds() - begin);
        rnl_model_close(&again);
    }
    report(b, &(result){.work = "load", .unit = "ms"});
}

static void make_clip(float *samples, size_t count) {
    random_state r;
    random_seed(&r, 1);
    for (size_t i = 0; i < count; i++) samples[i] = (float)(0.2 * (random_unit(&r) - 0.5));
}

static void bench_encoder(bench *b) {
    rnl_session *s = b->s;
    const size_t count = (size_t)CLIP_SECONDS * RNL_RATE_IN;
    float *clip = malloc(count * sizeof *clip);
    double *encode = calloc((size_t)b->repeat, sizeof *encode);
    if (clip != NULL && encode != NULL) {
        make_clip(clip, count);
        for (int i = 0; i < b->repeat && !interrupted(); i++) {
            double begin = now_seconds();
            mel_reset(&s->mel);
            if (mel_push(&s->mel, clip, count) != RNL_OK) break;
            mel_finish(&s->mel);
            b->values[i] = CLIP_SECONDS / (now_seconds() - begin);
            begin = now_seconds();
            encoder_begin(&s->encoder, mel_frames(&s->mel), mel_frame_count(&s->mel));
            while (encoder_step(&s->encoder, &s->compute) == RNL_OK) continue;
            encode[i] = 1e3 * (now_seconds() - begin);
        }
        report(b, &(result){.work = "mel", .unit = "x real time", .tokens = CLIP_SECONDS});
        memcpy(b->values, encode, (size_t)b->repeat * sizeof *encode);
        report(b, &(result){.work = "encoder", .unit = "ms", .tokens = CLIP_SECONDS});
    }
    free(clip);
    free(encode);
}

/* count positions of some text through the backbone, from where it stands. */
static void forward(rnl_session *s, int count) {
    const size_t width = (size_t)backbone_width(&s->model->backbone);
    for (int at = 0; at < count; at += SESSION_BATCH) {
        const int batch = count - at < SESSION_BATCH ? count - at : SESSION_BATCH;
        for (int t = 0; t < batch; t++)
            backbone_embed_text(&s->model->backbone, &s->compute,
                                (at + t) % backbone_vocab_count(&s->model->backbone),
                                s->x + (size_t)t * width);
        lfm2_forward(&s->live->backbone, &s->compute, s->x, batch);
    }
}

static void bench_prefill(bench *b, int tokens) {
    for (int i = 0; i < b->repeat && !interrupted(); i++) {
        lfm2_reset(&b->s->live->backbone);
        const double begin = now_seconds();
        forward(b->s, tokens);
        b->values[i] = tokens / (now_seconds() - begin);
    }
    report(b, &(result){.work = "prefill", .unit = "tokens/s", .tokens = tokens});
}

static void bench_decode(bench *b, int depth) {
    rnl_session *s = b->s;
    lfm2_reset(&s->live->backbone);
    forward(s, depth);
    for (int i = 0; i < b->repeat && !interrupted(); i++) {
        s->live->backbone.position = depth;
        const double begin = now_seconds();
        for (int step = 0; step < DECODE_STEPS; step++) {
            forward(s, 1);
            backbone_logits(&s->model->backbone, &s->compute, s->x, s->logits);
        }
        b->values[i] = DECODE_STEPS / (now_seconds() - begin);
    }
    const double bytes = decode_bytes(b->model);
    const result r = {.work = "decode",
                      .unit = "tokens/s",
                      .tokens = DECODE_STEPS,
                      .depth = depth,
                      .limit = b->bandwidth / bytes};
    report(b, &r);
    report_as(b, r, "GB/s", 1e-9 * bytes, 1e-9 * b->bandwidth);
}

static void bench_frame(bench *b) {
    rnl_session *s = b->s;
    session_live *live = s->live;
    const rnl_sampling greedy = {.temperature = 0, .top_k = 1};
    int32_t codes[RNL_CODEBOOK_CAP];
    if (b->model->codec.kind != CODEC_NONE) codec_reset(&live->codec);
    for (int i = 0; i < b->repeat && !interrupted(); i++) {
        lfm2_reset(&live->backbone);
        const double begin = now_seconds();
        forward(s, 1);
        depth_frame(&live->depth, &s->compute, s->x, greedy, &live->random, codes);
        for (int k = 0; k < b->model->backbone.codebook_count; k++) codes[k] &= 1023;
        backbone_embed_frame(&b->model->backbone, &s->compute, codes, s->x, s->row);
        int count = 0;
        if (b->model->codec.kind != CODEC_NONE &&
            codec_push(&live->codec, &s->compute, codes, live->samples, &count) != RNL_OK)
            return;
        b->values[i] = 1e3 * (now_seconds() - begin);
    }
    const result r = {.work = "audio frame",
                      .unit = "ms",
                      .tokens = 1,
                      .limit = 1e3 * frame_bytes(b->model) / b->bandwidth};
    report(b, &r);
    report_as(b, r, "real-time factor", 1 / frame_ms, r.limit / frame_ms);
}

static int measure(bench *b) {
    if (!measure_bandwidth(b)) return complain(EXIT_FAILED, "memory is exhausted");
    if (!b->o->json) {
        printf("%s, %s, kernels %s, %d threads, memory %.1f GB/s read\n\n", b->model->path,
               type_name(b->model), b->model->kernels.name, b->s->config.thread_count,
               b->bandwidth * 1e-9);
        printf("%-12s %6s %6s  %10s %-16s %10s %10s  %10s\n", "work", "tokens", "depth", "median",
               "unit", "min", "max", "limit");
    }
    bench_load(b);
    if (b->model->source.config.has_encoder) bench_encoder(b);
    const int prefills[] = {32, 128, 512}, depths[] = {0, 1024};
    for (size_t i = 0; i < 3 && !interrupted(); i++)
        if (prefills[i] <= b->s->config.context_cap) bench_prefill(b, prefills[i]);
    for (size_t i = 0; i < 2 && !interrupted(); i++)
        if (depths[i] + DECODE_STEPS <= b->s->config.context_cap) bench_decode(b, depths[i]);
    if (b->model->source.config.codebook_count > 0 && !interrupted()) bench_frame(b);
    return EXIT_OK;
}

static int run(const options *o) {
    if (o->argument_count > 0) return complain(EXIT_USAGE, "bench takes no arguments; see --help");
    int code;
    bench *b = calloc(1, sizeof *b);
    if (b == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    b->o = o;
    b->repeat = o->repeat > 0 ? o->repeat : 5;
    b->model = open_model(o, &code);
    if (b->model != NULL) b->s = open_session(o, b->model, &code);
    if (b->s != NULL) code = measure(b);
    rnl_session_destroy(&b->s);
    rnl_model_close(&b->model);
    free(b);
    return code;
}

const command command_bench = {
    .name = "bench",
    .summary = "how fast this machine runs a model",
    .synopsis = "[options] [--repeat N]",
    .about =
        "Loads the model anew, then times mel and encoder (10 s of sound), prefill, decoding and\n"
        "one audio frame. limit is what the measured memory bandwidth allows. --json: one\n"
        "object a line.",
    .own = "jr",
    .run = run,
};
