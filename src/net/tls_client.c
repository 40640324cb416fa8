/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The side that connects: whom to trust, and sessions kept for reuse, the last
 * one for each address and name. What a peer showed is noted, so that an
 * administrator hears of a certificate that is about to expire.
 */
#include "net/tls_private.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEERS_MAX 32

/* An address that was connected to. */
struct peer {
	char *at, *name;
	SSL_SESSION *session;
	char cert_names[TLS_NAMES_MAX];
	int64_t expires_at; /* 0: it has shown none yet */
};

struct tls_client {
	unsigned refs;
	BIO_METHOD *bio;
	SSL_CTX *ctx;
	bool verify;
	unsigned char (*prints)[TLS_FINGERPRINT_BYTES];
	size_t print_count;
	struct peer peers[PEERS_MAX];
	size_t peer_count, peer_next; /* next to be replaced */
};

static bool
is_same(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static struct peer *
find_peer(struct tls_client *c, const struct tls *t)
{
	for (size_t i = 0; i < c->peer_count; i++) {
		if (is_same(c->peers[i].at, t->at) &&
		    is_same(c->peers[i].name, t->name))
			return &c->peers[i];
	}
	return NULL;
}

static void
clear_peer(struct peer *p)
{
	SSL_SESSION_free(p->session);
	free(p->at);
	free(p->name);
	*p = (struct peer){0};
}

static struct peer *
make_peer(struct tls_client *c, const struct tls *t)
{
	struct peer *p = find_peer(c, t);

	if (p != NULL)
		return p;
	p = &c->peers[c->peer_next];
	c->peer_next = (c->peer_next + 1) % PEERS_MAX;
	if (c->peer_count < PEERS_MAX)
		c->peer_count++;
	clear_peer(p);
	p->at = xstrdup(t->at);
	p->name = t->name != NULL ? xstrdup(t->name) : NULL;
	return p;
}

/* Keeps the session; 1: the reference is ours now. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls *t = SSL_get_app_data(ssl);
	struct peer *p = make_peer(t->client, t);

	SSL_SESSION_free(p->session);
	p->session = session;
	return 1;
}

static int
on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
	    store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);
	char words[TLS_ERROR_MAX];

	if (ok == 1)
		return 1;
	tls_cert_complain(X509_STORE_CTX_get_current_cert(store),
	    X509_STORE_CTX_get_error(store), t->name, words, sizeof(words));
	tls_set_error(t, "%s", words);
	return 0;
}

static bool
load_trust(struct tls_client *c, const struct tls_client_settings *settings,
    char *err, size_t cap)
{
	const char *file = settings->ca_file;
	char why[200];

	if (!settings->verify || settings->fingerprints.n > 0)
		return true;
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, on_verify);
	if (file == NULL ? SSL_CTX_set_default_verify_paths(c->ctx) == 1
			 : SSL_CTX_load_verify_file(c->ctx, file) == 1)
		return true;
	snprintf(err, cap, "%s: the CA cannot be read: %s",
	    file != NULL ? file : "the system's certificates",
	    tls_library_error(why, sizeof(why)));
	return false;
}

static bool
load_prints(
    struct tls_client *c, const struct tls_strings *list, char *err, size_t cap)
{
	c->prints = xcalloc(list->n + 1, sizeof(*c->prints));
	for (; c->print_count < list->n; c->print_count++) {
		if (tls_fingerprint_parse(str_from(list->v[c->print_count]),
			c->prints[c->print_count]))
			continue;
		snprintf(err, cap, "\"%.80s\" is not a SHA-256 fingerprint",
		    list->v[c->print_count]);
		return false;
	}
	return true;
}

struct tls_client *
tls_client_new(
    const struct tls_client_settings *settings, char *err, size_t cap)
{
	struct tls_client *c = xcalloc(1, sizeof(*c));

	c->refs = 1;
	c->bio = tls_bio_new();
	c->verify = settings->verify;
	c->ctx = SSL_CTX_new(TLS_client_method());
	if (c->ctx == NULL)
		panic("tls: out of memory");
	SSL_CTX_set_session_cache_mode(
	    c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_new_session);
	if (tls_ctx_init(c->ctx, err, cap) &&
	    load_trust(c, settings, err, cap) &&
	    load_prints(c, &settings->fingerprints, err, cap))
		return c;
	tls_client_unref(c);
	return NULL;
}

struct tls_client *
tls_client_ref(struct tls_client *c)
{
	if (c != NULL)
		c->refs++;
	return c;
}

void
tls_client_unref(struct tls_client *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	for (size_t i = 0; i < c->peer_count; i++)
		clear_peer(&c->peers[i]);
	SSL_CTX_free(c->ctx);
	BIO_meth_free(c->bio);
	free(c->prints);
	free(c);
}

bool
tls_client_cert(const struct tls_client *c, size_t i, struct tls_cert *out)
{
	for (size_t at = 0; at < c->peer_count; at++) {
		const struct peer *p = &c->peers[at];

		if (p->expires_at == 0 || i-- > 0)
			continue;
		*out = (struct tls_cert){.file = p->at,
		    .names = p->cert_names,
		    .expires_at = p->expires_at};
		return true;
	}
	return false;
}

static bool
is_address(const char *name)
{
	unsigned char raw[16];

	return inet_pton(AF_INET, name, raw) == 1 ||
	       inet_pton(AF_INET6, name, raw) == 1;
}

static void
expect_name(struct tls *t)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
	int ok;

	if (t->name == NULL) {
		/* Nobody is trusted rather than anybody. */
		ok = X509_VERIFY_PARAM_set1_host(param, "invalid.", 0);
	} else if (is_address(t->name)) {
		ok = X509_VERIFY_PARAM_set1_ip_asc(param, t->name);
	} else {
		X509_VERIFY_PARAM_set_hostflags(
		    param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		ok = X509_VERIFY_PARAM_set1_host(param, t->name, 0);
	}
	if (ok != 1)
		panic("tls: out of memory");
}

/* A kept session ends with the certificate that it was made with. */
static bool
is_fresh(SSL_SESSION *session)
{
	X509 *cert = SSL_SESSION_get0_peer(session);

	return SSL_SESSION_is_resumable(session) == 1 && cert != NULL &&
	       X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

struct tls *
tls_connect(struct tls_client *c, const char *name, const char *at)
{
	struct tls *t = tls_new(c->ctx, c->bio);
	struct peer *p;

	t->client = tls_client_ref(c);
	t->name = name != NULL ? xstrdup(name) : NULL;
	t->at = xstrdup(at);
	SSL_set_connect_state(t->ssl);
	if (name != NULL && !is_address(name) &&
	    SSL_set_tlsext_host_name(t->ssl, name) != 1)
		panic("tls: out of memory");
	if (c->verify && c->print_count == 0)
		expect_name(t);
	p = find_peer(c, t);
	if (p != NULL && p->session != NULL && is_fresh(p->session))
		(void)SSL_set_session(t->ssl, p->session);
	return t;
}

static bool
is_pinned(const struct tls_client *c, X509 *cert)
{
	unsigned char print[TLS_FINGERPRINT_BYTES];

	if (cert == NULL || !tls_cert_fingerprint(cert, print))
		return false;
	for (size_t i = 0; i < c->print_count; i++) {
		if (memcmp(c->prints[i], print, sizeof(print)) == 0)
			return true;
	}
	return false;
}

bool
tls_client_shaken(struct tls *t)
{
	struct tls_client *c = t->client;
	X509 *cert = SSL_get0_peer_certificate(t->ssl);
	struct peer *p;
	char names[TLS_NAMES_MAX] = "";

	if (cert != NULL) {
		p = make_peer(c, t);
		p->expires_at = tls_cert_expiry(cert);
		tls_cert_names(cert, p->cert_names, sizeof(p->cert_names));
		str_copy(str_from(p->cert_names), names, sizeof(names));
	}
	t->verified = c->verify;
	if (!c->verify || c->print_count == 0 || is_pinned(c, cert))
		return true;
	t->verified = false;
	tls_set_error(t,
	    "certificate of %s (%s) has none of the expected fingerprints",
	    t->name != NULL ? t->name : t->at, names);
	return false;
}
