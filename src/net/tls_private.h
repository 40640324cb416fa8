/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the TLS files share: tls.c (a session), tls_server.c and tls_client.c
 * (contexts), tls_cert.c (certificates in words). Nobody else includes it.
 */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include "net/tls.h"

#include <openssl/ssl.h>

struct tls {
	SSL *ssl;
	struct tls_server *server; /* one of the two, */
	struct tls_client *client; /* a reference */
	char *name;                /* whom a client expects */
	char *at;                  /* where it went */
	char *user;                /* whom a client's certificate names */
	char *error;
	int fd;
	bool eof, more, shaken, shut, verified;
};

/* tls.c */
struct tls *tls_new(SSL_CTX *ctx, BIO_METHOD *bio);
BIO_METHOD *tls_bio_new(void);
/* The settings that both sides share; false and why in err. */
MUST_CHECK bool tls_ctx_init(SSL_CTX *ctx, char *err, size_t cap);
PRINTF_LIKE(2, 3) void tls_set_error(struct tls *t, const char *fmt, ...);
/* OpenSSL's last error in words; empties its queue. */
const char *tls_library_error(char *out, size_t cap);

/* tls_server.c, tls_client.c: the handshake is done. False: and yet the peer
 * is not who it must be; the error is set. */
MUST_CHECK bool tls_server_shaken(struct tls *t);
MUST_CHECK bool tls_client_shaken(struct tls *t);

/* tls_cert.c */
/* The names that a certificate is for, those past cap left out. */
const char *tls_cert_names(X509 *cert, char *out, size_t cap);
/* "" when it has none or one with strange bytes. */
const char *tls_cert_cn(X509 *cert, char *out, size_t cap);
int64_t tls_cert_expiry(X509 *cert); /* wall ms */
MUST_CHECK bool tls_cert_fingerprint(
    X509 *cert, unsigned char out[TLS_FINGERPRINT_BYTES]);
/* Why OpenSSL does not trust it; code is an X509_V_ERR_. */
void tls_cert_complain(
    X509 *cert, int code, const char *expected, char *out, size_t cap);

#endif
