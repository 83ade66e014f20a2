/* runnel measure: what models cost on this machine or another. */
#include <stdlib.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/measuring.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "engine/model.h"

/* Models that stay open while they are measured. */
typedef struct opened {
    const options *o;
    rnl_model *models[MEASURE_MODEL_CAP];
    int count;
} opened;

static bool is_of_backbone(const char *name) {
    static const char *const heads[] = {"blk.", "token_embd", "output"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strncmp(name, heads[i], strlen(heads[i])) == 0) return true;
    return false;
}

static int add_model(void *context, measure *m, const char *name) {
    opened *all = context;
    options with_path = *all->o;
    with_path.model = name;
    int code;
    rnl_model *model = open_model(&with_path, &code);
    if (model == NULL) return code;
    all->models[all->count++] = model;
    int64_t parameters = 0;
    size_t size = 0;
    for (size_t i = 0; i < weights_count(model->source.w); i++) {
        const tensor *t = weights_at(model->source.w, i);
        if (!weights_is_used(model->source.w, i) || !is_of_backbone(t->name)) continue;
        int64_t count = 1;
        for (int d = 0; d < t->rank; d++) count *= t->shape[d];
        parameters += count;
        size += t->size;
    }
    rnl_error error = {0};
    if (measure_add_backbone(m, &model->backbone, name, parameters, size, &error) == RNL_OK)
        return EXIT_OK;
    return complain(exit_code(&error), "%s", error.text);
}

static int run(const options *o) {
    opened all = {.o = o};
    const int code = measuring_run(o, add_model, &all);
    for (int i = 0; i < all.count; i++) rnl_model_close(&all.models[i]);
    return code;
}

const command command_measure = {
    .name = "measure",
    .summary = "what a model or a config.json costs, here or elsewhere",
    .synopsis = "[options] FILE ...",
    .about =
        "Measures the backbone of each FILE: a model, or a config.json (LFM2) alone, whose "
        "weights\n"
        "are made up in memory. Memory is told for 4,096 positions: of the conversation\n"
        "(cache) and of computing (activations). Times, with the logits of the last position:\n"
        "  prefill   1,024 and 4,096 positions in steps of 128\n"
        "  decode    a position behind 1,024 and 4,096, median and 95th per cent of 32\n"
        "Every run stands between two of a reference, and only ratios to it count: the time is\n"
        "the median ratio of all rounds times the reference's median. Where its two runs differ\n"
        "by over 5 %, the ratio is taken again, ten times at the most; files take turns.\n"
        "--device measures on another machine, by runnel-measure, a program that needs nothing\n"
        "there: {cmd} becomes its command line. --push copies it and the files: {file} here,\n"
        "{path} there. No shell of this machine takes part.\n"
        "--json: one line.",
    .options = {&options_json, &options_measure, &options_remote},
    .run = run,
};
