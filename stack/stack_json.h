/* A stack in config.json: `lfm2` as Hugging Face has it (backbone.md 1.6) and `runnel_stack`, whose
 * layers differ and are told by lists (learn.md 6.10). */
#ifndef STACK_STACK_JSON_H
#define STACK_STACK_JSON_H

#include "core/json_fields.h"
#include "stack/stack.h"

/* Of the object with "hidden_size" in it; errors are sticky in f. has_window: `lfm2` with
 * "sliding_window" for all its attention. Widths of the feed-forward parts of `lfm2` stay 0, as the
 * tensors have them; those of `runnel_stack` are known. */
void stack_json_read(json_fields *f, stack_config *c, bool has_window);

/* The width that the object of an `lfm2` gives its dense parts, by its rule (backbone.md 1.5). */
int64_t stack_json_ff_width(json_fields *f);

/* A whole config.json of a text model, whose weights need not be there: the width of every dense
 * part is known afterwards. vocab_count, tied (the head is the embedding): of the model.
 * RNL_ERR_IO, RNL_ERR_FORMAT with the field; RNL_ERR_UNSUPPORTED: sound, pictures, experts. */
typedef struct stack_json_model {
    int vocab_count;
    bool tied;
} stack_json_model;
RNL_MUST_USE rnl_status stack_json_load(const char *path, stack_config *c, stack_json_model *model,
                                        rnl_error *error);

/* Whether others load it, too: as `lfm2`. */
bool stack_json_is_plain(const stack_config *c);
/* Sets model_type and the keys of the stack, whose widths are all known (asserted), in the object
 * of a config.json: `lfm2` where that says it all, else `runnel_stack`. The rest of a model
 * ("vocab_size", ids, "tie_word_embeddings") is the caller's. */
void stack_json_write(json_draft *object, const stack_config *c);

#endif
