/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The test worm: a harmless scanner. It opens TCP connections or sends UDP
 * packets of one byte at a set rate to addresses of a range, and with --listen
 * it begins when it is reached itself. Nothing is ever executed or copied. It
 * refuses to run towards anything but loopback, and 10.99.0.0/16 or fd99::/64
 * from within a network namespace whose name begins with weirtest.
 *
 *	worm --protocol tcp --rate 20 --net 10.99.1.0/24 --port 80 --seconds 5
 *	    [--listen] [--order] [--seed N]
 *
 * It prints "infected TIME" when it is reached, "start TIME" at its first
 * attempt and "end TIME ATTEMPTS"; times are CLOCK_MONOTONIC seconds.
 */
#include "base/ip.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OPEN_MAX 512 /* connections under way; older ones are given up */
#define NAMESPACES "/run/netns"
#define PREFIX "weirtest"

struct worm {
	bool udp, listen, in_order;
	double rate, seconds;
	struct ip_net net;
	uint16_t port;
	uint64_t random;
	uint64_t attempts;
	int open[OPEN_MAX];
};

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- where it may run ---- */

static bool
is_test_namespace(void)
{
	struct stat own, other;
	struct dirent *entry;
	bool found = false;
	char path[512];
	DIR *dir = opendir(NAMESPACES);

	if (dir == NULL || stat("/proc/self/ns/net", &own) != 0) {
		if (dir != NULL)
			closedir(dir);
		return false;
	}
	while (!found && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		snprintf(path, sizeof(path), NAMESPACES "/%s", entry->d_name);
		found = stat(path, &other) == 0 && other.st_ino == own.st_ino &&
			other.st_dev == own.st_dev;
	}
	closedir(dir);
	return found;
}

static bool
may_scan(const struct ip_net *net)
{
	static const char *const test_nets[] = {"10.99.0.0/16", "fd99::/64"};

	if (ip_is_loopback(&net->ip))
		return net->ip.family == IP_V6 ? net->bits == 128
					       : net->bits >= 8;
	for (size_t i = 0; i < ARRAY_LEN(test_nets); i++) {
		struct ip_net allowed;

		if (ip_net_parse(str_from(test_nets[i]), &allowed) &&
		    net->bits >= allowed.bits && ip_net_has(&allowed, &net->ip))
			return is_test_namespace();
	}
	return false;
}

/* ---- what it does ---- */

static uint64_t
draw(struct worm *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static socklen_t
target(struct worm *w, struct sockaddr_storage *ss)
{
	bool v6 = w->net.ip.family == IP_V6;
	unsigned size = v6 ? 128 : 32, host_bits = size - w->net.bits;
	uint64_t n = w->in_order ? w->attempts + 1 : draw(w);
	struct ip ip = w->net.ip;

	if (host_bits > 16)
		host_bits = 16;
	n &= (UINT64_C(1) << host_bits) - 1;
	for (unsigned i = 0; i * 8 < host_bits; i++)
		ip.bytes[size / 8 - 1 - i] |= (uint8_t)(n >> 8 * i);
	memset(ss, 0, sizeof(*ss));
	if (v6) {
		struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;

		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(w->port);
		memcpy(&sin6->sin6_addr, ip.bytes, 16);
		return sizeof(*sin6);
	}
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;

	sin->sin_family = AF_INET;
	sin->sin_port = htons(w->port);
	memcpy(&sin->sin_addr, ip.bytes, 4);
	return sizeof(*sin);
}

static void
attempt(struct worm *w)
{
	int *place = &w->open[w->attempts % OPEN_MAX];
	struct sockaddr_storage ss;
	socklen_t n = target(w, &ss);
	int fd;

	if (*place >= 0)
		close(*place);
	*place = fd = socket(ss.ss_family,
	    (w->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	w->attempts++;
	if (fd < 0)
		return;
	if (w->udp)
		(void)!sendto(fd, "w", 1, 0, (struct sockaddr *)&ss, n);
	else
		(void)!connect(fd, (struct sockaddr *)&ss, n);
}

static void
wait_until(double when)
{
	double left = when - now();
	struct timespec ts;

	if (left <= 0)
		return;
	ts.tv_sec = (time_t)left;
	ts.tv_nsec = (long)((left - (double)ts.tv_sec) * 1e9);
	nanosleep(&ts, NULL);
}

static void
scan(struct worm *w)
{
	double start = now();

	printf("start %.6f\n", start);
	fflush(stdout);
	for (uint64_t i = 0; (double)i < w->rate * w->seconds; i++) {
		wait_until(start + (double)i / w->rate);
		attempt(w);
	}
	printf("end %.6f %llu\n", now(), (unsigned long long)w->attempts);
	fflush(stdout);
}

/* Blocks until the port is reached; the listener stays, for others to reach. */
static bool
wait_for_infection(const struct worm *w)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6,
	    .sin6_port = htons(w->port),
	    .sin6_addr = in6addr_any};
	int fd = socket(AF_INET6, w->udp ? SOCK_DGRAM : SOCK_STREAM, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0 ||
	    (!w->udp && listen(fd, 64) != 0))
		return false;
	printf("ready\n");
	fflush(stdout);
	if (poll(&p, 1, -1) != 1)
		return false;
	printf("infected %.6f\n", now());
	fflush(stdout);
	return true;
}

static bool
take_option(struct worm *w, int opt)
{
	switch (opt) {
	case 'P':
		w->udp = strcmp(optarg, "udp") == 0;
		return w->udp || strcmp(optarg, "tcp") == 0;
	case 'r':
		w->rate = strtod(optarg, NULL);
		return w->rate > 0 && w->rate <= 100000;
	case 'n':
		return ip_net_parse(str_from(optarg), &w->net);
	case 'p':
		w->port = (uint16_t)strtoul(optarg, NULL, 10);
		return w->port > 0;
	case 's':
		w->seconds = strtod(optarg, NULL);
		return w->seconds > 0 && w->seconds <= 3600;
	case 'S':
		w->random = strtoull(optarg, NULL, 10) * 2654435761U + 1;
		return true;
	case 'l':
		w->listen = true;
		return true;
	case 'o':
		w->in_order = true;
		return true;
	default:
		return false;
	}
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"protocol", required_argument, NULL, 'P'},
	    {"rate", required_argument, NULL, 'r'},
	    {"net", required_argument, NULL, 'n'},
	    {"port", required_argument, NULL, 'p'},
	    {"seconds", required_argument, NULL, 's'},
	    {"seed", required_argument, NULL, 'S'},
	    {"listen", no_argument, NULL, 'l'},
	    {"order", no_argument, NULL, 'o'},
	    {0},
	};
	struct worm w = {.rate = 1, .seconds = 1, .random = 88172645463325252U};
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (!take_option(&w, opt)) {
			fprintf(stderr, "worm: bad option\n");
			return 64;
		}
	}
	if (w.net.ip.family == IP_NONE || w.port == 0) {
		fprintf(stderr, "worm: needs --net and --port\n");
		return 64;
	}
	if (!may_scan(&w.net)) {
		fprintf(stderr,
		    "worm: refuses: not loopback, nor a test's network "
		    "namespace\n");
		return 77;
	}
	for (size_t i = 0; i < OPEN_MAX; i++)
		w.open[i] = -1;
	if (w.listen && !wait_for_infection(&w)) {
		fprintf(stderr, "worm: %s\n", strerror(errno));
		return 71;
	}
	scan(&w);
	return 0;
}
