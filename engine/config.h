/* Everything a model's files say about it besides the weights, whichever files they are. Filled by
 * source_gguf.c or source_hf.c, checked once, read-only afterwards. */
#ifndef ENGINE_CONFIG_H
#define ENGINE_CONFIG_H

#include <runnel/runnel.h>

#include "core/gguf.h"
#include "detokenizer/codec.h"
#include "stack/stack.h"
#include "vision/views.h"

enum {
    CONFIG_NAME_CAP = 128,
    CONFIG_PROMPT_CAP = 512,
    CONFIG_HISTORY_MAX = 100000,  /* turns */
    CONFIG_BACKCHANNEL_MAX = 1000 /* ms */
};

/* Defaults of one task (rnl_mode). */
typedef struct mode_config {
    bool has_prompt;
    char prompt[CONFIG_PROMPT_CAP]; /* system prompt, UTF-8 */
    rnl_sampling text, audio;
    int step_max;
} mode_config;

typedef struct model_config {
    char name[CONFIG_NAME_CAP]; /* "" when the files give none; clean (core/status.h) */
    bool japanese;              /* one of its names says so (config_says_japanese) */
    char quantised_by[64];      /* of a Hugging Face checkpoint that says so: "MLX, 4 bits" */
    stack_config backbone;
    int vocab_count;
    int context_trained;
    bool tied;                           /* a Hugging Face checkpoint that says that the text
                                          * embedding is the head, whatever else lies there */
    int text_run, audio_run;             /* interleave counts */
    int history_turns;                   /* of a conversation that the model bears; 0: all */
    int backchannel_ms;                  /* of an interruption that the model can hear; 0: none */
    double asr_piece_min, asr_piece_max; /* s: what a piece of a long recording should reach, and
                                          * must not exceed (runnel_transcript.h) */

    bool has_encoder;
    int feature_count; /* mel bins */
    int encoder_layer_count;
    int encoder_head_count;

    int codebook_count; /* 0: no depthformer */
    int depth_layer_count;
    bool depth_tied;

    bool has_tower; /* vision, as the next four */
    int tower_layer_count, tower_head_count;
    float tower_eps;
    views_config views;

    codec_kind codec;
    stack_config detokenizer;         /* with CODEC_LFM */
    int mimi_head_width, mimi_window; /* with CODEC_MIMI */

    mode_config modes[RNL_MODE_COUNT];
} model_config;

/* Defaults of audio.md 7.2 and 7.3, and those of family.md 3.3 for the names of text models, that
 * hold when the files are silent. Call when name, codec, text_run, audio_run and japanese are
 * known, before the file's own runnel.default.* keys are read. */
void config_defaults(model_config *c);

/* Whether a name (of a file, a folder, or in general.name) is that of the Japanese checkpoint: "JP"
 * in any case as a word of its own, between '-', '_', '.', spaces or the ends. Converters write the
 * same name with hyphens or as a title with spaces. */
bool config_says_japanese(const char *name, size_t size);

/* Reads and writes runnel.default.<mode>.*, runnel.default.history_turns and .backchannel_ms, and
 * runnel.asr.* (a bundle's task defaults). */
void config_read_defaults(model_config *c, const gguf *g);
void config_write_defaults(const model_config *c, gguf_writer *w);
/* Sets one default by its key ("runnel.default.interleaved.audio_temperature",
 * "runnel.asr.piece_max") from text, for
 * `runnel convert --set`. False when key or value is not one. */
bool config_set_default(model_config *c, const char *key, const char *value);

/* The LFM2 keys of backbone.md 5.2 under "<prefix>lfm2.", those of family.md 1.5 under
 * "<prefix>lfm2moe.", or the lists of learn.md 6.10 under "<prefix>runnel."; RNL_ERR_FORMAT names
 * the key. RNL_ERR_UNSUPPORTED: other experts. */
RNL_MUST_USE rnl_status config_read_lfm2(stack_config *c, const gguf *g, const char *prefix,
                                         rnl_error *error);
/* The context that a main file claims. */
int config_read_context(const gguf *g);
/* "lfm2", "lfm2moe" of a stack with experts, "runnel" of one that needs lists
 * (stack/stack_lists.h), which no other program reads: general.architecture, and before its
 * keys. */
const char *config_architecture(const stack_config *c);
/* A layer's feed-forward part becomes experts; those fields are taken from `from`. */
void config_set_experts(stack_layer_config *layer, const stack_layer_config *from);
/* ff_width (of dense layers) and vocab_count are informational. */
void config_write_lfm2(const stack_config *c, gguf_writer *w, const char *prefix, int64_t ff_width,
                       int64_t vocab_count, int context);

#endif
