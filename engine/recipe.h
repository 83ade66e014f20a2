/* What `runnel convert --type` means: which type each matrix of a model is written in. The mixtures
 * are those of llama-quantize (backbone.md 6.6) for the backbone; the audio parts take the base
 * type. Whatever type a row is too short for falls back to one that fits. */
#ifndef ENGINE_RECIPE_H
#define ENGINE_RECIPE_H

#include "stack/stack.h"

/* Which blocks of a row of matrices an exception holds for; see recipe.c. */
typedef enum recipe_share {
    SHARE_NONE,
    SHARE_ALL,
    SHARE_FIRST_2,
    SHARE_FIRST_4,
    SHARE_FIRST_EIGHTH,
    SHARE_FIRST_SIXTEENTH,
    SHARE_MORE /* the first and last eighth, and every third between */
} recipe_share;

typedef struct recipe {
    const char *name;   /* as --type takes it: "q4_k_m" */
    uint32_t file_type; /* general.file_type, backbone.md 5.2 */
    quant_type base;    /* everything that has no exception */
    quant_type head;    /* the text embedding when it is the head, else output.weight */
    quant_type attention_out;
    recipe_share value_share; /* attn_v, counted over the attention blocks */
    quant_type value, value_rest;
    recipe_share down_share; /* ffn_down, counted over the blocks */
    quant_type down, down_rest;
} recipe;

/* By name, any case; NULL when there is none. */
const recipe *recipe_find(const char *name);
/* The recipe that writes everything in this type, for its file_type; NULL when there is none. */
const recipe *recipe_of_type(quant_type base);
/* All names, ", " between them: what the help lists. Static. */
const char *recipe_names(void);

/* The type of a matrix by its canonical name. c: the backbone's; has_head: the model has an
 * output.weight of its own. col_count: elements of a row. */
quant_type recipe_type(const recipe *r, const stack_config *c, bool has_head, const char *name,
                       int64_t col_count);

#endif
