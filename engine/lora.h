/* Adapters of matrices (LoRA) as files (learn.md 5): y = W x + scale * B (A x) with a narrow A and
 * B for each matrix W that was taught. Two layouts, one outcome:
 *
 *     FOLDER/adapter_config.json, adapter_model.safetensors     as PEFT writes it
 *     FILE.gguf                                                 as llama.cpp reads it
 *
 * Whether they fit a model is another question: engine/lora_fit.c. */
#ifndef ENGINE_LORA_H
#define ENGINE_LORA_H

#include "core/gguf.h"
#include "core/linear.h"
#include "core/safetensors.h"

enum {
    LORA_NAME_CAP = 128,
    LORA_BASE_CAP = 512,
    LORA_TENSOR_CAP = 8192, /* matrices of an adapter */
    LORA_RANK_CAP = LINEAR_RANK_MAX
};

/* One matrix and what is added to it. */
typedef struct lora_tensor {
    char name[LORA_NAME_CAP]; /* of the matrix, canonical: "blk.0.ffn_up.weight" */
    tensor down;              /* A [rank, inputs]; F32, F16, BF16 or Q8_0, as both. In sentences its
                               * own name stands for the pair */
    tensor up;                /* B [outputs, rank] */
    double alpha;             /* > 0; 0: the scale is 1 */
} lora_tensor;

/* How the classes of Hugging Face's library call the backbone's modules. */
typedef enum lora_class { LORA_TEXT, LORA_AUDIO, LORA_VISION } lora_class;

typedef struct lora {
    lora_tensor *tensors; /* [count] */
    size_t count;
    bool rslora;    /* scales are alpha / sqrt(rank), else alpha / rank */
    double dropout; /* that it was taught with, for PEFT: of no effect in use */
    lora_class names;
    char base[LORA_BASE_CAP]; /* the model it was taught on, as its file says; may be "" */
    char architecture[32];    /* of a GGUF file, "lfm2"; "": not said */
    /* Tensors of the file that nothing is made of (norms): the first, and how many. */
    char passed_over[LORA_NAME_CAP];
    size_t passed_over_count;
    /* Of one that was read; whoever makes one up to write it leaves them NULL. */
    char *path;
    safetensors *folder;
    gguf *file;
} lora;

/* The alpha of which alpha / rank is the scale, rounded as a GGUF file keeps it, so that both
 * layouts give the same bits. */
float lora_alpha(const lora *l, const lora_tensor *t);
/* What B (A x) is multiplied by. */
double lora_scale(const lora *l, const lora_tensor *t);
int64_t lora_rank(const lora_tensor *t);

/* Whether a path is an adapter, by a look at its first bytes: a folder with an adapter_config.json,
 * a GGUF file that says so. */
bool lora_is_one(const char *path);

/* Reads and checks one: both halves of every matrix, ranks as they are said, values that are
 * numbers. The tensors' data stays mapped. *out is to be freed on RNL_OK only.
 * RNL_ERR_IO, RNL_ERR_FORMAT; RNL_ERR_UNSUPPORTED: a kind of adapter that is not LoRA, or more than
 * LoRA (DoRA, biases, whole modules); RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status lora_read(const char *path, lora *out, rnl_error *error);
void lora_free(lora *l); /* of one that was read */

/* Writes the two files into a folder, which is made if it is not there; each takes its name when it
 * is complete, the configuration last. Data in Q8_0 becomes F32, all else stays bit for bit.
 * RNL_ERR_IO, RNL_ERR_MEMORY; RNL_ERR_UNSUPPORTED: a matrix that no module is called after. */
RNL_MUST_USE rnl_status lora_write_folder(const lora *l, const char *folder, rnl_error *error);
/* Writes a GGUF file, all data bit for bit; architecture: of the model's main file ("lfm2").
 * RNL_ERR_IO, RNL_ERR_MEMORY; RNL_ERR_UNSUPPORTED: the matrices' scales are no single alpha by
 * their ranks, which is all that the file can say. */
RNL_MUST_USE rnl_status lora_write_gguf(const lora *l, const char *path, const char *architecture,
                                        rnl_error *error);

/* ---- For the two readers ---- */

typedef enum lora_half { LORA_DOWN, LORA_UP } lora_half;
/* Adds a half to the pair of that matrix (canonical name). t->name is the file's. *pair is good
 * until the next call. */
RNL_MUST_USE rnl_status lora_put(lora *l, const char *name, lora_half half, const tensor *t,
                                 lora_tensor **pair, rnl_error *error);
/* When all are there: both halves, shapes, types, values. */
RNL_MUST_USE rnl_status lora_check(lora *l, rnl_error *error);
RNL_MUST_USE rnl_status lora_read_folder(lora *l, rnl_error *error);
RNL_MUST_USE rnl_status lora_read_gguf(lora *l, rnl_error *error);

#endif
