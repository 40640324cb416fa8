/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: an administrator's commands as JSON lines over a Unix
 * socket, answered as JSON lines. One command table drives grammar, permission,
 * dispatch and documentation; the peer's credentials are checked in one place.
 * It decides nothing: gate, spool and delivery do. Event loop's thread.
 */
#ifndef MAILD_CONTROL_H
#define MAILD_CONTROL_H

#include "alert/alert.h"
#include "delivery/delivery.h"
#include "gate/gate.h"
#include "net/listener.h"
#include "os/problems.h"
#include "share/freezes.h"

struct control;

/* status and the log warn of a certificate from so long before its end. */
#define CONTROL_CERT_SOON_MS (14 * 24 * 3600 * INT64_C(1000))

struct control_relays {      /* of a site */
	const char *name;    /* this one's */
	size_t others, down; /* of these */
	bool has_twin;       /* another one has this name */
};

struct control_parts { /* all borrowed */
	struct loop *loop;
	struct gate *gate;
	struct spool *spool;
	struct delivery *delivery;
	struct nexthop *nexthop;
	struct nexthop *rest_hop; /* NULL: the same */
	struct events *events;
	struct problems *problems;
	struct counters *counters;
	struct graph *graph; /* NULL: none is kept */
	struct alert *alert; /* NULL: none */
	struct log *log;
	const char *version;
	uint32_t connections_max;    /* 0: CONTROL_CONNS_MAX */
	struct access_store *access; /* NULL: there is no HTTP */
	int64_t started_at;          /* wall ms */
	int64_t oldest_held; /* message in the spool, wall ms; 0: none */
	int64_t reloaded_at; /* the last reload, wall ms; 0: none */
	bool reload_failed;
	/* What the program does for a command; arg is given back. Of a reload
	 * that was done err may hold what is to be known of it. */
	bool (*reload)(void *arg, char *err, size_t err_cap);
	bool (*show_config)(void *arg, struct buf *out);
	const char *(*mode)(void *arg); /* "enforce", "observe" */
	/* The i-th TLS certificate in use; false past the last. NULL: none. */
	bool (*certificate)(void *arg, size_t i, struct tls_cert *out);
	/* False: the relay stands alone. NULL: the same. */
	bool (*shared)(void *arg, struct freezes_info *out);
	bool (*relays)(void *arg, struct control_relays *out);
	/* The other relays of the site; NULL: there are none. */
	const struct control_site *site;
	void *arg;
};

/* listener is taken (bound before privileges were dropped). admin_gid: members
 * may give commands beside root and the daemon's user; -1: none. */
struct control *control_new(const struct control_parts *parts,
    struct listener *listener, int admin_gid);
/* Drops every connection. No operation of spool or gate may call back after it:
 * spool_dispatch is not run any more. */
void control_free(struct control *c);

#endif
