/* runnel convert: any model to a bundle or to the official set of four GGUF files. */
#include <stdio.h>
#include <string.h>

#include "apps/cli.h"
#include "apps/progress.h"
#include "engine/convert.h"

typedef struct job {
    progress progress;
} job;

static bool show(void *context, size_t done, size_t total) {
    job *j = context;
    progress_bar(&j->progress, "converting", total > 0 ? (double)done / (double)total : 1.0);
    return !interrupted();
}

/* The runnel.default.* keys of --set. */
static int apply_sets(const options *o, rnl_model *model) {
    for (int i = 0; i < o->set_count; i++) {
        char key[128];
        const char *equals = strchr(o->sets[i], '=');
        (void)snprintf(key, sizeof key, "%.*s", (int)(equals - o->sets[i]), o->sets[i]);
        if (!config_set_default(&model->source.config, key, equals + 1))
            return complain(
                EXIT_USAGE,
                "--set: '%s' is no key with a value in its range; keys are "
                "runnel.default.{interleaved,transcribe,speak,text}.{system,"
                "text_temperature,text_top_k,audio_temperature,audio_top_k,step_max} and "
                "runnel.asr.{piece_min,piece_max}",
                o->sets[i]);
    }
    return EXIT_OK;
}

static int convert(const options *o, rnl_model *model, const convert_config *base) {
    convert_config config = *base;
    job j;
    progress_begin(&j.progress, o);
    config.progress = show;
    config.progress_context = &j;
    rnl_error error = {0};
    const rnl_status status = convert_model(model, &config, &error);
    progress_clear(&j.progress);
    if (interrupted()) return EXIT_STOPPED;
    if (status != RNL_OK)
        return complain(status == RNL_ERR_UNSUPPORTED ? EXIT_MODEL : EXIT_FAILED, "%s", error.text);
    if (!o->quiet) (void)fprintf(stderr, "%s written\n", config.path);
    return EXIT_OK;
}

static bool parse_type(const char *text, quant_type *out) {
    if (strcmp(text, "keep") == 0) {
        *out = CONVERT_KEEP;
        return true;
    }
    if (!quant_parse(text, out)) return false;
    return *out == QUANT_F32 || *out == QUANT_F16 || *out == QUANT_BF16 || *out == QUANT_Q8_0 ||
           *out == QUANT_Q4_0;
}

static int run(const options *o) {
    if (o->argument_count != 1 || o->output == NULL)
        return complain(EXIT_USAGE, "convert: name one model and the target with -o");
    convert_config config = {.path = o->output, .type = CONVERT_KEEP};
    if (o->type != NULL && !parse_type(o->type, &config.type))
        return complain(EXIT_USAGE, "--type: '%s' is not keep, f32, f16, bf16, q8_0 or q4_0",
                        o->type);
    if (o->format != NULL && strcmp(o->format, "bundle") != 0 && strcmp(o->format, "set") != 0)
        return complain(EXIT_USAGE, "--format: '%s' is not bundle or set", o->format);
    config.as_set = o->format != NULL && strcmp(o->format, "set") == 0;
    int code = check_target(o->output);
    if (code != EXIT_OK) return code;
    options with_path = *o;
    with_path.model = o->arguments[0];
    rnl_model *model = open_model(&with_path, &code);
    if (model == NULL) return code;
    code = apply_sets(o, model);
    if (code == EXIT_OK) code = convert(o, model, &config);
    rnl_model_close(&model);
    return code;
}

const command command_convert = {
    .name = "convert",
    .summary = "write a model as one bundle or as a GGUF set",
    .synopsis = "[options] MODEL -o TARGET.gguf [--type TYPE] [--format bundle|set]",
    .about =
        "MODEL is a Hugging Face folder, a GGUF set or a bundle. The files of a set are TARGET\n"
        "and mmproj-, vocoder- and tokenizer-TARGET beside it.",
    .own = "oyF=",
    .run = run,
};
