/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What MAIL and RCPT carry, as values that the server engine gives and the
 * client engine takes. Slices are borrowed.
 */
#ifndef SMTP_ENVELOPE_H
#define SMTP_ENVELOPE_H

#include "base/str.h"

enum smtp_body { SMTP_BODY_NONE, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };
enum smtp_notify { /* bits; 0: not given */
	SMTP_NOTIFY_NEVER = 1,
	SMTP_NOTIFY_SUCCESS = 2,
	SMTP_NOTIFY_FAILURE = 4,
	SMTP_NOTIFY_DELAY = 8,
};

#define SMTP_ENVID_MAX 100
#define SMTP_ORCPT_MAX 500
#define SMTP_AUTH_MAX 500 /* RFC 4954 section 5 */

struct smtp_mail {
	struct str from; /* address without brackets; empty: null sender */
	uint64_t size;   /* SIZE=, 0: not given */
	enum smtp_body body;
	bool utf8;         /* SMTPUTF8 */
	bool require_tls;  /* REQUIRETLS, RFC 8689 */
	enum smtp_ret ret; /* RFC 3461 */
	struct str envid;  /* xtext as it came, checked */
};

struct smtp_rcpt {
	struct str to;    /* address without brackets */
	unsigned notify;  /* enum smtp_notify bits */
	struct str orcpt; /* "rfc822;xtext" as it came, checked */
};

#endif
