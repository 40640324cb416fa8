/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The policy service: Postfix's policy delegation protocol over TCP or a Unix
 * socket, usable from Exim with ${readsocket} as well. Each recipient is asked
 * about at RCPT; END-OF-DATA asks again whether the sender may send, for it may
 * have been frozen meanwhile. It holds no mail: what waits for the allowance is
 * put off, held in the MTA's own queue, or refused, as the policy says.
 *
 * A recipient that was put off takes a place in the delay queue, without mail;
 * when its turn has come it is known, and the client's next try passes. So an
 * outbreak freezes its source here as well. Event loop's thread.
 */
#ifndef POLICYD_POLICYD_H
#define POLICYD_POLICYD_H

#include "gate/gate.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/peer.h"

struct policyd;

struct policyd_parts { /* all borrowed */
	struct loop *loop;
	struct gate *gate;
	struct events *events;
	struct counters *counters;
	struct log *log;
	uint32_t connections_max;
};

struct policyd *policyd_new(const struct policyd_parts *parts);
/* fd is taken. Closed at once where the rules do not let its peer ask. */
void policyd_accept(struct policyd *d, int fd, const struct net_addr *addr,
    const struct peer_rules *rules, int64_t now);
void policyd_free(struct policyd *d); /* closes what is open */

#endif
