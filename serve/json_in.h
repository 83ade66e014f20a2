/* JSON that clients send, read with suspicion: bounds before the parser, and members that are what
 * they should be, or a refusal that names them. */
#ifndef SERVE_JSON_IN_H
#define SERVE_JSON_IN_H

#include "core/json.h"
#include "serve/api_error.h"
#include "serve/json_out.h"

/* Parses an object. INVALID_JSON: damaged, nested deeper than LIMIT_JSON_DEPTH, an object with more
 * than LIMIT_JSON_KEYS keys or with one twice, no object; INVALID_VALUE: a text with the character
 * U+0000. json_destroy() it. */
bool json_in_parse(const char *text, size_t size, json **out, api_error *error);

/* Members that may be absent or null, which leaves *value as it was. param: what a refusal calls
 * them, NULL: key. False: INVALID_VALUE. */
bool json_in_bool(const json *object, const char *key, const char *param, bool *value,
                  api_error *error);
bool json_in_int(const json *object, const char *key, const char *param, int64_t min, int64_t max,
                 int64_t *value, api_error *error);
bool json_in_number(const json *object, const char *key, const char *param, double min, double max,
                    double *value, api_error *error);
/* At most size_max bytes; *text stays NULL when it is absent, and lives as long as the object. */
bool json_in_text(const json *object, const char *key, const char *param, size_t size_max,
                  const char **text, size_t *size, api_error *error);
/* Writes a value of a request as it came; NULL is null. */
void json_in_copy(const json *v, json_out *o, const char *key);
/* Whether v is this text. */
bool json_in_is(const json *v, const char *word);

#endif
