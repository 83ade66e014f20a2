/* Passes of a batch: many conversations at the same depth, each with one decision to make. The
 * decision is taken back before the next pass, so that all passes of a row do the same.
 *
 * How many can speak at once follows from the times of both kinds: a second of speech is 12.5
 * frames, between them 6.25 tokens of text. */
#include <stdlib.h>

#include "apps/bench_report.h"
#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "core/clock.h"

enum {
    PASS_COUNT = 4, /* of a repetition */
    PREFILL_ROWS = 128,
    ROOM = 256,       /* positions besides the depth: the header of a turn, its end */
    TURN_FRAMES = 12, /* of 80 ms; so much sound has so many */
    TURN_TOKENS = 6   /* tokens of text beside it */
};
#define TURN_MS 960.0
#define LOAD_MOST 0.80 /* of the time; the rest is for what listeners ask */

typedef enum pass_kind { PASS_TEXT, PASS_FRAME, PASS_KIND_COUNT } pass_kind;

/* ms of the passes of one number of rows */
typedef struct timing {
    int rows;
    double ms[PASS_KIND_COUNT], limit[PASS_KIND_COUNT];
} timing;

typedef struct crowd {
    bench *b;
    rnl_batch *batch;
    rnl_session *sessions[PASS_DECISION_CAP];
    rnl_batch_item items[PASS_DECISION_CAP];
    int count;
    timing timings[BENCH_LIST_CAP];
    int timing_count;
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
    const rnl_sampling greedy = {.temperature = 0, .top_k = 1};
    rnl_turn_config turn =
        rnl_turn_config_default(b->model, has_frames(b) ? RNL_MODE_INTERLEAVED : RNL_MODE_TEXT);
    turn.text = turn.audio = greedy;
    const rnl_status status = rnl_session_begin(s, &turn, error);
    const backbone_weights *w = &b->model->backbone;
    while (status == RNL_OK && rnl_session_position_count(s) <= depth)
        backbone_embed_text(w, &s->pass->compute,
                            (rnl_session_position_count(s) + 31 * seed) % backbone_vocab_count(w),
                            session_append(s));
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
    rnl_session_config config = rnl_session_config_default();
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
        if (kind == PASS_FRAME && c->sessions[i]->live->sample_count == 0) c->silent = true;
    }
    return EXIT_OK;
}

static int measure(crowd *c, pass_kind kind, int depth, timing *t) {
    bench *b = c->b;
    for (b->count = 0; b->count < b->repeat && !interrupted(); b->count++) {
        double unused = 0, seconds = 0;
        b->limits[b->count] = kind == PASS_FRAME ? bench_frames_limit(b, t->rows, depth)
                                                 : bench_texts_limit(b, t->rows, depth);
        int code = pass_once(c, t->rows, kind, &unused); /* the threads of the limit fall asleep */
        for (int i = 0; code == EXIT_OK && i < PASS_COUNT; i++)
            code = pass_once(c, t->rows, kind, &seconds);
        if (code != EXIT_OK) return code;
        b->values[b->count] = 1e3 * seconds / PASS_COUNT;
    }
    if (b->count == 0) return EXIT_STOPPED;
    t->ms[kind] = bench_median(b->values, b->count);
    t->limit[kind] = bench_median(b->limits, b->count);
    bench_report(b, &(bench_row){.work = "batch",
                                 .kind = kind == PASS_FRAME ? "frame" : "text",
                                 .unit = "ms",
                                 .tokens = t->rows,
                                 .depth = depth});
    return EXIT_OK;
}

/* ---- Speaking at once ---- */

static double turn_ms(const double ms[PASS_KIND_COUNT]) {
    return TURN_FRAMES * ms[PASS_FRAME] + TURN_TOKENS * ms[PASS_TEXT];
}

static double turn_of(const timing *t, bool limit) {
    return turn_ms(limit ? t->limit : t->ms);
}

/* For any number of rows, on a straight line between those that were measured. */
static double turn_at(const crowd *c, int rows, bool limit) {
    const timing *below = NULL, *above = NULL;
    for (int i = 0; i < c->timing_count; i++) {
        const timing *t = &c->timings[i];
        if (t->rows <= rows && (below == NULL || t->rows > below->rows)) below = t;
        if (t->rows >= rows && (above == NULL || t->rows < above->rows)) above = t;
    }
    if (below == NULL || below->rows == rows) return turn_of(above, limit);
    const double share = (double)(rows - below->rows) / (above->rows - below->rows);
    return turn_of(below, limit) + share * (turn_of(above, limit) - turn_of(below, limit));
}

static int speaking(const crowd *c, bool limit) {
    int most = 0;
    for (int rows = 1; rows <= c->count; rows++)
        if (turn_at(c, rows, limit) <= LOAD_MOST * TURN_MS) most = rows;
    return most;
}

static int measure_depth(crowd *c, const bench_list *rows, int depth) {
    bench *b = c->b;
    int most = 0;
    for (int i = 0; i < rows->count; i++) most = rows->values[i] > most ? rows->values[i] : most;
    int code = open_crowd(c, most, depth);
    if (code != EXIT_OK) return code;
    const int begun = (int)c->sessions[0]->live->backbone.position;
    for (c->timing_count = 0; code == EXIT_OK && c->timing_count < rows->count; c->timing_count++) {
        timing *t = &c->timings[c->timing_count];
        *t = (timing){.rows = rows->values[c->timing_count]};
        code = measure(c, PASS_TEXT, begun, t);
        if (code == EXIT_OK && has_frames(b)) code = measure(c, PASS_FRAME, begun, t);
    }
    if (code != EXIT_OK || !has_frames(b)) return code;
    if (c->silent) (void)complain(EXIT_OK, "some frames had no sound: their times lack the codec");
    b->values[0] = speaking(c, false);
    b->limits[0] = speaking(c, true);
    b->count = 1;
    bench_report(b,
                 &(bench_row){.work = "speaking", .unit = "sess", .tokens = most, .depth = begun});
    return EXIT_OK;
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
