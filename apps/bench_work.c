/* Each kind of work, timed as a session does it. A repetition measures the limit first. */
#include <stdlib.h>
#include <string.h>

#include "apps/bench_report.h"
#include "apps/ending.h"
#include "core/clock.h"
#include "stack/kind.h"

/* ---- Sound in ---- */

static void make_clip(float *samples, size_t count) {
    random_state r;
    random_seed(&r, 1);
    for (size_t i = 0; i < count; i++) samples[i] = (float)(0.2 * (random_unit(&r) - 0.5));
}

static double mel_seconds(rnl_session *s, const float *clip, size_t count) {
    const double begin = clock_seconds();
    mel_reset(&s->mel);
    if (mel_push(&s->mel, clip, count) != RNL_OK) return 0; /* a clip of its length always fits */
    mel_finish(&s->mel);
    return clock_seconds() - begin;
}

/* With the adapter; its rows go where the session would put them. */
static double encoder_seconds(rnl_session *s) {
    compute c = session_compute(s); /* as pass_run.c has it */
    c.bf16 = true;
    const double begin = clock_seconds();
    session_encode_begin(s, mel_frame_count(&s->mel));
    while (encoder_step(&s->pass->encoder, &c) == RNL_OK) continue;
    adapter_forward(&s->pass->adapter, &c, encoder_output(&s->pass->encoder),
                    s->pass->encoder.position_count, s->embeddings);
    return clock_seconds() - begin;
}

void bench_encoder(bench *b, bool wants_mel, bool wants_encoder) {
    rnl_session *s = b->s;
    const size_t count = (size_t)BENCH_CLIP_SECONDS * RNL_RATE_IN;
    float *clip = malloc(count * sizeof *clip);
    if (clip == NULL) return;
    make_clip(clip, count);
    if (wants_mel) {
        while (bench_more(b)) bench_add(b, 1e3 * mel_seconds(s, clip, count), 0);
        bench_report(b, &(bench_row){.work = "mel", .unit = "ms"});
    }
    if (wants_encoder) {
        (void)mel_seconds(s, clip, count);
        const int positions = encoder_position_count(mel_frame_count(&s->mel));
        const double op_count = bench_encoder_ops(b, positions);
        while (bench_more(b)) {
            const double limit =
                1e3 * op_count / bench_peak(b, &b->model->encoder.layers[0].ff1.up, true);
            bench_add(b, 1e3 * encoder_seconds(s), limit);
        }
        bench_report(b, &(bench_row){.work = "encoder", .unit = "ms", .tokens = positions});
    }
    free(clip);
}

/* ---- Backbone ---- */

/* count positions of some text, from where the backbone stands; as pass_run.c has it. */
static void forward(rnl_session *s, int count, bool decides) {
    compute c = session_compute(s);
    c.bf16 = !decides;
    const backbone_weights *w = &s->model->backbone;
    const size_t width = (size_t)backbone_width(w);
    const int most = s->config.step_positions;
    for (int at = 0; at < count && !interrupted(); at += most) {
        const int batch = count - at < most ? count - at : most;
        for (int t = 0; t < batch; t++)
            backbone_embed_text(w, &s->pass->compute, (at + t) % backbone_vocab_count(w),
                                s->pass->x + (size_t)t * width);
        pass_forward(s->pass, &c, &s->live->backbone, batch, decides, s->pass->x);
    }
}

static void logits(rnl_session *s, int position_in_batch) {
    const backbone_weights *w = &s->model->backbone;
    backbone_logits(w, &s->pass->compute,
                    s->pass->x + (size_t)position_in_batch * backbone_width(w), s->pass->logits, 1);
}

/* As the peer counts: the prompt, and the logits of its last position. */
void bench_prefill(bench *b, int tokens) {
    const double op_count = bench_prefill_ops(b, tokens);
    while (bench_more(b)) {
        const double limit =
            tokens * bench_peak(b, stack_first_matrix(&b->model->backbone.stack), true) / op_count;
        stack_reset(&b->s->live->backbone);
        const double begin = clock_seconds();
        forward(b->s, tokens, false);
        logits(b->s, (tokens - 1) % b->s->config.step_positions);
        bench_add(b, tokens / (clock_seconds() - begin), limit);
    }
    bench_report(b, &(bench_row){.work = "prefill", .unit = "tok/s", .tokens = tokens});
}

double bench_prefill_rate(bench *b) {
    enum { TOKENS = 128 };
    stack_reset(&b->s->live->backbone);
    const double begin = clock_seconds();
    forward(b->s, TOKENS, true);
    logits(b->s, (TOKENS - 1) % b->s->config.step_positions);
    return bench_prefill_ops(b, TOKENS) / (clock_seconds() - begin);
}

void bench_decode(bench *b, int steps, int depth) {
    rnl_session *s = b->s;
    bench_pass passes[BENCH_PASS_CAP];
    const int pass_count = bench_decode_passes(b, depth + steps / 2, 1, passes);
    stack_reset(&s->live->backbone);
    forward(s, depth, false);
    while (bench_more(b)) {
        (void)bench_read(b, passes, pass_count); /* a small model finds its copy in the caches */
        const double limit = 1 / bench_read(b, passes, pass_count);
        s->live->backbone.position = depth;
        const double begin = clock_seconds();
        for (int step = 0; step < steps; step++) {
            forward(s, 1, true);
            logits(s, 0);
        }
        bench_add(b, steps / (clock_seconds() - begin), limit);
    }
    bench_report(b,
                 &(bench_row){.work = "decode", .unit = "tok/s", .tokens = steps, .depth = depth});
}

/* The experts of all layers, routers included, for rows that choose by chance: as the stack runs
 * them, a pass at a time. */
static void run_experts(const bench *b, int rows) {
    stack_work *k = &b->s->pass->backbone;
    const stack_config *c = &b->model->backbone.stack.config;
    const int most = b->s->config.step_positions;
    for (int at = 0; at < rows && !interrupted(); at += most) {
        const stack_pass p = {
            .work = k, .c = &b->s->pass->compute, .row_count = rows - at < most ? rows - at : most};
        for (int i = 0; i < c->layer_count; i++)
            if (c->layers[i].kinds[STACK_FEED_FORWARD] == &stack_experts)
                stack_experts.forward(&p, i, b->s->pass->x);
    }
}

void bench_experts(bench *b, int rows) {
    stack_work *k = &b->s->pass->backbone;
    const size_t cells = (size_t)b->s->config.step_positions * (size_t)k->w->config.width;
    random_state random;
    random_seed(&random, 1);
    /* Norms make rows of about this size. */
    for (size_t i = 0; i < cells; i++) k->normed[i] = (float)(3.46 * (random_unit(&random) - 0.5));
    memset(b->s->pass->x, 0, cells * sizeof(float));
    while (bench_more(b)) {
        const double limit = bench_experts_limit(b, rows);
        const double begin = clock_seconds();
        run_experts(b, rows);
        bench_add(b, 1e3 * (clock_seconds() - begin), limit);
    }
    bench_report(b, &(bench_row){.work = "experts", .unit = "ms", .tokens = rows});
}

/* ---- Sound out ---- */

/* Some codes that have a sound. */
static void sounding(const bench *b, int32_t *codes) {
    const int count = codec_code_count(&b->model->codec);
    for (int k = 0; k < b->model->backbone.codebook_count; k++)
        codes[k] = (codes[k] + 7 * k) % (count > 0 ? count : 1);
}

static bool to_sound(bench *b, const int32_t *codes) {
    session_live *live = b->s->live;
    codec_frame frame = {.state = &live->codec, .codes = codes, .out = live->samples};
    if (b->model->codec.kind == CODEC_NONE) return true;
    codec_push(&b->s->pass->codec, &b->s->pass->compute, &frame, 1);
    return frame.status == RNL_OK;
}

/* Backbone step without text head, depthformer, embedding of the frame, codec. */
void bench_frame(bench *b) {
    rnl_session *s = b->s;
    session_live *live = s->live;
    const rnl_sampling greedy = {.temperature = 0, .top_k = 1, .top_p = 1, .repeat_penalty = 1};
    int32_t codes[RNL_CODEBOOK_CAP] = {0};
    depth_row row = {.how = greedy, .random = &live->random, .codes = codes};
    bench_pass passes[BENCH_PASS_CAP];
    const int pass_count = bench_frame_passes(b, passes);
    const compute c = session_compute(s);
    if (b->model->codec.kind != CODEC_NONE) codec_reset(&live->codec);
    while (bench_more(b)) {
        const double limit = 1e3 * bench_read(b, passes, pass_count);
        stack_reset(&live->backbone);
        const double begin = clock_seconds();
        forward(s, 1, true);
        depth_frames(&s->pass->depth, &c, s->pass->x, &row, 1);
        sounding(b, codes);
        backbone_embed_frame(&b->model->backbone, &s->pass->compute, codes, s->pass->x,
                             s->pass->row);
        if (!to_sound(b, codes)) return;
        bench_add(b, 1e3 * (clock_seconds() - begin), limit);
    }
    bench_report(b, &(bench_row){.work = "frame", .unit = "ms", .tokens = 1});
}

void bench_detokenizer(bench *b) {
    int32_t codes[RNL_CODEBOOK_CAP] = {0};
    bench_pass passes[BENCH_PASS_CAP];
    const int pass_count = bench_detokenizer_passes(b, passes);
    codec_reset(&b->s->live->codec);
    while (bench_more(b)) {
        const double limit = 1e3 * bench_read(b, passes, pass_count);
        const double begin = clock_seconds();
        sounding(b, codes);
        if (!to_sound(b, codes)) return;
        bench_add(b, 1e3 * (clock_seconds() - begin), pass_count > 0 ? limit : 0);
    }
    bench_report(b, &(bench_row){.work = "detokenizer", .unit = "ms", .tokens = 1});
}
