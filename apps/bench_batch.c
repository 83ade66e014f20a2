/* Passes of a batch: many conversations at the same depth, each with one decision to make. The
 * decision is taken back before the next pass, so that all passes of a row do the same. How many
 * can speak at once follows from the times of both kinds. Limits are two: by the peak of the
 * arithmetic, and by the rate that a prefill of many positions reaches in the same minute. */
#include <assert.h>
#include <stdlib.h>

#include "apps/bench_report.h"
#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "core/clock.h"
#include "engine/schedule.h"

enum {
    PASS_COUNT = 4, /* of a repetition */
    PREFILL_ROWS = 128,
    ROOM = 256 /* positions besides the depth: the header of a turn, its end */
};

typedef enum pass_kind { PASS_TEXT, PASS_FRAME } pass_kind;

typedef struct crowd {
    bench *b;
    rnl_batch *batch;
    rnl_session *sessions[PASS_DECISION_CAP];
    rnl_batch_item items[PASS_DECISION_CAP];
    int count;
    schedule times, limits, reached; /* of passes: as measured, as the peak would allow, as what a
                                      * prefill reaches */
    double rate;                     /* operations a second of that, for the rows at hand */
    double text_ms;                  /* of these rows, */
    bench_longer text_limit;         /* in ms */
    bool silent; /* a frame was the end of its audio, which the codec never sees */
} crowd;

/* ---- Conversations ---- */

static int failed(const rnl_error *error) {
    return complain(exit_code(error), "%s", error->text);
}

static bool has_frames(const bench *b) {
    return rnl_model_can(b->model, RNL_MODE_INTERLEAVED);
}

/* A reply begun, with some text before its first decision, another for each session. */
static rnl_status begin_reply(const bench *b, rnl_session *s, int depth, int seed,
                              rnl_error *error) {
    const rnl_sampling greedy = {.temperature = 0, .top_k = 1, .top_p = 1, .repeat_penalty = 1};
    rnl_turn_config turn =
        rnl_turn_config_default(b->model, has_frames(b) ? RNL_MODE_INTERLEAVED : RNL_MODE_TEXT);
    turn.text = turn.audio = greedy;
    const rnl_status status = rnl_session_begin(s, &turn, error);
    const backbone_weights *w = &b->model->backbone;
    while (status == RNL_OK && rnl_session_position_count(s) <= depth) {
        const int id = (rnl_session_position_count(s) + 31 * seed) % backbone_vocab_count(w);
        backbone_embed_text(w, &s->pass->compute, id, session_append(s, id));
    }
    return status;
}

/* Everything but the last position through the backbone. */
static int prefill(crowd *c) {
    for (;;) {
        int count = 0;
        for (int i = 0; i < c->count; i++) {
            const int left = session_waiting(c->sessions[i]) - 1;
            if (left > 0)
                c->items[count++] = (rnl_batch_item){
                    .session = c->sessions[i], .stage = RNL_STAGE_PREFILL, .position_count = left};
        }
        if (count == 0) return EXIT_OK;
        if (interrupted()) return EXIT_STOPPED;
        rnl_batch_pass(c->batch, c->items, (size_t)count);
        for (int i = 0; i < count; i++)
            if (c->items[i].status < 0) return failed(&c->items[i].error);
    }
}

static int open_sessions(crowd *c, rnl_session_config config, int count, int depth) {
    rnl_error error = {0};
    for (c->count = 0; c->count < count; c->count++) {
        rnl_session **s = &c->sessions[c->count];
        if (rnl_session_create_in(c->batch, &config, s, &error) != RNL_OK) return failed(&error);
        if (begin_reply(c->b, *s, depth, c->count, &error) != RNL_OK) return failed(&error);
    }
    const int code = prefill(c);
    for (int i = 0; code == EXIT_OK && i < count; i++)
        if (rnl_session_snapshot(c->sessions[i], 0, &error) != RNL_OK) return failed(&error);
    return code;
}

static int open_crowd(crowd *c, int count, int depth) {
    rnl_session_config config = rnl_session_config_for(c->b->model);
    if (!session_options(c->b->o, &config)) return EXIT_USAGE;
    config.thread_count = c->b->s->config.thread_count;
    config.context_cap = depth + ROOM;
    config.clip_seconds_max = 0.1;
    config.snapshot_cap = 1;
    rnl_batch_config whole = rnl_batch_config_default();
    whole.row_cap = count > PREFILL_ROWS ? count : PREFILL_ROWS;
    whole.decision_cap = count;
    whole.thread_count = config.thread_count;
    whole.context_cap = config.context_cap;
    whole.clip_seconds_max = config.clip_seconds_max;
    whole.memory_size_max = config.memory_size_max;
    rnl_error error = {0};
    if (rnl_batch_create(c->b->model, &whole, &c->batch, &error) != RNL_OK) return failed(&error);
    return open_sessions(c, config, count, depth);
}

static void close_crowd(crowd *c) {
    for (int i = 0; i < PASS_DECISION_CAP; i++) rnl_session_destroy(&c->sessions[i]);
    rnl_batch_destroy(&c->batch);
}

/* ---- Passes ---- */

/* Back to before the decision, which is to be of this kind. */
static rnl_status rewind_to(rnl_session *s, pass_kind kind, rnl_error *error) {
    const rnl_status status = rnl_session_restore(s, 0, error);
    generate *loop = &s->live->loop;
    if (status == RNL_OK && kind == PASS_FRAME) {
        loop->in_audio = true;
        loop->left = loop->config.audio_run;
    }
    return status;
}

static int pass_once(crowd *c, int rows, pass_kind kind, double *seconds) {
    rnl_error error = {0};
    for (int i = 0; i < rows; i++) {
        if (rewind_to(c->sessions[i], kind, &error) != RNL_OK) return failed(&error);
        c->items[i] = (rnl_batch_item){.session = c->sessions[i], .stage = RNL_STAGE_GENERATE};
    }
    const double begin = clock_seconds();
    rnl_batch_pass(c->batch, c->items, (size_t)rows);
    *seconds += clock_seconds() - begin;
    for (int i = 0; i < rows; i++) {
        if (c->items[i].status < 0) return failed(&c->items[i].error);
        assert(c->items[i].status != RNL_AGAIN); /* there was room for all */
        if (kind == PASS_FRAME && c->sessions[i]->live->sample_count == 0) c->silent = true;
    }
    return EXIT_OK;
}

static int measure(crowd *c, pass_kind kind, int rows, int depth) {
    bench *b = c->b;
    while (bench_more(b)) {
        double unused = 0, seconds = 0;
        const bench_longer limit = kind == PASS_FRAME ? bench_frames_limit(b, rows, depth, c->rate)
                                                      : bench_texts_limit(b, rows, depth, c->rate);
        int code = pass_once(c, rows, kind, &unused); /* the threads of the limit fall asleep */
        for (int i = 0; code == EXIT_OK && i < PASS_COUNT; i++)
            code = pass_once(c, rows, kind, &seconds);
        if (code != EXIT_OK) return code;
        bench_add_pass(b, 1e3 * seconds / PASS_COUNT, &limit);
    }
    (void)bench_keep(b);
    return b->count > 0 ? EXIT_OK : EXIT_STOPPED;
}

static bench_longer median_limit(const bench *b) {
    return (bench_longer){.by_peak = bench_median_kept(b->limits, b->count),
                          .by_rate = bench_median_kept(b->reached, b->count)};
}

static int measure_texts(crowd *c, int rows, int depth) {
    bench *b = c->b;
    c->rate = bench_prefill_rate(b);
    const int code = measure(c, PASS_TEXT, rows, depth);
    if (code != EXIT_OK) return code;
    c->text_ms = bench_median_kept(b->values, b->count);
    c->text_limit = median_limit(b);
    bench_report(
        b, &(bench_row){
               .work = "batch", .kind = "text", .unit = "ms", .tokens = rows, .depth = depth});
    return EXIT_OK;
}

static int measure_frames(crowd *c, int rows, int depth) {
    bench *b = c->b;
    const int code = measure(c, PASS_FRAME, rows, depth);
    if (code != EXIT_OK) return code;
    const bench_longer limit = median_limit(b);
    schedule_know(&c->times, rows, 1e3 * c->text_ms, 1e3 * bench_median_kept(b->values, b->count));
    schedule_know(&c->limits, rows, 1e3 * c->text_limit.by_peak, 1e3 * limit.by_peak);
    schedule_know(&c->reached, rows, 1e3 * c->text_limit.by_rate, 1e3 * limit.by_rate);
    bench_report(
        b, &(bench_row){
               .work = "batch", .kind = "frame", .unit = "ms", .tokens = rows, .depth = depth});
    return EXIT_OK;
}

static void report_speaking(crowd *c, int depth) {
    bench *b = c->b;
    b->values[0] = schedule_speaking_max(&c->times);
    b->limits[0] = schedule_speaking_max(&c->limits);
    b->reached[0] = schedule_speaking_max(&c->reached);
    b->count = 1;
    bench_report(
        b, &(bench_row){.work = "speaking", .unit = "sess", .tokens = c->count, .depth = depth});
    if (c->silent) (void)complain(EXIT_OK, "some frames had no sound: their times lack the codec");
}

static int measure_depth(crowd *c, const bench_list *rows, int depth) {
    int most = 0;
    for (int i = 0; i < rows->count; i++) most = rows->values[i] > most ? rows->values[i] : most;
    const schedule_config speech = {
        .row_cap = most, .decision_cap = most, .frame_us = 80000, .text_run = 6, .audio_run = 12};
    schedule_init(&c->times, &speech);
    schedule_init(&c->limits, &speech);
    schedule_init(&c->reached, &speech);
    int code = open_crowd(c, most, depth);
    if (code != EXIT_OK) return code;
    const int begun = (int)c->sessions[0]->live->backbone.position;
    const bool frames = has_frames(c->b);
    for (int i = 0; code == EXIT_OK && i < rows->count; i++) {
        code = measure_texts(c, rows->values[i], begun);
        if (code == EXIT_OK && frames) code = measure_frames(c, rows->values[i], begun);
    }
    if (code == EXIT_OK && frames) report_speaking(c, begun);
    return code;
}

int bench_batch(bench *b, const bench_list *rows, const bench_list *depths) {
    int code = EXIT_OK;
    crowd *c = calloc(1, sizeof *c);
    if (c == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    c->b = b;
    for (int i = 0; code == EXIT_OK && i < depths->count; i++) {
        code = measure_depth(c, rows, depths->values[i]);
        close_crowd(c);
    }
    free(c);
    return code;
}
