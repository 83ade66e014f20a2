/* The files of TLS, looked at before they are used: what libwebsockets makes of them it does not
 * tell. */
#ifndef SERVE_CERTIFICATE_H
#define SERVE_CERTIFICATE_H

#include <runnel/runnel.h>

/* cert: a certificate with its chain in PEM; key: its private key in PEM, without a password.
 * RNL_ERR_DATA: one cannot be read, is damaged, or they do not belong together. */
RNL_MUST_USE rnl_status certificate_check(const char *cert, const char *key, rnl_error *error);

#endif
