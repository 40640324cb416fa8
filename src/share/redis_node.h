/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection to one Redis or Valkey server; redis_link.h is what others
 * use. Commands are sent one behind the other without waiting, and answered in
 * their order. It connects by itself, asks a sentinel each time where there are
 * some, logs in, chooses its database, and is up only where the server is a
 * master, and one of a cluster that works. It is given up, and never used
 * again, when an answer takes longer than its deadline, when the server says
 * something that is no answer, or one that its reader takes for an outage:
 * whatever is open then is answered with NULL, and a new connection is tried,
 * at first soon, later every few seconds. Event loop's thread.
 */
#ifndef SHARE_REDIS_NODE_H
#define SHARE_REDIS_NODE_H

#include "share/redis_link.h"

struct redis_node;

enum redis_node_job {
	REDIS_NODE_WORKS, /* runs scripts */
	REDIS_NODE_GUIDES /* tells the slots of the cluster, once */
};

/* None may free the node. */
struct redis_node_ops {
	void (*on_up)(void *arg, int64_t now);
	/* It was up, or a try to get there failed. */
	void (*on_down)(void *arg, const char *why, int64_t now);
	/* Of a guide, which is never up: the answer to CLUSTER SLOTS. */
	void (*on_slots)(
	    void *arg, const struct resp_value *slots, int64_t now);
};

struct redis_run { /* borrowed for the call */
	struct redis_script *script;
	struct str tail; /* what follows the script's name on the wire */
	unsigned words;  /* of the whole command */
	bool is_asking;  /* ASKING goes before it */
	bool is_again;   /* the server did not know the script */
};

/* reply NULL: there will be none; what is returned then does not count. False:
 * it is an outage of the server, which is given up; fn is called once more,
 * with NULL. */
typedef bool redis_node_fn(
    void *arg, const struct resp_value *reply, int64_t now);

/* settings is borrowed and lives longer. host: NULL for the server of the
 * URL, or the one that its sentinels name. */
struct redis_node *redis_node_new(struct loop *loop,
    const struct redis_link_settings *settings, const struct redis_host *host,
    enum redis_node_job job, const struct redis_node_ops *ops, void *arg);
/* Open commands are forgotten. */
void redis_node_free(struct redis_node *n); /* takes NULL */
bool redis_node_is_up(const struct redis_node *n);
size_t redis_node_open(const struct redis_node *n);
void redis_node_memory(
    const struct redis_node *n, struct redis_link_memory *out);
/* False: it is not up, or too much is open; fn is not called. */
MUST_CHECK bool redis_node_run(struct redis_node *n,
    const struct redis_run *run, redis_node_fn *fn, void *arg);
/* Nobody waits for the answer to this any more. */
void redis_node_forget(struct redis_node *n, const void *arg);

#endif
