#include "core/digest.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct digest {
    EVP_MD_CTX *sum;
    bool failed;
};

digest *digest_open(digest_kind kind, int64_t size) {
    digest *d = calloc(1, sizeof *d);
    if (d != NULL) d->sum = EVP_MD_CTX_new();
    if (d == NULL || d->sum == NULL) {
        digest_drop(&d);
        return NULL;
    }
    d->failed =
        EVP_DigestInit_ex(d->sum, kind == DIGEST_SHA256 ? EVP_sha256() : EVP_sha1(), NULL) != 1;
    if (kind == DIGEST_GIT_BLOB) {
        char head[32];
        const int head_size = snprintf(head, sizeof head, "blob %" PRId64, size);
        digest_add(d, head, (size_t)head_size + 1); /* with its NUL */
    }
    return d;
}

void digest_add(digest *d, const void *bytes, size_t size) {
    d->failed = d->failed || EVP_DigestUpdate(d->sum, bytes, size) != 1;
}

bool digest_end(digest **out, char hex[DIGEST_HEX_CAP]) {
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    digest *d = *out;
    const bool good = !d->failed && EVP_DigestFinal_ex(d->sum, sum, &size) == 1;
    hex[0] = '\0';
    for (unsigned i = 0; good && i < size && 2 * i + 2 < DIGEST_HEX_CAP; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned)sum[i]);
    digest_drop(out);
    return good;
}

void digest_drop(digest **out) {
    if (*out == NULL) return;
    EVP_MD_CTX_free((*out)->sum);
    free(*out);
    *out = NULL;
}
