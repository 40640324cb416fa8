/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SASL as a relay sees it (RFC 4954): which mechanisms weir carries, and who it
 * is that logs in. weir checks no password: the next hop or Dovecot does. It
 * reads the exchange to learn the name, and keeps nothing else of it.
 */
#ifndef SMTP_SASL_H
#define SMTP_SASL_H

#include "base/buf.h"

#define SASL_LINE_MAX 12288 /* RFC 4954 section 4: base64, with CR LF */
#define SASL_USER_MAX 255
#define SASL_ROUNDS_MAX 8 /* challenges in one exchange */

enum sasl_mech { /* bits */
	SASL_PLAIN = 1,
	SASL_LOGIN = 2,
	SASL_CRAM_MD5 = 4,
	SASL_XOAUTH2 = 8,
	SASL_OAUTHBEARER = 16,
};

enum sasl_mech sasl_mech_find(struct str name); /* 0: not one of these */
const char *sasl_mech_name(enum sasl_mech mech);
/* The mechanisms of a list separated by blanks; unknown ones are left out. */
unsigned sasl_mechs_parse(struct str list);
/* "PLAIN LOGIN", in the order of the table. */
const char *sasl_mechs_format(unsigned mechs, char *out, size_t cap);

/* Base64 with padding, nothing else. Decoding: false when it is malformed or
 * out is full. */
MUST_CHECK bool base64_encode(struct str in, struct buf *out);
MUST_CHECK bool base64_decode(struct str in, struct buf *out);
/* What a line of an exchange may hold: base64, "=" or nothing. */
bool sasl_is_base64(struct str line);

/* What a server says about a login, for a log: some repeat the command that
 * they did not understand, with the password in it. What looks like base64 is
 * "..." in out. */
struct str sasl_hide(struct str words, char *out, size_t cap);

/* Follows one exchange. */
struct sasl_watch {
	enum sasl_mech mech;
	unsigned lines; /* of the client, the initial response included */
	uint64_t seed;  /* 0: no proof is asked for */
	uint64_t proof; /* a keyed hash of the password; 0: not said, or none */
	char user[SASL_USER_MAX + 1];
};

enum sasl_verdict {
	SASL_GOES_ON,
	SASL_MALFORMED, /* no base64, or not what the mechanism asks for */
	SASL_NAMELESS,  /* it names nobody who could be throttled */
	SASL_OPAQUE,    /* who it is stands in a token (OAUTHBEARER, no a=) */
};

/* seed: for proof, from hash_random_seed and kept in memory alone; 0: none. */
void sasl_watch_init(struct sasl_watch *w, enum sasl_mech mech, uint64_t seed);
/* A line of the client, in base64; "=" as an initial response is an empty one.
 * What is decoded is wiped before it returns. */
enum sasl_verdict sasl_watch_line(struct sasl_watch *w, struct str line);
/* Who logs in; empty: not said yet. A success without a name counts as none. */
struct str sasl_watch_user(const struct sasl_watch *w);

/* Memory of a secret: overwritten, then freed. */
void sasl_wipe(struct buf *b);

#endif
