/* What --lora names: FILE[:SCALE], as adapters of one set. */
#ifndef APPS_LORA_OPTIONS_H
#define APPS_LORA_OPTIONS_H

#include "apps/options.h"

/* The set that all of them are. */
#define LORA_OPTIONS_SET "lora"

typedef struct lora_options {
    rnl_adapter_config rows[RNL_ADAPTER_CAP]; /* [count] */
    char *paths[RNL_ADAPTER_CAP];             /* of theirs, allocated */
    int count;
} lora_options;

/* A file that has the whole text as its name is meant by it; else what is behind the last ':' is
 * the scale. False: a sentence in *error. To be freed in any case. */
bool lora_options_parse(const options *o, lora_options *out, rnl_error *error);
void lora_options_free(lora_options *l);

/* Notes what an adapter is read from (sources.h). */
void lora_options_note(const char *path);

/* What sessions choose: the set, or NULL when no adapter was named. */
const char *lora_options_set(const options *o);

#endif
