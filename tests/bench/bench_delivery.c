/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How fast released mail leaves: fills a spool with messages of 1 KB, then lets
 * all of them go to smtp-sink; beside it, in the same run, smtp-source straight
 * to the same smtp-sink with as many connections. Both programs are Debian's
 * (package postfix).
 *
 * bench_delivery [MESSAGES [CONCURRENCY [DIRECTORY]]]
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "delivery/delivery.h"
#include "os/clock.h"

#define BODY_SIZE 1024
#define PUTS_AT_ONCE 500

struct bench {
	uint32_t messages, concurrency;
	char dir[256];
	char address[64];
	pid_t sink;
	struct loop *loop;
	struct spool *spool;
	struct nexthop *n;
	struct delivery *d;
	struct counters counters;
	uint32_t put, stored;
	struct loop_timer tick;
};

static double
seconds(void)
{
	return (double)clock_mono_ns() / 1e9;
}

static double
cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static pid_t
spawn(const char *const *argv)
{
	pid_t pid = fork();

	if (pid == 0) {
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid;
}

/* A port that was free a moment ago. */
static unsigned
free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		panic("bench: no port");
	close(fd);
	return ntohs(a.sin_port);
}

static bool
can_connect(unsigned port)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool ok;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ok = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	close(fd);
	return ok;
}

static bool
start_sink(struct bench *b)
{
	unsigned port = free_port();
	const char *const argv[] = {"smtp-sink", "-u", "nobody", "-m", "1000",
	    b->address, "1000", NULL};
	const char *const plain[] = {
	    "smtp-sink", "-m", "1000", b->address, "1000", NULL};
	const struct timespec nap = {.tv_nsec = 10000000};

	snprintf(b->address, sizeof(b->address), "127.0.0.1:%u", port);
	b->sink = spawn(getuid() == 0 ? argv : plain);
	for (int i = 0; i < 300; i++) {
		if (can_connect(port))
			return true;
		if (waitpid(b->sink, NULL, WNOHANG) == b->sink)
			return false;
		nanosleep(&nap, NULL);
	}
	return false;
}

static double
run_direct(const struct bench *b)
{
	char messages[16], sessions[16];
	const char *const argv[] = {"smtp-source", "-s", sessions, "-m",
	    messages, "-l", "1024", "-d", "-f", "a@example.com", "-t",
	    "b@example.com", b->address, NULL};
	double start = seconds();

	snprintf(messages, sizeof(messages), "%u", (unsigned)b->messages);
	snprintf(sessions, sizeof(sessions), "%u", (unsigned)b->concurrency);
	waitpid(spawn(argv), NULL, 0);
	return seconds() - start;
}

static void on_put(void *arg, int error);

static void
put(struct bench *b)
{
	static const char line[] =
	    "This is a line of a message of about one kilobyte.\r\n";
	int64_t wall = clock_wall_ms();
	const struct spool_rcpt rcpt = {.address = "b@example.com",
	    .state = SPOOL_RELEASED,
	    .next_try = wall};
	const struct spool_message m = {
	    .id = spool_new_id(b->spool, wall),
	    .source = "a@example.com",
	    .policy = "default",
	    .from = "a@example.com",
	    .client = "127.0.0.1",
	    .helo = "bench",
	    .queued_at = wall,
	    .rcpts = &rcpt,
	    .rcpt_count = 1,
	};
	struct spool_body *body = spool_body_new(b->spool, m.id);

	for (size_t n = 0; n < BODY_SIZE; n += sizeof(line) - 1)
		(void)spool_body_write(body, line, sizeof(line) - 1);
	b->put++;
	spool_put(b->spool, &m, body, on_put, b);
}

static void
on_put(void *arg, int error)
{
	struct bench *b = arg;

	if (error != 0)
		panic("bench: put: %s", strerror(error));
	if (++b->stored == b->messages)
		loop_stop(b->loop);
	else if (b->put < b->messages)
		put(b);
}

static void
on_spool(void *arg, int64_t now)
{
	(void)now;
	spool_dispatch(arg);
}

static void
on_tick(void *arg, int64_t now)
{
	struct bench *b = arg;
	struct spool_stats s;

	spool_stats(b->spool, &s);
	if (s.messages == 0 && delivery_active(b->d) == 0)
		loop_stop(b->loop);
	else
		loop_timer_set(&b->tick, now + 5);
}

static void
open_spool(struct bench *b)
{
	const struct spool_settings settings = {
	    .dir = b->dir,
	    .large_body_bytes = 256 << 10,
	    .body_memory_bytes = 16 << 20,
	    .outstanding_max = 10000,
	};
	char err[256];
	int status;

	b->spool = spool_open(&settings, NULL, err, sizeof(err), &status);
	if (b->spool == NULL)
		panic("bench: %s", err);
}

static void
open_delivery(struct bench *b, struct events *events)
{
	const char *addresses[] = {b->address};
	const struct nexthop_settings hops = {
	    .addresses = addresses,
	    .address_count = 1,
	    .hostname = "bench.example.com",
	    .connect_timeout_ms = 10000,
	    .timeouts = {60000, 60000, 60000, 60000},
	    .connections_max = 100,
	    .idle_max = 100,
	    .idle_timeout_ms = 60000,
	    .rest_ms = 1000,
	};
	const struct delivery_settings settings = {
	    .hostname = "bench.example.com",
	    .concurrency = b->concurrency,
	    .retry_min_ms = 60000,
	    .retry_max_ms = 3600000,
	    .max_age_ms = 86400000,
	};
	char err[256];

	b->n =
	    nexthop_new(b->loop, &hops, &b->counters, NULL, err, sizeof(err));
	if (b->n == NULL)
		panic("bench: %s", err);
	b->d = delivery_new(
	    b->loop, b->spool, b->n, &settings, events, &b->counters, NULL);
}

static void
run_delivery(struct bench *b, double direct)
{
	double start, cpu, fill = seconds(), took;
	struct events *events = events_new();
	struct loop_watch *watch;

	b->loop = loop_new();
	open_spool(b);
	watch = loop_watch_new(b->loop, spool_fd(b->spool), on_spool, b->spool);
	for (int i = 0; i < PUTS_AT_ONCE && b->put < b->messages; i++)
		put(b);
	loop_run(b->loop);
	fill = seconds() - fill;
	open_delivery(b, events);
	start = seconds();
	cpu = cpu_seconds();
	delivery_kick(b->d, loop_now(b->loop), clock_wall_ms());
	loop_timer_init(&b->tick, b->loop, on_tick, b);
	loop_timer_set(&b->tick, loop_now(b->loop));
	loop_run(b->loop);
	took = seconds() - start;
	cpu = cpu_seconds() - cpu;
	printf("stored     %8.0f msg/s\n", b->messages / fill);
	printf("delivered  %8.0f msg/s  %.2f of direct"
	       "  cpu %.4f s per 1000\n",
	    b->messages / took, direct / took, cpu / b->messages * 1000);
	delivery_free(b->d);
	nexthop_free(b->n);
	loop_timer_clear(&b->tick);
	loop_watch_free(watch);
	spool_close(b->spool);
	events_free(events);
	loop_free(b->loop);
}

static void
remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[512];

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (unlink(path) != 0)
			remove_dir(path);
	}
	if (d != NULL)
		closedir(d);
	rmdir(dir);
}

int
main(int argc, char **argv)
{
	struct bench b = {
	    .messages = argc > 1 ? (uint32_t)atol(argv[1]) : 100000,
	    .concurrency = argc > 2 ? (uint32_t)atol(argv[2]) : 20,
	};
	double direct;

	snprintf(b.dir, sizeof(b.dir), "%s/weir-bench-XXXXXX",
	    argc > 3 ? argv[3] : "/var/tmp");
	if (mkdtemp(b.dir) == NULL)
		panic("bench: %s", b.dir);
	if (!start_sink(&b)) {
		printf("no smtp-sink here: nothing measured\n");
		rmdir(b.dir);
		return 0;
	}
	direct = run_direct(&b);
	printf("%u messages of 1 KB, %u connections\n", (unsigned)b.messages,
	    (unsigned)b.concurrency);
	printf("direct     %8.0f msg/s\n", b.messages / direct);
	run_delivery(&b, direct);
	kill(b.sink, SIGTERM);
	waitpid(b.sink, NULL, 0);
	remove_dir(b.dir);
	return 0;
}
