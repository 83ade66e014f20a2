/* Who may ask: API keys, compared by their sums in constant time, and addresses that guess. */
#ifndef SERVE_API_KEYS_H
#define SERVE_API_KEYS_H

#include <stddef.h>

#include <runnel/runnel.h>

typedef struct api_keys api_keys;

enum { KEY_SIZE_MIN = 16, KEY_SIZE_MAX = 256, KEY_CAP = 1024, KEY_SUM_SIZE = 64 };

/* Reads a file with a key in each line, `KEY` or `NAME KEY`, # before comments; and takes one more,
 * which may be NULL. Both NULL: there are no keys, and everybody may ask. Refused with one
 * sentence: a file that cannot be read or that others may read, that holds no key, or a key that is
 * not 16 to 256 printable characters. RNL_ERR_DATA, RNL_ERR_MEMORY; *out is NULL then. */
RNL_MUST_USE rnl_status api_keys_load(const char *path, const char *one, api_keys **out,
                                      rnl_error *error);
void api_keys_free(api_keys **k); /* NULL is fine; sets NULL */
/* These come after those: a key that was there keeps its number, others get none that anybody had.
 */
void api_keys_follow(api_keys *k, const api_keys *before);
int api_keys_count(const api_keys *k);

typedef enum key_verdict {
    KEY_RIGHT,
    KEY_WRONG,
    KEY_LIMITED /* too many wrong ones came from this address; it was not looked at */
} key_verdict;

/* presented: NULL where none is. *owner: its number, from 1, which no other key gets as long as
 * each set follows the one before; 0 where there are no keys. An address
 * is limited after LIMIT_WRONG_KEYS in a minute, unless a right one came from it within the
 * hour. */
key_verdict api_keys_check(api_keys *k, const char *presented, const char *address, int64_t now_us,
                           int *owner);

/* Whether two sums are the same, in a time that depends on neither. */
bool api_keys_equal(const char a[KEY_SUM_SIZE], const char b[KEY_SUM_SIZE]);

#endif
