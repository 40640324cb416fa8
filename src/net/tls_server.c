/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The listener's side: one OpenSSL context for each certificate, chosen by the
 * server name that the client asks for, and then given those for the same name
 * whose keys are of another kind. Session tickets, no cache. Unless one is
 * required, a client's certificate never ends a handshake: without a name that
 * we know it is as if it had shown none.
 */
#include "net/tls_private.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER_MAX 256
#define DEPTH_MAX 8

struct server_cert {
	SSL_CTX *ctx;
	char *file;
	char names[TLS_NAMES_MAX];
	int64_t expires_at;
};

struct account {
	char *user;
	unsigned char fingerprint[TLS_FINGERPRINT_BYTES];
};

struct tls_server {
	unsigned refs;
	BIO_METHOD *bio;
	struct server_cert *certs;
	size_t count;
	struct account *accounts;
	size_t account_count;
	bool has_ca, client_required;
};

static bool
fail(char *err, size_t cap, const char *file, const char *what)
{
	char why[200];

	tls_library_error(why, sizeof(why));
	snprintf(err, cap, "%s: %s: %s", file, what, why);
	return false;
}

static bool
is_for(const struct server_cert *c, struct str name)
{
	X509 *cert = SSL_CTX_get0_certificate(c->ctx);

	return X509_check_host(cert, name.p, name.n, 0, NULL) == 1;
}

/* OpenSSL keeps one certificate for each kind of key, and takes by what the
 * client can verify; a second of a kind is turned away here. */
static void
add_kinds(SSL *ssl, const struct tls_server *s, size_t from, struct str name)
{
	STACK_OF(X509) * chain;

	for (size_t i = from; i < s->count; i++) {
		SSL_CTX *ctx = s->certs[i].ctx;

		if (!is_for(&s->certs[i], name))
			continue;
		chain = NULL;
		SSL_CTX_get0_chain_certs(ctx, &chain);
		(void)SSL_use_cert_and_key(ssl, SSL_CTX_get0_certificate(ctx),
		    SSL_CTX_get0_privatekey(ctx), chain, 0);
		ERR_clear_error();
	}
}

/* The first certificate that is for the name the client asks for. */
static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	const struct tls_server *s = arg;
	const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct str name = str_from(asked), first;

	(void)alert;
	for (size_t i = 0; name.n > 0 && i < s->count; i++) {
		if (!is_for(&s->certs[i], name))
			continue;
		SSL_set_SSL_CTX(ssl, s->certs[i].ctx);
		add_kinds(ssl, s, i + 1, name);
		return SSL_TLSEXT_ERR_OK;
	}
	name = str_from(s->certs[0].names);
	first = str_cut(&name, ',');
	if (first.n > 0)
		add_kinds(ssl, s, 1, first);
	return SSL_TLSEXT_ERR_NOACK;
}

static const struct account *
find_account(const struct tls_server *s, X509 *cert)
{
	unsigned char print[TLS_FINGERPRINT_BYTES];

	if (!tls_cert_fingerprint(cert, print))
		return NULL;
	for (size_t i = 0; i < s->account_count; i++) {
		if (memcmp(s->accounts[i].fingerprint, print, sizeof(print)) ==
		    0)
			return &s->accounts[i];
	}
	return NULL;
}

/* The handshake goes on; SSL_get_verify_result remembers. Where a certificate
 * is required, the word on it is said at its own depth: an account's needs no
 * authority. */
static int
on_client_cert(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
	    store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct tls_server *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (!s->client_required || X509_STORE_CTX_get_error_depth(store) > 0)
		return 1;
	if (find_account(s, X509_STORE_CTX_get0_cert(store)) != NULL)
		return 1;
	return s->has_ca && ok && X509_STORE_CTX_get_error(store) == X509_V_OK;
}

static bool
load_client_ca(
    struct tls_server *s, SSL_CTX *ctx, const char *file, char *err, size_t cap)
{
	STACK_OF(X509_NAME) * names;

	if (file == NULL)
		return true;
	names = SSL_load_client_CA_file(file);
	if (names == NULL)
		return fail(err, cap, file, "the CA cannot be read");
	SSL_CTX_set_client_CA_list(ctx, names);
	if (SSL_CTX_load_verify_file(ctx, file) != 1)
		return fail(err, cap, file, "the CA cannot be read");
	s->has_ca = true;
	return true;
}

static bool
load_pair(struct server_cert *c, const char *cert, const char *key, char *err,
    size_t cap)
{
	X509 *x;

	if (SSL_CTX_use_certificate_chain_file(c->ctx, cert) != 1)
		return fail(err, cap, cert, "the certificate cannot be read");
	if (SSL_CTX_use_PrivateKey_file(c->ctx, key, SSL_FILETYPE_PEM) != 1)
		return fail(err, cap, key, "the key cannot be used");
	if (SSL_CTX_check_private_key(c->ctx) != 1)
		return fail(err, cap, key,
		    "the key does not match the "
		    "certificate");
	x = SSL_CTX_get0_certificate(c->ctx);
	c->file = xstrdup(cert);
	c->expires_at = tls_cert_expiry(x);
	tls_cert_names(x, c->names, sizeof(c->names));
	return true;
}

/* OpenSSL 3 has the signatures of TLS 1.0 and 1.1 (SHA-1) at security level 0
 * alone. The list of ciphers stays. */
static bool
set_min_version(SSL_CTX *ctx, int version, char *err, size_t cap)
{
	static const int numbers[] = {
	    TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
	char why[200];

	if (version == 0)
		return true;
	if (version < 12)
		SSL_CTX_set_security_level(ctx, 0);
	if (SSL_CTX_set_min_proto_version(ctx, numbers[version - 10]) == 1)
		return true;
	snprintf(err, cap, "OpenSSL: %s", tls_library_error(why, sizeof(why)));
	return false;
}

static bool
load_cert(struct tls_server *s, const struct tls_server_settings *settings,
    size_t i, char *err, size_t cap)
{
	static const unsigned char id[] = "weir";
	const char *cert = settings->certs.v[i];
	const char *key = settings->keys.n > 0 ? settings->keys.v[i] : cert;
	struct server_cert *c = &s->certs[s->count++];

	c->ctx = SSL_CTX_new(TLS_server_method());
	if (c->ctx == NULL)
		panic("tls: out of memory");
	if (!tls_ctx_init(c->ctx, err, cap) ||
	    !set_min_version(c->ctx, settings->min_version, err, cap) ||
	    !load_pair(c, cert, key, err, cap))
		return false;
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(c->ctx, id, sizeof(id) - 1);
	SSL_CTX_set_num_tickets(c->ctx, 1);
	SSL_CTX_set_tlsext_servername_callback(c->ctx, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(c->ctx, s);
	if (settings->client_ca != NULL || settings->client_accounts.n > 0) {
		SSL_CTX_set_verify(c->ctx,
		    SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE |
			(settings->client_required
				? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
				: 0),
		    on_client_cert);
		SSL_CTX_set_verify_depth(c->ctx, DEPTH_MAX);
		SSL_CTX_set_app_data(c->ctx, s);
	}
	return load_client_ca(s, c->ctx, settings->client_ca, err, cap);
}

static bool
load_accounts(
    struct tls_server *s, const struct tls_strings *list, char *err, size_t cap)
{
	s->accounts = xcalloc(list->n + 1, sizeof(*s->accounts));
	for (size_t i = 0; i < list->n; i++) {
		struct str text = str_from(list->v[i]);
		size_t at = str_rindex(text, '=');
		struct account *a = &s->accounts[s->account_count];

		if (at == 0 || at >= USER_MAX || at == text.n ||
		    !tls_fingerprint_parse(
			str_sub(text, at + 1, text.n), a->fingerprint)) {
			snprintf(err, cap,
			    "\"%.80s\" is not user=fingerprint (SHA-256)",
			    list->v[i]);
			return false;
		}
		a->user = str_dup(str_sub(text, 0, at));
		s->account_count++;
	}
	return true;
}

struct tls_server *
tls_server_new(
    const struct tls_server_settings *settings, char *err, size_t cap)
{
	struct tls_server *s = xcalloc(1, sizeof(*s));
	bool ok;

	s->refs = 1;
	s->client_required = settings->client_required;
	s->bio = tls_bio_new();
	s->certs = xcalloc(settings->certs.n + 1, sizeof(*s->certs));
	ok = settings->certs.n > 0;
	if (!ok)
		snprintf(err, cap, "there is no certificate");
	if (ok && settings->keys.n > 0 &&
	    settings->keys.n != settings->certs.n) {
		ok = false;
		snprintf(err, cap,
		    "%zu certificates need as many keys, not %zu",
		    settings->certs.n, settings->keys.n);
	}
	for (size_t i = 0; ok && i < settings->certs.n; i++)
		ok = load_cert(s, settings, i, err, cap);
	if (ok && load_accounts(s, &settings->client_accounts, err, cap))
		return s;
	tls_server_unref(s);
	return NULL;
}

struct tls_server *
tls_server_ref(struct tls_server *s)
{
	if (s != NULL)
		s->refs++;
	return s;
}

void
tls_server_unref(struct tls_server *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	for (size_t i = 0; i < s->count; i++) {
		SSL_CTX_free(s->certs[i].ctx);
		free(s->certs[i].file);
	}
	for (size_t i = 0; i < s->account_count; i++)
		free(s->accounts[i].user);
	free(s->certs);
	free(s->accounts);
	BIO_meth_free(s->bio);
	free(s);
}

bool
tls_server_cert(const struct tls_server *s, size_t i, struct tls_cert *out)
{
	if (i >= s->count)
		return false;
	*out = (struct tls_cert){.file = s->certs[i].file,
	    .names = s->certs[i].names,
	    .expires_at = s->certs[i].expires_at};
	return true;
}

struct tls *
tls_accept(struct tls_server *s)
{
	struct tls *t = tls_new(s->certs[0].ctx, s->bio);

	t->server = tls_server_ref(s);
	SSL_set_accept_state(t->ssl);
	return t;
}

/* A ticket from before the certificate's end outlives it otherwise. */
static bool
is_in_time(X509 *cert)
{
	return X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

bool
tls_server_shaken(struct tls *t)
{
	const struct tls_server *s = t->server;
	X509 *cert = SSL_get0_peer_certificate(t->ssl);
	const struct account *a;
	char cn[USER_MAX];

	if (cert == NULL)
		return !s->client_required;
	a = find_account(s, cert);
	if (a != NULL)
		t->user = xstrdup(a->user);
	else if (s->has_ca && is_in_time(cert) &&
		 SSL_get_verify_result(t->ssl) == X509_V_OK &&
		 tls_cert_cn(cert, cn, sizeof(cn))[0] != '\0')
		t->user = xstrdup(cn);
	if (t->user != NULL || !s->client_required)
		return true;
	tls_set_error(t, "the client's certificate names no user");
	return false;
}
