/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of a report to a sender (bounce, delay notice, or what
 * NOTIFY=SUCCESS asks for): a multipart/report (RFC 6522) of a readable part, a
 * message/delivery-status (RFC 3464) and what was sent or its header. Pure:
 * facts in, text out. Everything but a whole 8-bit original is ASCII, so that a
 * bounce never needs more of the next hop than its recipient's address does.
 */
#ifndef DELIVERY_BOUNCE_H
#define DELIVERY_BOUNCE_H

#include "base/buf.h"
#include "smtp/envelope.h"

/* An original up to this many bytes may be returned whole. */
#define BOUNCE_ORIGINAL_MAX 65536

enum bounce_action { /* RFC 3464 section 2.3.3 */
	BOUNCE_FAILED,
	BOUNCE_DELAYED,
	BOUNCE_RELAYED,   /* to a next hop without DSN */
	BOUNCE_DELIVERED, /* by LMTP */
};

struct bounce_recipient {
	enum bounce_action action;
	struct str address;
	struct str orcpt;    /* as RCPT had it, empty: none */
	struct str status;   /* "5.1.1" */
	struct str reason;   /* a clause: "it was refused" */
	struct str reply;    /* the last reply, empty: none */
	struct str remote;   /* the next hop that gave it, empty: ourselves */
	int64_t retry_until; /* DELAYED: wall ms, 0: no end is known */
};

struct bounce_facts {
	struct str hostname;
	struct str postmaster;
	struct str id;          /* of the bounce, for Message-ID */
	struct str original_id; /* queue id of the original */
	struct str to;          /* the original's sender, never empty */
	struct str envid;       /* xtext, empty: none */
	int64_t wall;           /* now */
	int64_t arrived;        /* when the original was accepted */
	uint64_t seed;          /* for the boundary: not to be guessed */
	enum smtp_ret ret;      /* NONE: the header alone */
	struct str original;    /* the message, or its beginning */
	bool is_whole;          /* original is the whole message */
	bool eight_bit_ok;      /* the next hop offers 8BITMIME */
	const struct bounce_recipient *rcpts;
	size_t rcpt_count;
};

/* Room for a report about as many recipients as a message in the spool has,
 * with all that is said of each as long as it is ever printed. */
#define BOUNCE_TEXT_MAX (32u << 20)

/* Appends header and body to out, lines end in CR LF. *eight_bit: it needs
 * BODY=8BITMIME. False: out is full. */
MUST_CHECK bool bounce_print(
    const struct bounce_facts *f, struct buf *out, bool *eight_bit);

#define BOUNCE_ADDRESS_MAX 256
/* Where the report for this sender goes: to the address in ASCII, if it has
 * such a form (RFC 5890: a domain has one), so that it needs no SMTPUTF8. out
 * or sender. */
const char *bounce_address(const char *sender, char out[BOUNCE_ADDRESS_MAX]);

/* Of the report, by the worst that it tells. */
const char *bounce_subject(const struct bounce_facts *f);

#define BOUNCE_DATE_MAX 40
/* RFC 5322 date in UTC. Returns out. */
const char *bounce_date(int64_t wall_ms, char out[BOUNCE_DATE_MAX]);

#endif
