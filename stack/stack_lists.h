/* The lists by which a file tells a stack whose layers differ (model_type `runnel_stack`, learn.md
 * 6.10): one entry for each layer, under the same names in config.json and, behind "runnel.", in
 * GGUF files. */
#ifndef STACK_STACK_LISTS_H
#define STACK_STACK_LISTS_H

#include "stack/stack.h"

#define STACK_LISTS_TYPES "layer_types"

/* What layer_types says of a layer. */
typedef enum stack_type {
    STACK_TYPE_CONVOLUTION,
    STACK_TYPE_FULL_ATTENTION,
    STACK_TYPE_SLIDING_ATTENTION,
    STACK_TYPE_LINEAR_ATTENTION,
    STACK_TYPE_STATE_SPACE,
    STACK_TYPE_COUNT
} stack_type;
extern const char *const stack_type_names[STACK_TYPE_COUNT];
/* STACK_TYPE_COUNT: there is none of that name. */
stack_type stack_type_find(const char *name, size_t size);
stack_type stack_type_of(const stack_layer_config *l);

enum { STACK_LIST_COUNT = 10, STACK_SPACE_TAPS = 4 /* of state spaces, learn.md 6.5 */ };

typedef struct stack_list {
    const char *name;
    int min, max;
    bool has_default;          /* may be absent, which is -1 everywhere */
    const char *const *values; /* names of 0, 1, ..., NULL behind the last; NULL: numbers alone */
    unsigned types;            /* bits 1 << stack_type of the layers that it concerns */
    /* Sets a layer's field; false when the value does not fit the width or the place. */
    bool (*set)(stack_config *c, int layer, int value);
    int (*get)(const stack_config *c, int layer);
} stack_list;
/* In the order in which they are to be set: what is shared before what is taken over with it. */
extern const stack_list stack_lists[STACK_LIST_COUNT];

static inline bool stack_list_concerns(const stack_list *list, stack_type type) {
    return (list->types >> type & 1) != 0;
}

/* What the list says of a layer: 0, or what is absent, of one that it does not concern. */
int stack_list_entry(const stack_list *list, const stack_config *c, int layer);

/* Before any of the lists: layer i, of the fields that all layers share, becomes of that type. */
void stack_type_set(stack_config *c, int layer, stack_type type, const stack_layer_config *all);

/* Whether lists are needed: operators that LFM2 has not, or layers that differ but for their number
 * of key/value heads and known widths. Without them GGUF files are those of LFM2. */
bool stack_lists_needed(const stack_config *c);

/* A layer whose head_count is that of the stack's attention. */
const stack_layer_config *stack_attention_layer(const stack_config *c);
/* Of its convolutions, where they are alike; some number where there is none. */
int stack_taps(const stack_config *c);

#endif
