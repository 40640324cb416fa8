/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between libmilter's threads and the loop: a thread posts a question and
 * waits, with a deadline; the loop answers when it can. Whoever comes last
 * frees the question: a thread that gave up leaves it to the loop, and the loop
 * hears of it when it answers. So neither ever waits for the other's memory.
 *
 * This is the one place where weir's state is shared between threads: the list
 * of questions and the state of each, under one lock.
 */
#ifndef MILTER_MILTER_ASK_H
#define MILTER_MILTER_ASK_H

#include "base/buf.h"
#include "base/ip.h"
#include "base/list.h"
#include "smtp/address.h"
#include "smtp/envelope.h"

struct milter_port;
struct milter_peer; /* a connection of the MTA, the loop's side of it */

enum milter_verb {
	/* Answered. */
	MILTER_MAIL,
	MILTER_RCPT,
	MILTER_TEXT,   /* of a message with held recipients */
	MILTER_END,    /* the same, the last of it: store what is held */
	MILTER_SECURE, /* may it go on, and is on disk what it spends */
	/* Not answered. */
	MILTER_PASSED, /* nothing is held, the MTA goes on with it */
	MILTER_TAKEN,  /* the MTA was told what is held, and heard it */
	MILTER_UNDO,   /* it was not: what was stored is to go */
	MILTER_DROP,   /* no message came of it */
	MILTER_CLOSE,  /* the connection is gone, and the peer with it */
	/* Of no peer. */
	MILTER_CAME,   /* somebody connected who may */
	MILTER_DENIED, /* the same, and may not */
	MILTER_FULL,   /* a connection was refused at the limit */
	MILTER_MET,    /* a client connected, while that is of interest */
};

enum milter_status { MILTER_OK, MILTER_HELD, MILTER_REFUSED };

#define MILTER_TEXT_MAX 512

struct milter_ask {
	struct list entry;
	enum milter_verb verb;
	struct milter_peer *peer;
	/* The question. Heap, NULL: not given. */
	char *user, *address, *helo, *queue_id, *orcpt, *envid, *subject;
	char *names; /* PASSED: addresses in the header, a blank behind each */
	/* PASSED, TAKEN: of a report, for each failed recipient ENVID, its
	 * original address, its final one and a status, tabs between them, and
	 * a line end. */
	char *bounced;
	char *message_id;                /* END: without brackets */
	char *server;                    /* END: the MTA's name (macro j) */
	enum smtp_path_error path_error; /* of address, which is then raw */
	struct ip client;
	uint16_t client_port;
	uint64_t trace_id; /* END, SECURE: of a trace of ours; 0: none */
	bool by_command;   /* MAIL: from sendmail(1), not over SMTP */
	bool unsure;       /* END: the MTA may not find what is held */
	bool unsure_any;   /* END: the same of all recipients */
	bool local, utf8, require_tls;
	bool stays; /* RCPT: the MTA delivers it itself */
	/* RCPT: the code with which the MTA has refused it; "": it has not.
	 * Then it is not part of the message, and the answer is MILTER_OK. */
	char refusal[16];
	enum smtp_body body_type;
	enum smtp_ret ret;
	unsigned notify;
	struct buf text;
	/* The answer. */
	enum milter_status status;
	unsigned code; /* REFUSED */
	char enhanced[16];
	char words[MILTER_TEXT_MAX];
	bool known;       /* RCPT: the end of the message changes nothing */
	unsigned freezes; /* RCPT: gate_freezes then */
	bool all;         /* END: all recipients are taken */
	bool kept;        /* END: the message is not dropped for that */
	/* Under the port's lock. */
	bool is_answered, is_abandoned;
	void *cond; /* of the thread that waits */
};

/* on_ask runs in the loop for each question, which is then the loop's until it
 * is answered, or at once when its verb has no answer. */
struct loop;
struct milter_port *milter_port_new(struct loop *loop,
    void (*on_ask)(void *arg, struct milter_ask *ask), void *arg);
/* Nobody is answered from here on: those that wait are refused at once. */
void milter_port_close(struct milter_port *p);
/* After milter_port_close, when no thread can call any more. */
void milter_port_free(struct milter_port *p);

/* Any thread. */
struct milter_ask *milter_ask_new(
    enum milter_verb verb, struct milter_peer *peer);
/* Takes the question. */
void milter_post(struct milter_port *p, struct milter_ask *ask);
/* Takes it, and gives it back answered; NULL: not in time, or closed. */
struct milter_ask *milter_wait(
    struct milter_port *p, struct milter_ask *ask, int64_t timeout_ms);
void milter_ask_free(struct milter_ask *ask);

/* The loop. False: nobody waits any more; ask is gone either way. */
bool milter_answer(struct milter_port *p, struct milter_ask *ask);

#endif
