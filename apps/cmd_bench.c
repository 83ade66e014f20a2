/* runnel bench: how fast each kind of work is on this machine, beside what the machine allows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "apps/bench.h"
#include "apps/tuning.h"
#include "core/json.h"

enum { LENGTH_CAP = 1 << 20 };

/* In the order they are done. */
enum {
    WORK_LOAD,
    WORK_BANDWIDTH,
    WORK_PEAK,
    WORK_MEL,
    WORK_ENCODER,
    WORK_PREFILL,
    WORK_DECODE,
    WORK_FRAME,
    WORK_DETOKENIZER,
    WORK_COUNT
};
static const char *const works[WORK_COUNT] = {
    "load", "bandwidth", "peak", "mel", "encoder", "prefill", "decode", "frame", "detokenizer"};

/* ---- Output ---- */

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double bench_median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Bytes resident at the most so far, without the buffer of the limits, which is always there. */
static int64_t high_water(const bench *b) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (int64_t)usage.ru_maxrss * 1024 - (int64_t)b->memory_size;
}

const char *bench_type(const rnl_model *m) {
    return quant_describe((uint32_t)m->backbone.stack.layers[0].gate.type)->name;
}

static void set_text(json *o, const char *key, const char *text) {
    json_set(o, key, json_new_string(text, strlen(text)));
}

static void json_row(const bench *b, const bench_row *row, double median, double limit) {
    json *o = json_new_object();
    set_text(o, "work", row->work);
    set_text(o, "type", row->type);
    set_text(o, "level", row->level);
    json_set(o, "threads", json_new_int(b->s->config.thread_count));
    json_set(o, "tokens", json_new_int(row->tokens));
    json_set(o, "depth", json_new_int(row->depth));
    set_text(o, "unit", row->unit);
    json_set(o, "median", json_new_number(median));
    json_set(o, "min", json_new_number(b->values[0]));
    json_set(o, "max", json_new_number(b->values[b->count - 1]));
    json_set(o, "n", json_new_int(b->count));
    json_set(o, "limit", json_new_number(limit > 0 ? limit : NAN));
    json_set(o, "memory", json_new_int(high_water(b)));
    char *line = json_text(o);
    json_destroy(&o);
    if (line != NULL) puts(line);
    free(line);
    (void)fflush(stdout);
}

void bench_report(bench *b, const bench_row *row) {
    if (b->count > 0) {
        bench_row r = *row;
        if (r.type == NULL) r.type = bench_type(b->model);
        if (r.level == NULL) r.level = b->model->kernels.name;
        const double limit = bench_median(b->limits, b->count);
        const double median = bench_median(b->values, b->count);
        if (b->o->json) {
            json_row(b, &r, median, limit);
        } else {
            printf("%-11s %-8s %-11s %6d %6d %10.2f %-6s %10.2f %10.2f", r.work, r.type, r.level,
                   r.tokens, r.depth, median, r.unit, b->values[0], b->values[b->count - 1]);
            /* Times are best when small, rates when large: either way 100 % is the limit. */
            if (limit > 0)
                printf(" %10.2f %4.0f %%", limit,
                       100 * (strcmp(r.unit, "ms") == 0 ? limit / median : median / limit));
            printf("\n");
            (void)fflush(stdout);
        }
    }
    b->count = 0;
}

static void print_head(const bench *b) {
    printf("%s, %s, kernels %s, %d threads\n\n", b->model->path, bench_type(b->model),
           b->model->kernels.name, b->s->config.thread_count);
    printf("%-11s %-8s %-11s %6s %6s %10s %-6s %10s %10s %10s\n", "work", "type", "level", "tokens",
           "depth", "median", "unit", "min", "max", "limit");
}

/* ---- Options ---- */

static int no_choice(const char *option, const char *word, size_t size) {
    return complain(EXIT_USAGE, "--%s: '%.*s' is not known here; see `runnel bench --help`", option,
                    (int)size, word);
}

static int parse_works(const char *text, unsigned *chosen) {
    for (;; text++) {
        const size_t size = strcspn(text, ",");
        int i = 0;
        while (i < WORK_COUNT && (strlen(works[i]) != size || strncmp(works[i], text, size) != 0))
            i++;
        if (i == WORK_COUNT) return no_choice("work", text, size);
        *chosen |= 1u << i;
        text += size;
        if (*text == '\0') return EXIT_OK;
    }
}

/* "32,128,512" */
static int parse_list(const char *option, const char *list, int min, bench_list *out) {
    for (const char *text = list;; text++) {
        char *end;
        const long value = strtol(text, &end, 10);
        const bool is_number = *text >= '0' && *text <= '9' && (*end == ',' || *end == '\0');
        if (!is_number || value < min || value > LENGTH_CAP || out->count == BENCH_LIST_CAP)
            return complain(EXIT_USAGE,
                            "--%s: '%s' is not a list of up to %d whole numbers from %d to %d, "
                            "such as 32,128",
                            option, list, BENCH_LIST_CAP, min, LENGTH_CAP);
        out->values[out->count++] = (int)value;
        text = end;
        if (*text == '\0') return EXIT_OK;
    }
}

static int parse(bench *b) {
    const options *o = b->o;
    int code = EXIT_OK;
    b->repeat = o->repeat > 0 ? o->repeat : 5;
    b->features = kernels_cpu_features();
    if (o->work != NULL) code = parse_works(o->work, &b->works);
    if (code == EXIT_OK && o->tokens != NULL) code = parse_list("tokens", o->tokens, 1, &b->tokens);
    if (code == EXIT_OK && o->depth != NULL) code = parse_list("depth", o->depth, 0, &b->depths);
    /* A level that is not there is refused when the model is opened. */
    if (o->cpu != NULL) (void)kernels_level(o->cpu, b->features, &b->features);
    b->features = kernels_allowed(b->features);
    if (b->depths.count == 0) b->depths = (bench_list){{0, 2048}, 2};
    return code;
}

static bool wants(const bench *b, int work) {
    return (b->works & 1u << work) != 0;
}

static bool can(const rnl_model *m, int work) {
    if (work == WORK_MEL || work == WORK_ENCODER) return m->source.config.has_encoder;
    if (work == WORK_FRAME) return m->source.config.codebook_count > 0;
    return work != WORK_DETOKENIZER || m->codec.kind != CODEC_NONE;
}

/* Without --work everything that the model has a part for. */
static int check_works(bench *b) {
    const bool chosen = b->works != 0;
    for (int i = 0; i < WORK_COUNT; i++) {
        if (!chosen && can(b->model, i)) b->works |= 1u << i;
        if (wants(b, i) && !can(b->model, i))
            return complain(EXIT_USAGE, "--work: %s has no part for '%s'", b->model->path,
                            works[i]);
    }
    return EXIT_OK;
}

/* ---- Order of work ---- */

static int largest(const bench_list *list, int otherwise) {
    int most = list->count > 0 ? list->values[0] : otherwise;
    for (int i = 1; i < list->count; i++) most = list->values[i] > most ? list->values[i] : most;
    return most;
}

/* Positions that the deepest decoding and the longest prefill need, at least the usual 4096. */
static int context_needed(const bench *b) {
    const int needed = largest(&b->depths, 0) + largest(&b->tokens, 512);
    return needed < 4096 ? 4096 : needed;
}

/* Opens the model as often as it is timed; the last one stays. */
static int open_repeatedly(bench *b, int times) {
    int code = EXIT_OK;
    for (b->count = 0; b->count < times && !interrupted(); b->count++) {
        rnl_model_close(&b->model);
        const double begin = now_seconds();
        b->model = open_model(b->o, &code);
        if (b->model == NULL) return code;
        b->values[b->count] = 1e3 * (now_seconds() - begin);
        b->limits[b->count] = 0;
    }
    return b->model != NULL ? EXIT_OK : EXIT_STOPPED;
}

static int open_all(bench *b) {
    int code = open_repeatedly(b, b->works == 0 || wants(b, WORK_LOAD) ? b->repeat : 1);
    if (code != EXIT_OK) return code;
    code = check_works(b);
    if (code != EXIT_OK) return code;
    options with_context = *b->o;
    if (with_context.context < context_needed(b)) with_context.context = context_needed(b);
    if (with_context.context > LENGTH_CAP)
        return complain(EXIT_USAGE, "--depth and --tokens: more than %d positions together",
                        LENGTH_CAP);
    b->s = open_session(&with_context, b->model, &code);
    return code;
}

static void measure_backbone(bench *b, bool prefill, bool decode) {
    const bench_list prefills = b->tokens.count > 0 ? b->tokens : (bench_list){{32, 128, 512}, 3};
    const bench_list steps =
        b->tokens.count > 0 ? b->tokens : (bench_list){{BENCH_DECODE_STEPS}, 1};
    for (int i = 0; prefill && i < prefills.count; i++) bench_prefill(b, prefills.values[i]);
    for (int d = 0; decode && d < b->depths.count; d++)
        for (int i = 0; i < steps.count; i++) bench_decode(b, steps.values[i], b->depths.values[d]);
}

static void measure(bench *b) {
    if (!b->o->json) print_head(b);
    if (wants(b, WORK_LOAD)) bench_report(b, &(bench_row){.work = "load", .unit = "ms"});
    b->count = 0;
    bench_limit_choose(b);
    if (wants(b, WORK_BANDWIDTH)) bench_bandwidth_rows(b);
    if (wants(b, WORK_PEAK)) bench_peak_rows(b);
    if (wants(b, WORK_MEL) || wants(b, WORK_ENCODER))
        bench_encoder(b, wants(b, WORK_MEL), wants(b, WORK_ENCODER));
    measure_backbone(b, wants(b, WORK_PREFILL), wants(b, WORK_DECODE));
    if (wants(b, WORK_FRAME)) bench_frame(b);
    if (wants(b, WORK_DETOKENIZER)) bench_detokenizer(b);
    if (!b->o->json)
        printf("\nmemory at the most %.0f MB, mapped weights included\n",
               1e-6 * (double)high_water(b));
}

static int run(const options *o) {
    if (o->argument_count > 0) return complain(EXIT_USAGE, "bench takes no arguments; see --help");
    if (o->calibrate) return calibrate(o);
    bench *b = calloc(1, sizeof *b);
    if (b == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    b->o = o;
    int code = parse(b);
    if (code == EXIT_OK && !bench_limit_create(b))
        code = complain(EXIT_FAILED, "memory is exhausted");
    if (code == EXIT_OK) code = open_all(b);
    if (code == EXIT_OK) {
        measure(b);
        code = interrupted() ? EXIT_STOPPED : flush_output();
    }
    rnl_session_destroy(&b->s);
    rnl_model_close(&b->model);
    bench_limit_destroy(b);
    free(b);
    return code;
}

const command command_bench = {
    .name = "bench",
    .summary = "how fast this machine runs a model",
    .synopsis = "[options] [--calibrate] [--work LIST] [--tokens LIST] [--depth LIST] [--repeat N]",
    .about =
        "Times the work of a model; a text model without sound will do. Works, in this order:\n"
        "  load         open the model\n"
        "  bandwidth    GB/s that all threads read from memory, plain and with prefetch\n"
        "  peak         arithmetic of each level, operands in registers\n"
        "  mel, encoder 10 s of sound, the adapter included\n"
        "  prefill      of --tokens positions (32,128,512) and the logits of the last\n"
        "  decode       of --tokens positions (32) with their logits, behind --depth (0,2048)\n"
        "  frame        80 ms of speech: backbone, depthformer, detokenizer\n"
        "  detokenizer  80 ms of speech from its codes\n"
        "limit is what this machine allows, measured right before each repetition: memory for\n"
        "decode, frame and detokenizer (the same bytes read), arithmetic for the others.\n"
        "--calibrate takes some seconds on a quiet machine and writes\n"
        "~/.cache/runnel/tuning.json, which every later run reads. It changes the speed,\n"
        "not a bit of any result.\n"
        "--json: one object a line; memory is the high-water mark so far, in bytes.",
    .own = "bjrWNP@",
    .run = run,
};
