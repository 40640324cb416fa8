/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is at the other end of a connection to a local service: the user of a
 * process on this machine, by SO_PEERCRED for a Unix socket and by the kernel's
 * socket table (sock_diag(7)) for TCP, else an address. Services that believe
 * what they are told about others (milter, policy service) serve nobody else
 * than those listed.
 *
 * Any thread; peer_find and peer_may ask the kernel alone, which answers at
 * once.
 */
#ifndef NET_PEER_H
#define NET_PEER_H

#include "base/ip.h"
#include "net/addr.h"

#include <stdatomic.h>
#include <sys/types.h>

enum peer_kind {
	PEER_USER,    /* a process of this machine, uid is known */
	PEER_REMOTE,  /* another machine */
	PEER_UNKNOWN, /* this machine, but nobody holds the socket any more */
	PEER_UNTOLD,  /* this machine, and the kernel does not tell */
};

struct peer {
	enum peer_kind kind;
	uid_t uid;
	struct ip address; /* IP_NONE: a Unix socket */
};

/* fd is connected. */
void peer_find(int fd, struct peer *out);

/* Borrowed by all that use it; never changed after it was made. */
struct peer_rules {
	const uid_t *uids; /* beside root and the daemon's own */
	size_t uid_count;
	const struct ip_net *nets; /* of TCP clients; none: loopback */
	size_t net_count;
};

/* A TCP client's address must be listed, and the user of a process on this
 * machine too. Where the kernel does not tell the user of a local TCP client
 * its address decides alone. False: why in words. */
MUST_CHECK bool peer_may(const struct peer_rules *rules, const struct peer *p,
    char *why, size_t cap);

/* One line in the log a second, whoever knocks: true when one is due. next
 * begins as 0. */
bool peer_is_news(_Atomic int64_t *next, int64_t now);

#endif
