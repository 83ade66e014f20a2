/* Adapters that tests make up: random halves for the matrices of a model. */
#ifndef TESTS_SUPPORT_ADAPTER_H
#define TESTS_SUPPORT_ADAPTER_H

#include "engine/adapters.h"

/* An adapter of all matrices of the model that adapters may change, big enough to change what it
 * says. head: of its head, too, also where the table of embeddings serves as one. Its values follow
 * from the seed. */
typedef struct made_adapter {
    lora lora;
    float *values; /* of all halves */
} made_adapter;
void adapter_make(const rnl_model *m, bool head, int rank, uint64_t seed, made_adapter *out);
void adapter_free(made_adapter *a);

/* A model with the adapters "one", which has a head, and "two", which has none, of rank 3 and 5,
 * made for it and written to files that are gone again. */
rnl_model *adapter_model(const char *path, bool exact, const char *level);

#endif
