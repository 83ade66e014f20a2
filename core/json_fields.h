/* The fields of one JSON object, read with a sticky error: the first fault makes the sentence,
 * later calls give some value and change it no more. */
#ifndef CORE_JSON_FIELDS_H
#define CORE_JSON_FIELDS_H

#include "core/json.h"

typedef struct json_fields {
    const json *object;
    const char *path;    /* file, for the sentence */
    const char *section; /* "lfm.", for the sentence */
    rnl_status status;   /* RNL_OK until the first failure */
    rnl_error *error;
} json_fields;

/* Names of a field, the first that is there counts: later ones are older or newer spellings. */
#define JSON_KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* "FILE: SECTIONkey should be EXPECTED; the file is damaged" */
void json_fields_fail(json_fields *f, const char *key, const char *expected);
/* The field by one of its names; NULL where there is none, or null. */
const json *json_fields_find(const json_fields *f, const char *const *keys);
/* A whole number in [min, max]; a fallback below min: it has to be there. */
int json_fields_int(json_fields *f, const char *const *keys, int64_t min, int64_t max,
                    int fallback);
double json_fields_number(json_fields *f, const char *const *keys, double min, double max,
                          double fallback);
bool json_fields_bool(json_fields *f, const char *const *keys, bool fallback);

/* A whole number, which some programs write as 6.0. */
bool json_whole(const json *v, int64_t min, int64_t max, int64_t *out);
bool json_is_text(const json *v, const char *text); /* that string and no other */

#endif
