/* runnel eval: how far transcripts are from references. Recordings go the way of `transcribe`.
 * Benchmarks of text go another way (eval_task.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/eval_frames.h"
#include "apps/eval_task.h"
#include "apps/eval_transcripts.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/recording.h"
#include "apps/recordings.h"
#include "apps/refs.h"
#include "apps/wer.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/status.h"

typedef struct result {
    char *text; /* hypothesis, terminated; NULL: not heard */
    size_t size, cap;
    wer_counts counts;
    double seconds, elapsed;
} result;

typedef struct eval {
    recordings all;
    sound_config sound;
    refs refs;
    result *results; /* [refs.count] */
} eval;

typedef struct one {
    recordings_job *job;
    result *result;
} one;

static int on_begin(void *context, double length, rnl_error *error) {
    (void)error;
    one *x = context;
    recordings_begin(x->job, length);
    return EXIT_OK;
}

static bool append(result *r, const char *text, size_t size) {
    if (r->size + size + 2 > r->cap) {
        const size_t cap = 2 * (r->size + size) + 256;
        char *grown = realloc(r->text, cap);
        if (grown == NULL) return false;
        r->text = grown;
        r->cap = cap;
    }
    if (r->size > 0) r->text[r->size++] = ' ';
    memcpy(r->text + r->size, text, size);
    r->size += size;
    r->text[r->size] = '\0';
    return true;
}

static int on_piece(void *context, const rnl_piece *piece, rnl_error *error) {
    one *x = context;
    recordings_progress(x->job, piece->done, piece->text);
    if (append(x->result, piece->text, piece->text_size)) return EXIT_OK;
    (void)status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    return EXIT_FAILED;
}

static int work(recordings_job *job, size_t input, double *seconds, rnl_error *error) {
    eval *e = job->all->context;
    result *r = &e->results[input];
    one x = {.job = job, .result = r};
    const recording_hooks hooks = {.context = &x, .begin = on_begin, .piece = on_piece};
    const double begin = clock_seconds();
    const char *path = e->refs.paths[input];
    sound_faults faults = {0};
    int code = append(r, "", 0) ? EXIT_OK : EXIT_FAILED;
    if (code == EXIT_OK)
        code =
            recording_run(job->transcript, path, NULL, &e->sound, &hooks, seconds, &faults, error);
    if (code == EXIT_OK) recordings_tell_faults(job, path, &faults);
    r->seconds = *seconds;
    r->elapsed = clock_seconds() - begin;
    const char *text = e->refs.texts[input];
    if (code == EXIT_OK && !wer_count(text, strlen(text), r->text, r->size, &r->counts))
        code = EXIT_FAILED;
    if (code == EXIT_FAILED && error->text[0] == '\0')
        (void)status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", e->refs.paths[input]);
    return code;
}

/* ---- Reports ---- */

static json_draft *counts_of(const edit_counts *c) {
    json_draft *o = json_new_object();
    json_set(o, "rate", json_new_number(wer_rate(c)));
    json_set(o, "reference", json_new_int(c->reference));
    json_set(o, "correct", json_new_int(c->correct));
    json_set(o, "substitutions", json_new_int(c->substituted));
    json_set(o, "deletions", json_new_int(c->deleted));
    json_set(o, "insertions", json_new_int(c->inserted));
    return o;
}

static int json_one(const eval *e, size_t i) {
    const result *r = &e->results[i];
    json_draft *o = json_new_object();
    json_set(o, "audio_filepath", json_new_string(e->refs.paths[i], strlen(e->refs.paths[i])));
    json_set(o, "text", json_new_string(e->refs.texts[i], strlen(e->refs.texts[i])));
    json_set(o, "pred_text", json_new_string(r->text, r->size));
    json_set(o, "words", counts_of(&r->counts.words));
    json_set(o, "characters", counts_of(&r->counts.characters));
    json_set(o, "duration", json_new_number(r->seconds));
    json_set(o, "real_time_factor",
             json_new_number(r->seconds > 0 ? r->elapsed / r->seconds : 0.0));
    return print_json(o);
}

static int json_total(const eval *e, const wer_counts *total) {
    const recordings *r = &e->all;
    json_draft *o = json_new_object();
    json_set(o, "files", json_new_int((int64_t)r->done_count));
    json_set(o, "failed", json_new_int((int64_t)r->failed_count));
    json_set(o, "words", counts_of(&total->words));
    json_set(o, "characters", counts_of(&total->characters));
    json_set(o, "duration", json_new_number(r->seconds));
    json_set(o, "elapsed", json_new_number(r->elapsed));
    json_set(o, "real_time_factor",
             json_new_number(r->seconds > 0 ? r->elapsed / r->seconds : 0.0));
    json_set(o, "speech", json_new_number(r->stats.speech));
    json_set(o, "encode_seconds", json_new_number(r->stats.encode));
    json_set(o, "decode_seconds", json_new_number(r->stats.decode));
    json_set(o, "pieces", json_new_int(r->stats.piece_count));
    json_set(o, "skipped", json_new_int(r->stats.skipped_count));
    json_set(o, "again", json_new_int(r->stats.again_count));
    json_set(o, "joined", json_new_int(r->stats.joined_count));
    json_draft *all = json_new_object();
    json_set(all, "total", o);
    return print_json(all);
}

static void print_one(const char *name, const wer_counts *c) {
    printf("%6.2f %6.2f %7lld %5lld %5lld %5lld  ", 100 * wer_rate(&c->words),
           100 * wer_rate(&c->characters), (long long)c->words.reference,
           (long long)c->words.substituted, (long long)c->words.deleted,
           (long long)c->words.inserted);
    put_name(stdout, name);
    (void)putchar('\n');
}

static int report(const eval *e) {
    wer_counts total = {0};
    int code = EXIT_OK;
    if (!e->all.options->json) printf(" WER %%  CER %%   words   sub   del   ins  file\n");
    for (size_t i = 0; i < e->refs.count && code == EXIT_OK; i++) {
        if (e->all.states[i] != RECORDING_DONE) continue;
        wer_add(&total, &e->results[i].counts);
        if (e->all.options->json)
            code = json_one(e, i);
        else
            print_one(e->refs.paths[i], &e->results[i].counts);
    }
    if (e->all.options->json) {
        if (code == EXIT_OK) code = json_total(e, &total);
    } else {
        print_one("total", &total);
        printf("real-time factor %.4f (%.1f x real time)\n",
               e->all.seconds > 0 ? e->all.elapsed / e->all.seconds : 0.0,
               e->all.elapsed > 0 ? e->all.seconds / e->all.elapsed : 0.0);
    }
    return code == EXIT_OK ? flush_output() : code;
}

/* ---- The run ---- */

/* Every line is worked on, twice when it stands there twice: an input_list names it once. */
static int list_inputs(eval *e) {
    input_list *list = &e->all.list;
    list->paths = calloc(e->refs.count, sizeof *list->paths);
    e->results = calloc(e->refs.count, sizeof *e->results);
    if (list->paths == NULL || e->results == NULL)
        return complain(EXIT_FAILED, "memory is exhausted");
    for (; list->count < e->refs.count; list->count++) {
        list->paths[list->count] = strdup(e->refs.paths[list->count]);
        if (list->paths[list->count] == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    }
    list->cap = list->count;
    return EXIT_OK;
}

static int evaluate(eval *e, const options *o) {
    int code = list_inputs(e);
    if (code == EXIT_OK) code = recordings_prepare(&e->all);
    rnl_model *model = code == EXIT_OK ? open_model(o, &code) : NULL;
    if (model != NULL) {
        e->all.work = work;
        e->all.in_any_order = true;
        e->all.context = e;
        code = recordings_run(&e->all, model);
        const int printed = e->all.done_count > 0 ? report(e) : EXIT_OK;
        if (code == EXIT_OK) code = printed;
    }
    recordings_free(&e->all);
    rnl_model_close(&model);
    for (size_t i = 0; e->results != NULL && i < e->refs.count; i++) free(e->results[i].text);
    free(e->results);
    return code;
}

static int run(const options *o) {
    eval e = {.all = {.options = o}};
    rnl_error error = {0};
    const bool task = o->task != NULL && o->refs == NULL && o->argument_count == 0;
    if (task && strcmp(o->task, "transcripts") == 0) return eval_transcripts(o);
    if (task && strcmp(o->task, "frames") == 0) return eval_frames(o);
    if (task) return eval_task(&command_eval, o);
    if (o->refs != NULL && (o->output != NULL || o->resume || o->against != NULL))
        return complain(EXIT_USAGE, "eval: -o, --resume and --against are of a --task");
    if (o->refs == NULL || o->task != NULL || o->argument_count > 0)
        return complain(EXIT_USAGE, "eval: give the references with --refs FILE, or a --task, and "
                                    "nothing else");
    int code = inputs_sound_config(o, &e.sound);
    if (code != EXIT_OK) return code;
    if (refs_read(o->refs, "audio_filepath", &e.refs, &error) != RNL_OK)
        return complain(error.status == RNL_ERR_MEMORY ? EXIT_FAILED : EXIT_INPUT, "%s",
                        error.text);
    code = e.refs.count > 0 ? evaluate(&e, o)
                            : complain(EXIT_INPUT, "%s: there is no reference in it", o->refs);
    refs_free(&e.refs);
    return code;
}

static const option_row rows[] = {
    {.name = "refs",
     .value = "FILE",
     .help = "lines of JSON with audio_filepath and text",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(refs),
     .changes_result = true},
    {.name = "task",
     .value = "NAME",
     .help = "a benchmark: mmlu, arc_easy, hellaswag, gsm8k and others, see above",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(task),
     .changes_result = true},
    {.name = "data",
     .value = "FILE",
     .help = "its documents, lines of JSON",
     .kind = OPTION_TEXTS,
     .offset = OPTION_AT(data),
     .changes_result = true},
    {.name = "shots",
     .value = "N",
     .help = "solved documents before each question (default 0)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(shots),
     .min = 0,
     .max = 1000,
     .changes_result = true},
    {.name = "chat",
     .help = "ask by the model's template, each in a conversation of its own",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(as_chat),
     .changes_result = true},
    {.name = "shots-as-turns",
     .help = "with --chat: each solved document is a question and its answer",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(shots_as_turns),
     .changes_result = true},
    {.name = "max-tokens",
     .value = "N",
     .help = "tokens of a generated answer (default 256)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(max_tokens),
     .min = 1,
     .max = 1 << 20,
     .changes_result = true},
    {.name = "shots-file",
     .value = "FILE",
     .help = "where they are taken from (default: --data)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(shots_file),
     .changes_result = true},
    {.name = "against",
     .value = "FILE",
     .help = "compare with another run's lines, document by document",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(against)},
    {.name = "shots-seed",
     .value = "N",
     .help = "draw them instead of taking the first; 0: the first",
     .kind = OPTION_SEED,
     .offset = OPTION_AT(shots_seed),
     .changes_result = true},
};
static const option_list own = OPTION_LIST(rows);

const command command_eval = {
    .name = "eval",
    .summary = "measure transcripts against references, models by benchmarks",
    .synopsis = "[options] --refs REFS.jsonl | --task NAME --data FILE.jsonl",
    .about =
        "Each line of REFS.jsonl has audio_filepath (relative to its folder) and text. Tells word\n"
        "and character error rates, substitutions, deletions and insertions, of each file and in\n"
        "all. Before comparing, letters become lower case, and what is no letter, digit or\n"
        "apostrophe within a word becomes a space (docs/BATCH.md).\n"
        "\n"
        "--task asks the questions of a benchmark, each behind --shots solved ones, and tells how\n"
        "often the likeliest answer is the right one: as it is (acc), by its characters "
        "(acc_norm)\n"
        "or bytes (acc_bytes), or less its likelihood without the question (acc_mutual_info).\n"
        "NAME is mmlu, global_mmlu, arc_easy, arc_challenge, hellaswag or choice. Of gsm8k,\n"
        "gsm8k_cot and generate the answer is generated, the best token each time; generate's "
        "lines\n"
        "may have audio, a spoken question, instead of a prompt (with --chat). transcripts\n"
        "(lines as of --refs) tells how likely the model finds what was said, frames (lines with\n"
        "text, and codes: a .npy of codebooks by frames) what is to be spoken.",
    .options = {&options_output, &options_json, &options_resume, &options_system, &options_sampling,
                &options_channel, &options_recordings, &options_lora, &options_device, &own},
    .run = run,
};
