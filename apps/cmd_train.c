/* runnel train: teaches a model by examples, adapters or all of it. docs/MODEL.md, part learn.md 4.
 *
 *     data files -> samples -> held out | learnt -> steps -> checkpoints, log -> adapter */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/commands.h"
#include "apps/ending.h"
#include "apps/folders.h"
#include "apps/messages.h"
#include "apps/npy.h"
#include "apps/open.h"
#include "apps/progress.h"
#include "apps/replace.h"
#include "apps/sources.h"
#include "apps/train.h"
#include "apps/train_log.h"
#include "audio/file.h"
#include "core/clock.h"
#include "learn/checkpoint.h"
#include "learn/result.h"
#include "text/voices.h"

enum { PATH_CAP = 4096, USE_CAP = 3 * PATH_CAP, LOOKS = 20 /* at what is held out, in a run */ };

typedef struct training {
    const options *o;
    rnl_model *model;
    train_setup setup;
    learn_readers *readers;
    learn_heard_cache *heard; /* NULL: nothing is kept */
    learn_dataset data, held;
    learn_network *network;
    learn_trainer *t;
    train_log log;
    progress shown;
    char checkpoints[PATH_CAP];
    double begun;           /* seconds of the clock, at the first step of this run */
    int64_t positions_then; /* learnt from before it */
    int64_t step_then;
} training;

static int failed(const rnl_error *error) {
    const int code = error->status == RNL_ERR_DATA    ? EXIT_INPUT
                     : error->status == RNL_ERR_STATE ? EXIT_USAGE
                                                      : exit_code(error);
    return complain(code, "%s", error->text);
}

/* ---- Data ---- */

static rnl_status hear(void *context, const char *path, float **samples, size_t *count, int *rate,
                       rnl_error *error) {
    const training *x = context;
    sound s;
    source_note(path);
    const rnl_status status = sound_read(path, x->setup.reading.seconds_max, NULL, &s, error);
    if (status != RNL_OK) return status;
    *samples = s.samples;
    *count = s.count;
    *rate = s.rate;
    return RNL_OK;
}

static rnl_status take_codes(void *context, const char *path, int32_t **codes, int *codebook_count,
                             int *frame_count, rnl_error *error) {
    size_t rows, cols;
    (void)context;
    source_note(path);
    if (!npy_read_table(path, codes, &rows, &cols, error)) return error->status;
    *codebook_count = (int)rows;
    *frame_count = (int)cols;
    return RNL_OK;
}

static bool goes_on(void *context, double done) {
    training *x = context;
    progress_bar(&x->shown, "reading", done);
    return !interrupted();
}

static int read_file(training *x, const char *path, learn_dataset *into) {
    rnl_error error = {0};
    source_note(path);
    const rnl_status status = learn_dataset_read(into, x->readers, path, &error);
    progress_clear(&x->shown);
    if (status == RNL_OK) return EXIT_OK;
    if (status == RNL_ERR_STATE) return EXIT_STOPPED;
    return complain(error.status == RNL_ERR_MEMORY ? EXIT_FAILED : EXIT_INPUT, "%s", error.text);
}

static void tell_data(const training *x) {
    const learn_dataset *d = &x->data;
    if (d->cut_count > 0)
        (void)complain(EXIT_OK,
                       "warning: %d of %d conversations are longer than %d positions and were cut",
                       d->cut_count, d->line_count, x->setup.plan.length);
    if (d->empty_count > 0)
        (void)complain(EXIT_OK, "warning: %d of %d lines have nothing to learn and were left out",
                       d->empty_count, d->line_count);
    if (x->o->quiet) return;
    (void)fprintf(stderr, "data: %d conversations, %lld positions, %lld of them learnt", d->count,
                  (long long)d->position_count, (long long)d->label_count);
    if (x->held.count > 0) (void)fprintf(stderr, "; %d held out", x->held.count);
    (void)fputc('\n', stderr);
}

static int read_data(training *x) {
    const options *o = x->o;
    rnl_error error = {0};
    if (o->cache != NULL && !folders_make(o->cache, 0777))
        return complain(EXIT_FAILED, "%s: cannot be made: %s", o->cache, strerror(errno));
    if (o->cache != NULL && learn_heard_open(x->model, o->cache, &x->heard) != RNL_OK)
        return complain(EXIT_FAILED, "memory is exhausted");
    x->setup.reading.cache = x->heard;
    x->setup.reading.goes_on = goes_on;
    x->setup.reading.context = x;
    x->setup.reading.media =
        (learn_media){.sound = hear, .codes = take_codes, .voice = voice_prompt, .context = x};
    int code = learn_readers_create(x->model, &x->setup.reading, &x->readers, &error) == RNL_OK
                   ? EXIT_OK
                   : failed(&error);
    for (int i = 0; i < o->data.count && code == EXIT_OK; i++)
        code = read_file(x, o->data.at[i], &x->data);
    if (code == EXIT_OK && o->validation != NULL) code = read_file(x, o->validation, &x->held);
    learn_readers_destroy(&x->readers);
    learn_heard_close(&x->heard);
    if (code != EXIT_OK) return code;
    if (x->setup.hold > 0 && !learn_dataset_hold(&x->data, x->setup.hold, &x->held))
        return complain(EXIT_FAILED, "memory is exhausted");
    if (o->validation != NULL && x->held.count == 0)
        return complain(EXIT_INPUT, "%s: there is nothing to foresee in it", o->validation);
    tell_data(x);
    return EXIT_OK;
}

/* ---- The network ---- */

/* Whether all that backward needs is kept, or made again, by what memory allows. */
static int plan_network(training *x) {
    learn_config *c = &x->setup.network;
    const size_t most = x->o->memory_max;
    rnl_error error = {0};
    size_t size = 0;
    c->keeps_all = !x->o->recompute;
    if (learn_network_size(x->model, c, &size, &error) != RNL_OK) return failed(&error);
    if (size > most && c->keeps_all) {
        c->keeps_all = false;
        if (learn_network_size(x->model, c, &size, &error) != RNL_OK) return failed(&error);
    }
    char text[SIZE_TEXT_CAP], budget[SIZE_TEXT_CAP], stored[SIZE_TEXT_CAP];
    size_text((int64_t)size, text);
    size_text((int64_t)x->model->weight_size, stored);
    if (size > most) {
        size_text((int64_t)most, budget);
        return complain(EXIT_BUDGET,
                        "training needs %s besides the weights, and --memory allows %s; give a "
                        "smaller --length%s",
                        text, budget, c->choice.full ? ", or --lora" : ", or a smaller rank");
    }
    if (!x->o->quiet)
        (void)fprintf(stderr, "memory: %s besides %s of weights%s\n", text, stored,
                      c->keeps_all ? "" : ", layers computed twice");
    return EXIT_OK;
}

static int make_network(training *x) {
    rnl_error error = {0};
    if (learn_network_create(x->model, &x->setup.network, &x->network, &error) != RNL_OK)
        return failed(&error);
    if (learn_trainer_create(x->network, &x->data, &x->held, &x->setup.plan, &x->t, &error) !=
        RNL_OK)
        return failed(&error);
    return EXIT_OK;
}

/* ---- Folders ---- */

static int prepare_folder(training *x) {
    const char *folder = x->o->output;
    bool found = false;
    rnl_error error = {0};
    if ((size_t)snprintf(x->checkpoints, sizeof x->checkpoints, "%s/checkpoint", folder) >=
        sizeof x->checkpoints - 64)
        return complain(EXIT_USAGE, "%.60s...: the name is too long", folder);
    if (!folders_make(x->checkpoints, 0777))
        return complain(EXIT_FAILED, "%s: cannot be made: %s", x->checkpoints, strerror(errno));
    if (x->o->resume) {
        if (learn_checkpoint_read(x->t, x->checkpoints, x->o->force, &found, &error) != RNL_OK)
            return failed(&error);
        if (!found)
            (void)complain(EXIT_OK, "%s: there is no checkpoint yet; the training begins",
                           x->checkpoints);
    } else if (learn_checkpoint_exists(x->checkpoints)) {
        return complain(EXIT_USAGE,
                        "%s: a training stands there; go on with --resume, or name another folder",
                        folder);
    }
    return train_log_open(&x->log, folder, found ? x->t->step : 0);
}

static int save(training *x) {
    rnl_error error = {0};
    if (learn_checkpoint_write(x->t, x->checkpoints, x->setup.keep, &error) == RNL_OK)
        return EXIT_OK;
    return failed(&error);
}

static bool best_path(const training *x, char path[PATH_CAP]) {
    return (size_t)snprintf(path, PATH_CAP, "%s/best.safetensors", x->checkpoints) < PATH_CAP;
}

/* ---- Steps ---- */

static void time_left(const training *x, char text[32]) {
    const int64_t done = x->t->step - x->step_then, left = x->t->plan.hyper.steps - x->t->step;
    const double seconds = (clock_seconds() - x->begun) / (double)(done > 0 ? done : 1);
    const double minutes = seconds * (double)left / 60;
    if (minutes < 1)
        (void)snprintf(text, 32, "%.0f s", 60 * minutes);
    else if (minutes < 120)
        (void)snprintf(text, 32, "%.0f min", minutes);
    else
        (void)snprintf(text, 32, "%.1f h", minutes / 60);
}

static double rate_of(const training *x) {
    const double seconds = clock_seconds() - x->begun;
    return seconds > 0 ? (double)(x->t->position_count - x->positions_then) / seconds : 0;
}

/* Of every step a line on a terminal, drawn again; written where one looks at what is held out. */
static void tell_step(training *x, const learn_report *r, bool writes) {
    char line[192], left[32], held[40] = "";
    const learn_trainer *t = x->t;
    if (x->o->quiet) return;
    time_left(x, left);
    if (!isnan(t->held_last)) (void)snprintf(held, sizeof held, "  held-out %.3f", t->held_last);
    (void)snprintf(line, sizeof line, "loss %.3f%s  lr %.1e  norm %.2f  %.0f tok/s  left %s",
                   r->loss, held, r->rate, r->norm, rate_of(x), left);
    if (!writes) {
        char label[64];
        (void)snprintf(label, sizeof label, "step %lld/%lld", (long long)t->step,
                       (long long)t->plan.hyper.steps);
        progress_work(&x->shown, label, (double)t->step / (double)t->plan.hyper.steps, line);
        return;
    }
    progress_clear(&x->shown);
    (void)fprintf(stderr, "step %lld/%lld  %s\n", (long long)t->step,
                  (long long)t->plan.hyper.steps, line);
}

/* Looks at what is held out. *stop: it was foreseen worse three times in a row, and --best. */
static int look(training *x, bool *stop) {
    enum { WORSE_RUN = 3 };
    rnl_error error = {0};
    char path[PATH_CAP];
    bool is_best;
    if (x->t->held == NULL) return EXIT_OK;
    if (learn_trainer_evaluate(x->t, &is_best, &error) != RNL_OK) return failed(&error);
    if (x->o->best && is_best && best_path(x, path) &&
        learn_values_write(x->network, path, &error) != RNL_OK)
        return failed(&error);
    *stop = x->o->best && x->t->held_worse_run >= WORSE_RUN;
    return train_log_held(&x->log, x->t);
}

static int stopped(training *x) {
    progress_clear(&x->shown);
    int code = save(x);
    if (code == EXIT_OK) code = train_log_close(&x->log);
    if (code != EXIT_OK) return code;
    return complain(EXIT_STOPPED,
                    "stopped behind step %lld of %lld; the same command with --resume goes on",
                    (long long)x->t->step, (long long)x->t->plan.hyper.steps);
}

static int run_steps(training *x) {
    const int64_t steps = x->t->plan.hyper.steps, every = (steps + LOOKS - 1) / LOOKS;
    rnl_error error = {0};
    learn_report r;
    bool stop = false;
    int code = x->t->step == 0 ? look(x, &stop) : EXIT_OK;
    x->begun = clock_seconds();
    x->positions_then = x->t->position_count;
    x->step_then = x->t->step;
    while (code == EXIT_OK && !stop && x->t->step < steps) {
        if (interrupted()) return stopped(x);
        const rnl_status status = learn_trainer_step(x->t, &r, &error);
        if (status < 0) return failed(&error);
        const bool looks = x->t->step % every == 0 || x->t->step == steps;
        code = train_log_step(&x->log, x->t, &r);
        if (code == EXIT_OK && looks) code = look(x, &stop);
        tell_step(x, &r, looks);
        if (code == EXIT_OK && looks) code = train_log_flush(&x->log);
        if (code == EXIT_OK && looks) code = save(x);
    }
    progress_clear(&x->shown);
    return code;
}

/* ---- The end ---- */

static int take_best(training *x) {
    char path[PATH_CAP];
    rnl_error error = {0};
    if (!x->o->best || isnan(x->t->held_best) || !best_path(x, path) || access(path, F_OK) != 0)
        return EXIT_OK;
    if (learn_values_read(x->network, path, &error) != RNL_OK) return failed(&error);
    if (!x->o->quiet && x->t->held_best_step != x->t->step)
        (void)fprintf(stderr, "the best was step %lld: it is what is written\n",
                      (long long)x->t->held_best_step);
    return EXIT_OK;
}

/* The adapter, or the model. */
static int write_it(training *x, char use[USE_CAP]) {
    rnl_error error = {0};
    const char *folder = x->o->output;
    if (!x->o->full) {
        if (learn_adapter_write(x->network, folder, x->model->path, x->setup.rslora, &error) !=
            RNL_OK)
            return failed(&error);
        (void)snprintf(use, USE_CAP, "-m %s --lora %s", x->model->path, folder);
        return EXIT_OK;
    }
    char path[PATH_CAP];
    if ((size_t)snprintf(path, sizeof path, "%s/model.gguf", folder) >= sizeof path)
        return complain(EXIT_USAGE, "%.60s...: the name is too long", folder);
    int code = check_target(path);
    if (code != EXIT_OK) return code;
    if (learn_model_write(x->network, path, &error) != RNL_OK) return failed(&error);
    (void)snprintf(use, USE_CAP, "-m %s", path);
    return EXIT_OK;
}

static int write_result(training *x) {
    const learn_trainer *t = x->t;
    char use[USE_CAP];
    int code = take_best(x);
    if (code == EXIT_OK) code = train_log_close(&x->log);
    if (code == EXIT_OK) code = write_it(x, use);
    if (code != EXIT_OK) return code;
    if (t->skipped_count > 0)
        (void)complain(EXIT_OK, "warning: %d steps were left out: their gradients were no numbers",
                       t->skipped_count);
    if (x->o->quiet) return EXIT_OK;
    if (!isnan(t->held_first))
        (void)fprintf(stderr, "held-out %.3f -> %.3f; ", t->held_first,
                      x->o->best ? t->held_best : t->held_last);
    (void)fprintf(stderr, "use it: runnel chat %s\n", use);
    return EXIT_OK;
}

static int train(training *x) {
    int code = train_setup_of(x->o, x->model, &x->setup);
    if (code == EXIT_OK) code = plan_network(x);
    if (code == EXIT_OK) code = read_data(x);
    if (code == EXIT_OK) code = make_network(x);
    if (code == EXIT_OK) code = prepare_folder(x);
    if (code == EXIT_OK) code = run_steps(x);
    if (code == EXIT_OK) code = write_result(x);
    train_log_drop(&x->log);
    learn_trainer_destroy(&x->t);
    learn_network_destroy(&x->network);
    learn_dataset_free(&x->data);
    learn_dataset_free(&x->held);
    return code;
}

static int run(const options *o) {
    int code = EXIT_OK;
    char start[PATH_CAP];
    options own = *o;
    if (o->data.count == 0 || o->output == NULL || o->argument_count > 0)
        return complain(EXIT_USAGE, "train: give --data FILE and -o FOLDER, and no other names");
    if (o->from_scratch != NULL && (o->model != NULL || o->lora.count > 0))
        return complain(EXIT_USAGE, "--from-scratch: there is no model yet, nor an adapter of it");
    interrupt_install();
    if (o->from_scratch != NULL) {
        code = train_begin_from_scratch(o, start, sizeof start);
        own.model = start;
        own.tokenizer = NULL;
        own.full = true;
    }
    if (code != EXIT_OK) return code;
    own.exact = true;
    training x = {.o = &own, .model = open_model(&own, &code)};
    if (x.model == NULL) return code;
    progress_begin(&x.shown, o);
    code = train(&x);
    rnl_model_close(&x.model);
    return code;
}

static const option_row rows[] = {
    {.name = "data",
     .value = "FILE",
     .help = "lines of JSON to learn from, see above; several",
     .kind = OPTION_TEXTS,
     .offset = OPTION_AT(data),
     .changes_result = true},
    {.name = "lora",
     .value = "R[:ALPHA]",
     .help = "adapters of rank R, scaled by ALPHA / R (default 16:32)",
     .kind = OPTION_TEXTS,
     .offset = OPTION_AT(taught),
     .changes_result = true},
    {.name = "full",
     .help = "all weights learn, not adapters",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(full),
     .changes_result = true},
    {.name = "from-scratch",
     .value = "CONFIG",
     .help = "a model of this shape, of random weights: a config.json (lfm2 or runnel_stack); "
             "--tokenizer as well",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(from_scratch),
     .changes_result = true},
    {.name = "targets",
     .value = "LIST",
     .help = "matrices of the backbone that get adapters (default all, which leaves out the head: "
             "all,lm_head)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(targets),
     .changes_result = true},
    {.name = "audio-targets",
     .value = "LIST",
     .help = "likewise of what hears and speaks (default all), or none",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(audio_targets),
     .changes_result = true},
    {.name = "dropout",
     .value = "P",
     .help = "leave out this share of what adapters see while they learn (default 0)",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(dropout),
     .min = 0,
     .max = 0.9,
     .changes_result = true},
    {.name = "rslora",
     .help = "scale by ALPHA / sqrt(R)",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(rslora),
     .changes_result = true},
    {.name = "steps",
     .value = "N",
     .help = "so many steps (default: as --epochs says)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(steps),
     .min = 1,
     .max = 1 << 30,
     .changes_result = true},
    {.name = "epochs",
     .value = "N",
     .help = "times through the data (default 3)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(epochs),
     .min = 1,
     .max = 100000,
     .changes_result = true},
    {.name = "lr",
     .value = "X",
     .help = "rate at its peak (default 2e-4, with --full 3e-5)",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(rate),
     .min = 1e-9,
     .max = 10,
     .changes_result = true},
    {.name = "batch",
     .value = "N",
     .help = "rows of a step (default 4, with --full 16)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(batch),
     .min = 1,
     .max = 1 << 16,
     .changes_result = true},
    {.name = "length",
     .value = "T",
     .help = "positions of a row (default 1024); longer conversations are cut",
     .kind = OPTION_INT,
     .offset = OPTION_AT(length),
     .min = 16,
     .max = 1 << 17,
     .changes_result = true},
    {.name = "warmup",
     .value = "N",
     .help = "steps until the rate has its peak (default 3 %)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(warmup),
     .min = 0,
     .max = 1 << 30,
     .changes_result = true},
    {.name = "learn",
     .value = "WHICH",
     .help = "answers that are learnt: all (default), or last of each conversation",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(learn),
     .changes_result = true},
    {.name = "no-newline-loss",
     .help = "the newline behind an answer's end is not learnt",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(no_newline_loss),
     .changes_result = true},
    {.name = "task",
     .value = "NAME",
     .help = "asr or tts: what lines of a sound and its text teach, see above",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(task),
     .changes_result = true},
    {.name = "validation",
     .value = "FILE",
     .help = "what is only looked at: how well it is foreseen",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(validation),
     .changes_result = true},
    {.name = "hold",
     .value = "P",
     .help = "hold P % of the data out instead",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(hold),
     .min = 0,
     .max = 50,
     .changes_result = true},
    {.name = "best",
     .help = "the result is what foresaw that best; worse three times ends the run",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(best),
     .changes_result = true},
    {.name = "seed",
     .value = "N",
     .help = "of orders and first values (default 0)",
     .kind = OPTION_SEED,
     .offset = OPTION_AT(seed),
     .changes_result = true},
    {.name = "cache",
     .value = "FOLDER",
     .help = "keeps what sounds became, for other runs",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(cache),
     .changes_result = true},
    {.name = "bf16",
     .help = "matrix products in BF16, where the processor has them: faster, not as exact",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(bf16),
     .changes_result = true},
    {.name = "recompute",
     .help = "less memory: layers are computed twice",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(recompute)},
    {.name = "keep",
     .value = "N",
     .help = "checkpoints that stay (default 2)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(keep),
     .min = 1,
     .max = 1000},
    {.name = "force",
     .help = "--resume: although model, data or options are others",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(force)},
};
static const option_list own = OPTION_LIST(rows);

const command command_train = {
    .name = "train",
    .summary = "teach a model by examples",
    .synopsis = "--data FILE -o FOLDER [options]",
    .about =
        "Learns adapters (LoRA) from conversations, one a line:\n"
        "  {\"messages\": [{\"role\": \"user\", \"content\": \"...\"},\n"
        "                {\"role\": \"assistant\", \"content\": \"...\"}]}\n"
        "or {\"prompt\": ..., \"completion\": ...}, or {\"text\": ...}. Learnt are the answers.\n"
        "A content may be a list of parts: {\"type\": \"text\", \"text\"}, {\"type\": \"audio\",\n"
        "\"audio\": a sound that is heard}; of assistants also {\"type\": \"audio\", \"codes\"} "
        "and\n"
        "{\"type\": \"interleaved\", \"text\", \"codes\"}, codes being a .npy file [codebooks, "
        "frames].\n"
        "Short lines of sound: {\"audio\", \"text\"} with --task asr; {\"text\", \"codes\" or "
        "\"audio\",\n"
        "\"voice\"} with --task tts; {\"question_audio\", \"answer_text\", \"answer_codes\" or\n"
        "\"answer_audio\"}.\n"
        "FOLDER gets adapter_config.json, adapter_model.safetensors and adapter.gguf, or with\n"
        "--full model.gguf; log.jsonl and checkpoint/. Targets: q_proj k_proj v_proj out_proj "
        "in_proj w1 w2 w3, and of\n"
        "sound depth_linear qkv_proj out_proj w1 w2 w3 model.1 model.3, with commas between.",
    .options = {&own, &options_output, &options_resume},
    .run = run};
