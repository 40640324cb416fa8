/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Certificates for tests, made when they run: an authority, and what it signs.
 * Files go to a directory of the test's own.
 */
#ifndef TESTS_UNIT_TLS_KIT_H
#define TESTS_UNIT_TLS_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIT_DAY 86400L

struct kit {
	char dir[64];
	EVP_PKEY *ca_key;
	X509 *ca;
	char ca_file[128];
	long serial;
};

static inline void
kit_extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

static inline X509 *
kit_make(struct kit *k, EVP_PKEY *key, const char *cn, long from, long to)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++k->serial);
	X509_gmtime_adj(X509_getm_notBefore(x), from);
	X509_gmtime_adj(X509_getm_notAfter(x), to);
	X509_set_pubkey(x, key);
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
			     (const unsigned char *)cn, -1, -1, 0),
	    1);
	X509_set_issuer_name(
	    x, k->ca != NULL ? X509_get_subject_name(k->ca) : name);
	return x;
}

static inline void
kit_write(const char *file, EVP_PKEY *key, X509 *x)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	if (key != NULL)
		assert_int_equal(
		    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(PEM_write_X509(f, x), 1);
	assert_int_equal(fclose(f), 0);
}

static inline void
kit_init(struct kit *k)
{
	*k = (struct kit){.dir = "/tmp/weir-tls-XXXXXX"};
	assert_non_null(mkdtemp(k->dir));
	k->ca_key = EVP_EC_gen("P-256");
	k->ca = kit_make(k, k->ca_key, "kit CA", -KIT_DAY, 100 * KIT_DAY);
	kit_extend(k->ca, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(k->ca, k->ca_key, EVP_sha256()) > 0);
	snprintf(k->ca_file, sizeof(k->ca_file), "%s/ca.pem", k->dir);
	kit_write(k->ca_file, NULL, k->ca);
}

/* A file with key and certificate, in out; names: "DNS:a.test,IP:127.0.0.1".
 * The fingerprint in hexadecimal goes to print if there is one. */
static inline const char *
kit_cert(struct kit *k, const char *cn, const char *names, long days,
    char out[128], char print[65])
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = kit_make(k, key, cn, -200 * KIT_DAY, days * KIT_DAY);
	unsigned char raw[32];
	unsigned n;

	if (names != NULL)
		kit_extend(x, NID_subject_alt_name, names);
	assert_true(X509_sign(x, k->ca_key, EVP_sha256()) > 0);
	snprintf(out, 128, "%s/%ld.pem", k->dir, k->serial);
	kit_write(out, key, x);
	assert_int_equal(X509_digest(x, EVP_sha256(), raw, &n), 1);
	for (unsigned i = 0; print != NULL && i < n; i++)
		snprintf(print + 2 * (size_t)i, 3, "%02x", raw[i]);
	X509_free(x);
	EVP_PKEY_free(key);
	return out;
}

static inline void
kit_clear(struct kit *k)
{
	char file[128];

	for (long i = 1; i <= k->serial; i++) {
		snprintf(file, sizeof(file), "%s/%ld.pem", k->dir, i);
		unlink(file);
	}
	unlink(k->ca_file);
	assert_int_equal(rmdir(k->dir), 0);
	X509_free(k->ca);
	EVP_PKEY_free(k->ca_key);
}

#endif
