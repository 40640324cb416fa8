/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Certificates in words: whom they are for, until when, and why one is not
 * trusted. What stands in a peer's certificate is hostile: it is escaped by
 * whoever logs it, and names with control characters are left out here.
 */
#include "net/tls_private.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CN_MAX 256

static bool
is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == 0x7F)
			return false;
	}
	return s.n > 0 && str_is_utf8(s);
}

const char *
tls_cert_cn(X509 *cert, char *out, size_t cap)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *utf8 = NULL;
	int n = -1;

	out[0] = '\0';
	if (at >= 0)
		n = ASN1_STRING_to_UTF8(&utf8,
		    X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (n > 0) {
		struct str cn = {(const char *)utf8, (size_t)n};

		if (cn.n < cap && is_plain(cn))
			str_copy(cn, out, cap);
	}
	OPENSSL_free(utf8);
	return out;
}

static size_t
add_name(struct str name, size_t used, char *out, size_t cap)
{
	size_t sep = used > 0 ? 2 : 0;

	if (!is_plain(name) || used + sep + name.n >= cap)
		return used;
	memcpy(out + used, ", ", sep);
	return used + sep + str_copy(name, out + used + sep, cap - used - sep);
}

static struct str
alt_name(const GENERAL_NAME *g)
{
	const ASN1_STRING *s = g->type == GEN_DNS ? g->d.dNSName : NULL;

	if (s == NULL)
		return (struct str){NULL, 0};
	return (struct str){(const char *)ASN1_STRING_get0_data(s),
	    (size_t)ASN1_STRING_length(s)};
}

const char *
tls_cert_names(X509 *cert, char *out, size_t cap)
{
	GENERAL_NAMES *all =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	size_t used = 0;
	char cn[CN_MAX];

	out[0] = '\0';
	for (int i = 0; all != NULL && i < sk_GENERAL_NAME_num(all); i++)
		used = add_name(
		    alt_name(sk_GENERAL_NAME_value(all, i)), used, out, cap);
	GENERAL_NAMES_free(all);
	if (used == 0)
		add_name(
		    str_from(tls_cert_cn(cert, cn, sizeof(cn))), 0, out, cap);
	return out;
}

int64_t
tls_cert_expiry(X509 *cert)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm) * 1000;
}

bool
tls_cert_fingerprint(X509 *cert, unsigned char out[TLS_FINGERPRINT_BYTES])
{
	unsigned n = 0;

	return X509_digest(cert, EVP_sha256(), out, &n) == 1 &&
	       n == TLS_FINGERPRINT_BYTES;
}

bool
tls_fingerprint_parse(struct str s, unsigned char out[TLS_FINGERPRINT_BYTES])
{
	size_t digits = 0;

	memset(out, 0, TLS_FINGERPRINT_BYTES);
	for (size_t i = 0; i < s.n; i++) {
		int v = str_hex_digit(s.p[i]);

		if (s.p[i] == ':' && digits > 0 && digits % 2 == 0)
			continue;
		if (v < 0 || digits == (size_t)TLS_FINGERPRINT_BYTES * 2)
			return false;
		out[digits / 2] =
		    (unsigned char)((unsigned)out[digits / 2] << 4 |
				    (unsigned)v);
		digits++;
	}
	return digits == (size_t)TLS_FINGERPRINT_BYTES * 2;
}

static const char *
format_day(const ASN1_TIME *t, char *out, size_t cap)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1 ||
	    strftime(out, cap, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		str_copy(STR("an unknown date"), out, cap);
	return out;
}

void
tls_cert_complain(
    X509 *cert, int code, const char *expected, char *out, size_t cap)
{
	char names[TLS_NAMES_MAX] = "", day[32];

	if (cert != NULL)
		tls_cert_names(cert, names, sizeof(names));
	switch (cert == NULL ? X509_V_OK : code) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		snprintf(out, cap,
		    "certificate is for %s, not for the expected %s",
		    names[0] != '\0' ? names : "nobody", expected);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		snprintf(out, cap, "certificate of %s (%s) expired on %s",
		    expected, names,
		    format_day(X509_get0_notAfter(cert), day, sizeof(day)));
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		snprintf(out, cap,
		    "certificate of %s (%s) is not valid before %s", expected,
		    names,
		    format_day(X509_get0_notBefore(cert), day, sizeof(day)));
		break;
	default:
		snprintf(out, cap, "certificate of %s (%s) is not trusted: %s",
		    expected, names, X509_verify_cert_error_string(code));
	}
}
