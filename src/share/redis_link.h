/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection to a Redis or Valkey server, for scripts: commands are sent
 * one behind the other without waiting, and answered in their order. It
 * connects by itself, asks a sentinel each time where there are some, logs in,
 * chooses its database, and is up only where the server is a master. It is
 * given up, and never used again, when an answer takes longer than the
 * deadline, when the server says something that is no answer, or that it cannot
 * do its work now (LOADING, READONLY, MASTERDOWN, BUSY, CLUSTERDOWN, OOM,
 * MISCONF, NOPERM, ...): whatever is open then is answered with NULL, and a new
 * connection is tried, at first soon, later every few seconds. Event loop's
 * thread.
 */
#ifndef SHARE_REDIS_LINK_H
#define SHARE_REDIS_LINK_H

#include "net/loop.h"
#include "net/tls.h"
#include "os/log.h"
#include "share/redis_url.h"
#include "share/resp.h"

#define REDIS_LINK_OPEN_MAX 4096 /* commands without an answer */
#define REDIS_LINK_WHY_MAX 256

struct redis_link;

struct redis_link_settings { /* copied, but for tls, which is referenced */
	struct redis_url url;
	const char *user;       /* NULL: the default user */
	struct str password;    /* empty: none */
	struct tls_client *tls; /* for is_tls */
	const char *tls_name;   /* the certificate's; NULL: the host */
	int64_t deadline_ms;    /* of an answer */
};

/* Neither may free the link. */
struct redis_link_ops {
	void (*on_up)(void *arg, int64_t now);
	/* It was up, or a try to get there failed. why: in words, made safe
	 * for a log. */
	void (*on_down)(void *arg, const char *why, int64_t now);
};

/* A script; of one link. sha is filled in on first use. */
struct redis_script {
	const char *text;
	char sha[41];
	uint64_t loaded_by; /* the connection that sent the text; one link */
};

/* reply NULL: there will be none. It may have been done or not. Borrowed. */
typedef void redis_link_fn(
    void *arg, const struct resp_value *reply, int64_t now);

struct redis_link *redis_link_new(struct loop *loop,
    const struct redis_link_settings *settings,
    const struct redis_link_ops *ops, void *arg);
/* Open commands are forgotten: nobody hears of them any more. */
void redis_link_free(struct redis_link *l); /* takes NULL */
bool redis_link_is_up(const struct redis_link *l);
/* What the server says of its memory and which keys it throws away when that is
 * full ("" : nothing was said), as of the last on_up. */
struct redis_link_memory {
	uint64_t max; /* bytes; 0: no bound */
	char policy[32];
};
void redis_link_memory(
    const struct redis_link *l, struct redis_link_memory *out);
/* Runs a script: EVALSHA, and once EVAL where the server does not know it. keys
 * and then args. False: it is not up, or too much is open; fn is not called. An
 * error reply never gets to fn. */
MUST_CHECK bool redis_link_run(struct redis_link *l,
    struct redis_script *script, const struct str *keys, size_t key_count,
    const struct str *args, size_t arg_count, redis_link_fn *fn, void *arg);

#endif
