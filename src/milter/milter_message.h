/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection of the MTA as its thread sees it: who is there, and the message
 * in hand, turned into questions for the loop. Without libmilter, so that it
 * can be tested alone. One thread.
 */
#ifndef MILTER_MILTER_MESSAGE_H
#define MILTER_MILTER_MESSAGE_H

#include "milter/milter.h"
#include "milter/milter_ask.h"

struct milter_rcpt_name {
	char *raw; /* as the MTA gave it */
	bool held;
};

struct milter_conn {
	struct milter_port *port;
	const struct milter_settings *settings;
	struct milter_peer *peer;
	unsigned long steps; /* SMFIP_*, as agreed */
	struct ip client;
	uint16_t client_port;     /* 0 of Postfix: it came by sendmail(1) */
	struct share_user *place; /* of client; NULL: not told yet */
	char *helo;
	/* The message. */
	bool in_txn; /* the loop has a transaction, as far as we know */
	char *queue_id, *subject, *message_id;
	uint64_t trace_id; /* of the first Received line of ours; 0: none */
	bool unsure;       /* a held recipient may have another name there */
	bool unsure_any;   /* any may */
	struct milter_rcpt_name *rcpts;
	size_t rcpt_count, rcpt_cap, held_count;
	bool known, eight_bit, has_refused; /* a recipient */
	unsigned freezes; /* gate_freezes when the last recipient was asked */
	struct buf text;  /* not yet given to the loop */
	struct buf names; /* addresses in the header, a blank behind each */
	struct smtp_dsn *report; /* of a bounce; NULL: not to be read */
	struct buf bounced;      /* what it told, see struct milter_ask */
	size_t header_bytes;
	bool failed, header_too_big; /* the text is lost: 4xx at the end */
};

struct milter_conn *milter_conn_new(
    struct milter_port *port, const struct milter_settings *settings);
void milter_conn_free(struct milter_conn *c);

/* Questions, to be given to milter_wait. argv as libmilter has it: the path,
 * then ESMTP parameters. Parameters that nobody knows are passed over: the MTA
 * has accepted them. */
struct milter_ask *milter_conn_mail(struct milter_conn *c, char **argv);
struct milter_ask *milter_conn_rcpt(struct milter_conn *c, char **argv);
struct milter_ask *milter_conn_end(struct milter_conn *c);
struct milter_ask *milter_conn_secure(struct milter_conn *c);

void milter_conn_add_rcpt(struct milter_conn *c, const char *raw, bool held);
/* Of any message: looks for our own trace. */
/* Notes whom a field of the header names. */
void milter_conn_names(
    struct milter_conn *c, const char *name, const char *value);
/* The text of what may be a bounce. False: no more of it is wanted. */
bool milter_conn_report(struct milter_conn *c, struct str text);
void milter_conn_look(
    struct milter_conn *c, const char *name, const char *value);
/* has_space: value begins with what stood behind the colon. */
void milter_conn_header(
    struct milter_conn *c, const char *name, const char *value, bool has_space);
/* Gives to the loop what has gathered, and waits for it. */
void milter_conn_text(struct milter_conn *c, struct str text);

/* Words to the loop; the transaction is over after them. */
void milter_conn_passed(struct milter_conn *c);
void milter_conn_taken(struct milter_conn *c);
void milter_conn_undo(struct milter_conn *c);
void milter_conn_drop(struct milter_conn *c);

#endif
