/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A redis-server of a test's own and a link to it, for tests that hold what is
 * decided there against what decides here.
 */
#ifndef TESTS_UNIT_REDIS_RIG_H
#define TESTS_UNIT_REDIS_RIG_H

#include "share/redis_link.h"
#include "share/seal.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pump.h"

struct redis_rig {
	char dir[64], socket[96];
	pid_t server;
	struct loop *loop;
	struct redis_link *link;
	struct seal *seal;
};

static inline void
redis_rig_on_up(void *arg, int64_t now)
{
	(void)arg;
	(void)now;
}

static inline void
redis_rig_on_down(void *arg, const char *why, int64_t now)
{
	(void)arg;
	(void)now;
	if (getenv("WEIR_TEST_VERBOSE") != NULL)
		fprintf(stderr, "redis: %s\n", why);
}

static inline bool
redis_rig_is_up(void *arg)
{
	return redis_link_is_up(((struct redis_rig *)arg)->link);
}

/* Without the server there is nothing to hold anything against. */
static inline bool
redis_rig_is_there(void)
{
	return system("redis-server --version >/dev/null 2>&1") == 0;
}

static inline void
redis_rig_open(struct redis_rig *r)
{
	static const struct redis_link_ops ops = {
	    .on_up = redis_rig_on_up, .on_down = redis_rig_on_down};
	struct redis_link_settings s = {.deadline_ms = PUMP_LIMIT_MS};
	char text[128], why[128];

	snprintf(r->dir, sizeof(r->dir), "/tmp/weir-oracle-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->socket, sizeof(r->socket), "%s/redis.sock", r->dir);
	r->server = fork();
	assert_true(r->server >= 0);
	if (r->server == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("redis-server", "redis-server", "--port", "0",
		    "--unixsocket", r->socket, "--dir", r->dir, "--save", "",
		    "--appendonly", "no", "--loglevel", "warning", NULL);
		_exit(127);
	}
	r->loop = loop_new();
	r->seal = seal_new(STR("a secret of this site alone"));
	snprintf(text, sizeof(text), "unix:%s", r->socket);
	assert_true(redis_url_parse(text, &s.url, why, sizeof(why)));
	r->link = redis_link_new(r->loop, &s, &ops, r);
	assert_true(pump_until(r->loop, redis_rig_is_up, r));
}

/* No answer comes any more. */
static inline void
redis_rig_stop(struct redis_rig *r)
{
	redis_link_free(r->link);
}

static inline void
redis_rig_close(struct redis_rig *r)
{
	char text[160];

	seal_free(r->seal);
	loop_free(r->loop);
	(void)kill(r->server, SIGTERM);
	(void)waitpid(r->server, NULL, 0);
	(void)unlink(r->socket);
	snprintf(text, sizeof(text), "%s/dump.rdb", r->dir);
	(void)unlink(text);
	(void)rmdir(r->dir);
}

#endif
