/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TLS (OpenSSL; 1.2 at least, no renegotiation): contexts of a listener and of
 * the way to a next hop, and one session on a descriptor. Knows no loop: the
 * connection that has a session drives it (conn_start_tls).
 *
 * Contexts are counted references: sessions hold theirs, so a reload frees the
 * old ones only when the last session has ended. One thread.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/str.h"

#include <sys/types.h>

struct tls_server;
struct tls_client;
struct tls;

#define TLS_FINGERPRINT_BYTES 32 /* SHA-256 of the certificate */
#define TLS_ERROR_MAX 400        /* words for the log */
#define TLS_NAMES_MAX 160

struct tls_strings {
	const char *const *v;
	size_t n;
};

struct tls_server_settings {
	/* PEM files, each a certificate and its chain. A client that names a
	 * server gets the first that is for it, else the first of all; of those
	 * with another kind of key (RSA beside ECDSA) for the same name, the
	 * one that it can use. */
	struct tls_strings certs;
	struct tls_strings keys; /* in their order; none: within certs */
	/* Clients are asked for a certificate when one of these is there. Who
	 * shows none, or one that nobody vouches for, has no name. */
	const char *client_ca;              /* file; the user is the CN */
	struct tls_strings client_accounts; /* "user=fingerprint" */
	/* Without one that these vouch for there is no session. */
	bool client_required;
	int min_version; /* 10 for TLS 1.0, 11, 12, 13; 0: 1.2 */
};

struct tls_client_settings {
	bool verify;
	const char *ca_file; /* NULL: what the system trusts */
	/* When there are some, one of them must be the peer's, and neither
	 * name nor CA nor date count. */
	struct tls_strings fingerprints;
};

/* A certificate of ours, or one that a next hop showed. */
struct tls_cert {
	const char *file;   /* or the next hop's address */
	const char *names;  /* "mail.example.org, example.org" */
	int64_t expires_at; /* wall ms */
};

struct tls_info {
	const char *version; /* "TLSv1.3", static */
	const char *cipher;  /* IANA's name, static */
	const char *user;    /* of a client's certificate; NULL: none */
	const char *sni;     /* the server name that was asked for; NULL */
	bool resumed;
	bool verified; /* our side was told to verify, and did */
};

/* 64 hexadecimal digits, with colons or without. */
MUST_CHECK bool tls_fingerprint_parse(
    struct str text, unsigned char out[TLS_FINGERPRINT_BYTES]);

/* NULL and, in err, which file and why. One reference is the caller's. */
struct tls_server *tls_server_new(
    const struct tls_server_settings *settings, char *err, size_t cap);
struct tls_server *tls_server_ref(struct tls_server *s); /* NULL is fine */
void tls_server_unref(struct tls_server *s);
/* False past the last. Borrowed. */
bool tls_server_cert(
    const struct tls_server *s, size_t i, struct tls_cert *out);

struct tls_client *tls_client_new(
    const struct tls_client_settings *settings, char *err, size_t cap);
struct tls_client *tls_client_ref(struct tls_client *c);
void tls_client_unref(struct tls_client *c);
/* What the peers showed last; false past the last. */
bool tls_client_cert(
    const struct tls_client *c, size_t i, struct tls_cert *out);

/* ---- a session ---- */

struct tls *tls_accept(struct tls_server *s);
/* name: whom to expect (host name or address; NULL: anybody, not with
 * verify). at: the peer's address in words, for session reuse. */
struct tls *tls_connect(struct tls_client *c, const char *name, const char *at);
void tls_free(struct tls *t);
void tls_set_fd(struct tls *t, int fd);

enum tls_step { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_FAILED };

enum tls_step tls_handshake(struct tls *t);
/* As recv and send, with EAGAIN; errors of TLS are EPROTO. */
ssize_t tls_read(struct tls *t, void *p, size_t n);
ssize_t tls_write(struct tls *t, const void *p, size_t n);
/* More can be read although the descriptor may stay silent. */
bool tls_has_more(const struct tls *t);
/* Text of the peer came already; asks the descriptor too. */
bool tls_peek(struct tls *t);
void tls_shutdown(struct tls *t); /* says goodbye once */
/* What went wrong: which name and why. "" nothing. */
const char *tls_error(const struct tls *t);
/* After the handshake; borrowed. */
struct tls_info tls_info(const struct tls *t);

#endif
