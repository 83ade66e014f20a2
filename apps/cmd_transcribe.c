/* runnel transcribe: speech in, its text out. Recordings of any length, any number of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/answer.h"
#include "apps/commands.h"
#include "apps/fingerprint.h"
#include "apps/manifest.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/outputs.h"
#include "apps/recording.h"
#include "apps/recordings.h"
#include "core/status.h"

typedef struct run_state {
    recordings all;
    sound_config sound;
    unsigned formats; /* 0: the text goes to standard output */
    const char *model_name;
    bool text_shown; /* on standard output */
    bool colour;
    int shard, shard_count;
    manifest *manifest;
} run_state;

/* One recording (or one channel of it) under way. */
typedef struct one {
    run_state *run;
    recordings_job *job;
    const char *path;
    sound_kept *kept;  /* what is read for each channel; NULL: path is read, once */
    int channel;       /* 0: all mixed */
    int channel_count; /* recordings of which are heard one after the other */
    outputs outputs;
    format_head head;
} one;

/* ---- Where results go ---- */

/* What the files of a recording, or of one of its channels, are called. */
typedef struct output_place {
    char *folder, *name; /* allocated; NULL: no memory */
} output_place;

static output_place place_of(const run_state *run, const char *path, int channel) {
    size_t size;
    const char *stem = input_stem(path, &size);
    const size_t cap = size + 32;
    const output_place p = {.folder = input_folder(path, run->all.options->output_folder),
                            .name = malloc(cap)};
    if (p.name != NULL && channel > 0)
        (void)snprintf(p.name, cap, "%.*s.channel%d", (int)size, stem, channel);
    else if (p.name != NULL)
        (void)snprintf(p.name, cap, "%.*s", (int)size, stem);
    return p;
}

static void free_place(output_place *p) {
    free(p->folder);
    free(p->name);
}

static bool open_outputs(one *x, rnl_error *error) {
    const run_state *run = x->run;
    output_place p = place_of(run, x->path, x->channel);
    bool done = p.folder != NULL && p.name != NULL;
    if (done)
        done = outputs_open(&x->outputs, run->formats, p.folder, p.name, strlen(p.name),
                            run->all.options->output, &x->head, error);
    else
        (void)status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    free_place(&p);
    return done;
}

/* Whether an earlier run has done this input, and all that it wrote is still there; and whether the
 * input was damaged then. */
static bool is_done(const run_state *run, const char *path, bool *is_damaged) {
    manifest_input file;
    *is_damaged = false;
    if (run->manifest == NULL || !manifest_look(path, &file) ||
        !manifest_is_done(run->manifest, &file))
        return false;
    const int channels = manifest_channels(run->manifest, &file);
    bool there = true;
    *is_damaged = manifest_is_damaged(run->manifest, &file);
    for (int channel = channels > 0 ? 1 : 0; channel <= channels && there; channel++) {
        output_place p = place_of(run, path, channel);
        there = p.folder != NULL && p.name != NULL &&
                outputs_are_there(run->formats, p.folder, p.name, strlen(p.name));
        free_place(&p);
    }
    return there;
}

/* ---- Standard output ---- */

static const char *colour_of(float confidence) {
    if (confidence > -0.1f) return "\033[32m";           /* 90 % and more: green */
    return confidence > -0.7f ? "\033[33m" : "\033[31m"; /* 50 %: yellow, below: red */
}

static void put_text(const one *x, const rnl_piece *p) {
    if (x->run->all.list.count > 1 || x->channel > 0) put_name(stdout, x->path);
    if (x->channel > 0) (void)printf(" (channel %d)", x->channel);
    if (x->run->all.list.count > 1 || x->channel > 0) (void)printf(": ");
    if (!x->run->colour) {
        put_spoken(stdout, p->text, p->text_size);
    } else {
        for (size_t i = 0; i < p->word_count; i++) {
            const rnl_word *w = &p->words[i];
            (void)printf("%s%s", i > 0 ? " " : "", colour_of(w->confidence));
            put_spoken(stdout, p->text + w->text_at, w->text_size);
            (void)printf("\033[0m");
        }
    }
    (void)putchar('\n');
}

/* With the lock of the recordings held. */
static bool put_stdout(const one *x, const rnl_piece *piece, rnl_error *error) {
    const options *o = x->run->all.options;
    if (o->json) {
        char *line = format_piece_json(&x->head, piece);
        if (line == NULL) {
            (void)status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
            return false;
        }
        (void)puts(line);
        free(line);
    } else if (x->run->text_shown) {
        meter_clear(&x->run->all.meter);
        put_text(x, piece);
    }
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return true;
    (void)status_fail(error, RNL_ERR_IO, "standard output cannot be written");
    return false;
}

/* ---- One recording ---- */

static int on_begin(void *context, double length, rnl_error *error) {
    one *x = context;
    recordings_begin(x->job, length);
    return x->run->formats == 0 || open_outputs(x, error) ? EXIT_OK : EXIT_FAILED;
}

static int on_piece(void *context, const rnl_piece *piece, rnl_error *error) {
    one *x = context;
    if (!outputs_piece(&x->outputs, piece, error)) return EXIT_FAILED;
    recordings *r = &x->run->all;
    (void)pthread_mutex_lock(&r->lock);
    const bool done = put_stdout(x, piece, error);
    (void)pthread_mutex_unlock(&r->lock);
    recordings_progress(x->job, piece->done, piece->text);
    return done ? EXIT_OK : EXIT_FAILED;
}

/* What is missing, behind the pieces of `--json`. */
static bool put_faults(const one *x, const sound_faults *faults, rnl_error *error) {
    recordings *r = &x->run->all;
    if (!r->options->json || faults->place_count == 0) return true;
    char *line = format_faults_json(&x->head, faults);
    if (line == NULL) {
        (void)status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
        return false;
    }
    (void)pthread_mutex_lock(&r->lock);
    (void)puts(line);
    const bool done = fflush(stdout) == 0 && ferror(stdout) == 0;
    (void)pthread_mutex_unlock(&r->lock);
    free(line);
    if (!done) (void)status_fail(error, RNL_ERR_IO, "standard output cannot be written");
    return done;
}

/* Where the recording was left, and how to go on. With nothing half-written. kept: what an earlier
 * run has written was not replaced by the part that was heard now. */
static void tell_stop(const one *x, double seconds, bool kept) {
    recordings *r = &x->run->all;
    char at[32];
    meter_time(at, sizeof at, seconds);
    (void)pthread_mutex_lock(&r->lock);
    meter_clear(&r->meter);
    (void)fprintf(stderr, "stopped at %s of ", at);
    put_name(stderr, x->path);
    (void)fprintf(stderr, "; %s\n",
                  x->run->manifest != NULL
                      ? "run the same command with --resume: what is finished is not done again"
                      : "with --output-dir such a run can be resumed (--resume)");
    if (kept) (void)fprintf(stderr, "its earlier text stays, the part heard now was not written\n");
    (void)pthread_mutex_unlock(&r->lock);
}

static int transcribe_channel(one *x, double *seconds, rnl_error *error) {
    const rnl_transcript_config *c = &x->run->all.config;
    const char *system = c->system;
    if (system == NULL) system = rnl_model_system_prompt(x->run->all.model, RNL_MODE_TRANSCRIBE);
    x->head = (format_head){.input = x->path,
                            .model = x->run->model_name,
                            .system = system,
                            .channel = x->channel,
                            .piece_min = c->piece_min,
                            .piece_max = c->piece_max,
                            .temperature = (double)c->text.temperature,
                            .top_k = c->text.top_k};
    sound_config how = x->run->sound;
    how.per_channel = false;
    if (x->channel > 0) how.channel = x->channel;
    const recording_hooks hooks = {.context = x, .begin = on_begin, .piece = on_piece};
    sound_faults faults;
    int code =
        recording_run(x->job->transcript, x->path, x->kept, &how, &hooks, seconds, &faults, error);
    const bool kept = code == EXIT_STOPPED && outputs_replace(&x->outputs);
    if ((code == EXIT_OK || (code == EXIT_STOPPED && !kept)) &&
        (!outputs_commit(&x->outputs, *seconds, &faults, error) || !put_faults(x, &faults, error)))
        code = EXIT_FAILED;
    outputs_abort(&x->outputs);
    /* Channels of one file are damaged alike: the first tells of it. */
    if (code == EXIT_OK && x->channel <= 1) recordings_tell_faults(x->job, x->path, &faults);
    if (code == EXIT_STOPPED) tell_stop(x, *seconds, kept);
    return code;
}

static int work(recordings_job *job, size_t input, double *seconds, rnl_error *error) {
    run_state *run = job->all->context;
    one x = {.run = run, .job = job, .path = job->all->list.paths[input]};
    manifest_input file;
    const bool is_file = manifest_look(x.path, &file);
    int code = EXIT_OK, channels = 0;
    if (run->sound.per_channel) {
        code = recording_keep(x.path, &run->sound, &x.kept, &channels, error);
        if (code != EXIT_OK) return code;
    }
    for (x.channel = channels > 0 ? 1 : 0; x.channel <= channels && code == EXIT_OK; x.channel++)
        code = transcribe_channel(&x, seconds, error);
    sound_kept_close(&x.kept);
    if (code != EXIT_OK || run->manifest == NULL || !is_file) return code;
    file.channels = channels;
    file.damaged = job->damaged;
    (void)pthread_mutex_lock(&job->all->lock);
    if (!manifest_add(run->manifest, &file, *seconds, error)) code = EXIT_FAILED;
    (void)pthread_mutex_unlock(&job->all->lock);
    return code;
}

/* ---- The list ---- */

/* Of inputs whose outputs would have one name, all but the first fail. Over the whole list, so that
 * every shard finds the same. */
static int refuse_clashes(run_state *run) {
    recordings *r = &run->all;
    size_t *first = calloc(r->list.count + 1, sizeof *first);
    const bool memory =
        first != NULL && inputs_first_of_name(&r->list, r->options->output_folder, first);
    for (size_t i = 0; memory && i < r->list.count; i++) {
        if (first[i] == i) continue;
        rnl_error error;
        (void)status_fail(&error, RNL_ERR_ARGUMENT,
                          "%s: its output would have the name of that of %s; give it an "
                          "--output-dir of its own",
                          r->list.paths[i], r->list.paths[first[i]]);
        recordings_fail(r, i, EXIT_FAILED, &error);
    }
    free(first);
    return memory ? EXIT_OK : complain(EXIT_FAILED, "memory is exhausted");
}

static void skip(recordings *r, size_t input) {
    if (r->states[input] == RECORDING_FAILED) { /* another shard tells of it */
        free(r->reasons[input]);
        r->reasons[input] = NULL;
        if (--r->failed_count == 0) r->code = EXIT_OK;
    }
    r->states[input] = RECORDING_SKIPPED;
    r->skipped_count++;
}

/* Leaves out what another shard does, and what the manifest says is done. */
static void skip_others(run_state *run) {
    recordings *r = &run->all;
    size_t finished = 0, damaged = 0;
    const bool again = r->options->resume_damaged;
    for (size_t i = 0; i < r->list.count; i++) {
        const char *path = r->list.paths[i];
        bool is_damaged;
        if (shard_of(path, run->shard_count) != run->shard) {
            skip(r, i);
        } else if (r->states[i] == RECORDING_WAITING && is_done(run, path, &is_damaged)) {
            if (is_damaged && again) continue;
            skip(r, i);
            finished++;
            if (is_damaged) damaged++;
        }
    }
    if (finished > 0 && !r->options->quiet)
        (void)fprintf(stderr, "%zu recordings are done already\n", finished);
    if (damaged > 0 && !r->options->quiet)
        (void)fprintf(stderr, "%zu of them are damaged; --resume-damaged does these again\n",
                      damaged);
}

static int open_manifest(run_state *run, const rnl_model *model) {
    const options *o = run->all.options;
    char settings[FINGERPRINT_SIZE];
    if (o->output_folder == NULL) return EXIT_OK;
    fingerprint_of(&command_transcribe, o, model, RNL_MODE_TRANSCRIBE, settings);
    return manifest_open(o->output_folder, settings, run->shard, run->shard_count,
                         o->resume || o->resume_damaged, &run->manifest);
}

/* ---- Options ---- */

static int check_options(run_state *run, const options *o) {
    run->shard_count = 1;
    if (o->output_formats != NULL && !formats_parse(o->output_formats, &run->formats))
        return complain(EXIT_USAGE,
                        "--output-format: '%s' is no list of txt, srt, vtt, json, jsonl, csv, tsv, "
                        "nor all",
                        o->output_formats);
    if (o->shard != NULL && !shard_parse(o->shard, &run->shard, &run->shard_count))
        return complain(EXIT_USAGE, "--shard: '%s' is not I/N with I from 0 to N - 1", o->shard);
    if (o->output_formats == NULL && o->output_folder != NULL) run->formats = 1u << FORMAT_TXT;
    if (o->output != NULL) {
        format_kind kind;
        if (o->output_formats != NULL || o->output_folder != NULL)
            return complain(EXIT_USAGE, "-o names the one file to write; leave --output-format and "
                                        "--output-dir out");
        if (o->per_channel)
            return complain(EXIT_USAGE, "-o names one file, but --per-channel writes one for each "
                                        "channel; use --output-dir");
        if (!format_of_path(o->output, &kind))
            return complain(EXIT_USAGE,
                            "-o: '%s' does not end in .txt, .srt, .vtt, .json, .jsonl, .csv or "
                            ".tsv",
                            o->output);
        run->formats = 1u << kind;
    }
    if ((o->resume || o->resume_damaged) && o->output_folder == NULL)
        return complain(EXIT_USAGE, "%s needs the --output-dir of the run to go on with",
                        o->resume ? "--resume" : "--resume-damaged");
    run->text_shown = run->formats == 0 && !o->json;
    run->colour = o->colour && colour_allowed(STDOUT_FILENO);
    return inputs_sound_config(o, &run->sound);
}

static int transcribe_all(run_state *run, const options *o) {
    recordings *r = &run->all;
    int code = o->output_folder != NULL ? make_folder(o->output_folder) : EXIT_OK;
    if (code == EXIT_OK) code = recordings_prepare(r);
    if (code == EXIT_OK && run->formats != 0 && o->output == NULL) code = refuse_clashes(run);
    if (code != EXIT_OK) return code;
    rnl_model *model = open_model(o, &code);
    if (model == NULL) return code;
    rnl_model_info info;
    rnl_model_get_info(model, &info);
    run->model_name = info.name;
    code = open_manifest(run, model);
    if (code == EXIT_OK) {
        skip_others(run);
        r->work = work;
        r->in_any_order = run->formats != 0 && !o->json;
        r->context = run;
        code = recordings_run(r, model);
    }
    manifest_close(&run->manifest);
    recordings_free(r);
    rnl_model_close(&model);
    return code;
}

static int run(const options *o) {
    run_state run = {.all = {.options = o}};
    int code = check_options(&run, o);
    if (code == EXIT_OK)
        code = inputs_gather(&run.all.list, o->arguments, o->argument_count, o->list);
    if (code != EXIT_OK) return code;
    if (o->output != NULL && run.all.list.count == 1) code = check_target(o->output);
    if (run.all.list.count == 0)
        code = complain(EXIT_USAGE, "transcribe: no recording was named; give a sound file");
    else if (o->output != NULL && run.all.list.count > 1)
        code = complain(EXIT_USAGE,
                        "-o names one file, but there are %zu recordings; use "
                        "--output-dir",
                        run.all.list.count);
    else if (code == EXIT_OK)
        code = transcribe_all(&run, o);
    recordings_free(&run.all);
    return code;
}

static const option_row rows[] = {
    {.name = "list",
     .value = "FILE",
     .help = "work on the files named in FILE, one a line",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(list)},
    {.name = "per-channel",
     .help = "every channel by itself, as for recorded calls",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(per_channel),
     .changes_result = true},
    {.name = "output-format",
     .value = "LIST",
     .help = "files to write: txt,srt,vtt,json,jsonl,csv,tsv or all",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(output_formats),
     .changes_result = true},
    {.name = "output-dir",
     .value = "DIR",
     .help = "where they go (default: beside the recording)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(output_folder)},
    {.name = "resume-damaged",
     .help = "as --resume, but damaged recordings are done again",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(resume_damaged)},
    {.name = "shard",
     .value = "I/N",
     .help = "work on share I of N, counted from 0",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(shard)},
    {.name = "color",
     .help = "text on a terminal coloured by confidence",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(colour)},
};
static const option_list own = OPTION_LIST(rows);

const command command_transcribe = {
    .name = "transcribe",
    .summary = "write down what is said in sound files",
    .synopsis = "[options] FILE | FOLDER | PATTERN | @LIST | - ...",
    .about =
        "Recordings of any length. The text goes to stdout; of several recordings each line "
        "begins\n"
        "with the file's name. With --output-format or --output-dir it goes to files instead. A\n"
        "recording that fails does not stop the rest. See docs/BATCH.md for many machines.",
    .options = {&options_output, &options_json, &options_system, &options_sampling, &options_answer,
                &options_turns, &options_lora, &options_device, &options_channel, &options_raw,
                &options_resume, &options_recordings, &own},
    .run = run,
};
