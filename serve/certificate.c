#include "serve/certificate.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "core/status.h"

/* A key with a password: nobody is there to type it. */
static int no_password(char *text, int cap, int writes, void *context) {
    (void)text;
    (void)cap;
    (void)writes;
    (void)context;
    return -1;
}

static FILE *open_named(const char *option, const char *path, rnl_error *error) {
    FILE *f = fopen(path, "re");
    if (f == NULL) (void)status_fail(error, RNL_ERR_DATA, "%s %s cannot be opened", option, path);
    return f;
}

/* Whether reading stopped because there is no further one, not because it is damaged. */
static bool is_at_end(void) {
    const unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

/* The first certificate; those behind it are whole. NULL: not so. */
static X509 *read_chain(const char *path, rnl_error *error) {
    FILE *f = open_named("--tls-cert", path, error);
    if (f == NULL) return NULL;
    X509 *first = PEM_read_X509(f, NULL, no_password, NULL);
    for (X509 *next = first; next != NULL;) {
        next = PEM_read_X509(f, NULL, no_password, NULL);
        X509_free(next);
    }
    (void)fclose(f);
    if (first != NULL && is_at_end()) return first;
    X509_free(first);
    (void)status_fail(error, RNL_ERR_DATA, "--tls-cert %s: certificate %s of it is none in PEM",
                      path, first == NULL ? "one" : "two or a later one");
    return NULL;
}

static EVP_PKEY *read_key(const char *path, rnl_error *error) {
    FILE *f = open_named("--tls-key", path, error);
    if (f == NULL) return NULL;
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, no_password, NULL);
    (void)fclose(f);
    if (key == NULL)
        (void)status_fail(error, RNL_ERR_DATA,
                          "--tls-key %s is no private key in PEM without a password", path);
    return key;
}

rnl_status certificate_check(const char *cert, const char *key, rnl_error *error) {
    rnl_status status = RNL_ERR_DATA;
    ERR_clear_error();
    X509 *first = read_chain(cert, error);
    EVP_PKEY *own = first != NULL ? read_key(key, error) : NULL;
    if (own != NULL && X509_check_private_key(first, own) == 1)
        status = RNL_OK;
    else if (own != NULL)
        (void)status_fail(error, RNL_ERR_DATA,
                          "--tls-key %s is not the key of the certificate in --tls-cert %s", key,
                          cert);
    EVP_PKEY_free(own);
    X509_free(first);
    ERR_clear_error();
    return status;
}
