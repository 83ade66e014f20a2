/* JSON, read and written. The only file behind it that knows Jansson is json.c. Duplicate keys are
 * refused, nesting is bounded, numbers are checked against a range before use. */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include <runnel/runnel.h>

typedef struct json json; /* any value; the root owns all below it */

/* Parses one document; byte order marks before it are passed over. name is put into error
 * sentences. RNL_ERR_FORMAT names line and fault. */
RNL_MUST_USE rnl_status json_parse(const char *text, size_t size, const char *name, json **out,
                                   rnl_error *error);
/* Reads and parses a file of at most size_cap bytes. RNL_ERR_IO, RNL_ERR_FORMAT. */
RNL_MUST_USE rnl_status json_read(const char *path, size_t size_cap, json **out, rnl_error *error);
void json_destroy(json **root); /* roots only; NULL is fine; sets NULL */

/* Looking around. All take NULL and then give NULL, false or 0. */
const json *json_get(const json *object, const char *key);
const json *json_at(const json *array, size_t index);
size_t json_count(const json *array_or_object);
bool json_is_object(const json *v);
bool json_is_array(const json *v);
bool json_is_string(const json *v);
bool json_is_null(const json *v); /* true for a JSON null and for NULL */
/* The bytes of a string (may hold NUL; also terminated). NULL when v is no string. */
const char *json_chars(const json *v, size_t *size);
bool json_bool(const json *v, bool *out);
/* An integer within [min, max]; false for anything else. */
bool json_int(const json *v, int64_t min, int64_t max, int64_t *out);
/* Any finite number. */
bool json_number(const json *v, double *out);
/* Calls fn for every member in the order of the file; stops and returns false when fn does. */
typedef bool (*json_member_fn)(void *context, const char *key, size_t key_size, const json *value);
bool json_each(const json *object, json_member_fn fn, void *context);

/* Building (for --json output), from the leaves up. Each value is the caller's until it is given to
 * set or append, which take it over, whatever becomes of it, and are the last that may touch it.
 * An allocation that fails anywhere below a value makes json_text of it NULL. */
typedef struct json_draft json_draft; /* NULL stands for one that failed */

json_draft *json_new_object(void);
json_draft *json_new_array(void);
json_draft *json_new_string(const char *text, size_t size); /* invalid UTF-8 becomes U+FFFD */
json_draft *json_new_int(int64_t value);
json_draft *json_new_number(double value); /* NaN and infinities become null */
json_draft *json_new_bool(bool value);
json_draft *json_new_parsed(const char *text, size_t size); /* an object or array; else NULL */
void json_set(json_draft *object, const char *key, json_draft *child);
void json_append(json_draft *array, json_draft *child);
/* One line of text, allocated: free() it. Key order as set. Numbers have the 15 digits that a
 * double always keeps. */
char *json_text(const json_draft *root);
/* The same with as many digits as bring back the very same double. */
char *json_text_exact(const json_draft *root);
void json_drop(json_draft **root); /* NULL is fine; sets NULL */

#endif
