/* runnel bench: how fast each kind of work is on this machine, beside what the machine allows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/bench_report.h"
#include "apps/calibrate.h"
#include "apps/commands.h"
#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "core/clock.h"
#include "stack/kind.h"

enum { LENGTH_CAP = 1 << 20, BATCH_DEPTH = 500 };

/* In the order they are done. */
enum {
    WORK_LOAD,
    WORK_BANDWIDTH,
    WORK_PEAK,
    WORK_MEL,
    WORK_ENCODER,
    WORK_IMAGE,
    WORK_PREFILL,
    WORK_DECODE,
    WORK_EXPERTS,
    WORK_FRAME,
    WORK_DETOKENIZER,
    WORK_BATCH, /* only by name: as many conversations take memory and time */
    WORK_COUNT
};
static const char *const works[WORK_COUNT] = {"load",    "bandwidth", "peak",        "mel",
                                              "encoder", "image",     "prefill",     "decode",
                                              "experts", "frame",     "detokenizer", "batch"};

/* ---- Output ---- */

static void print_head(const bench *b) {
    if (b->device != NULL) printf("%s: ", b->device);
    printf("%s, %s, kernels %s, %d threads\n\n", b->model->path, bench_type(b->model),
           b->model->kernels.name, b->s->config.thread_count);
    printf("%-11s %-8s %-11s %6s %6s %10s %-6s %10s %10s %10s %7s %s\n", "work", "type", "level",
           "tokens", "depth", "median", "unit", "min", "max", "limit", "of it",
           "(min to max)  state");
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
static int parse_list(const char *option, const char *list, int min, int max, bench_list *out) {
    for (const char *text = list;; text++) {
        char *end;
        const long value = strtol(text, &end, 10);
        const bool is_number = *text >= '0' && *text <= '9' && (*end == ',' || *end == '\0');
        if (!is_number || value < min || value > max || out->count == BENCH_LIST_CAP)
            return complain(EXIT_USAGE,
                            "--%s: '%s' is not a list of up to %d whole numbers from %d to %d, "
                            "such as 32,128",
                            option, list, BENCH_LIST_CAP, min, max);
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
    if (code == EXIT_OK && o->tokens != NULL)
        code = parse_list("tokens", o->tokens, 1, LENGTH_CAP, &b->tokens);
    if (code == EXIT_OK && o->depth != NULL)
        code = parse_list("depth", o->depth, 0, LENGTH_CAP, &b->depths);
    if (code == EXIT_OK && o->rows != NULL)
        code = parse_list("rows", o->rows, 1, PASS_DECISION_CAP, &b->rows);
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
    if (work == WORK_EXPERTS)
        return stack_layers_of(&m->source.config.backbone, &stack_experts) > 0;
    if (work == WORK_IMAGE) return m->source.config.has_tower;
    if (work == WORK_FRAME) return m->source.config.codebook_count > 0;
    return work != WORK_DETOKENIZER || m->codec.kind != CODEC_NONE;
}

/* Without --work everything that the model has a part for. */
static int check_works(bench *b) {
    const bool chosen = b->works != 0;
    for (int i = 0; i < WORK_COUNT; i++) {
        if (!chosen && i != WORK_BATCH && can(b->model, i)) b->works |= 1u << i;
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

rnl_session *bench_session(const bench *b, int *code) {
    options with_context = *b->o;
    if (with_context.context < context_needed(b)) with_context.context = context_needed(b);
    if (with_context.context <= LENGTH_CAP) return open_session(&with_context, b->model, code);
    *code =
        complain(EXIT_USAGE, "--depth and --tokens: more than %d positions together", LENGTH_CAP);
    return NULL;
}

/* The model, in the place of one that was open. Devices come later. */
static int open_once(bench *b) {
    int code = EXIT_OK;
    options o = *b->o;
    if (bench_takes_devices(&o)) o.device = NULL;
    rnl_model_close(&b->model);
    b->model = open_model(&o, &code);
    return b->model != NULL ? EXIT_OK : code;
}

/* Opens the model as often as it is timed; the last one stays. */
static int open_repeatedly(bench *b) {
    int code = EXIT_OK;
    const int threads = b->o->threads > 0 ? b->o->threads : rnl_thread_count_default();
    if (pool_create(threads, &b->pool) != RNL_OK)
        return complain(EXIT_FAILED, "memory is exhausted");
    b->fetch = kernels_fetch_for(kernels_cpu_caches()); /* until bench_limit_choose */
    while (code == EXIT_OK && bench_more(b)) {
        const double begin = clock_seconds();
        code = open_once(b);
        if (code == EXIT_OK) bench_add(b, 1e3 * (clock_seconds() - begin), 0);
    }
    pool_destroy(&b->pool);
    return code == EXIT_OK && b->model == NULL ? EXIT_STOPPED : code;
}

static int open_all(bench *b) {
    int code = b->works == 0 || wants(b, WORK_LOAD) ? open_repeatedly(b) : open_once(b);
    if (code != EXIT_OK) return code;
    code = check_works(b);
    if (code == EXIT_OK && !bench_takes_devices(b->o)) b->s = bench_session(b, &code);
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

static void measure_experts(bench *b) {
    const bench_list rows = b->tokens.count > 0 ? b->tokens : (bench_list){{1, 32, 512}, 3};
    for (int i = 0; i < rows.count; i++) bench_experts(b, rows.values[i]);
}

static int measure_batch(bench *b) {
    const bench_list rows = b->rows.count > 0 ? b->rows : (bench_list){{1, 2, 4, 8, 16}, 5};
    const bench_list depths = b->o->depth != NULL ? b->depths : (bench_list){{BATCH_DEPTH}, 1};
    return bench_batch(b, &rows, &depths);
}

static int measure(bench *b) {
    int code = EXIT_OK;
    if (!b->o->json) print_head(b);
    if (wants(b, WORK_LOAD)) bench_report(b, &(bench_row){.work = "load", .unit = "ms"});
    bench_limit_choose(b);
    if (wants(b, WORK_BANDWIDTH)) bench_bandwidth_rows(b);
    if (wants(b, WORK_PEAK)) bench_peak_rows(b);
    if (wants(b, WORK_MEL) || wants(b, WORK_ENCODER))
        bench_encoder(b, wants(b, WORK_MEL), wants(b, WORK_ENCODER));
    if (wants(b, WORK_IMAGE)) bench_image(b);
    measure_backbone(b, wants(b, WORK_PREFILL), wants(b, WORK_DECODE));
    if (wants(b, WORK_EXPERTS)) measure_experts(b);
    if (wants(b, WORK_FRAME)) bench_frame(b);
    if (wants(b, WORK_DETOKENIZER)) bench_detokenizer(b);
    if (wants(b, WORK_BATCH) && !interrupted()) code = measure_batch(b);
    const size_t device_size = placement_size(b->model);
    if (!b->o->json)
        printf("\nmemory at the most %.0f MB, mapped weights included\n",
               1e-6 * (double)bench_high_water(b));
    if (!b->o->json && device_size > 0)
        printf("%.1f MB of it, or of the device's, are what it takes beside the model\n",
               1e-6 * (double)device_size);
    return code;
}

/* On a device only what it may take. */
static int measure_device(bench *b) {
    b->device = rnl_model_device(b->model, NULL);
    if (strcmp(b->device, "cpu") != 0)
        b->works &= 1u << WORK_ENCODER | 1u << WORK_PREFILL | 1u << WORK_DECODE | 1u << WORK_FRAME;
    return measure(b);
}

/* ---- Calibration ---- */

static bool names_model(const options *o) {
    const char *named = getenv("RUNNEL_MODEL");
    return o->model != NULL || (named != NULL && *named != '\0');
}

typedef struct device_keeper {
    bench *b;
    calibration *c;
    int threads, code;
} device_keeper;

static void keep_device(void *context, const char *device, unsigned stages) {
    device_keeper *k = context;
    if (k->code == EXIT_OK)
        k->code = calibrate_keep_device(k->c, k->b->model, k->threads, device, stages);
}

static int calibrate_devices(bench *b, calibration *c) {
    device_keeper k = {.b = b, .c = c, .threads = b->s->config.thread_count};
    const int code = bench_calibrate_devices(b, keep_device, &k);
    return code == EXIT_OK ? k.code : code;
}

/* The model is opened with the choices that were just kept. */
static int calibrate_passes(bench *b, calibration *c) {
    int code = open_all(b);
    if (code == EXIT_OK && b->s == NULL) b->s = bench_session(b, &code);
    if (code != EXIT_OK) return code;
    b->take = calibrate_take;
    b->take_context = c;
    b->shows = !b->o->json && !b->o->quiet;
    if (b->shows) {
        printf("\n");
        print_head(b);
    }
    bench_limit_choose(b);
    code = measure_batch(b);
    if (code == EXIT_OK && interrupted()) code = EXIT_STOPPED;
    if (code != EXIT_OK) return code;
    code = calibrate_keep_passes(c, b->model, b->s->config.thread_count);
    if (code == EXIT_OK && bench_takes_devices(b->o)) code = calibrate_devices(b, c);
    return code;
}

static int calibrate_all(bench *b) {
    calibration *c = calloc(1, sizeof *c);
    if (c == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    b->works = 1u << WORK_BATCH;
    if (bench_takes_devices(b->o) && !names_model(b->o)) {
        free(c);
        return complain(EXIT_USAGE,
                        "--calibrate --device: name the model with -m, since it depends "
                        "on that which is faster");
    }
    int code = calibrate_choices(b->o, c);
    if (code == EXIT_OK && names_model(b->o)) code = calibrate_passes(b, c);
    if (code == EXIT_OK) code = calibrate_report(b->o, c);
    free(c);
    return code;
}

static int measure_all(bench *b) {
    int code = open_all(b);
    if (code == EXIT_OK)
        code = bench_takes_devices(b->o) ? bench_devices(b, measure_device) : measure(b);
    if (code == EXIT_OK && interrupted()) code = EXIT_STOPPED;
    return code == EXIT_OK ? flush_output() : code;
}

static int run(const options *o) {
    if (o->argument_count > 0) return complain(EXIT_USAGE, "bench takes no arguments; see --help");
    bench *b = calloc(1, sizeof *b);
    if (b == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    b->o = o;
    int code = parse(b);
    if (code == EXIT_OK && !bench_limit_create(b))
        code = complain(EXIT_FAILED, "memory is exhausted");
    if (code == EXIT_OK) code = o->calibrate ? calibrate_all(b) : measure_all(b);
    rnl_session_destroy(&b->s);
    rnl_model_close(&b->model);
    bench_limit_destroy(b);
    free(b);
    return code;
}

static const option_row rows[] = {
    {.name = "work",
     .value = "LIST",
     .help = "what to measure, such as prefill,decode (default: all)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(work),
     .changes_result = true},
    {.name = "tokens",
     .value = "LIST",
     .help = "positions of a prefill or a decoding, such as 32,128",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(tokens),
     .changes_result = true},
    {.name = "depth",
     .value = "LIST",
     .help = "positions before a decoding (default 0,2048; of a batch 500)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(depth),
     .changes_result = true},
    {.name = "rows",
     .value = "LIST",
     .help = "conversations of a batch (default 1,2,4,8,16)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(rows),
     .changes_result = true},
    {.name = "repeat",
     .value = "N",
     .help = "measurements of each kind (default 5)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(repeat),
     .min = 1,
     .max = 1000,
     .changes_result = true},
    {.name = "calibrate",
     .help = "measure what is fastest here, and a batch's passes of MODEL, and keep it",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(calibrate)},
};
static const option_list own = OPTION_LIST(rows);

const command command_bench = {
    .name = "bench",
    .summary = "how fast this machine runs a model",
    .synopsis =
        "[options] [--calibrate] [--work LIST] [--tokens LIST] [--depth LIST] [--rows LIST] "
        "[--repeat N]",
    .about =
        "Times the work of a model; a text model without sound will do. Works, in this order:\n"
        "  load         open the model\n"
        "  bandwidth    GB/s that all threads read from memory, plain and fetched ahead\n"
        "  peak         arithmetic of each level, operands in registers\n"
        "  mel, encoder 10 s of sound, the adapter included\n"
        "  image        512 x 512 pixels, the projector included\n"
        "  prefill      of --tokens positions (32,128,512) and the logits of the last\n"
        "  decode       of --tokens positions (32) with their logits, behind --depth (0,2048)\n"
        "  experts      of a mixture of experts alone, of --tokens positions (1,32,512)\n"
        "  frame        80 ms of speech: backbone, depthformer, detokenizer\n"
        "  detokenizer  80 ms of speech from its codes\n"
        "  batch        only by name: one pass for --rows conversations (1,2,4,8,16) behind "
        "--depth\n"
        "               (500), a token or a frame each; then how many can speak at once\n"
        "limit is what this machine allows, measured right before each repetition: memory for\n"
        "decode, frame and detokenizer (the same bytes read), arithmetic for the others,\n"
        "for experts and a batch the longer of both; of it is the median of the repetitions' own "
        "shares.\n"
        "by prefill: of a batch, the same with the rate that a prefill of 128 positions reaches "
        "in\n"
        "that minute instead of the peak.\n"
        "state is that of the machine, which a host may move about: round trip between two\n"
        "threads and memory bandwidth, before and after; near is a round trip below 250 ns.\n"
        "Repetitions go on, up to three times as many, until there are enough of one state;\n"
        "the others are left out.\n"
        "--calibrate takes some seconds on a quiet machine and writes\n"
        "~/.cache/runnel/tuning.json, which every later run reads. It changes the speed,\n"
        "not a bit of any result. With -m (or RUNNEL_MODEL) it also keeps what passes of --rows\n"
        "behind --depth take of this model, for servers to begin with.\n"
        "--device gpu, npu, or all of `runnel devices --compute`: the CPU first, then encoder,\n"
        "prefill, decode and frame on the device (\"device\" in --json). With --calibrate and -m\n"
        "each stage by itself, which --device auto goes by: where a device is clearly faster.\n"
        "--json: one object a line; memory is the high-water mark so far, in bytes.",
    .options = {&options_json, &options_lora, &options_device, &options_cache, &own},
    .run = run,
};
