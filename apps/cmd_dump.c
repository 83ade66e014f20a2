/* runnel dump: any array that lies between sound and answer, for comparison with other
 * implementations. A clip is answered as `reply` would, with taps on the stages. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/answer.h"
#include "apps/commands.h"
#include "apps/dump.h"
#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/replace.h"
#include "apps/sources.h"
#include "audio/file.h"
#include "engine/session.h"

void dump_keep(dump *d, const void *cells, bool is_int, size_t rows, size_t cols) {
    npy_array *a = &d->kept;
    const size_t cell_size = sizeof(float); /* and of int32_t */
    if (a->rows + rows > d->row_cap) {
        const size_t cap = 2 * (a->rows + rows);
        void *grown = realloc(a->cells, cap * cols * cell_size);
        if (grown == NULL) {
            d->failed = true;
            return;
        }
        a->cells = grown;
        d->row_cap = cap;
    }
    memcpy((char *)a->cells + a->rows * cols * cell_size, cells, rows * cols * cell_size);
    a->rows += rows;
    a->cols = cols;
    a->is_int = is_int;
}

static void keep(dump *d, const float *values, size_t rows, size_t cols) {
    dump_keep(d, values, false, rows, cols);
}

bool dump_wants(const dump *d, const char *stage, int index) {
    return strcmp(d->stage, stage) == 0 && d->index == index;
}

static void on_encoder(void *context, const char *stage, int layer, const float *x, int rows,
                       int cols) {
    dump *d = context;
    const bool first = strcmp(stage, "subsampling") == 0;
    if (dump_wants(d, stage, first ? -1 : layer)) keep(d, x, (size_t)rows, (size_t)cols);
}

static void on_tower(void *context, const char *stage, int layer, const float *x, int rows,
                     int cols) {
    dump *d = context;
    const bool is_layer = strcmp(stage, "layer") == 0;
    if (dump_wants(d, is_layer ? "tower" : stage, is_layer ? layer : -1))
        keep(d, x, (size_t)rows, (size_t)cols);
}

/* The rows of a picture that was looked at, without the marks around and between its views. */
static void keep_image_rows(dump *d, const rnl_session *s) {
    const size_t width = (size_t)backbone_width(&s->model->backbone);
    const views *v = &s->picture.views;
    int at = s->encode_at + 1;
    for (int i = 0; i < v->count && dump_wants(d, "image_rows", -1); i++) {
        const int rows = views_at(v, i).row_count;
        at += v->count > 1;
        keep(d, s->embeddings + (size_t)at * width, (size_t)rows, width);
        at += rows;
    }
}

typedef struct backbone_tap {
    dump *d;
    const rnl_session *s;
} backbone_tap;

static void on_backbone(void *context, int layer, const float *x, int count) {
    const backbone_tap *tap = context;
    if (dump_wants(tap->d, "backbone", layer))
        keep(tap->d, x, (size_t)count, (size_t)backbone_width(&tap->s->model->backbone));
}

/* What can be looked at after a step that decided something. */
static void after_decision(dump *d, const rnl_session *s, size_t *frames_seen) {
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    const depth_work *depth = &s->pass->depth;
    const bool frame = reply.frame_count > *frames_seen;
    *frames_seen = reply.frame_count;
    if (!frame && dump_wants(d, "logits", -1))
        keep(d, s->pass->logits, 1, (size_t)backbone_vocab_count(&s->model->backbone));
    if (!frame) return;
    if (strcmp(d->stage, "depth") == 0 && d->index >= 0 && d->index < depth->w->codebook_count) {
        const size_t codes = (size_t)depth->w->code_count;
        keep(d, depth->logits + (size_t)d->index * codes, 1, codes);
    }
    if (dump_wants(d, "spectrum", -1) && s->model->codec.kind == CODEC_LFM)
        keep(d, s->pass->codec.lfm.spectrum, LFM_POSITIONS, 2 * (size_t)s->model->codec.lfm.bins);
}

static int run_turn(dump *d, rnl_session *s, const rnl_turn_config *config) {
    backbone_tap tap = {.d = d, .s = s};
    s->pass->encoder.tap = on_encoder;
    s->pass->encoder.tap_context = d;
    s->pass->backbone.tap = on_backbone;
    s->pass->backbone.tap_context = &tap;
    if (dump_wants(d, "mel", -1))
        keep(d, mel_frames(&s->mel), (size_t)mel_frame_count(&s->mel),
             (size_t)s->mel.w->band_count);
    rnl_error error = {0};
    if (rnl_session_begin(s, config, &error) != RNL_OK)
        return complain(exit_code(&error), "%s", error.text);
    const size_t width = (size_t)backbone_width(&s->model->backbone);
    const int encode_at = s->encode_at, encode_count = s->encode_count;
    size_t frames_seen = 0, got;
    float samples[4096];
    char text[1024];
    for (rnl_status status = RNL_OK; status != RNL_DONE && !interrupted();) {
        const bool was_encoding = s->encoding;
        const int64_t before = s->live->backbone.position;
        status = rnl_session_step(s, &error);
        if (status < 0) return complain(exit_code(&error), "%s", error.text);
        if (was_encoding && !s->encoding && dump_wants(d, "adapter", -1))
            keep(d, s->embeddings + (size_t)encode_at * width, (size_t)encode_count, width);
        if (s->live->step_count > 0) { /* a decision, from the last row of its batch */
            const int64_t count = s->live->backbone.position - before;
            if (dump_wants(d, "hidden", -1) && count > 0)
                keep(d, s->pass->x + (size_t)(count - 1) * width, 1, width);
            after_decision(d, s, &frames_seen);
        }
        while (rnl_session_pull_text(s, text, sizeof text, &got) == RNL_OK) continue;
        while (rnl_session_pull_samples(s, samples, 4096, &got) == RNL_OK)
            if (dump_wants(d, "samples", -1)) keep(d, samples, got, 1);
    }
    if (dump_wants(d, "embeddings", -1))
        keep(d, s->embeddings, (size_t)s->live->position_count, width);
    return EXIT_OK;
}

static const struct {
    const char *name;
    bool numbered, of_input, of_ids;
} stages[] = {{"mel", false, true, false},        {"subsampling", false, true, false},
              {"encoder", true, true, false},     {"adapter", false, true, false},
              {"embeddings", false, true, false}, {"backbone", true, true, true},
              {"hidden", false, true, true},      {"logits", false, true, true},
              {"depth", true, true, false},       {"spectrum", false, true, false},
              {"samples", false, true, false},    {"patches", false, true, false},
              {"embedded", false, true, false},   {"tower", true, true, false},
              {"post_norm", false, true, false},  {"image_rows", false, true, false},
              {"experts", true, false, true},     {"greedy", false, false, true}};

/* "encoder.3" -> stage "encoder", index 3; false when it is none of that input. name is cut at the
 * dot. */
static bool split_stage(dump *d, char *name, bool of_ids) {
    d->index = -1;
    d->stage = name;
    char *dot = strchr(name, '.');
    if (dot != NULL) {
        *dot++ = '\0';
        const size_t digits = strspn(dot, "0123456789");
        if (digits == 0 || digits > 4 || dot[digits] != '\0') return false;
        d->index = (int)strtol(dot, NULL, 10);
    }
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (strcmp(stages[i].name, name) == 0 && (of_ids ? stages[i].of_ids : stages[i].of_input))
            return stages[i].numbered == (dot != NULL);
    return false;
}

/* The input answered, with taps on the stages. */
static int dump_answer(const options *o, rnl_model *model, dump *d) {
    int code;
    rnl_session *session = open_session(o, model, &code);
    if (session == NULL) return code;
    answer a = {.options = o,
                .model = model,
                .session = session,
                .mode = RNL_MODE_INTERLEAVED,
                .any_sound = true};
    if (!rnl_model_can(model, a.mode))
        a.mode = rnl_model_can(model, RNL_MODE_TRANSCRIBE) ? RNL_MODE_TRANSCRIBE : RNL_MODE_TEXT;
    session->pass->tower.tap = on_tower; /* pictures are looked at when they are added */
    session->pass->tower.tap_context = d;
    code = answer_add_system(&a);
    if (code == EXIT_OK) code = answer_add_file(&a, o->arguments[1]);
    if (code == EXIT_OK) keep_image_rows(d, session);
    const rnl_turn_config config = answer_config(o, model, a.mode);
    if (code == EXIT_OK) code = run_turn(d, session, &config);
    if (code == EXIT_OK && interrupted()) code = EXIT_STOPPED; /* the array is not complete */
    rnl_session_destroy(&session);
    return code;
}

static int write_kept(const options *o, const dump *d) {
    if (d->failed) return complain(EXIT_FAILED, "memory is exhausted");
    if (d->kept.rows == 0)
        return complain(EXIT_USAGE,
                        "dump: '%s' gave nothing: the model has no such layer, or the answer no "
                        "frame; `runnel info` tells the layers",
                        o->arguments[0]);
    rnl_error error = {0};
    if (!npy_write(o->output, &d->kept, &error))
        return complain(exit_code(&error), "%s", error.text);
    if (o->quiet) return EXIT_OK;
    if (d->kept.cols > 0)
        (void)fprintf(stderr, "%s: [%zu, %zu]\n", o->output, d->kept.rows, d->kept.cols);
    else
        (void)fprintf(stderr, "%s: [%zu]\n", o->output, d->kept.rows);
    return EXIT_OK;
}

static int refuse_stage(const options *o) {
    if (o->ids != NULL)
        return complain(EXIT_USAGE,
                        "dump: '%.60s' is no stage of ids; those are backbone.N, hidden, logits, "
                        "experts.N and greedy",
                        o->arguments[0]);
    return complain(EXIT_USAGE,
                    "dump: '%.60s' is no stage; stages are mel, subsampling, encoder.N, "
                    "adapter, embeddings, backbone.N, hidden, logits, depth.K, spectrum, "
                    "samples; of a picture patches, embedded, tower.N, post_norm, image_rows; "
                    "experts.N and greedy want --ids",
                    o->arguments[0]);
}

static int run(const options *o) {
    const bool ids = o->ids != NULL;
    if (o->argument_count != (ids ? 1 : 2) || o->output == NULL)
        return complain(EXIT_USAGE, "dump: name a stage, a sound or picture file or --ids "
                                    "FILE.npy, and the target with -o");
    dump d = {0};
    char name[64];
    (void)snprintf(name, sizeof name, "%s", o->arguments[0]);
    if (!split_stage(&d, name, ids)) return refuse_stage(o);
    source_note(ids ? o->ids : o->arguments[1]);
    int code = check_target(o->output);
    if (code != EXIT_OK) return code;
    options exact = *o;
    exact.exact = true; /* for comparison with other implementations */
    rnl_model *model = open_model(&exact, &code);
    if (model != NULL) code = ids ? dump_ids(o, model, &d) : dump_answer(o, model, &d);
    if (code == EXIT_OK) code = write_kept(o, &d);
    free(d.kept.cells);
    rnl_model_close(&model);
    return code;
}

static const option_row rows[] = {
    {.name = "ids",
     .value = "FILE.npy",
     .help = "int32 [n]: run these ids instead of a sound",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(ids),
     .changes_result = true},
    {.name = "count",
     .value = "N",
     .help = "tokens of greedy (default 20)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(count),
     .min = 1,
     .max = 1 << 20,
     .changes_result = true},
};
static const option_list own = OPTION_LIST(rows);

const command command_dump = {
    .name = "dump",
    .summary = "write an intermediate array of a run",
    .synopsis = "[options] STAGE INPUT | --ids FILE.npy -o X.npy",
    .about =
        "STAGE is mel, subsampling, encoder.N, adapter, embeddings, backbone.N, hidden, logits,\n"
        "depth.K, spectrum or samples, and of a picture patches, embedded, tower.N, post_norm or\n"
        "image_rows (views one after the other). The input is answered as by `reply`; arrays of\n"
        "the generation hold one row a decision (backbone.N: one a position, prompt first).\n"
        "\n"
        "With --ids the numbers of FILE.npy go through the backbone as they are, also of a model\n"
        "without a vocabulary: backbone.N, hidden and logits hold a row for each, experts.N the\n"
        "experts that layer N chose, best first (int32), greedy the --count best tokens that\n"
        "follow (int32).",
    .options = {&options_output, &own, &options_system, &options_sampling, &options_answer,
                &options_turns, &options_lora, &options_device},
    .run = run,
};
