#include "apps/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/messages.h"
#include "core/threads.h"

enum {
    RANK_MAX = 1024,
    LENGTH = 1024,
    ADAPTER_BATCH = 4, /* rows of 1,024 make 4,096 positions */
    FULL_BATCH = 16,
    EPOCHS = 3,
    KEEP = 2,
    CLIP_SECONDS = 60
};

/* "R" or "R:ALPHA". */
static bool parse_adapter(const char *text, int *rank, double *alpha) {
    char *end;
    const long r = strtol(text, &end, 10);
    if (end == text || r < 1 || r > RANK_MAX) return false;
    *rank = (int)r;
    *alpha = 2.0 * (double)r;
    if (*end == '\0') return true;
    const char *rest = end + 1;
    if (*end != ':' || *rest == '\0') return false;
    *alpha = strtod(rest, &end);
    return *end == '\0' && *alpha > 0 && *alpha <= 1e6;
}

/* Bits of names between commas, of which "all" stands for `all`; 0 with *bad when one is none of
 * `allowed`. */
static unsigned parse_modules(const char *text, unsigned all, unsigned allowed, const char **bad,
                              size_t *bad_size) {
    unsigned bits = 0;
    for (const char *p = text; *p != '\0';) {
        const size_t size = strcspn(p, ",");
        const bool means_all = size == 3 && strncmp(p, "all", 3) == 0;
        int m = 0;
        while (m < LEARN_MODULE_COUNT && (strlen(learn_module_names[m]) != size ||
                                          strncmp(learn_module_names[m], p, size) != 0))
            m++;
        if (!means_all && (m == LEARN_MODULE_COUNT || (allowed & 1u << m) == 0)) {
            *bad = p;
            *bad_size = size;
            return 0;
        }
        bits |= means_all ? all : 1u << m;
        p += size;
        if (*p == ',') p++;
    }
    return bits;
}

static const unsigned stack_modules = 1u << LEARN_Q_PROJ | 1u << LEARN_K_PROJ | 1u << LEARN_V_PROJ |
                                      1u << LEARN_OUT_PROJ | 1u << LEARN_IN_PROJ | 1u << LEARN_W1 |
                                      1u << LEARN_W2 | 1u << LEARN_W3;
static const unsigned sound_modules =
    1u << LEARN_DEPTH_LINEAR | 1u << LEARN_QKV_PROJ | 1u << LEARN_OUT_PROJ | 1u << LEARN_W1 |
    1u << LEARN_W2 | 1u << LEARN_W3 | 1u << LEARN_ADAPTER_1 | 1u << LEARN_ADAPTER_3;

/* "none", or names, and "all" as one of them. */
static int take_modules(const char *option, const char *text, unsigned all, unsigned allowed,
                        unsigned *out) {
    const char *bad = NULL;
    size_t size = 0;
    *out = all;
    if (text == NULL) return EXIT_OK;
    *out = 0;
    if (strcmp(text, "none") == 0) return EXIT_OK;
    *out = parse_modules(text, all, allowed, &bad, &size);
    if (bad == NULL && *out != 0) return EXIT_OK;
    return complain(EXIT_USAGE,
                    "%s: '%.*s' is no matrix that gets an adapter there; see `runnel train --help`",
                    option, (int)size, bad != NULL ? bad : text);
}

static int setup_choice(const options *o, const rnl_model *m, train_setup *s) {
    int rank = 16;
    double alpha = 32;
    learn_choice *c = &s->network.choice;
    if (o->taught.count > 1) return complain(EXIT_USAGE, "train: --lora is given once");
    const char *adapter = o->taught.count > 0 ? o->taught.at[0] : NULL;
    if (o->full && adapter != NULL)
        return complain(EXIT_USAGE, "train: --full and --lora exclude each other");
    if (adapter != NULL && !parse_adapter(adapter, &rank, &alpha))
        return complain(EXIT_USAGE,
                        "--lora: '%s' is not R or R:ALPHA, such as 16 or 16:32 (R 1-%d)", adapter,
                        RANK_MAX);
    *c = (learn_choice){.full = o->full, .rank = rank, .moments = true};
    c->dropout = o->dropout > 0 ? o->dropout : 0;
    if (o->full && c->dropout > 0)
        return complain(EXIT_USAGE, "train: --full has no adapters for --dropout");
    c->scale = (float)(o->rslora ? alpha / sqrt(rank) : alpha / rank);
    s->rslora = o->rslora;
    if (o->full) return EXIT_OK;
    int code = take_modules("--targets", o->targets, stack_modules,
                            stack_modules | 1u << LEARN_LM_HEAD, &c->modules[LEARN_BACKBONE]);
    if (code == EXIT_OK && m->backbone.codebook_count > 0)
        code = take_modules("--audio-targets", o->audio_targets, sound_modules, sound_modules,
                            &c->modules[LEARN_AUDIO]);
    else if (code == EXIT_OK && o->audio_targets != NULL)
        code = complain(EXIT_USAGE, "--audio-targets: the model neither hears nor speaks");
    return code;
}

static void setup_plan(const options *o, const rnl_model *m, train_setup *s) {
    const bool full = o->full;
    const double rate = o->from_scratch != NULL ? 1e-3 * 256 / backbone_width(&m->backbone)
                        : full                  ? 3e-5
                                                : 2e-4;
    learn_plan *p = &s->plan;
    p->length = o->length > 0 ? o->length : LENGTH;
    p->batch = o->batch > 0 ? o->batch : full ? FULL_BATCH : ADAPTER_BATCH;
    p->epochs = o->epochs > 0 ? o->epochs : EPOCHS;
    p->seed = o->seed;
    p->hyper = (learn_hyper){.rate = o->rate > 0 ? o->rate : rate,
                             .beta1 = 0.9,
                             .beta2 = full ? 0.95 : 0.999,
                             .eps = 1e-8,
                             .decay = full ? 0.1 : 0.01,
                             .clip = 1,
                             .warmup = o->warmup,
                             .steps = o->steps > 0 ? o->steps : 0,
                             .floor = 0.1};
}

/* Without such kernels all stays float32, which is said. */
static void setup_bf16(const options *o, train_setup *s) {
    if (!o->bf16) return;
    if (learn_bf16_kernels(o->cpu, &s->bf16))
        s->network.bf16 = &s->bf16;
    else
        (void)complain(EXIT_OK, "warning: --bf16: %s; products stay float32",
                       o->cpu != NULL ? "the level of --cpu has no BF16"
                                      : "this processor has no BF16");
}

int train_setup_of(const options *o, const rnl_model *m, train_setup *out) {
    const int threads = o->threads > 0 ? o->threads : threads_default("");
    *out = (train_setup){.keep = o->keep > 0 ? o->keep : KEEP,
                         .hold = o->hold > 0 ? o->hold / 100 : 0};
    int code = setup_choice(o, m, out);
    if (code != EXIT_OK) return code;
    setup_plan(o, m, out);
    setup_bf16(o, out);
    if (o->learn != NULL && strcmp(o->learn, "all") != 0 && strcmp(o->learn, "last") != 0)
        return complain(EXIT_USAGE, "--learn: '%s' is neither all nor last", o->learn);
    const bool hears = o->task != NULL && strcmp(o->task, "asr") == 0;
    const bool speaks = o->task != NULL && strcmp(o->task, "tts") == 0;
    if (o->task != NULL && !hears && !speaks)
        return complain(EXIT_USAGE, "--task: '%s' is neither asr nor tts", o->task);
    out->network.row_cap = out->plan.length;
    out->network.run_cap = out->plan.length;
    out->network.keeps_all = true;
    out->network.thread_count = threads;
    out->network.seed = o->seed;
    out->reading = (learn_reading){.length_max = out->plan.length,
                                   .skips_newline = o->no_newline_loss,
                                   .last_only = o->learn != NULL && strcmp(o->learn, "last") == 0,
                                   .task = hears    ? LEARN_TASK_ASR
                                           : speaks ? LEARN_TASK_TTS
                                                    : LEARN_TASK_NONE,
                                   .seconds_max = CLIP_SECONDS,
                                   .thread_count = threads};
    return EXIT_OK;
}
