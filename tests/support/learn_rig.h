/* What tests of learning start from: a network on a model of tests/data, micro batches of ids and
 * labels as the reference data have them, gradients under their Hugging Face names. Every function
 * fails the running test when something is wrong. */
#ifndef TESTS_SUPPORT_LEARN_RIG_H
#define TESTS_SUPPORT_LEARN_RIG_H

#include "learn/network.h"
#include "learn/optimiser.h"

enum { LEARN_RIG_ROWS = 512, LEARN_RIG_RUNS = 32 };

/* Everything learns, all is kept, one thread; with room for the optimiser. */
learn_config learn_rig_config(void);
/* The modules that learn, with an adapter of that rank; scale is alpha / rank. */
learn_config learn_rig_adapters(int rank, float scale);
learn_network *learn_rig_network(const rnl_model *m, const learn_config *config);

/* A micro batch and its memory. */
typedef struct learn_rig_batch {
    learn_batch b;
    int begin[LEARN_RIG_RUNS + 1];
    int32_t ids[LEARN_RIG_ROWS];
    int text_at[LEARN_RIG_ROWS];
    int32_t text_ids[LEARN_RIG_ROWS];
    int frame_at[LEARN_RIG_ROWS], frame_of[LEARN_RIG_ROWS];
} learn_rig_batch;

/* Rows of ids and labels [row_count, length]; labels are not shifted, -100 is not learnt. segments
 * or NULL: -1 is padding. Weights are 1 / the labels. */
void learn_rig_fill(learn_rig_batch *b, const int32_t *ids, const int32_t *labels,
                    const int32_t *segments, int row_count, int length);

/* Compares what `part` points to of every tensor with DIR/FILE.safetensors within the tolerances of
 * DIR/FILE.json; names of adapters are PEFT's. Tables of which the json lists rows are compared
 * there, and by sum and norm. Fails when a tensor of the file does not learn. */
typedef enum learn_rig_part { LEARN_RIG_GRADIENTS, LEARN_RIG_VALUES } learn_rig_part;
void learn_rig_compare(const learn_network *n, learn_rig_part part, const char *dir,
                       const char *file);
/* Values from tests/data/PATH, a safetensors file under PEFT's names. */
void learn_rig_load(const learn_network *n, const char *path);
/* A number of DIR/FILE.json. */
double learn_rig_number(const char *dir, const char *file, const char *key);

#endif
