/* The adapters that a model is opened with: files (lora.h), fitted to the model's matrices, in sets
 * by their names. Read-only and shared afterwards, as the weights are. */
#ifndef ENGINE_ADAPTERS_H
#define ENGINE_ADAPTERS_H

#include "core/linear.h"
#include "engine/lora.h"

enum { ADAPTER_NAME_CAP = 64 /* with its end */ };

typedef struct adapter_set {
    char name[ADAPTER_NAME_CAP];
    linear_adapter adds;
} adapter_set;

typedef struct adapter_file {
    lora lora;
    linear_pair *pairs; /* [lora.count] */
} adapter_file;

typedef struct adapters {
    adapter_file files[RNL_ADAPTER_CAP];
    int file_count;
    adapter_set sets[RNL_ADAPTER_CAP];
    int set_count;
    int rank_max; /* of all matrices; 0: there are none */
} adapters;

/* Opens what config names; the weights of m are loaded. m->adapters stays NULL without any. On
 * failure what was opened is freed by adapters_close. */
RNL_MUST_USE rnl_status adapters_open(rnl_model *m, const rnl_model_config *config,
                                      rnl_error *error);
void adapters_close(adapters **a); /* NULL is fine; sets NULL */

/* Whether adapters may change the tensor of that canonical name: matrices of the backbone's layers,
 * of the audio adapter and of the depthformer, as far as the model has them, and its head,
 * "output.weight", also where the table of embeddings serves as head: then only as such. */
bool adapters_may_change(const rnl_model *m, const char *name);
/* Whether each matrix of an adapter is one that an adapter may change, and is as large in the
 * model. RNL_ERR_FORMAT names the first that is not. */
RNL_MUST_USE rnl_status adapters_check_fit(const rnl_model *m, const lora *l, rnl_error *error);

/* The set of that name; NULL: there is none. */
const adapter_set *adapters_find(const rnl_model *m, const char *name);

#endif
