/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SMTP service extensions as flags. A relay advertises what it handles itself
 * and the next hop advertises: smtp_caps_meet is that rule, in one place.
 */
#ifndef SMTP_EXT_H
#define SMTP_EXT_H

#include "base/str.h"

enum smtp_ext {
	SMTP_EXT_PIPELINING = 1u << 0,  /* RFC 2920 */
	SMTP_EXT_SIZE = 1u << 1,        /* RFC 1870 */
	SMTP_EXT_8BITMIME = 1u << 2,    /* RFC 6152 */
	SMTP_EXT_SMTPUTF8 = 1u << 3,    /* RFC 6531 */
	SMTP_EXT_ENHANCED = 1u << 4,    /* RFC 2034 */
	SMTP_EXT_DSN = 1u << 5,         /* RFC 3461 */
	SMTP_EXT_STARTTLS = 1u << 6,    /* RFC 3207 */
	SMTP_EXT_AUTH = 1u << 7,        /* RFC 4954 */
	SMTP_EXT_CHUNKING = 1u << 8,    /* RFC 3030 */
	SMTP_EXT_XCLIENT = 1u << 9,     /* Postfix */
	SMTP_EXT_LIMITS = 1u << 10,     /* RFC 9422 */
	SMTP_EXT_REQUIRETLS = 1u << 11, /* RFC 8689 */
	SMTP_EXT_XFORWARD = 1u << 12,   /* Postfix */
};

/* What this version of weir carries from client to next hop; REQUIRETLS is
 * carried besides, over TLS on both sides alone. */
#define SMTP_EXT_RELAYED                                           \
	(SMTP_EXT_PIPELINING | SMTP_EXT_SIZE | SMTP_EXT_8BITMIME | \
	    SMTP_EXT_SMTPUTF8 | SMTP_EXT_ENHANCED | SMTP_EXT_DSN | \
	    SMTP_EXT_CHUNKING | SMTP_EXT_LIMITS)

struct smtp_caps {
	uint32_t ext;      /* enum smtp_ext */
	uint64_t size;     /* SIZE limit in bytes; 0: none declared */
	unsigned auth;     /* AUTH: enum sasl_mech, those that weir carries */
	unsigned xclient;  /* XCLIENT: enum xclient_attr */
	uint32_t rcpt_max; /* LIMITS RCPTMAX; 0: none declared */
	uint32_t mail_max; /* LIMITS MAILMAX, of a next hop; 0: none */
};

/* Reads one line of an EHLO reply (without its code) into caps; unknown
 * keywords are ignored. */
void smtp_caps_parse_line(struct smtp_caps *caps, struct str line);
/* What to advertise: ours and the next hop's, the smaller SIZE. PIPELINING
 * and ENHANCEDSTATUSCODES included: the rule has no exception. AUTH and XCLIENT
 * are left out: who checks a password, and who is trusted, is the owner's. */
struct smtp_caps smtp_caps_meet(
    const struct smtp_caps *own, const struct smtp_caps *hop);
/* "SIZE 1000", "8BITMIME", ... NULL past the last; out holds the line. */
const char *smtp_caps_line(
    const struct smtp_caps *caps, unsigned index, char *out, size_t cap);

#endif
