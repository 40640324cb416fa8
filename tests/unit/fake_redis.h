/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A Redis server that a test plays, on the test's loop: it greets as a master
 * does, by itself, and hands everything else to the test. Its port is one of
 * 127.0.0.1. redis_rig.h has a real one.
 */
#ifndef TESTS_UNIT_FAKE_REDIS_H
#define TESTS_UNIT_FAKE_REDIS_H

#include "net/conn.h"
#include "net/listener.h"
#include "share/redis_link.h"
#include "share/resp.h"
#include "share/seal.h"

#define FAKE_REDIS_CONNS 16
#define FAKE_REDIS_EPOCH "0123456789abcdef" /* of a stream */

struct fake_redis;

struct fake_redis_peer { /* a connection that it took */
	struct fake_redis *r;
	struct conn *conn;
	struct resp *in;
};

struct fake_redis {
	struct loop *loop;
	struct listener *listener;
	char at[NET_ADDR_TEXT_MAX];
	/* A command that is none of the greeting. */
	void (*on_command)(void *arg, struct fake_redis_peer *p,
	    const struct resp_value *command);
	void *arg;
	/* What it answers to ROLE (NULL: nothing any more), INFO, CLUSTER INFO
	 * and CLUSTER SLOTS. At first: a master, without a bound of memory, of
	 * a cluster that works and has it alone. */
	const char *role, *info, *cluster_info, *map;
	char own_map[128];
	unsigned accepted, maps; /* maps: asked for */
	struct fake_redis_peer peers[FAKE_REDIS_CONNS];
	struct fake_redis_peer *last; /* that came; NULL: it is gone */
	/* The latest on the wire since INFO, of all connections; terminated. */
	char heard[8192];
	size_t heard_n;
};

extern const char fake_redis_master[], fake_redis_replica[];
extern const char fake_redis_cluster_ok[], fake_redis_cluster_down[];

/* r is filled in; loop is borrowed and lives longer. */
void fake_redis_open(struct fake_redis *r, struct loop *loop,
    void (*on_command)(
	void *arg, struct fake_redis_peer *p, const struct resp_value *command),
    void *arg);
void fake_redis_close(struct fake_redis *r);
/* Closes what is open. */
void fake_redis_hang_up(struct fake_redis *r);
/* Bytes of an answer; say: to the last connection that came. */
void fake_redis_answer(struct fake_redis_peer *p, struct str bytes);
void fake_redis_say(struct fake_redis *r, const char *text);
/* A link to it; before: what stands before its address, as "redis://". */
struct redis_link *fake_redis_link(const struct fake_redis *r,
    const char *before, struct redis_link_settings *settings,
    const struct redis_link_ops *ops, void *arg);

/* ---- streams (share/stream.h) ---- */

#define FAKE_REDIS_READ_WORDS 8 /* of the command that reads one */
/* An answer to that, with room for so many entries; top: the latest. */
void fake_redis_begin(struct buf *reply, unsigned entries, int top);
void fake_redis_entry(struct buf *reply, unsigned id, struct str plain,
    const char *about, const struct seal *seal);
/* The records of a command that adds: fn(arg, plain) for each. */
void fake_redis_each_added(const struct resp_value *command, const char *about,
    const struct seal *seal, void (*fn)(void *arg, struct str plain),
    void *arg);

#endif
