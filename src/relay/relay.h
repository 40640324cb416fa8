/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The SMTP front: sessions that relay. Known recipients are cut through to the
 * next hop, new ones go to the spool, and the client gets one honest reply:
 *
 *	commit held recipients as pending, then the final dot to the next hop,
 *	then the reply (doc/architecture.md argues the crash windows).
 *
 * It translates between the engines, the gate, the spool and the next hop, and
 * decides nothing by itself. Event loop's thread.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "delivery/delivery.h"
#include "delivery/nexthop.h"
#include "gate/gate.h"
#include "smtp/server.h"

struct relay;

enum relay_auth {
	RELAY_AUTH_NONE,
	RELAY_AUTH_PASS,    /* the next hop checks it */
	RELAY_AUTH_DOVECOT, /* Dovecot does */
};

enum relay_nameless { /* a login that tells nobody's name */
	RELAY_NAMELESS_REFUSE,
	RELAY_NAMELESS_ADDRESS, /* passes; the source is the address */
};

enum relay_tls {
	RELAY_TLS_NONE,
	RELAY_TLS_MAY,
	RELAY_TLS_REQUIRE,
	RELAY_TLS_IMPLICIT
};

/* What the sessions of one listener have in common; a session takes what it
 * needs of it when it begins. */
struct relay_listen {
	const char *name; /* outlives the sessions */
	enum relay_auth auth;
	bool auth_in_clear; /* offered without TLS, not only on loopback */
	bool auth_required; /* no mail without it */
	enum relay_nameless auth_nameless;
	bool proxy;       /* a PROXY header comes first */
	bool hide_client; /* Received does not name it */
	enum relay_tls tls;
	struct tls_server *tls_server; /* NULL with RELAY_TLS_NONE */
	int64_t tls_timeout_ms;
};

struct relay_settings {
	const char *hostname;
	struct smtp_server_limits limits;
	uint64_t message_size_max;              /* advertised as SIZE */
	const struct ip_net *bare_newline_nets; /* BARE_ALLOW for these */
	size_t bare_newline_net_count;
	const struct ip_net *lenient_nets; /* clients that cannot be mended */
	size_t lenient_net_count;
	bool verify_held;      /* ask the next hop about held recipients */
	uint32_t sessions_max; /* in all: 421 past it */
	uint32_t client_sessions_max; /* from one ip_site_key */
	uint64_t envelope_memory;     /* bytes of all envelopes: 452 past it */
	int64_t greeting_delay_ms;
	int64_t tarpit_ms; /* for replies to frozen senders; 0: none */
	/* A line for the next hop's connections this old ends clients that
	 * hold one and are slower than slow_rate bytes a second; 0: never. */
	int64_t next_hop_wait_ms;
	uint64_t slow_rate;
	int64_t answer_timeout_ms;    /* from the final dot to the reply: 451 */
	const struct ip_net *my_nets; /* clients that may ask at will */
	size_t my_net_count;
	const struct ip_net *xclient_nets; /* XCLIENT, XFORWARD taken from */
	size_t xclient_net_count;
	const struct ip_net *proxy_nets;
	size_t proxy_net_count;
	bool next_hop_xclient;          /* told to a next hop that offers it */
	uint32_t auth_failures_max;     /* per client address: 421 at it */
	const struct net_addr *dovecot; /* its auth socket; NULL: none */
};

struct relay_parts { /* all borrowed */
	struct loop *loop;
	struct gate *gate;
	struct spool *spool;
	struct nexthop *nexthop;
	struct delivery *delivery;
	struct let_go *let_go; /* NULL: nobody wants to know */
	struct events *events;
	struct counters *counters;
	struct log *log;
};

/* settings is borrowed until relay_reload gives another; sessions keep the
 * settings they began with, so the owner frees the old ones only when
 * relay_uses says no. */
struct relay *relay_new(
    const struct relay_parts *parts, const struct relay_settings *settings);
void relay_reload(struct relay *r, const struct relay_settings *settings);
bool relay_uses(const struct relay *r, const struct relay_settings *settings);
/* A connection was accepted; fd is taken. */
void relay_accept(struct relay *r, int fd, const struct net_addr *peer,
    const struct relay_listen *listen, int64_t now);
/* The most sessions that were open at once since the last call. */
uint32_t relay_take_peak(struct relay *r);
/* Idle sessions get 421, the others after their transaction; fn when none is
 * left. */
void relay_drain(struct relay *r, void (*fn)(void *arg), void *arg);
void relay_free(struct relay *r); /* drops what is left */

#endif
