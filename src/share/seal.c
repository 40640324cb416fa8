/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sealed text is nonce (12), ciphertext, tag (16). Nonces are random: there
 * is one for each change of a freeze, far from the 2^32 that a key may see.
 */
#include "share/seal.h"

#include "base/bytes.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define KEY 32
#define NONCE 12
#define TAG 16

struct seal {
	unsigned char names[KEY], texts[KEY], numbers[KEY];
};

static void
keyed(const unsigned char *key, size_t key_len, struct str domain,
    struct str text, unsigned char out[KEY])
{
	unsigned char *m = xmalloc(domain.n + 1 + text.n);
	unsigned n = 0;

	memcpy(m, domain.p, domain.n);
	m[domain.n] = '\0';
	if (text.n > 0)
		memcpy(m + domain.n + 1, text.p, text.n);
	if (HMAC(EVP_sha256(), key, (int)key_len, m, domain.n + 1 + text.n, out,
		&n) == NULL ||
	    n != KEY)
		panic("HMAC-SHA256 failed");
	OPENSSL_cleanse(m, domain.n + 1 + text.n);
	free(m);
}

struct seal *
seal_new(struct str secret)
{
	struct seal *s = xcalloc(1, sizeof(*s));

	keyed((const unsigned char *)secret.p, secret.n, STR("weir names"),
	    STR(""), s->names);
	keyed((const unsigned char *)secret.p, secret.n, STR("weir texts"),
	    STR(""), s->texts);
	keyed((const unsigned char *)secret.p, secret.n, STR("weir numbers"),
	    STR(""), s->numbers);
	return s;
}

void
seal_free(struct seal *s)
{
	if (s == NULL)
		return;
	OPENSSL_cleanse(s, sizeof(*s));
	free(s);
}

void
seal_id(const struct seal *s, const char *domain, struct str name,
    unsigned char out[SEAL_ID])
{
	unsigned char full[KEY];

	keyed(s->names, KEY, str_from(domain), name, full);
	memcpy(out, full, SEAL_ID);
}

/* In either direction; false: OpenSSL says no, as it does to a wrong tag. */
static bool
run(EVP_CIPHER_CTX *c, bool close, const struct seal *s,
    const unsigned char *nonce, struct str about, struct str in,
    unsigned char *out, unsigned char *tag)
{
	int n = 0;

	if (EVP_CipherInit_ex2(
		c, EVP_aes_256_gcm(), s->texts, nonce, close, NULL) != 1 ||
	    EVP_CipherUpdate(c, NULL, &n, (const unsigned char *)about.p,
		(int)about.n) != 1 ||
	    (in.n > 0 && EVP_CipherUpdate(c, out, &n,
			     (const unsigned char *)in.p, (int)in.n) != 1))
		return false;
	if (!close &&
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, tag) != 1)
		return false;
	if (EVP_CipherFinal_ex(c, out + in.n, &n) != 1)
		return false;
	return !close ||
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, tag) == 1;
}

static EVP_CIPHER_CTX *
context(void)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	if (c == NULL)
		panic("out of memory");
	return c;
}

/* One block of AES: the number, and as many bytes that are zero. */
static void
run_block(const struct seal *s, bool close, const unsigned char *in,
    unsigned char *out)
{
	EVP_CIPHER_CTX *c = context();
	int n = 0;

	if (EVP_CipherInit_ex2(
		c, EVP_aes_256_ecb(), s->numbers, NULL, close, NULL) != 1 ||
	    EVP_CIPHER_CTX_set_padding(c, 0) != 1 ||
	    EVP_CipherUpdate(c, out, &n, in, SEAL_NUMBER) != 1 ||
	    n != SEAL_NUMBER)
		panic("AES-256 failed");
	EVP_CIPHER_CTX_free(c);
}

void
seal_number(
    const struct seal *s, uint64_t number, unsigned char out[SEAL_NUMBER])
{
	unsigned char plain[SEAL_NUMBER] = {0}, *p = plain;

	bytes_put(&p, number, 8);
	run_block(s, true, plain, out);
}

bool
seal_number_open(const struct seal *s, const unsigned char name[SEAL_NUMBER],
    uint64_t *number)
{
	unsigned char plain[SEAL_NUMBER];
	const unsigned char *p = plain;

	run_block(s, false, name, plain);
	*number = bytes_get(&p, 8);
	return bytes_get(&p, 8) == 0;
}

bool
seal_close(
    const struct seal *s, struct str about, struct str plain, struct buf *out)
{
	unsigned char *p =
	    (unsigned char *)buf_reserve(out, plain.n + SEAL_EXTRA);
	EVP_CIPHER_CTX *c;

	if (p == NULL)
		return false;
	c = context();
	if (RAND_bytes(p, NONCE) != 1 ||
	    !run(c, true, s, p, about, plain, p + NONCE, p + NONCE + plain.n))
		panic("AES-256-GCM failed");
	EVP_CIPHER_CTX_free(c);
	buf_commit(out, plain.n + SEAL_EXTRA);
	return true;
}

bool
seal_open(
    const struct seal *s, struct str about, struct str sealed, struct buf *out)
{
	struct str text = str_sub(sealed, NONCE, sealed.n);
	unsigned char tag[TAG];
	unsigned char *p;
	EVP_CIPHER_CTX *c;
	bool ok;

	buf_reset(out);
	if (sealed.n < SEAL_EXTRA)
		return false;
	text.n -= TAG;
	memcpy(tag, text.p + text.n, TAG);
	p = (unsigned char *)buf_reserve(out, text.n > 0 ? text.n : 1);
	if (p == NULL)
		return false;
	c = context();
	ok = run(
	    c, false, s, (const unsigned char *)sealed.p, about, text, p, tag);
	EVP_CIPHER_CTX_free(c);
	if (ok)
		buf_commit(out, text.n);
	return ok;
}
