/* Goldens of operators alone (tests/data/learn/ops): inputs, outputs and gradients with their
 * tolerances. */
#ifndef TESTS_SUPPORT_OPERATORS_H
#define TESTS_SUPPORT_OPERATORS_H

#include "core/safetensors.h"

typedef struct operator_golden {
    const char *name;
    safetensors *in, *want;
    int count; /* positions */
} operator_golden;

operator_golden operator_open(const char *name);
void operator_close(operator_golden *o);

/* An array of what goes in: "x", "dy", "w.NAME". shape may be NULL. */
const float *operator_in(const operator_golden *o, const char *name,
                         int64_t shape[TENSOR_RANK_CAP]);
/* A number of its note: "heads". */
int operator_note(const operator_golden *o, const char *key);
/* Against an array of what comes out: "y", "dx", "d.NAME". */
void operator_check(const operator_golden *o, const char *name, const float *got, size_t count);

#endif
