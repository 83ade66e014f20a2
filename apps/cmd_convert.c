/* runnel convert: any model to a bundle or to the official set of four GGUF files. */
#include <stdio.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/ending.h"
#include "apps/lora_options.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/progress.h"
#include "apps/replace.h"
#include "apps/sources.h"
#include "engine/convert.h"
#include "engine/export_onnx.h"

typedef struct job {
    progress progress;
} job;

static bool show(void *context, size_t done, size_t total) {
    job *j = context;
    progress_bar(&j->progress, "converting", total > 0 ? (double)done / (double)total : 1.0);
    return !interrupted();
}

static rnl_status may_write(void *context, const char *path, rnl_error *error) {
    (void)context;
    return target_is_free(path, error) ? RNL_OK : error->status;
}

static void begun(void *context, const char *temporary) {
    (void)context;
    doomed_add(temporary);
}

/* The runnel.default.* keys of --set. */
static int apply_sets(const options *o, rnl_model *model) {
    for (int i = 0; i < o->set_count; i++) {
        char key[128];
        const char *equals = strchr(o->sets[i], '=');
        (void)snprintf(key, sizeof key, "%.*s", (int)(equals - o->sets[i]), o->sets[i]);
        if (!config_set_default(&model->source.config, key, equals + 1))
            return complain(EXIT_USAGE,
                            "--set: '%s' is no key with a value in its range; keys are "
                            "runnel.default.{interleaved,transcribe,speak,text}.{system,"
                            "text_temperature,text_top_k,text_top_p,text_min_p,text_repeat_penalty,"
                            "audio_temperature,audio_top_k,step_max}, "
                            "runnel.default.{history_turns,backchannel_ms} and "
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
    config.target = may_write;
    config.opened = begun;
    config.progress_context = &j;
    double taken = 0;
    config.taken = &taken;
    if (o->lora.count > 0) config.adapter = adapters_find(model, lora_options_set(o));
    rnl_error error = {0};
    const rnl_status status = convert_model(model, &config, &error);
    doomed_clear();
    progress_clear(&j.progress);
    if (interrupted()) return EXIT_STOPPED;
    if (status != RNL_OK)
        return complain(status == RNL_ERR_UNSUPPORTED ? EXIT_MODEL
                        : status == RNL_ERR_ARGUMENT  ? EXIT_USAGE
                                                      : EXIT_FAILED,
                        "%s", error.text);
    if (!o->quiet) (void)fprintf(stderr, "%s written\n", config.path);
    if (!o->quiet && taken > 0)
        (void)fprintf(stderr,
                      "rounding the merged matrices changed them by %.3g of what the adapter did\n",
                      taken);
    return EXIT_OK;
}

/* ---- Adapters ---- */

/* The architecture that a GGUF adapter is to name: that of -m, which it must fit. */
static int find_base(const options *o, const lora *adapter, char *architecture, size_t cap) {
    int code = EXIT_OK;
    rnl_error error = {0};
    const char *known = adapter->architecture[0] != '\0' ? adapter->architecture : "lfm2";
    (void)snprintf(architecture, cap, "%s", known);
    if (o->model == NULL) return EXIT_OK;
    options exact = *o;
    exact.exact = true;
    rnl_model *model = open_model(&exact, &code);
    if (model == NULL) return code;
    (void)snprintf(architecture, cap, "%s", config_architecture(&model->source.config.backbone));
    if (adapters_check_fit(model, adapter, &error) != RNL_OK)
        code = complain(EXIT_MODEL, "%s", error.text);
    rnl_model_close(&model);
    return code;
}

static bool ends_in_gguf(const char *path) {
    const size_t size = strlen(path);
    return size > 5 && strcmp(path + size - 5, ".gguf") == 0;
}

/* The files that would be written there are not what is read. */
static int check_folder(const char *folder) {
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors"};
    int code = EXIT_OK;
    for (int i = 0; i < 2 && code == EXIT_OK; i++) {
        char path[4096];
        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, names[i]) < sizeof path)
            code = check_target(path);
    }
    return code;
}

/* An adapter in the other layout: a name that ends in .gguf, or a folder. */
static int convert_adapter(const options *o) {
    lora adapter;
    rnl_error error = {0};
    char architecture[32];
    if (o->type != NULL || o->format != NULL || o->pack != NULL || o->encoder_type != NULL ||
        o->set_count > 0 || o->lora.count > 0)
        return complain(EXIT_USAGE, "convert: of an adapter only the layout changes: no --type, "
                                    "--format, --pack, --set or --lora");
    if (lora_read(o->arguments[0], &adapter, &error) != RNL_OK)
        return complain(EXIT_MODEL, "%s", error.text);
    int code = find_base(o, &adapter, architecture, sizeof architecture);
    if (code == EXIT_OK)
        code = ends_in_gguf(o->output) ? check_target(o->output) : check_folder(o->output);
    if (code == EXIT_OK) {
        const rnl_status status = ends_in_gguf(o->output)
                                      ? lora_write_gguf(&adapter, o->output, architecture, &error)
                                      : lora_write_folder(&adapter, o->output, &error);
        if (status != RNL_OK) code = complain(EXIT_FAILED, "%s", error.text);
    }
    lora_free(&adapter);
    if (code == EXIT_OK && !o->quiet) (void)fprintf(stderr, "%s written\n", o->output);
    return code;
}

static int threads(const options *o) {
    return o->threads > 0 ? o->threads : rnl_thread_count_default();
}

/* All levels share one layout so far; the name says what the file is meant for. */
static bool is_level(const char *name) {
    for (int i = 0; kernels_level_names[i] != NULL; i++)
        if (strcmp(kernels_level_names[i], name) == 0) return true;
    return false;
}

static int refuse_level(const char *name) {
    char all[128] = "";
    for (int i = 0; kernels_level_names[i] != NULL; i++) {
        const size_t size = strlen(all);
        (void)snprintf(all + size, sizeof all - size, "%s%s", i > 0 ? ", " : "",
                       kernels_level_names[i]);
    }
    return complain(EXIT_USAGE, "--pack: '%s' is no kernel level: %s", name, all);
}

/* ---- ONNX ---- */

static int export(const options *o) {
    enum { CONTEXT = 4096 };
    int code = EXIT_OK;
    rnl_error error = {0};
    if (o->argument_count != 1 || o->output != NULL || o->type != NULL || o->format != NULL ||
        o->pack != NULL || o->encoder_type != NULL || o->set_count > 0 || o->lora.count > 0)
        return complain(EXIT_USAGE,
                        "convert: with --onnx FOLDER name one model, and no -o, --type, "
                        "--format, --encoder-type, --pack, --set or --lora: matrices go "
                        "there as they are stored");
    options with_path = *o;
    with_path.model = o->arguments[0];
    with_path.exact = true; /* weights as stored */
    rnl_model *model = open_model(&with_path, &code);
    if (model == NULL) return code;
    const export_onnx_config config = {.folder = o->onnx,
                                       .context = o->context > 0 ? o->context : CONTEXT,
                                       .target = may_write,
                                       .opened = begun};
    const rnl_status status = export_onnx(model, &config, &error);
    doomed_clear();
    rnl_model_close(&model);
    if (status != RNL_OK)
        return complain(status == RNL_ERR_UNSUPPORTED ? EXIT_MODEL
                        : status == RNL_ERR_ARGUMENT  ? EXIT_USAGE
                                                      : EXIT_FAILED,
                        "%s", error.text);
    if (!o->quiet) (void)fprintf(stderr, "%s written\n", o->onnx);
    return EXIT_OK;
}

static int run(const options *o) {
    if (o->onnx != NULL) return export(o);
    if (o->argument_count != 1 || o->output == NULL)
        return complain(EXIT_USAGE, "convert: name one model and the target with -o");
    lora_options_note(o->arguments[0]);
    if (lora_is_one(o->arguments[0])) return convert_adapter(o);
    convert_config config = {.path = o->output, .thread_count = threads(o)};
    const bool keep = o->type == NULL || strcmp(o->type, "keep") == 0;
    if (!keep && (config.recipe = recipe_find(o->type)) == NULL)
        return complain(EXIT_USAGE, "--type: '%s' is not keep, %s", o->type, recipe_names());
    if (o->encoder_type != NULL && (config.encoder_recipe = recipe_find(o->encoder_type)) == NULL)
        return complain(EXIT_USAGE, "--encoder-type: '%s' is not %s", o->encoder_type,
                        recipe_names());
    if (o->format != NULL && strcmp(o->format, "bundle") != 0 && strcmp(o->format, "set") != 0)
        return complain(EXIT_USAGE, "--format: '%s' is not bundle or set", o->format);
    config.as_set = o->format != NULL && strcmp(o->format, "set") == 0;
    config.packs = o->pack != NULL;
    if (config.packs && !is_level(o->pack)) return refuse_level(o->pack);
    if (config.packs && config.as_set)
        return complain(EXIT_USAGE, "--pack: only a bundle can be packed, not a set");
    source_note(o->arguments[0]);
    int code = check_target(o->output);
    if (code != EXIT_OK) return code;
    options with_path = *o;
    with_path.model = o->arguments[0];
    with_path.exact = true; /* weights as stored */
    rnl_model *model = open_model(&with_path, &code);
    if (model == NULL) return code;
    code = apply_sets(o, model);
    if (code == EXIT_OK) code = convert(o, model, &config);
    rnl_model_close(&model);
    return code;
}

static const option_row rows[] = {
    {.name = "type",
     .value = "TYPE",
     .help = "of the matrices, as above (default keep)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(type),
     .changes_result = true},
    {.name = "format",
     .value = "KIND",
     .help = "bundle (one file, default) or set (four files)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(format),
     .changes_result = true},
    {.name = "encoder-type",
     .value = "TYPE",
     .help = "of encoder and adapter (default: as --type)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(encoder_type),
     .changes_result = true},
    {.name = "pack",
     .value = "LEVEL",
     .help = "store matrices packed for this kernel level",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(pack),
     .changes_result = true},
    {.name = "onnx",
     .value = "FOLDER",
     .help = "write graphs of ONNX there instead, for other programs",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(onnx),
     .changes_result = true},
    {.name = "set",
     .value = "KEY=VALUE",
     .help = "a runnel.default.* key of the bundle",
     .kind = OPTION_SETS,
     .offset = OPTION_AT(sets),
     .changes_result = true},
};
static const option_list own = OPTION_LIST(rows);

const command command_convert = {
    .name = "convert",
    .summary = "write a model as one bundle or as a GGUF set",
    .synopsis = "[options] MODEL -o TARGET.gguf [--type TYPE] [--format bundle|set] [--pack LEVEL]",
    .about =
        "MODEL is a Hugging Face folder, a GGUF set or a bundle. The files of a set are TARGET\n"
        "and mmproj-, vocoder- and tokenizer-TARGET beside it.\n"
        "\n"
        "TYPE is keep (as it is stored), f32, f16, bf16, q8_0, q6_k, q5_k_m, q5_k_s, q5_1, q5_0,\n"
        "q4_k_m, q4_k_s, q4_k, q4_1, q4_0, iq4_nl, q3_k_l, q3_k_m or q2_k. Mixtures (_m, _s, _l)\n"
        "are those of llama-quantize in the backbone; the audio parts take the base type. Below\n"
        "8 bits the text head is q6_k. Rows too short for a type fall back to one that fits.\n"
        "\n"
        "The encoder hears worse with few bits than the backbone talks: --encoder-type q8_0 "
        "beside\n"
        "--type q4_k_m costs little and keeps it sharp.\n"
        "\n"
        "--pack stores the matrices as they are computed with, so that loading is mapping.\n"
        "\n"
        "--onnx writes encoder, backbone and depthformer as graphs of ONNX, with room for "
        "--context\n"
        "positions, for programs that compute by ONNX Runtime; docs/ONNX.md says what goes in and\n"
        "out. Matrices must be of a float type, q4_0 or q8_0; layers dense.\n"
        "\n"
        "--lora merges an adapter into the matrices. Of an adapter as MODEL the other layout is\n"
        "written: a GGUF file for a target that ends in .gguf, else a PEFT folder; -m checks it\n"
        "against a model, whose architecture the file then names.",
    .options = {&options_output, &options_lora, &own},
    .run = run,
};
