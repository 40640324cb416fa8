/* SPDX-License-Identifier: BSD-3-Clause */
/* See envid.h. */
#include "gate/envid.h"

#include "base/bytes.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST 32
#define TAG 16
#define NUMBER 16 /* digits */

static const struct str prefix = STR("weir-");

struct envid_key {
	EVP_MAC_CTX *mac;
};

/* To look HMAC up and to hash the key costs more than to hash a name. */
struct envid_key *
envid_key_new(const unsigned char secret[ENVID_KEY])
{
	struct envid_key *k = xcalloc(1, sizeof(*k));
	char name[] = "SHA256";
	const OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
	    OSSL_PARAM_construct_end(),
	};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	k->mac = EVP_MAC_CTX_new(hmac);
	EVP_MAC_free(hmac);
	if (k->mac == NULL || !EVP_MAC_init(k->mac, secret, ENVID_KEY, params))
		panic("HMAC-SHA256 failed");
	return k;
}

void
envid_key_free(struct envid_key *k)
{
	if (k == NULL)
		return;
	EVP_MAC_CTX_free(k->mac);
	free(k);
}

/* kind: two kinds of things never share a digest. */
static void
digest(struct envid_key *k, unsigned char kind, struct str text,
    unsigned char out[DIGEST])
{
	unsigned char m[1 + 1024];
	size_t n = 0;

	if (text.n > sizeof(m) - 1)
		text.n = sizeof(m) - 1;
	m[0] = kind;
	if (text.n > 0)
		memcpy(m + 1, text.p, text.n);
	if (!EVP_MAC_init(k->mac, NULL, 0, NULL) ||
	    !EVP_MAC_update(k->mac, m, 1 + text.n) ||
	    !EVP_MAC_final(k->mac, out, &n, DIGEST) || n != DIGEST)
		panic("HMAC-SHA256 failed");
}

uint64_t
envid_sender(struct envid_key *k, struct str name)
{
	unsigned char d[DIGEST];
	const unsigned char *p = d;
	uint64_t h;

	digest(k, 's', name, d);
	h = bytes_get(&p, 8);
	return h != 0 ? h : 1;
}

static char *
put_hex(char *out, const unsigned char *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 0xF];
	}
	return out;
}

static char *
put_number(char *out, uint64_t v)
{
	unsigned char bytes[NUMBER / 2];

	for (size_t i = sizeof(bytes); i-- > 0; v >>= 8)
		bytes[i] = (unsigned char)v;
	return put_hex(out, bytes, sizeof(bytes));
}

const char *
envid_format(
    struct envid_key *k, const struct envid *id, char out[ENVID_TEXT_MAX])
{
	unsigned char d[DIGEST];
	char *p = out + prefix.n;

	memcpy(out, prefix.p, prefix.n);
	p = put_number(p, id->sender);
	*p++ = '-';
	p = put_number(p, id->message);
	digest(k, 'e', (struct str){out, (size_t)(p - out)}, d);
	*p++ = '-';
	*put_hex(p, d, TAG) = '\0';
	return out;
}

bool
envid_is_ours(struct str text)
{
	return str_istarts(text, prefix);
}

/* False: it is none. */
static bool
read_number(struct str text, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < NUMBER; i++) {
		int digit = i < text.n ? str_hex_digit(text.p[i]) : -1;

		if (digit < 0)
			return false;
		*out = *out << 4 | (uint64_t)digit;
	}
	return true;
}

/* Mail servers may change the case of it. */
bool
envid_parse(struct envid_key *k, struct str text, struct envid *out)
{
	char ours[ENVID_TEXT_MAX], theirs[ENVID_TEXT_MAX];

	if (text.n != ENVID_TEXT_MAX - 1 || !envid_is_ours(text) ||
	    !read_number(str_sub(text, prefix.n, NUMBER), &out->sender) ||
	    !read_number(
		str_sub(text, prefix.n + NUMBER + 1, NUMBER), &out->message))
		return false;
	envid_format(k, out, ours);
	for (size_t i = 0; i < sizeof(theirs) - 1; i++) {
		char c = text.p[i];

		theirs[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	return CRYPTO_memcmp(ours, theirs, sizeof(theirs) - 1) == 0;
}
