/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The milter: weir inside Postfix and Sendmail (libmilter). libmilter's threads
 * translate and wait, the loop decides. With milter_hold
 *
 *	take		held recipients leave the message; their copy is
 *			committed to the spool before the MTA is answered.
 *			Where it is not sure that the MTA finds them by the
 *			name it gave, the message is taken whole, and what
 *			passes goes out by the next hop at once
 *	tempfail	451 for recipients that would be held
 *	quarantine	a message with a held recipient goes to the MTA's own
 *			hold queue, whole; its queue id is committed before
 *
 * libmilter knows one filter per process, so there is one of these. It is
 * there only where weir was built with libmilter.
 */
#ifndef MILTER_MILTER_H
#define MILTER_MILTER_H

#include "delivery/delivery.h"
#include "gate/gate.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/peer.h"

struct milter;

enum milter_hold { MILTER_TAKE, MILTER_TEMPFAIL, MILTER_QUARANTINE };

struct milter_settings {
	const char *hostname; /* of our trace header */
	bool hide_client;     /* which does not name the client */
	enum milter_hold hold;
	int64_t command_timeout_ms; /* for an answer to MAIL or RCPT */
	int64_t answer_timeout_ms;  /* to the end of a message */
	uint32_t header_max;        /* bytes; more is refused when held */
	uint32_t connections_max;   /* each is a thread; 0: any number */
};

struct milter_parts { /* all borrowed */
	struct loop *loop;
	struct gate *gate;
	struct spool *spool;
	/* By which weir knows its own mail when it comes round, and what a
	 * message that was taken whole goes out by; NULL in tests. */
	struct nexthop *nexthop;
	/* Of what the MTA kept a part of; NULL: the same. With it a message of
	 * which all recipients are held is not dropped in the MTA: it loses
	 * them one by one, so that recipients whom a filter is not shown stay.
	 */
	struct nexthop *rest_hop;
	struct delivery *delivery;
	struct let_go *let_go; /* NULL: nobody wants to know */
	struct events *events;
	struct counters *counters;
	struct log *log;
	const char *listener; /* its name in counters; NULL: none */
	/* libmilter ended by itself: the daemon had better be restarted. */
	void (*on_ended)(void *arg);
	void *arg;
};

bool milter_is_built_in(void);
/* Binds, before root is given up; the socket's directory must let the daemon's
 * user in. peers is borrowed until milter_free: who else connects finds the
 * connection closed. NULL and a reason in err. settings is copied. */
struct milter *milter_new(const struct net_addr *addr, int backlog,
    unsigned unix_mode, const struct peer_rules *peers, char *err, size_t cap);
/* Serves from now on. */
void milter_start(struct milter *m, const struct milter_parts *parts,
    const struct milter_settings *settings);
/* Connections of the MTA are looked at as soon as they begin: one that is
 * weir's own, to a next hop, has a line in the log. */
void milter_expect_own(struct milter *m, bool on);
/* New messages are put off; fn when none is under way. */
void milter_drain(struct milter *m, void (*fn)(void *arg), void *arg);
void milter_free(struct milter *m);

#endif
