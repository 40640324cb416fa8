/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client side of an SMTP session without I/O: greeting, EHLO (HELO where
 * it must), then transactions, one after another. Commands are queued; with
 * PIPELINING they are written at once, else each after the reply to the one
 * before. Replies come back in order.
 *
 * Every reply of a next hop is hostile: bounded, and a bad one fails the
 * connection, never the program.
 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "smtp/data.h"
#include "smtp/envelope.h"
#include "smtp/ext.h"
#include "smtp/reply.h"
#include "smtp/sasl.h"
#include "smtp/xclient.h"

/* write and on_said are called from within every call; the others come from
 * feed, lost and run alone, and any call may be made from them, freeing the
 * client included. */

enum smtp_client_what { /* what a reply answers */
	SMTP_CLIENT_MAIL,
	SMTP_CLIENT_RCPT,
	SMTP_CLIENT_DATA, /* 354 or not */
	SMTP_CLIENT_END,  /* after the final dot; LMTP: see set_lmtp */
	SMTP_CLIENT_RSET,
	SMTP_CLIENT_QUIT,
	SMTP_CLIENT_AUTH, /* 334 or 235, or not */
};

struct smtp_client_ops {
	void (*write)(void *arg, const char *p, size_t n);
	/* Greeting and EHLO, or HELO where EHLO was refused with anything but
	 * 421, are done; and once more after XCLIENT. */
	void (*on_ready)(void *arg, const struct smtp_caps *caps);
	/* The peer is ready for TLS, and nothing of what it said is left over.
	 * The owner shakes hands, then smtp_client_tls_done; EHLO is said
	 * again. NULL where smtp_client_set_tls is not called. */
	void (*on_starttls)(void *arg);
	/* tag is what the command was given. A positive reply is 2xx, to DATA
	 * 354, all others are 4xx or 5xx. A 421 comes here if the owner waits
	 * for a reply, and then to on_fail too. */
	void (*on_reply)(void *arg, enum smtp_client_what what, uintptr_t tag,
	    const struct smtp_reply *reply);
	/* The connection is useless: refused greeting, 421, bad reply, a
	 * deadline, or an envelope that cannot be written. reply is the peer's
	 * last word or, where there was none, a 451 of our own. Outstanding
	 * commands get no on_reply. Last call; later commands do nothing. */
	void (*on_fail)(void *arg, const struct smtp_reply *reply);
	/* For a trace, and NULL where there is none: a command line with its
	 * end, and each reply before anything comes of it. What may hold a
	 * password is "***" there. No text of messages. Called from within
	 * any call, and may make none. */
	void (*on_said)(void *arg, struct str line);
	void (*on_heard)(void *arg, const struct smtp_reply *reply);
};

enum smtp_client_tls {
	SMTP_CLIENT_TLS_NONE,
	SMTP_CLIENT_TLS_MAY, /* where it is offered and not refused */
	SMTP_CLIENT_TLS_REQUIRE,
};

struct smtp_client_timeouts {
	int64_t greeting_ms, command_ms;
	int64_t data_ms; /* for the 354, and between two pieces of text */
	int64_t end_ms;  /* after the final dot */
};

struct smtp_client;

struct smtp_client *smtp_client_new(const char *hostname,
    const struct smtp_client_timeouts *timeouts,
    const struct smtp_client_ops *ops, void *arg, int64_t now);
void smtp_client_free(struct smtp_client *c);
/* Before the first feed. Not with implicit TLS, which the owner sees to. */
void smtp_client_set_tls(struct smtp_client *c, enum smtp_client_tls tls);
void smtp_client_tls_done(struct smtp_client *c, int64_t now);
/* The peer speaks TLS and is whom the owner means: its certificate said so. No
 * other peer offers REQUIRETLS, whatever it says (RFC 8689 section 4.2.1).
 * Before the first feed, or with smtp_client_tls_done. */
void smtp_client_set_verified(struct smtp_client *c);
/* Right after smtp_client_new: it speaks LMTP (RFC 2033). SMTP_CLIENT_END then
 * comes once for each recipient that was accepted, in order and with the tag
 * of its RCPT; smtp_client_is_idle is true from the last one on. */
void smtp_client_set_lmtp(struct smtp_client *c);
bool smtp_client_is_lmtp(const struct smtp_client *c);
void smtp_client_feed(
    struct smtp_client *c, const char *p, size_t n, int64_t now);
/* The peer closed or the connection broke; why for the reply text. */
void smtp_client_lost(struct smtp_client *c, const char *why, int64_t now);
const struct smtp_caps *smtp_client_caps(const struct smtp_client *c);
/* EHLO was refused and HELO taken: the peer told nothing of what it can do, and
 * may tell it on another connection. */
bool smtp_client_said_helo(const struct smtp_client *c);
/* The first line of the peer's greeting, cut. */
const char *smtp_client_greeting(const struct smtp_client *c);
/* Ready, no reply is outstanding and no transaction is open at the peer. */
bool smtp_client_is_idle(const struct smtp_client *c);

/*
 * Commands, after on_ready. Parameters that the peer does not know are left out
 * (SIZE, BODY= 7BIT, DSN: RFC 3461 section 5.2.2); 8BITMIME and SMTPUTF8 are
 * the caller's to check, and so is REQUIRETLS, but for a null sender: a bounce
 * goes on without it (RFC 8689 section 5). smtp_client_mail sends a RSET before
 * it when the last transaction was left open (smtp_client_abandon, or nothing
 * but refusals).
 */
/* Can its address and values be written at all? Who does not ask first loses
 * the connection over one that cannot. */
bool smtp_client_can_mail(const struct smtp_mail *mail);
bool smtp_client_can_rcpt(const struct smtp_rcpt *rcpt);
void smtp_client_mail(struct smtp_client *c, const struct smtp_mail *mail,
    uintptr_t tag, int64_t now);
void smtp_client_rcpt(struct smtp_client *c, const struct smtp_rcpt *rcpt,
    uintptr_t tag, int64_t now);
/* May follow RCPT at once. A 354 although all recipients were refused is
 * answered with an empty message here, and comes to the owner as a 554. */
void smtp_client_data(struct smtp_client *c, uintptr_t tag, int64_t now);
/* The message will go by BDAT (RFC 3030): instead of DATA, when all RCPTs have
 * been answered and one was accepted. No reply comes to it, text may follow at
 * once and goes out as it is, but for bare CR or LF, which become CR LF.
 * False: the peer does not take it so, use DATA. */
MUST_CHECK bool smtp_client_bdat(struct smtp_client *c, int64_t now);
/* Message text, after the 354. Dot-stuffed here; smtp_client_body_decoded is
 * for what smtp_encode_decoded takes. */
void smtp_client_body(struct smtp_client *c, struct str text, int64_t now);
void smtp_client_body_decoded(
    struct smtp_client *c, struct str text, int64_t now);
void smtp_client_end(struct smtp_client *c, uintptr_t tag, int64_t now);
/* The open transaction (MAIL, RCPT) will not be finished. Its RSET goes out
 * with the next MAIL or with smtp_client_flush_reset; replies that are still
 * to come for it are swallowed. Not after DATA was sent: then only closing
 * the connection takes it back, and on_fail says so. */
void smtp_client_abandon(struct smtp_client *c, int64_t now);
void smtp_client_flush_reset(struct smtp_client *c, int64_t now);
/*
 * Between transactions. Lines are base64; the text is wiped when it has been
 * written. A 334 is to be answered with smtp_client_auth_line, or the
 * connection is to be closed.
 */
void smtp_client_auth(struct smtp_client *c, enum sasl_mech mech,
    bool has_initial, struct str initial, uintptr_t tag, int64_t now);
void smtp_client_auth_line(
    struct smtp_client *c, struct str line, uintptr_t tag, int64_t now);
/* Tells the peer who it speaks with, as far as it asks for it; on_ready comes
 * again, after an EHLO in the client's name. A refusal fails the connection.
 * False: it asks for nothing of this, and nothing was sent. */
MUST_CHECK bool smtp_client_xclient(
    struct smtp_client *c, const struct xclient *x, int64_t now);
/* Nothing comes after its on_reply. Before on_ready it does nothing; within a
 * message it is as abandon. */
void smtp_client_quit(struct smtp_client *c, int64_t now);

int64_t smtp_client_next_due(const struct smtp_client *c);
void smtp_client_run(struct smtp_client *c, int64_t now);

#endif
