/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Load for bench_netd.py, and its measure of comparison:
 *
 *	netload serve PORT			accept and close; take UDP
 *	netload tcp ADDRESS PORT SECONDS N	connections a second, N at once
 *	netload udp ADDRESS PORT SECONDS N	packets that arrived, a second
 *	netload latency ADDRESS PORT SECONDS N	median microseconds of one
 *	netload accept QUEUE			a netfilter queue that accepts
 *						each packet, and no more
 */
#include "config.h"

#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PARALLEL_MAX 64
#define SAMPLES_MAX 200000
#define ASK_EACH_US 2000
#define QUIET_S 0.05

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct sockaddr_in
address(const char *text, const char *port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};

	if (inet_pton(AF_INET, text, &sin.sin_addr) != 1)
		exit(64);
	return sin;
}

/* ---- serve ---- */

/* UDP: a packet "?" asks how many came since the last one. */
static void
serve_udp(int fd)
{
	static uint64_t count;
	struct sockaddr_in peer;
	socklen_t n = sizeof(peer);
	char buf[64];
	ssize_t got;

	for (int i = 0; i < 256; i++) {
		got = recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT,
		    (struct sockaddr *)&peer, &n);
		if (got < 0)
			return;
		if (got == 1 && buf[0] == '?') {
			if (sendto(fd, &count, sizeof(count), 0,
				(struct sockaddr *)&peer, n) < 0)
				return;
			count = 0;
		} else {
			count++;
		}
	}
}

static int
serve(const char *port)
{
	struct sockaddr_in any = address("0.0.0.0", port);
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int udp = socket(AF_INET, SOCK_DGRAM, 0), one = 1, big = 64 << 20;
	struct pollfd p[2] = {
	    {.fd = tcp, .events = POLLIN}, {.fd = udp, .events = POLLIN}};

	setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	if (bind(tcp, (struct sockaddr *)&any, sizeof(any)) != 0 ||
	    listen(tcp, 4096) != 0 ||
	    bind(udp, (struct sockaddr *)&any, sizeof(any)) != 0)
		return 71;
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int fd;

		poll(p, 2, -1);
		while ((fd = accept(tcp, NULL, NULL)) >= 0)
			close(fd);
		serve_udp(udp);
	}
}

/* ---- load ---- */

/* A reset at the end leaves no port behind in TIME_WAIT. */
static void
reset(int fd)
{
	struct linger now_at_once = {.l_onoff = 1};

	setsockopt(
	    fd, SOL_SOCKET, SO_LINGER, &now_at_once, sizeof(now_at_once));
	close(fd);
}

static void
begin(int epoll, const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct epoll_event e = {.events = EPOLLOUT, .data.fd = fd};

	if (fd < 0 ||
	    (connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0 &&
		errno != EINPROGRESS) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0)
		exit(71);
}

static double
load_tcp(const struct sockaddr_in *to, double seconds, int parallel)
{
	int epoll = epoll_create1(0);
	double start = now();
	uint64_t done = 0;

	for (int i = 0; i < parallel; i++)
		begin(epoll, to);
	while (now() - start < seconds) {
		struct epoll_event e[PARALLEL_MAX];
		int n = epoll_wait(epoll, e, PARALLEL_MAX, 1000);

		for (int i = 0; i < n; i++) {
			reset(e[i].data.fd);
			done++;
			begin(epoll, to);
		}
	}
	return (double)done / (now() - start);
}

static uint64_t
ask_count(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t count = 0;

	if (send(fd, "?", 1, 0) != 1 || poll(&p, 1, 5000) != 1 ||
	    recv(fd, &count, sizeof(count), 0) != (ssize_t)sizeof(count))
		exit(75);
	return count;
}

/* Asks until nothing more comes; the last moment at which something had. */
static double
drain(int asking, uint64_t *arrived)
{
	double last = now();
	uint64_t n;

	while (now() - last < QUIET_S) {
		usleep(ASK_EACH_US);
		n = ask_count(asking);
		*arrived += n;
		if (n > 0)
			last = now();
	}
	return last;
}

/* Each packet from a socket that has no answer: the kernel's connection
 * tracking holds none of them for established. What still waits in a queue at
 * the end counts with the time that it takes. */
static double
load_udp(const struct sockaddr_in *to, double seconds)
{
	int asking = socket(AF_INET, SOCK_DGRAM, 0);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint64_t arrived = 0;
	double start, took;

	if (connect(asking, (const struct sockaddr *)to, sizeof(*to)) != 0 ||
	    connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0)
		exit(71);
	(void)ask_count(asking);
	start = now();
	while (now() - start < seconds) {
		for (int i = 0; i < 64; i++) {
			if (send(fd, "xx", 2, 0) < 0 && errno != ENOBUFS)
				exit(71);
		}
	}
	took = drain(asking, &arrived) - start;
	return (double)arrived / took;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
load_latency(const struct sockaddr_in *to, double seconds)
{
	double *took = xcalloc(SAMPLES_MAX, sizeof(*took)), start = now();
	double median;
	size_t n = 0;

	while (n < SAMPLES_MAX && now() - start < seconds) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		double t = now();

		if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0)
			exit(71);
		took[n++] = (now() - t) * 1e6;
		reset(fd);
	}
	qsort(took, n, sizeof(*took), compare);
	median = took[n / 2];
	free(took);
	return median;
}

/* ---- the queue to compare with ---- */

static void
answer(struct mnl_socket *s, uint16_t queue, const struct nlmsghdr *in)
{
	struct nlattr *attr[NFQA_MAX + 1] = {NULL};
	struct nfqnl_msg_packet_hdr *header;
	struct nlmsghdr *out;
	char buf[256];

	if (nfq_nlmsg_parse(in, attr) < 0 || attr[NFQA_PACKET_HDR] == NULL)
		return;
	header = mnl_attr_get_payload(attr[NFQA_PACKET_HDR]);
	out = nfq_nlmsg_put(buf, NFQNL_MSG_VERDICT, queue);
	nfq_nlmsg_verdict_put(out, (int)ntohl(header->packet_id), NF_ACCEPT);
	mnl_socket_sendto(s, out, out->nlmsg_len);
}

static int
accept_all(const char *number)
{
	uint16_t queue = (uint16_t)strtoul(number, NULL, 10);
	struct mnl_socket *s = mnl_socket_open(NETLINK_NETFILTER);
	struct nlmsghdr *nlh;
	static char buf[1 << 17];
	int big = 8 << 20;

	if (s == NULL || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		return 71;
	setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_RCVBUFFORCE, &big,
	    sizeof(big));
	nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, queue);
	nfq_nlmsg_cfg_put_cmd(nlh, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
	mnl_socket_sendto(s, nlh, nlh->nlmsg_len);
	nlh = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, queue);
	nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_PACKET, 256);
	nfq_nlmsg_cfg_put_qmaxlen(nlh, 65536);
	mnl_socket_sendto(s, nlh, nlh->nlmsg_len);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));
		int left = (int)n;

		nlh = (struct nlmsghdr *)buf;
		for (; n > 0 && mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_type ==
			    (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
				answer(s, queue, nlh);
		}
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in to;
	double seconds, result;

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(argv[2]);
	if (argc == 3 && strcmp(argv[1], "accept") == 0)
		return accept_all(argv[2]);
	if (argc != 6)
		return 64;
	to = address(argv[2], argv[3]);
	seconds = strtod(argv[4], NULL);
	if (strcmp(argv[1], "tcp") == 0)
		result = load_tcp(&to, seconds, (int)strtol(argv[5], NULL, 10));
	else if (strcmp(argv[1], "udp") == 0)
		result = load_udp(&to, seconds);
	else
		result = load_latency(&to, seconds);
	printf("%.2f\n", result);
	return 0;
}
