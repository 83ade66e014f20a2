/* Numbers from a config or a file, checked against a table of what each may be. */
#ifndef CORE_RANGE_H
#define CORE_RANGE_H

#include <runnel/runnel.h>

typedef struct range {
    const char *name; /* of the field, as its owner knows it */
    double value, min, max;
} range;

/* The first row whose value is outside [min, max] or not a number; NULL: none. */
const range *range_outside(const range *rows, size_t count);
/* The same for a config of the caller: RNL_OK, or RNL_ERR_ARGUMENT with a sentence that names the
 * field and its range. */
RNL_MUST_USE rnl_status range_check(const range *rows, size_t count, rnl_error *error);

#endif
