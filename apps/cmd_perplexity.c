/* runnel perplexity: how well a model foresees a text, by three conventions, and how far its
 * distribution is from that of another model. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/perplexity.h"
#include "apps/progress.h"
#include "apps/replace.h"
#include "apps/sources.h"

enum { WINDOW_DEFAULT = 512, ROLLING_WINDOW_DEFAULT = 4096, DOCUMENT_CAP = 64 };

typedef struct measurement {
    const options *o;
    progress shown;
    scorer model, base_model;
    rnl_model *base_opened;           /* of base_model */
    document documents[DOCUMENT_CAP]; /* [document_count] */
    int document_count;
    logits_file base;
    divergence kl;
    perplexity p;
    int chunk_count;
} measurement;

/* ---- Reports ---- */

static void tell(void *context, const perplexity *p, int64_t run_total) {
    measurement *m = context;
    char detail[64];
    const bool chunks = m->chunk_count > 0;
    (void)snprintf(detail, sizeof detail, "perplexity %.4f", perplexity_of(&p->nll));
    progress_work(&m->shown, "scoring", (double)p->run_count / (double)run_total, detail);
    if (!chunks || m->o->json || m->o->quiet) return;
    progress_clear(&m->shown);
    printf("[%lld]%.4f%s", (long long)p->run_count, perplexity_of(&p->nll),
           p->run_count == run_total ? "\n" : ",");
    (void)fflush(stdout);
}

static const struct {
    const char *name, *label;
    double q;
} quantiles[] = {{"maximum", "maximum", 1}, {"p99_9", "99.9 %", 0.999}, {"p99", "99 %", 0.99},
                 {"p95", "95 %", 0.95},     {"p90", "90 %", 0.9},       {"median", "median", 0.5},
                 {"p10", "10 %", 0.1},      {"p5", "5 %", 0.05},        {"p1", "1 %", 0.01},
                 {"p0_1", "0.1 %", 0.001},  {"minimum", "minimum", 0}};
enum { QUANTILE_COUNT = sizeof quantiles / sizeof *quantiles };

static double same_error(const divergence *d) {
    const double share = moments_mean(&d->same_top);
    return d->same_top.count > 1 ? sqrt(share * (1 - share) / (double)(d->same_top.count - 1)) : 0;
}

static double label_rms(const divergence *d) {
    return sqrt(d->label.squares / (double)d->label.count);
}

static double nll_difference(const divergence *d) {
    return moments_mean(&d->nll.a) - moments_mean(&d->nll.b);
}

static json_draft *kl_report(const divergence *d) {
    json_draft *o = json_new_object();
    json_set(o, "base_perplexity", json_new_number(perplexity_of(&d->nll.b)));
    json_set(o, "base_error", json_new_number(perplexity_error(&d->nll.b)));
    json_set(o, "ln_ratio", json_new_number(nll_difference(d)));
    json_set(o, "ln_ratio_error", json_new_number(paired_error(&d->nll)));
    json_set(o, "mean", json_new_number(moments_mean(&d->kl)));
    json_set(o, "error", json_new_number(moments_error(&d->kl)));
    for (int i = 0; i < QUANTILE_COUNT; i++)
        json_set(o, quantiles[i].name,
                 json_new_number(quantile_of(d->each, (size_t)d->kl.count, quantiles[i].q)));
    json_set(o, "mean_dp", json_new_number(moments_mean(&d->label)));
    json_set(o, "rms_dp", json_new_number(label_rms(d)));
    json_set(o, "same_top", json_new_number(moments_mean(&d->same_top)));
    json_set(o, "same_top_error", json_new_number(same_error(d)));
    return o;
}

static void print_kl(const divergence *d) {
    printf("perplexity of the base  %.4f ± %.4f\n", perplexity_of(&d->nll.b),
           perplexity_error(&d->nll.b));
    printf("ln of their ratio       %.6f ± %.6f\n", nll_difference(d), paired_error(&d->nll));
    printf("KL divergence           %.6f ± %.6f\n", moments_mean(&d->kl), moments_error(&d->kl));
    for (int i = 0; i < QUANTILE_COUNT; i++)
        printf("  %-20s  %.6f\n", quantiles[i].label,
               quantile_of(d->each, (size_t)d->kl.count, quantiles[i].q));
    printf("p(token) less the base  %.4f %%, root mean square %.4f %%\n",
           100 * moments_mean(&d->label), 100 * label_rms(d));
    printf("same best token         %.3f ± %.3f %%\n", 100 * moments_mean(&d->same_top),
           100 * same_error(d));
}

/* learn.md 1.5 */
static void warn_of_distance(const measurement *m) {
    if (m->o->quiet) return;
    if (moments_mean(&m->kl.kl) > 0.1)
        (void)fprintf(stderr, "runnel: the KL divergence is above 0.1: this is not the same model "
                              "any more\n");
    if (moments_mean(&m->kl.same_top) < 0.9)
        (void)fprintf(stderr, "runnel: less than 90 %% of the best tokens are the same\n");
}

static const char *convention(const options *o) {
    return o->rolling ? "rolling" : o->stride > 0 ? "strided" : "chunks";
}

/* Sums of rolling are of whole documents; of other conventions of what was scored. */
static void text_sizes(const measurement *m, double *bytes, double *words) {
    *bytes = (double)m->p.byte_count;
    *words = 0;
    if (!m->o->rolling || m->o->ids != NULL) return;
    *bytes = 0;
    for (int i = 0; i < m->document_count; i++) {
        *bytes += (double)m->documents[i].byte_count;
        *words += (double)m->documents[i].word_count;
    }
}

/* As published: each window weighs by the tokens that it is the first to see, less one. */
static double weighted_perplexity(const measurement *m) {
    return exp(m->p.window_sum / (double)m->p.window_count);
}

static int json_report(const measurement *m) {
    const moments *nll = &m->p.nll;
    json_draft *o = json_new_object();
    const char *name = convention(m->o);
    double bytes, words;
    text_sizes(m, &bytes, &words);
    json_set(o, "convention", json_new_string(name, strlen(name)));
    json_set(o, "context", json_new_int(m->p.window));
    if (m->o->stride > 0) json_set(o, "stride", json_new_int(m->o->stride));
    json_set(o, "runs", json_new_int(m->p.run_count));
    json_set(o, "scored", json_new_int(m->o->hf_weights ? m->p.window_count : nll->count));
    json_set(o, "log_likelihood", json_new_number(-nll->sum));
    json_set(o, "nll",
             json_new_number(m->o->hf_weights ? log(weighted_perplexity(m)) : moments_mean(nll)));
    json_set(o, "perplexity",
             json_new_number(m->o->hf_weights ? weighted_perplexity(m) : perplexity_of(nll)));
    if (!m->o->hf_weights) json_set(o, "error", json_new_number(perplexity_error(nll)));
    if (bytes > 0) json_set(o, "bits_per_byte", json_new_number(nll->sum / (bytes * log(2))));
    if (words > 0) {
        json_set(o, "byte_perplexity", json_new_number(exp(nll->sum / bytes)));
        json_set(o, "word_perplexity", json_new_number(exp(nll->sum / words)));
    }
    if (m->kl.kl.count > 0) json_set(o, "kl", kl_report(&m->kl));
    return print_json(o);
}

static int report(measurement *m) {
    const moments *nll = &m->p.nll;
    double bytes, words;
    progress_clear(&m->shown);
    if (m->kl.kl.count > 0) {
        divergence_sort(&m->kl);
        warn_of_distance(m);
    }
    if (m->o->json) return json_report(m);
    text_sizes(m, &bytes, &words);
    if (m->o->hf_weights)
        printf("perplexity              %.4f\n", weighted_perplexity(m));
    else
        printf("perplexity              %.4f ± %.4f\n", perplexity_of(nll), perplexity_error(nll));
    printf("scored tokens           %lld of %lld runs of %d\n", (long long)nll->count,
           (long long)m->p.run_count, m->p.window);
    if (bytes > 0) printf("bits per byte           %.4f\n", nll->sum / (bytes * log(2)));
    if (words > 0)
        printf("perplexity of bytes     %.4f, of words %.4f\n", exp(nll->sum / bytes),
               exp(nll->sum / words));
    if (m->kl.kl.count > 0) print_kl(&m->kl);
    return flush_output();
}

/* ---- What is measured ---- */

/* The text of -f comes before those that are arguments. */
static int text_count(const options *o) {
    return (o->text_file != NULL) + o->argument_count;
}

static const char *text_path(const options *o, int index) {
    const int first = o->text_file != NULL;
    return index < first ? o->text_file : o->arguments[index - first];
}

static int check_usage(const options *o) {
    const int given = text_count(o) + (o->ids != NULL);
    const bool only_chunks = o->save_logits != NULL || o->kl_base != NULL || o->chunks > 0;
    if (o->rolling && o->stride > 0)
        return complain(EXIT_USAGE, "perplexity: --rolling and --stride are two conventions");
    if (only_chunks && (o->rolling || o->stride > 0))
        return complain(EXIT_USAGE, "perplexity: --chunks, --save-logits and --kl-base go with "
                                    "neither --stride nor --rolling");
    if ((o->hf_weights && o->stride < 0) || (o->harness_bos && !o->rolling))
        return complain(EXIT_USAGE, "perplexity: --hf-weights wants --stride, --harness-bos wants "
                                    "--rolling");
    if (o->save_logits != NULL && o->kl_base != NULL)
        return complain(EXIT_USAGE, "perplexity: --save-logits writes what --kl-base reads: give "
                                    "one of them");
    if (o->kl_base != NULL && logits_file_is(o->kl_base)) {
        if (given > 0 || o->context > 0)
            return complain(EXIT_USAGE,
                            "%s: the tokens and --context are in it: leave -f, --ids "
                            "and --context out",
                            o->kl_base);
        return EXIT_OK;
    }
    if (given != 1 && !(o->rolling && o->ids == NULL && given > 1 && given <= DOCUMENT_CAP))
        return complain(EXIT_USAGE, "perplexity: give one text or --ids FILE.npy; several texts, "
                                    "64 at most, only with --rolling");
    return EXIT_OK;
}

static int read_documents(measurement *m, const rnl_model *model) {
    const options *o = m->o;
    if (o->ids != NULL) {
        m->document_count = 1;
        return document_read_ids(o->ids, &m->documents[0]);
    }
    int code = EXIT_OK;
    for (int i = 0; i < text_count(o) && code == EXIT_OK; i++) {
        m->document_count = i + 1;
        code = document_read(model, text_path(o, i), &m->documents[i]);
    }
    return code;
}

/* The ids of a run. */
static int window_of(const measurement *m) {
    const options *o = m->o;
    if (m->base.file != NULL) return m->base.window;
    if (o->context > 0) return o->context;
    return o->rolling ? ROLLING_WINDOW_DEFAULT : WINDOW_DEFAULT;
}

static int check_documents(measurement *m) {
    const options *o = m->o;
    int code = EXIT_OK;
    if (m->base.file != NULL) {
        if (m->base.vocab_count != m->model.vocab_count)
            return complain(EXIT_INPUT, "%s: is of a vocabulary of %d, the model has %d",
                            m->base.path, m->base.vocab_count, m->model.vocab_count);
        m->chunk_count = m->base.chunk_count;
    } else if (!o->rolling && o->stride < 0) {
        const document *d = &m->documents[0];
        if (d->count / 2 < (size_t)m->p.window)
            return complain(EXIT_INPUT,
                            "%s: %zu tokens are fewer than twice %d: take a longer text, or a "
                            "smaller --context",
                            d->name, d->count, m->p.window);
        const size_t chunks = d->count / (size_t)m->p.window;
        m->chunk_count = chunks < 1 << 24 ? (int)chunks : 1 << 24;
    }
    if (o->chunks > 0 && o->chunks < m->chunk_count) m->chunk_count = o->chunks;
    if (o->stride > m->p.window)
        code = complain(EXIT_USAGE,
                        "--stride: %d is more than the %d tokens of a window: some "
                        "would not be scored",
                        o->stride, m->p.window);
    for (int i = 0; i < m->document_count && code == EXIT_OK; i++)
        code = scoring_check(&m->model, m->documents[i].name, m->documents[i].ids,
                             m->documents[i].count);
    return code;
}

/* The base of --kl-base: a file that was read before, or a model. */
static int open_base(measurement *m) {
    const options *o = m->o;
    int code = EXIT_OK;
    if (o->kl_base == NULL) return code;
    m->p.kl = &m->kl;
    if (m->base.file != NULL) {
        m->p.base = &m->base;
        m->p.base_row = malloc((size_t)m->model.vocab_count * sizeof *m->p.base_row);
        return m->p.base_row != NULL ? EXIT_OK : complain(EXIT_FAILED, "memory is exhausted");
    }
    options with_base = *o;
    with_base.model = o->kl_base;
    with_base.lora.count = 0; /* adapters are of the model that is compared with it */
    with_base.mmproj = with_base.vocoder = with_base.tokenizer = NULL;
    m->base_opened = open_model(&with_base, &code);
    if (m->base_opened == NULL) return code;
    code = scorer_open(&m->base_model, &with_base, m->base_opened, m->p.window);
    if (code == EXIT_OK && m->base_model.vocab_count != m->model.vocab_count)
        code = complain(EXIT_INPUT, "%s: has a vocabulary of %d, the model has %d", o->kl_base,
                        m->base_model.vocab_count, m->model.vocab_count);
    m->p.base_model = &m->base_model;
    return code;
}

static int run_convention(measurement *m) {
    const options *o = m->o;
    int code = EXIT_OK;
    if (o->stride > 0) return perplexity_strided(&m->p, &m->documents[0], o->stride);
    if (!o->rolling) {
        const int32_t *ids = m->base.file != NULL ? m->base.tokens : m->documents[0].ids;
        const int32_t begin = m->model.begin_id >= 0 ? m->model.begin_id : ids[0];
        return perplexity_chunks(&m->p, ids, m->chunk_count, begin);
    }
    for (int i = 0; i < m->document_count && code == EXIT_OK; i++)
        code = perplexity_rolling(&m->p, &m->documents[i], o->harness_bos);
    return code;
}

/* The run, with its logits into a file that has its name when all are there. */
static int run_saving(measurement *m) {
    replacement r = {0};
    rnl_error error = {0};
    const int vocab = m->model.vocab_count;
    if (!replacement_open(&r, m->o->save_logits, &error))
        return complain(exit_code(&error), "%s", error.text);
    m->p.save = r.file;
    m->p.save_path = m->o->save_logits;
    m->p.packed = malloc(logits_row_size(vocab));
    int code = m->p.packed != NULL ? EXIT_OK : complain(EXIT_FAILED, "memory is exhausted");
    if (code == EXIT_OK &&
        !logits_put_head(r.file, m->p.window, vocab, m->chunk_count, m->documents[0].ids))
        code =
            complain(EXIT_FAILED, "%s: cannot be written: the disk may be full", m->o->save_logits);
    if (code == EXIT_OK) code = run_convention(m);
    if (code == EXIT_OK && !replacement_commit(&r, &error))
        code = complain(exit_code(&error), "%s", error.text);
    replacement_drop(&r);
    free(m->p.packed);
    return code;
}

static int measure(measurement *m, rnl_model *model) {
    const options *o = m->o;
    int code = read_documents(m, model);
    if (code != EXIT_OK) return code;
    m->p.window = window_of(m);
    code = scorer_open(&m->model, o, model, m->p.window);
    if (code == EXIT_OK) code = check_documents(m);
    if (code == EXIT_OK) code = open_base(m);
    if (code != EXIT_OK) return code;
    m->p.model = &m->model;
    m->p.tell = tell;
    m->p.tell_context = m;
    progress_begin(&m->shown, o);
    code = o->save_logits != NULL ? run_saving(m) : run_convention(m);
    return code == EXIT_OK ? report(m) : code;
}

static int run(const options *o) {
    measurement m = {.o = o};
    rnl_error error = {0};
    int code = check_usage(o);
    if (code == EXIT_OK && o->save_logits != NULL) code = check_target(o->save_logits);
    if (code == EXIT_OK && o->kl_base != NULL && logits_file_is(o->kl_base)) {
        source_note(o->kl_base);
        if (logits_file_open(o->kl_base, &m.base, &error) != RNL_OK)
            code = complain(error.status == RNL_ERR_MEMORY ? EXIT_FAILED : EXIT_INPUT, "%s",
                            error.text);
    }
    rnl_model *model = code == EXIT_OK ? open_model(o, &code) : NULL;
    if (model != NULL) code = measure(&m, model);
    for (int i = 0; i < m.document_count; i++) document_free(&m.documents[i]);
    scorer_close(&m.model);
    scorer_close(&m.base_model);
    free(m.p.base_row);
    logits_file_close(&m.base);
    divergence_free(&m.kl);
    rnl_model_close(&m.base_opened);
    rnl_model_close(&model);
    return code;
}

static const option_row rows[] = {
    {.name = "file",
     .letter = 'f',
     .value = "FILE",
     .help = "the text (- for standard input)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(text_file),
     .changes_result = true},
    {.name = "ids",
     .value = "FILE.npy",
     .help = "int32 [n]: ids instead of a text, <|startoftext|> first",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(ids),
     .changes_result = true},
    {.name = "chunks",
     .value = "N",
     .help = "score the first N chunks only",
     .kind = OPTION_INT,
     .offset = OPTION_AT(chunks),
     .min = 1,
     .max = 1 << 24,
     .changes_result = true},
    {.name = "stride",
     .value = "S",
     .help = "windows that begin every S tokens instead of chunks",
     .kind = OPTION_INT,
     .offset = OPTION_AT(stride),
     .min = 1,
     .max = 1 << 20,
     .changes_result = true},
    {.name = "hf-weights",
     .help = "weigh the windows of --stride as published",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(hf_weights),
     .changes_result = true},
    {.name = "rolling",
     .help = "score every token of each text, by windows that end with it",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(rolling),
     .changes_result = true},
    {.name = "harness-bos",
     .help = "--rolling: score <|startoftext|> too",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(harness_bos),
     .changes_result = true},
    {.name = "save-logits",
     .value = "FILE",
     .help = "write all log-probabilities, for --kl-base",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(save_logits)},
    {.name = "kl-base",
     .value = "FILE|MODEL",
     .help = "compare with those of another model",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(kl_base),
     .changes_result = true},
};
static const option_list own = OPTION_LIST(rows);

const command command_perplexity = {
    .name = "perplexity",
    .summary = "measure how well a model foresees a text",
    .synopsis = "[options] FILE ... | -f FILE | --ids FILE.npy",
    .about =
        "The text is cut into chunks of --context tokens (512), and the second half of each is\n"
        "scored, as llama-perplexity does. --stride and --rolling are the conventions of Hugging\n"
        "Face's documentation and of lm-evaluation-harness (docs/MODEL.md). --kl-base tells how\n"
        "far a quantised model is from the one it was made of: its own file or what --save-logits\n"
        "kept of it.",
    .options = {&options_json, &options_lora, &options_device, &options_cache, &own},
    .run = run,
};
