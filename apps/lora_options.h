/* What --lora names: FILE[:SCALE], as adapters of one set; of `serve` NAME=FILE[:SCALE], as sets
 * that clients choose by their names. */
#ifndef APPS_LORA_OPTIONS_H
#define APPS_LORA_OPTIONS_H

#include "apps/options.h"

/* The set that those without a name are. */
#define LORA_OPTIONS_SET "lora"

typedef struct lora_options {
    rnl_adapter_config rows[RNL_ADAPTER_CAP]; /* [count] */
    char *paths[RNL_ADAPTER_CAP];             /* of theirs, allocated, */
    char *names[RNL_ADAPTER_CAP];             /* too; NULL: LORA_OPTIONS_SET */
    int count;
} lora_options;

/* A file that has the whole text (behind NAME=) as its name is meant by it; else what is behind the
 * last ':' is the scale. Names have 1 to 63 letters, digits, '.', '_' and '-'. False: a
 * sentence in *error. To be freed in any case. */
bool lora_options_parse(const options *o, lora_options *out, rnl_error *error);
void lora_options_free(lora_options *l);

/* Notes what an adapter is read from (sources.h). */
void lora_options_note(const char *path);

/* What sessions of a command choose: the set, or NULL when it has none. */
const char *lora_options_set(const options *o);

#endif
