/* One short text for all that a result depends on but its input: whether two runs may be taken for
 * parts of one. And one for what its speed depends on. */
#ifndef APPS_FINGERPRINT_H
#define APPS_FINGERPRINT_H

#include "apps/options.h"

enum { FINGERPRINT_SIZE = 33 };

/* 32 hexadecimal digits. They stand for the value of each option of the command that changes a
 * result (option_row.changes_result), the model's own defaults for this mode, and the model: names,
 * types, shapes and sizes of its tensors and the first 4 KiB of each, in any order and from any
 * files. */
void fingerprint_of(const command *c, const options *o, const rnl_model *model, rnl_mode mode,
                    char out[FINGERPRINT_SIZE]);

/* What the speed of a model depends on: names, types and shapes of its tensors, and whether it is
 * exact. Not one of its weights is read. */
void fingerprint_shapes(const rnl_model *model, char out[FINGERPRINT_SIZE]);

#endif
