/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A transaction from inside: milter_desk.c takes the questions, milter_txn.c
 * answers MAIL and RCPT and ends a transaction, milter_store.c hands what is
 * held to the spool. Event loop's thread.
 */
#ifndef MILTER_MILTER_TXN_PRIVATE_H
#define MILTER_MILTER_TXN_PRIVATE_H

#include "front/settle.h"
#include "milter/milter_txn.h"

struct milter_peer {
	struct milter_txn *txn;
};

struct milter_rcpt {
	char *address, *orcpt;
	unsigned notify;
	bool held;
};

struct milter_txn {
	struct list entry;
	struct milter_desk *desk;
	struct milter_peer *peer; /* NULL: gave it up */
	struct gate_txn *gate;
	struct milter_ask *ask; /* the question that is open */
	uint64_t id;
	char *from, *envid, *helo, *user, *queue_id, *subject;
	char *message_id; /* without brackets */
	struct ip client;
	struct gate_facts facts; /* slices of the above */
	enum smtp_body body_type;
	enum smtp_ret ret;
	bool utf8, require_tls, all_held, putting, stored;
	bool is_loop;  /* sent by weir: there is no transaction of the gate */
	bool rest;     /* the MTA goes on with it, whoever is left in it */
	bool take_all; /* what passes is stored as well, and goes at once */
	bool is_full;  /* the body, since its last write */
	struct milter_rcpt *rcpts;
	size_t rcpt_count, rcpt_cap, held_count;
	struct spool_body *body;
	struct spool_stake stake; /* of what is held */
	char *no_room; /* its text found none, in words; NULL: it did */
	uint64_t size;
	int64_t started_at; /* wall */
};

/* milter_txn.c */
static inline char *
milter_take_text(char **from)
{
	char *s = *from;

	*from = NULL;
	return s;
}

int64_t milter_txn_now(const struct milter_txn *t);
/* To the open question. False: there is none. */
bool milter_txn_answer(struct milter_txn *t, enum milter_status status);
bool milter_txn_refuse(struct milter_txn *t, unsigned code,
    const char *enhanced, const char *words);
void milter_txn_log(
    const struct milter_txn *t, const char *result, const char *why);
/* No message came of it. What is on its way to the disk is removed when it has
 * arrived. */
void milter_txn_drop(struct milter_txn *t);
void milter_txn_mail(struct milter_desk *d, struct milter_ask *ask);
void milter_txn_rcpt(struct milter_txn *t);
/* The gate's word before the MTA goes on with it. */
void milter_txn_secure(struct milter_txn *t);
/* The gate said no: the client hears it, and t is gone. */
void milter_txn_stop(struct milter_txn *t, const struct gate_answer *answer);
/* The MTA goes on with it: they free t. */
void milter_txn_passed(struct milter_txn *t, struct milter_ask *ask);
void milter_txn_taken(struct milter_txn *t, const struct milter_ask *ask);

/* milter_loop.c */
/* A client connected to the mail server. */
void milter_loop_met(struct milter_desk *d, const struct milter_ask *ask);
/* Its connection is one of weir's own. */
bool milter_loop_by_connection(
    const struct milter_desk *d, const struct milter_ask *ask);
/* Its trace is weir's, and weir sent it to these recipients: the transaction
 * becomes a loop. */
bool milter_loop_by_trace(struct milter_txn *t, uint64_t trace_id);
/* In the log and as a count. */
void milter_loop_report(struct milter_desk *d, const struct milter_txn *t);

/* milter_store.c */
void milter_store_text(struct milter_txn *t);
void milter_store_end(struct milter_txn *t);

#endif
