/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection to one address of a next hop: a net/conn.h under an
 * smtp/client.h, and what the pool keeps about it. Inside delivery alone.
 */
#ifndef DELIVERY_HOP_CONN_H
#define DELIVERY_HOP_CONN_H

#include "delivery/credentials.h"
#include "delivery/route.h"
#include "net/conn.h"
#include "smtp/client.h"

struct hop_conn;

enum hop_conn_state {
	HOP_CONN_CONNECTING,
	HOP_CONN_GREETING, /* until EHLO is answered */
	HOP_CONN_LOGIN,    /* until AUTH is answered */
	HOP_CONN_READY,
	HOP_CONN_DEAD, /* closed; freed by its pool in the loop's task */
};

enum hop_conn_fault {
	HOP_CONN_CONNECT, /* no connection */
	HOP_CONN_REFUSED, /* greeting, EHLO or AUTH */
	HOP_CONN_TLS,     /* the handshake, or whose certificate it is */
	HOP_CONN_TIMEOUT, /* a deadline before it was ready */
	HOP_CONN_BROKEN,  /* closed, late, 421 or nonsense after it was ready */
};

struct hop_conn_ops {
	/* Once, and again after each XCLIENT. */
	void (*on_ready)(struct hop_conn *ch, int64_t now);
	void (*on_reply)(struct hop_conn *ch, enum smtp_client_what what,
	    uintptr_t tag, const struct smtp_reply *reply, int64_t now);
	void (*on_drain)(struct hop_conn *ch, int64_t now);
	/* Last call; the connection is to be closed by its owner. */
	void (*on_fail)(struct hop_conn *ch, enum hop_conn_fault fault,
	    const struct smtp_reply *reply, int64_t now);
	/* As smtp_client_ops has them, before all else. */
	void (*on_said)(struct hop_conn *ch, struct str line);
	void (*on_heard)(struct hop_conn *ch, const struct smtp_reply *reply);
};

struct hop_conn_tls {
	struct tls_client *client; /* NULL: none */
	bool required;
	bool implicit;    /* before the greeting, no STARTTLS */
	const char *name; /* whom to expect, NULL: anybody */
	int64_t timeout_ms;
};

struct hop_conn_settings {
	struct hop_conn_tls tls;
	struct loop *loop;
	const char *hostname;
	int64_t connect_timeout_ms;
	int64_t greeting_ms; /* until EHLO is answered; 0: timeouts alone */
	const struct smtp_client_timeouts
	    *timeouts;                   /* outlives the connection */
	struct credentials *credentials; /* NULL: weir does not log in */
	const char *next_hop;            /* whose entry in them */
	bool login_in_clear;
};

struct hop;

struct hop_conn {
	struct list entry; /* the pool's */
	enum hop_conn_state state;
	const struct hop_conn_ops *ops;
	void *pool;
	struct hop *hop; /* its user, NULL: idle */
	const char *hostname;
	const struct smtp_client_timeouts *timeouts;
	struct loop *loop;
	struct conn *conn;
	struct smtp_client *client; /* NULL: not connected yet */
	struct hop_conn_tls tls;    /* a reference, and its name is owned */
	bool tls_due;               /* the handshake follows this input */
	bool tls_failed;
	struct net_addr addr;
	size_t target; /* of the route */
	char name[ROUTE_NAME_MAX];
	char host[ROUTE_HOST_MAX];
	uint32_t messages_max; /* 0: any; the pool's */
	uint32_t messages;     /* that were sent to the end */
	uint32_t mails;        /* MAIL that was accepted */
	/* Since the last message. */
	uint32_t refusals, resets;
	uint32_t resets_max; /* the server's patience with RSET */
	bool served;         /* a user has given it back */
	bool is_private;     /* a session's own: never kept for another */
	bool login_in_clear;
	bool heard;       /* a reply came to its present user */
	bool retired;     /* of a former configuration */
	bool open;        /* idle with a transaction to take back */
	bool in_deadline; /* within smtp_client_run */
	int64_t greeting_ms, greeting_due; /* due 0: none */
	int64_t opened_at;
	int64_t idle_since;
	uint64_t swept; /* the pool's sweep that ran its deadline */
	struct credentials *credentials;
	const struct credential *login; /* in credentials; NULL: none */
	unsigned login_step;
};

struct hop_conn *hop_conn_new(const struct hop_conn_settings *settings,
    const struct route_choice *to, const struct hop_conn_ops *ops, void *pool);
/* hop_conn_login.c: may a password go over it? */
bool hop_conn_is_safe(const struct hop_conn *ch);
/* Logs in with ch->login; true: it is under way.
 * False: it cannot be, for the reason in *why. */
MUST_CHECK bool hop_conn_login_start(
    struct hop_conn *ch, const char **why, int64_t now);
/* A reply to AUTH. False: more is to come. True: *why NULL, it is done, or it
 * has failed. */
MUST_CHECK bool hop_conn_login_reply(struct hop_conn *ch,
    const struct smtp_reply *reply, const char **why, int64_t now);
/* Runs a deadline that has passed. */
void hop_conn_run(struct hop_conn *ch, int64_t now);
/* Dead from now on. politely: says QUIT, and does not wait for the answer. */
void hop_conn_close(struct hop_conn *ch, bool politely, int64_t now);
void hop_conn_free(struct hop_conn *ch); /* never within its callbacks */

#endif
