/* What the bytes of a file must add up to: SHA-256, and the SHA-1 that git gives a file ("blob",
 * its size, a NUL, its bytes). The only file behind it that knows libcrypto is digest.c. */
#ifndef CORE_DIGEST_H
#define CORE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_HEX_CAP = 65, DIGEST_SHA256_HEX = 64, DIGEST_GIT_HEX = 40 };

typedef enum digest_kind { DIGEST_SHA256, DIGEST_GIT_BLOB } digest_kind;

typedef struct digest digest;

/* size: bytes that will come, which git's sum begins with; SHA-256 does not look at it. NULL: no
 * memory. */
digest *digest_open(digest_kind kind, int64_t size);
void digest_add(digest *d, const void *bytes, size_t size);
/* The sum of what was added in lower-case hex; frees. False: the library failed, hex is empty. */
bool digest_end(digest **d, char hex[DIGEST_HEX_CAP]);
void digest_drop(digest **d); /* NULL is fine; sets NULL */

#endif
