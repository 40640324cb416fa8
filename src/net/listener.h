/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listening sockets: bound before privileges are dropped, watched afterwards.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/addr.h"
#include "net/loop.h"

struct listener;

struct listener_options {
	int backlog;
	unsigned unix_mode; /* permission of a Unix socket, e.g. 0660 */
	int unix_gid;       /* its group, -1: as it comes */
};

/* Binds and listens; IPv6 sockets are v6only. A Unix socket that nobody
 * listens on is replaced, any other file is not. NULL and a reason in err
 * ("127.0.0.1:25: address already in use"). */
struct listener *listener_new(const struct net_addr *addr,
    const struct listener_options *options, char *err, size_t cap);
/* Starts to accept: on_accept owns fd. On EMFILE accepting rests for a
 * moment and on_trouble is told. */
void listener_start(struct listener *ln, struct loop *l,
    void (*on_accept)(
	void *arg, int fd, const struct net_addr *peer, int64_t now),
    void (*on_trouble)(void *arg, int error, int64_t now), void *arg);
void listener_stop(struct listener *ln); /* stays bound, accepts nothing */
const struct net_addr *listener_addr(const struct listener *ln); /* as bound,
								    port 0
								    resolved */
void listener_free(struct listener *ln); /* unlinks its Unix socket */

#endif
