/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A way to a Redis or Valkey server, or to a cluster of them, for scripts:
 * commands are sent one behind the other without waiting, and answered in their
 * order at each server. It connects by itself, finds the master (with
 * sentinels, or by the cluster's slot map), and leaves a server that does not
 * answer within the deadline, that says no answer, or that it cannot do its
 * work now (LOADING, READONLY, MASTERDOWN, BUSY, OOM, MISCONF, NOPERM, ...).
 * What is open at such a server then is answered with NULL.
 *
 * In a cluster each master has a connection, and the questions about the keys
 * of the others go on. MOVED and ASK are followed, TRYAGAIN is tried again,
 * all of that within the one deadline of the question, and the map is learnt
 * anew. All keys of a script lie in one slot: they share what stands in braces.
 * Event loop's thread.
 */
#ifndef SHARE_REDIS_LINK_H
#define SHARE_REDIS_LINK_H

#include "net/loop.h"
#include "net/tls.h"
#include "os/log.h"
#include "share/redis_url.h"
#include "share/resp.h"

#define REDIS_LINK_OPEN_MAX 4096 /* commands without an answer, of a server */
#define REDIS_LINK_WHY_MAX 256

struct redis_link;

struct redis_link_settings { /* copied, but for tls, which is referenced */
	struct redis_url url;
	const char *user;             /* NULL: the default user */
	struct str password;          /* empty: none */
	struct tls_client *tls;       /* for is_tls */
	const char *tls_name;         /* the certificate's; NULL: the host */
	int64_t deadline_ms;          /* of an answer */
	struct str sentinel_password; /* empty: none */
};

/* What the server says of its memory and which keys it throws away when that is
 * full ("" : nothing was said), as of the last on_up. */
struct redis_link_memory {
	uint64_t max; /* bytes; 0: no bound */
	char policy[32];
};

struct redis_link_node { /* a master of a cluster; borrowed */
	char at[REDIS_HOST_TEXT_MAX];
	unsigned slots;
	bool is_up;
	const char *why; /* it is not; "" */
	int64_t since;   /* of the loop's clock: it went up or down */
	struct redis_link_memory memory;
};

/* Neither may free the link. */
struct redis_link_ops {
	void (*on_up)(void *arg, int64_t now);
	/* It was up, or a try to get there failed. why: in words, made safe
	 * for a log. Of a cluster: no server of it is there. */
	void (*on_down)(void *arg, const char *why, int64_t now);
	/* Of a cluster: a master went up or down, or is one no more (slots is
	 * 0). May be NULL. */
	void (*on_node)(
	    void *arg, const struct redis_link_node *node, int64_t now);
};

/* A script. sha is filled in on first use. */
struct redis_script {
	const char *text;
	char sha[41];
};

/* reply NULL: there will be none. It may have been done or not. Borrowed. */
typedef void redis_link_fn(
    void *arg, const struct resp_value *reply, int64_t now);

struct redis_link *redis_link_new(struct loop *loop,
    const struct redis_link_settings *settings,
    const struct redis_link_ops *ops, void *arg);
/* Open commands are forgotten: nobody hears of them any more. */
void redis_link_free(struct redis_link *l); /* takes NULL */
/* At least one server is. */
bool redis_link_is_up(const struct redis_link *l);
/* Of a cluster: of a server that throws keys away, if one does. */
void redis_link_memory(
    const struct redis_link *l, struct redis_link_memory *out);
/* All that there should be are. */
bool redis_link_is_whole(const struct redis_link *l);
/* The server of this key is there. Not: *why (may be NULL) has the words,
 * borrowed until the next turn of the loop; NULL: it has not been tried yet. */
bool redis_link_reaches(
    const struct redis_link *l, struct str key, const char **why);
/* The i-th master of a cluster; false: there are no more. */
bool redis_link_node(
    const struct redis_link *l, size_t i, struct redis_link_node *out);
/* Runs a script: EVALSHA, and once EVAL where the server does not know it. keys
 * (of one slot) and then args. False: the server is not up, or too much is
 * open; fn is not called. An error reply never gets to fn. */
MUST_CHECK bool redis_link_run(struct redis_link *l,
    struct redis_script *script, const struct str *keys, size_t key_count,
    const struct str *args, size_t arg_count, redis_link_fn *fn, void *arg);

#endif
