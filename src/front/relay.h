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
#ifndef FRONT_RELAY_H
#define FRONT_RELAY_H

#include "delivery/delivery.h"
#include "delivery/nexthop.h"
#include "gate/gate.h"
#include "smtp/server.h"

struct relay;

struct relay_settings {
	const char *hostname;
	struct smtp_server_limits limits;
	uint64_t message_size_max;              /* advertised as SIZE */
	const struct ip_net *bare_newline_nets; /* BARE_ALLOW for these */
	size_t bare_newline_net_count;
	bool verify_held;      /* ask the next hop about held recipients */
	uint32_t sessions_max; /* in all: 421 past it */
	uint32_t client_sessions_max; /* from one client address */
	int64_t greeting_delay_ms;
	int64_t answer_timeout_ms; /* from the final dot to the reply: 451 */
};

struct relay_parts { /* all borrowed */
	struct loop *loop;
	struct gate *gate;
	struct spool *spool;
	struct nexthop *nexthop;
	struct delivery *delivery;
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
void relay_accept(
    struct relay *r, int fd, const struct net_addr *peer, int64_t now);
/* Idle sessions get 421, the others after their transaction; fn when none is
 * left. */
void relay_drain(struct relay *r, void (*fn)(void *arg), void *arg);
void relay_free(struct relay *r); /* drops what is left */

#endif
