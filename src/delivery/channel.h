/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection to one address of a next hop: a net/conn.h under an
 * smtp/client.h, and what the pool keeps about it. Inside delivery alone.
 */
#ifndef DELIVERY_CHANNEL_H
#define DELIVERY_CHANNEL_H

#include "delivery/route.h"
#include "net/conn.h"
#include "smtp/client.h"

struct channel;

enum channel_state {
	CHANNEL_CONNECTING,
	CHANNEL_GREETING, /* until EHLO is answered */
	CHANNEL_READY,
	CHANNEL_DEAD, /* closed; freed by its pool in the loop's task */
};

enum channel_fault {
	CHANNEL_CONNECT, /* no connection */
	CHANNEL_REFUSED, /* greeting or EHLO */
	CHANNEL_TIMEOUT, /* a deadline, before or in a transaction */
	CHANNEL_BROKEN,  /* closed, 421 or nonsense after it was ready */
};

struct channel_ops {
	void (*on_ready)(struct channel *ch, int64_t now);
	void (*on_reply)(struct channel *ch, enum smtp_client_what what,
	    uintptr_t tag, const struct smtp_reply *reply, int64_t now);
	void (*on_drain)(struct channel *ch, int64_t now);
	/* Last call; the channel is to be closed by its owner. */
	void (*on_fail)(struct channel *ch, enum channel_fault fault,
	    const struct smtp_reply *reply, int64_t now);
};

struct channel_settings {
	struct loop *loop;
	const char *hostname;
	int64_t connect_timeout_ms;
	const struct smtp_client_timeouts *timeouts; /* outlives the channel */
};

struct hop;

struct channel {
	struct list entry; /* the pool's */
	enum channel_state state;
	const struct channel_ops *ops;
	void *pool;
	struct hop *hop; /* its user, NULL: idle */
	const char *hostname;
	const struct smtp_client_timeouts *timeouts;
	struct loop *loop;
	struct conn *conn;
	struct smtp_client *client; /* NULL: not connected yet */
	struct net_addr addr;
	char name[ROUTE_NAME_MAX];
	uint32_t messages; /* that were sent to the end */
	bool served;       /* a user has given it back */
	bool heard;        /* a reply came to its present user */
	bool retired;      /* of a former configuration */
	bool open;         /* idle with a transaction to take back */
	bool in_deadline;  /* within smtp_client_run */
	int64_t idle_since;
	uint64_t swept; /* the pool's sweep that ran its deadline */
};

struct channel *channel_new(const struct channel_settings *settings,
    const struct route_choice *to, const struct channel_ops *ops, void *pool);
/* It will fail at its next deadline: its message was given up. */
bool channel_is_doomed(const struct channel *ch);
/* Runs a deadline that has passed. */
void channel_run(struct channel *ch, int64_t now);
/* Dead from now on. politely: says QUIT, and does not wait for the answer. */
void channel_close(struct channel *ch, bool politely, int64_t now);
void channel_free(struct channel *ch); /* never within its callbacks */

#endif
