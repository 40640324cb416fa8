/* SPDX-License-Identifier: BSD-3-Clause */
/* See envid.h. */
#include "gate/envid.h"

#include "base/bytes.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#define DIGEST 32
#define TAG 16
#define NUMBER 16 /* digits */

static const struct str prefix = STR("weir-");

/* kind: two kinds of things never share a digest. */
static void
digest(const unsigned char key[ENVID_KEY], unsigned char kind, struct str text,
    unsigned char out[DIGEST])
{
	unsigned char m[1 + 1024];
	unsigned n = 0;

	if (text.n > sizeof(m) - 1)
		text.n = sizeof(m) - 1;
	m[0] = kind;
	if (text.n > 0)
		memcpy(m + 1, text.p, text.n);
	if (HMAC(EVP_sha256(), key, ENVID_KEY, m, 1 + text.n, out, &n) ==
		NULL ||
	    n != DIGEST)
		panic("HMAC-SHA256 failed");
}

uint64_t
envid_sender(const unsigned char key[ENVID_KEY], struct str name)
{
	unsigned char d[DIGEST];
	const unsigned char *p = d;
	uint64_t h;

	digest(key, 's', name, d);
	h = bytes_get(&p, 8);
	return h != 0 ? h : 1;
}

const char *
envid_format(const unsigned char key[ENVID_KEY], const struct envid *id,
    char out[ENVID_TEXT_MAX])
{
	unsigned char d[DIGEST];
	size_t n = (size_t)snprintf(out, ENVID_TEXT_MAX,
	    "%s%016" PRIx64 "-%016" PRIx64, prefix.p, id->sender, id->message);

	digest(key, 'e', (struct str){out, n}, d);
	out[n++] = '-';
	for (size_t i = 0; i < TAG; i++)
		snprintf(out + n + 2 * i, 3, "%02x", (unsigned)d[i]);
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
envid_parse(
    const unsigned char key[ENVID_KEY], struct str text, struct envid *out)
{
	char ours[ENVID_TEXT_MAX], theirs[ENVID_TEXT_MAX];

	if (text.n != ENVID_TEXT_MAX - 1 || !envid_is_ours(text) ||
	    !read_number(str_sub(text, prefix.n, NUMBER), &out->sender) ||
	    !read_number(
		str_sub(text, prefix.n + NUMBER + 1, NUMBER), &out->message))
		return false;
	envid_format(key, out, ours);
	for (size_t i = 0; i < sizeof(theirs) - 1; i++) {
		char c = text.p[i];

		theirs[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	return CRYPTO_memcmp(ours, theirs, sizeof(theirs) - 1) == 0;
}
