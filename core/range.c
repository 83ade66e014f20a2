#include "core/range.h"

#include "core/status.h"

const range *range_outside(const range *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!(rows[i].value >= rows[i].min && rows[i].value <= rows[i].max)) return &rows[i];
    return NULL;
}

rnl_status range_check(const range *rows, size_t count, rnl_error *error) {
    const range *bad = range_outside(rows, count);
    if (bad == NULL) return RNL_OK;
    return status_fail(error, RNL_ERR_ARGUMENT, "%s is %g, outside %g to %g", bad->name, bad->value,
                       bad->min, bad->max);
}
