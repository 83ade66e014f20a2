/* Where a model comes from: three layouts of files, one outcome (canonical tensors in a weights set
 * and a model_config). The stages never learn which it was. */
#ifndef ENGINE_SOURCE_H
#define ENGINE_SOURCE_H

#include <runnel/runnel.h>

#include "core/weights.h"
#include "engine/config.h"
#include "tokenizer/bpe.h"

enum {
    SOURCE_PATH_CAP = 4096,
    SOURCE_RIVALS_CAP = 512,
    SOURCE_REMARK_CAP = 768,
    SOURCE_STOP_CAP = 6,
    SOURCE_TEMPLATE_CAP = 1 << 20
};

typedef struct source {
    weights *w;          /* filled; owned by the caller from the start */
    model_config config; /* filled */
    bpe *text;           /* the vocabulary; NULL when the files hold none. Owned by the caller */
    const char *kind;    /* "bundle", "GGUF set", "Hugging Face directory"; static */
    char
        *chat_template; /* [chat_template_size] its text; NULL: the files have none. The caller's */
    size_t chat_template_size;
    int32_t stop_ids[SOURCE_STOP_CAP]; /* [stop_count] ends of an answer that the files name */
    int stop_count;
    /* Why a part of a set is missing although files beside it could be meant; "" when none are. */
    char encoder_remark[SOURCE_REMARK_CAP], sound_remark[SOURCE_REMARK_CAP];
    rnl_log_fn log; /* may be NULL */
    void *log_context;
} source;

void source_log(const source *s, rnl_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* source_folder.c: what a path stands for: a file, a Hugging Face directory (*folder), or, through
 * a folder of Hugging Face's cache or one with a single main GGUF file, what is in it.
 * RNL_ERR_IO when there is nothing, RNL_ERR_ARGUMENT when there are several to choose from. */
RNL_MUST_USE rnl_status source_resolve(const char *name, char path[SOURCE_PATH_CAP], bool *folder,
                                       rnl_error *error);
/* The model's name by its folder's; "" when it does not fit. */
void source_folder_name(const char *path, char *name, size_t cap);

/* A GGUF file: a bundle, or the main file of a set whose other files are given or found beside
 * it by name. On failure what was filled is still the caller's to free. */
RNL_MUST_USE rnl_status source_open_gguf(source *s, const char *path, const rnl_model_config *files,
                                         rnl_error *error);

/* source_chat.c: the text of the chat template and the ids that end an answer, from a GGUF file's
 * keys or the files of a Hugging Face directory. What is not there, or not as it should be, is left
 * out: a model without a template can be talked to. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status source_chat_of_gguf(source *s, const gguf *g, rnl_error *error);
RNL_MUST_USE rnl_status source_chat_of_hf(source *s, const char *directory, rnl_error *error);
void source_write_chat(const source *s, gguf_writer *w);

bool source_is_folder(const char *path);

/* A Hugging Face directory. */
RNL_MUST_USE rnl_status source_open_hf(source *s, const char *path, rnl_error *error);

/* source_hf_names.c: the canonical name of a Hugging Face tensor, or false when it is not used.
 * part: which file it came from. */
typedef enum hf_part { HF_MAIN, HF_DETOKENIZER, HF_MIMI } hf_part;
bool source_hf_name(hf_part part, const char *name, char *out, size_t out_cap);
/* The way back for a tensor of the main part: stack stands before "layers.N..." ("model.", "lfm.").
 * False: no such tensor has a name there. */
bool source_hf_name_of(const char *canonical, const char *stack, char *out, size_t out_cap);

/* source_parts.c: a file of a set, looked for beside the main file. */
typedef struct source_part {
    char path[SOURCE_PATH_CAP];     /* "" when there is none, or several */
    char rivals[SOURCE_RIVALS_CAP]; /* the names of several, cut where there is no more room */
    bool same_name;                 /* not only of the same stem, with another quantisation */
} source_part;
/* roles: what its name has besides the main file's ("mmproj"), NULL behind the last. */
void source_find_part(const char *main_path, const char *const *roles, source_part *part);

/* source_merged.c: the detokenizer's stack as its tensors ("detok.blk.*") have it, with the
 * literals of audio.md 2.2 where shapes say nothing. */
RNL_MUST_USE rnl_status source_merged_config(stack_config *c, const weights *w, const char *file,
                                             rnl_error *error);

/* source_experts.c: the experts of a Hugging Face checkpoint, gathered tensor by tensor into
 * stacks. config is borrowed. NULL: memory is exhausted. */
typedef struct source_experts source_experts;
source_experts *source_experts_create(const stack_config *config);
void source_experts_destroy(source_experts **x); /* NULL is fine; sets NULL */
/* A tensor whose canonical name begins with "experts."; RNL_ERR_FORMAT, RNL_ERR_UNSUPPORTED, with
 * the tensor's own name. */
RNL_MUST_USE rnl_status source_experts_take(source_experts *x, const char *name, const tensor *t,
                                            const char *file, rnl_error *error);
/* When all files are read: the stacks, into the set. RNL_ERR_FORMAT names what is missing. */
RNL_MUST_USE rnl_status source_experts_add(source_experts *x, source *s, const char *directory,
                                           rnl_error *error);
/* "blk.N.ffn_gate_up_exps.weight" of a GGUF file, gates above their ups, as two stacks. */
RNL_MUST_USE rnl_status source_split_experts(source *s, const tensor *t, const char *file,
                                             rnl_error *error);

/* source_hf_config.c: config.json (and audio_detokenizer/config.json, when there) to a
 * model_config. */
RNL_MUST_USE rnl_status source_hf_config(model_config *c, const char *directory, rnl_error *error);
/* The Mimi dimensions beside its file, when there. */
RNL_MUST_USE rnl_status source_mimi_config(model_config *c, const char *directory,
                                           rnl_error *error);

#endif
