/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decisions of the shared throttle per second, with one local redis-server and
 * CLIENTS questions on their way at once: a decision is one question that asks
 * about a new recipient and ends the one before. What the same server answers
 * to an EVALSHA that does nothing stands beside it. Then the bytes that a
 * sender takes there.
 *
 * bench_arbiter [DECISIONS [SENDERS]]
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "share/arbiter.h"

#define CLIENTS 20

struct bench {
	char dir[64];
	pid_t server;
	struct loop *loop;
	struct redis_link *link;
	struct seal *seal;
	struct arbiter *arbiter;
	uint64_t left, open, senders, next, lost;
	struct throttle_policy policy;
	struct redis_script nothing, memory;
	struct redis_script *script; /* of run_nothing */
	int64_t integer;
};

static void ask(struct bench *b);

static void
on_up(void *arg, int64_t now)
{
	(void)now;
	loop_stop(((struct bench *)arg)->loop);
}

static void
on_down(void *arg, const char *why, int64_t now)
{
	const struct bench *b = arg;

	(void)now;
	if (b->next > 0)
		fprintf(stderr, "shared throttle: %s\n", why);
}

static const struct redis_link_ops link_ops = {
    .on_up = on_up, .on_down = on_down};

static void
go_on(struct bench *b, void (*again)(struct bench *b))
{
	b->open--;
	if (b->left > 0)
		again(b);
	else if (b->open == 0)
		loop_stop(b->loop);
}

static void
on_answer(void *arg, const struct share_answer *answer, int64_t now)
{
	struct bench *b = arg;

	(void)now;
	b->lost += answer == NULL;
	go_on(b, ask);
}

static void
ask(struct bench *b)
{
	static const struct share_level seed = {.allowance = 10, .tick_in = -1};
	uint64_t n = b->next++;
	char sender[40];
	struct share_step steps[2] = {
	    {.what = SHARE_PASSED,
		.destination = n / b->senders - 1,
		.reservation = n - b->senders + 1},
	    {.what = SHARE_RESERVE,
		.destination = n / b->senders,
		.reservation = n + 1},
	};
	struct share_question q = {
	    .sender = {sender, 0},
	    .policy = &b->policy,
	    .seed = n < b->senders ? &seed : NULL,
	    .steps = steps,
	    .steps_n = 2,
	};

	q.sender.n = (size_t)snprintf(sender, sizeof(sender),
	    "<user%" PRIu64 "@example.org>", n % b->senders);
	b->left--;
	b->open++;
	if (!arbiter_ops.ask(b->arbiter, &q, on_answer, b)) {
		fprintf(stderr, "the server is not there\n");
		exit(1);
	}
}

static void run_nothing(struct bench *b);

static void
on_nothing(void *arg, const struct resp_value *reply, int64_t now)
{
	struct bench *b = arg;

	(void)now;
	b->integer = reply != NULL ? reply->integer : -1;
	go_on(b, run_nothing);
}

static void
run_nothing(struct bench *b)
{
	struct str key = STR("{weir:4:x}:state"), arg = STR("");

	b->left--;
	b->open++;
	if (!redis_link_run(
		b->link, b->script, &key, 1, &arg, 1, on_nothing, b))
		exit(1);
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
measure(struct bench *b, uint64_t n, void (*one)(struct bench *b))
{
	double began = seconds();

	b->left = n;
	for (unsigned i = 0; i < CLIENTS && b->left > 0; i++)
		one(b);
	loop_run(b->loop);
	return (double)n / (seconds() - began);
}

static void
start(struct bench *b)
{
	struct redis_link_settings s = {.deadline_ms = 60000};
	char socket[96], text[128], why[128];

	snprintf(b->dir, sizeof(b->dir), "/tmp/weir-bench-XXXXXX");
	if (mkdtemp(b->dir) == NULL)
		exit(1);
	snprintf(socket, sizeof(socket), "%s/redis.sock", b->dir);
	b->server = fork();
	if (b->server == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("redis-server", "redis-server", "--port", "0",
		    "--unixsocket", socket, "--dir", b->dir, "--save", "",
		    "--loglevel", "warning", "--logfile", "/dev/null", NULL);
		_exit(127);
	}
	b->loop = loop_new();
	b->seal = seal_new(STR("a secret of this site alone"));
	snprintf(text, sizeof(text), "unix:%s", socket);
	if (!redis_url_parse(text, &s.url, why, sizeof(why)))
		exit(1);
	b->link = redis_link_new(b->loop, &s, &link_ops, b);
	b->arbiter = arbiter_new(b->link, b->seal, "weir", "mx1");
	loop_run(b->loop);
}

static void
stop(struct bench *b)
{
	char socket[96];

	redis_link_free(b->link);
	arbiter_free(b->arbiter);
	seal_free(b->seal);
	loop_free(b->loop);
	(void)kill(b->server, SIGKILL);
	(void)waitpid(b->server, NULL, 0);
	snprintf(socket, sizeof(socket), "%s/redis.sock", b->dir);
	(void)unlink(socket);
	(void)rmdir(b->dir);
}

int
main(int argc, char **argv)
{
	struct bench b = {
	    .policy = throttle_profile_mail,
	    .nothing = {.text = "return 1"},
	    .memory = {.text = "local n, size = 0, 0 "
			       "for _, k in ipairs(redis.call('KEYS', '*')) do "
			       "size = size + redis.call('MEMORY', 'USAGE', k) "
			       "end return size"},
	};
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
	double bare, decisions;

	b.senders = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000;
	if (system("redis-server --version >/dev/null 2>&1") != 0) {
		printf("shared throttle: no redis-server here\n");
		return 0;
	}
	b.policy.limit_count = 1;
	b.policy.limits[0] = (struct throttle_limit){100, 86400000};
	b.script = &b.nothing;
	start(&b);
	(void)measure(&b, 1000, run_nothing);
	bare = measure(&b, n, run_nothing);
	(void)measure(&b, b.senders, ask);
	decisions = measure(&b, n, ask);
	b.script = &b.memory; /* a link knows a script by its place */
	(void)measure(&b, 1, run_nothing);
	printf(
	    "shared throttle: %.0f decisions/s, %.2f of an empty script "
	    "(%.0f/s); %.0f bytes a sender with %.0f recipients; lost %llu\n",
	    decisions, decisions / bare, bare,
	    (double)b.integer / (double)b.senders,
	    (double)b.next / (double)b.senders, (unsigned long long)b.lost);
	stop(&b);
	return 0;
}
