/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many bad clients in one process, for the tests of limits: so many
 * connections from so many loopback addresses, each of which goes through a
 * dialogue and then does what its kind does. Every line on standard input is
 * answered with the figures; its end ends them all.
 *
 *	many_clients PORT COUNT ADDRESSES KIND
 *
 * KIND: idle (says nothing), rcpt (begins a message), trickle (sends text a
 * byte at a time), half (half of a large message), deaf (asks and never reads),
 * hello (half of a TLS handshake), bomb (recipients as long as may be).
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "os/clock.h"

#define EVENTS 256
#define TICK_MS 200
#define HALF_BYTES 200000
#define DEAF_BYTES 4000000
#define BOMB_RCPTS 200
#define OPENING_MAX 100 /* connections that have not been answered */

enum kind { IDLE, RCPT, TRICKLE, HALF, DEAF, HELLO, BOMB, KINDS };

static const char *const kind_names[KINDS] = {
    "idle", "rcpt", "trickle", "half", "deaf", "hello", "bomb"};

struct client {
	int fd; /* -1: gone, or not there yet */
	unsigned step;
	size_t sent;   /* of what its kind sends at the end */
	char line[16]; /* start of the reply's line */
	unsigned line_n;
	bool answered, there; /* at the end of its dialogue */
};

struct many_clients {
	enum kind kind;
	unsigned short port;
	unsigned count, addresses, begun, gone;
	unsigned greeted, refused, there, told_to_go;
	unsigned long last_code;
	int64_t trickle_at;
	struct client *clients;
	char *text;
	int epoll;
};

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "many_clients: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
leave(struct many_clients *w, struct client *c)
{
	if (c->fd < 0)
		return;
	close(c->fd);
	c->fd = -1;
	w->gone++;
}

static void
say(struct many_clients *w, struct client *c, const char *text, size_t n)
{
	/* A dialogue fits in the socket's buffer. */
	if (send(c->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
		leave(w, c);
}

static void
say_rcpt(struct many_clients *w, struct client *c, unsigned i)
{
	char line[600];
	int n;

	if (w->kind == BOMB)
		n = snprintf(line, sizeof(line),
		    "RCPT TO:<%060u@%060u.%060u.%060u.example>\r\n", i, i, i,
		    i);
	else
		n = snprintf(line, sizeof(line),
		    "RCPT TO:<u%td@example.com>\r\n", c - w->clients);
	say(w, c, line, (size_t)n);
}

/* The next line of its dialogue; false: there is none. */
static bool
go_on(struct many_clients *w, struct client *c)
{
	static const char ehlo[] = "EHLO clients.test\r\n";
	static const char mail[] = "MAIL FROM:<a@example.org>\r\n";
	static const char data[] = "DATA\r\n";
	unsigned rcpts = w->kind == BOMB ? BOMB_RCPTS : 1;
	unsigned step = c->step++;

	if (w->kind == IDLE || w->kind == HELLO || (w->kind == DEAF && step))
		return false;
	if (step == 0)
		say(w, c, ehlo, sizeof(ehlo) - 1);
	else if (step == 1)
		say(w, c, mail, sizeof(mail) - 1);
	else if (step < 2 + rcpts)
		say_rcpt(w, c, step - 2);
	else if (step == 2 + rcpts && w->kind != RCPT && w->kind != BOMB)
		say(w, c, data, sizeof(data) - 1);
	else
		return false;
	return true;
}

static void
arrive(struct many_clients *w, struct client *c)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};

	c->there = true;
	w->there++;
	if (w->kind == DEAF)
		ev.events = EPOLLOUT; /* never reads again */
	if (w->kind == HALF || w->kind == DEAF)
		epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

static void
hear_reply(struct many_clients *w, struct client *c)
{
	unsigned long code = strtoul(c->line, NULL, 10);

	if (!c->answered) {
		c->answered = true;
		w->greeted += code == 220;
		w->refused += code == 421;
	} else if (code == 421) {
		w->told_to_go++;
	}
	w->last_code = code;
	if (code < 400 && !c->there && !go_on(w, c))
		arrive(w, c);
	else if (code >= 400 && w->kind == BOMB && c->step > 2 && !c->there)
		arrive(w, c);
	else if (code >= 400 && c->fd >= 0 && w->kind != BOMB)
		leave(w, c); /* what it wanted it does not get */
}

static void
hear(struct many_clients *w, struct client *c)
{
	char text[8192];
	ssize_t n = recv(c->fd, text, sizeof(text), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		if (!c->answered) {
			c->answered = true;
			w->refused++;
		}
		leave(w, c);
	}
	for (ssize_t i = 0; i < n && c->fd >= 0; i++) {
		if (text[i] == '\n') {
			bool last = c->line_n < 4 || c->line[3] == ' ';

			c->line[c->line_n] = '\0';
			c->line_n = 0;
			if (last)
				hear_reply(w, c);
		} else if (c->line_n < sizeof(c->line) - 1) {
			c->line[c->line_n++] = text[i];
		}
	}
}

/* Text or questions, as far as the other side takes them. */
static void
flood(struct many_clients *w, struct client *c)
{
	size_t most = w->kind == HALF ? HALF_BYTES : DEAF_BYTES;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	ssize_t n;

	while (c->sent < most) {
		n = send(c->fd, w->text,
		    most - c->sent > 8000 ? 8000 : most - c->sent,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			leave(w, c);
			return;
		}
		c->sent += (size_t)n;
	}
	epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

/* A ClientHello that never ends: its record announces more than comes. */
static void
say_half_hello(struct many_clients *w, struct client *c)
{
	static const char start[] = {22, 3, 1, 2, 0, 1, 0, 1, (char)252, 3, 3};

	say(w, c, start, sizeof(start));
	c->answered = true;
	w->greeted++;
	if (c->fd >= 0)
		arrive(w, c);
}

static void
connect_next(struct many_clients *w)
{
	unsigned i = w->begun++;
	struct client *c = &w->clients[i];
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(0x7f010001 + ((uint32_t)w->kind << 16) +
				     (uint32_t)(i % w->addresses))};
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons(w->port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	int on = 1, small = 4096, large = 200000;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (w->kind == DEAF) {
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	}
	if (bind(c->fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		die("bind");
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		w->refused++;
		leave(w, c);
		return;
	}
	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
		die("epoll_ctl");
	if (w->kind == HELLO)
		say_half_hello(w, c);
}

static void
trickle(struct many_clients *w, int64_t now)
{
	if (now < w->trickle_at)
		return;
	w->trickle_at = now + TICK_MS;
	for (unsigned i = 0; i < w->begun; i++) {
		struct client *c = &w->clients[i];

		if (c->fd < 0 || !c->there)
			continue;
		c->sent++;
		if (c->sent % 70 == 0)
			say(w, c, "\r\n", 2);
		else
			say(w, c, "x", 1);
	}
}

/* False: standard input has ended. */
static bool
report(const struct many_clients *w)
{
	char line[64];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line));

	if (n <= 0)
		return false;
	printf("begun %u greeted %u refused %u there %u told %u gone %u "
	       "code %lu\n",
	    w->begun, w->greeted, w->refused, w->there, w->told_to_go, w->gone,
	    w->last_code);
	fflush(stdout);
	return true;
}

static bool
serve(struct many_clients *w, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(w->epoll, events, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct client *c = events[i].data.ptr;

		if (c == NULL && !report(w))
			return false;
		if (c == NULL || c->fd < 0)
			continue;
		if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			hear(w, c);
		if (c->fd >= 0 && (events[i].events & EPOLLOUT))
			flood(w, c);
	}
	return true;
}

static enum kind
kind_of(const char *name)
{
	for (unsigned i = 0; i < KINDS; i++) {
		if (strcmp(name, kind_names[i]) == 0)
			return (enum kind)i;
	}
	die("no such kind");
}

static void
prepare(struct many_clients *w, char **argv)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	w->port = (unsigned short)strtoul(argv[1], NULL, 10);
	w->count = (unsigned)strtoul(argv[2], NULL, 10);
	w->addresses = (unsigned)strtoul(argv[3], NULL, 10);
	w->kind = kind_of(argv[4]);
	w->clients = xcalloc(w->count, sizeof(*w->clients));
	for (unsigned i = 0; i < w->count; i++)
		w->clients[i].fd = -1;
	w->text = xmalloc(8000);
	for (unsigned i = 0; i < 8000; i += 8)
		memcpy(w->text + i,
		    w->kind == DEAF ? "HELP  \r\n" : "text..\r\n", 8);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0 ||
	    epoll_ctl(w->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &ev) != 0)
		die("epoll");
}

int
main(int argc, char **argv)
{
	struct many_clients w = {.epoll = -1};
	bool on = true;

	if (argc != 5) {
		fprintf(
		    stderr, "usage: many_clients PORT COUNT ADDRESSES KIND\n");
		return 2;
	}
	prepare(&w, argv);
	while (on) {
		unsigned answered = w.greeted + w.refused;
		bool more = w.begun < w.count;

		/* No faster than answers come: the backlog is not the test. */
		if (more && w.begun - answered < OPENING_MAX)
			connect_next(&w);
		on = serve(&w, more ? (w.begun - answered < OPENING_MAX ? 0 : 5)
				    : TICK_MS);
		if (w.kind == TRICKLE && !more)
			trickle(&w, clock_mono_ms());
	}
	free(w.clients);
	free(w.text);
	close(w.epoll);
	return 0;
}
