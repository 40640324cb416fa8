/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The network: stream sockets with a latency of their own for each piece,
 * bounded windows, half-closed and reset connections, hosts that refuse or do
 * not answer; and the event descriptors by which weir's threads wake its loop.
 */
#include "sim.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WINDOW 65536
#define PIPE_MAX (8u << 20)
#define FDS 4096
#define BACKLOG 511
#define SERVERS 8

enum kind { KIND_FRESH, KIND_LISTENER, KIND_STREAM, KIND_EVENT };

struct link;

struct sock {
	struct link *link; /* NULL: no stream, or not yet */
	struct sock *peer;
	enum kind kind;
	int fd; /* of weir's; -1: the world's */
	struct co *waiter;
	struct buf rx;
	size_t inflight; /* sent, not arrived */
	int64_t arrives; /* the last piece */
	bool open, connecting, eof, shut, silent;
	int error; /* it is broken */
	int family;
	uint16_t port;
	uint32_t address; /* of this end */
	char path[108];
	uint64_t count; /* of an event */
	struct sock *backlog[BACKLOG];
	size_t backlog_n;
};

struct link { /* freed when both ends are closed and nothing is under way */
	struct sock end[2];
	unsigned pieces;
};

struct server {
	uint16_t port;
	enum net_answer (*fn)(void *arg, struct sock *s);
	void *arg;
};

static struct {
	struct sock *fds[FDS];
	size_t open;
	struct co *waits; /* for a descriptor: weir's loop */
	struct server servers[SERVERS];
	size_t server_count;
	uint16_t port;
} net;

static int64_t
latency(void)
{
	if (sim_chance(3))
		return sim_span(SECOND_US / 5, 3 * SECOND_US);
	return sim_span(50, 2000) + (sim_chance(100) ? 40000 : 0);
}

static void
notify(struct sock *s)
{
	if (s->fd >= 0 && net.waits != NULL)
		co_wake(net.waits);
	else if (s->fd < 0 && s->waiter != NULL)
		co_wake(s->waiter);
}

static struct link *
link_new(void)
{
	struct link *l = xcalloc(1, sizeof(*l));

	for (int i = 0; i < 2; i++) {
		struct sock *s = &l->end[i];

		s->link = l;
		s->peer = &l->end[1 - i];
		s->kind = KIND_STREAM;
		s->fd = -1;
		s->open = true;
		buf_init(&s->rx, PIPE_MAX);
	}
	return l;
}

static void
let_go(struct link *l)
{
	if (l->pieces > 0 || l->end[0].open || l->end[1].open)
		return;
	buf_clear(&l->end[0].rx);
	buf_clear(&l->end[1].rx);
	free(l);
}

/* ---- pieces under way ---- */

enum what { PIECE_BYTES, PIECE_EOF, PIECE_RESET };

struct piece {
	struct sock *to;
	enum what what;
	size_t n;
	char bytes[];
};

static void send_piece(
    struct sock *to, enum what what, const void *p, size_t n);

static void
on_piece(void *arg, uint64_t unused)
{
	struct piece *p = arg;
	struct sock *to = p->to;
	struct link *l = to->link;

	(void)unused;
	l->pieces--;
	to->peer->inflight -= p->n;
	if (!to->open) {
		/* Nobody is there any more. */
		if (p->what == PIECE_BYTES && to->peer->open && !to->silent &&
		    to->peer->error == 0)
			send_piece(to->peer, PIECE_RESET, NULL, 0);
	} else if (p->what == PIECE_RESET) {
		to->error = ECONNRESET;
	} else if (p->what == PIECE_EOF) {
		to->eof = true;
	} else if (!buf_append(&to->rx, p->bytes, p->n)) {
		panic("sim: the window did not hold");
	}
	if (to->open)
		notify(to);
	free(p);
	let_go(l);
}

static void
send_piece(struct sock *to, enum what what, const void *bytes, size_t n)
{
	struct piece *p = xmalloc(sizeof(*p) + n);
	int64_t when = sim_now() + latency();

	if (when < to->arrives)
		when = to->arrives;
	to->arrives = when;
	p->to = to;
	p->what = what;
	p->n = n;
	if (n > 0)
		memcpy(p->bytes, bytes, n);
	to->peer->inflight += n;
	to->link->pieces++;
	sim_at(when, on_piece, p, 0);
}

static size_t
room(const struct sock *s)
{
	size_t used = s->inflight + (s->peer->open ? s->peer->rx.len : 0);

	return used < WINDOW ? WINDOW - used : 0;
}

static ssize_t
put(struct sock *s, const void *p, size_t n)
{
	size_t fits = room(s);

	if (s->error != 0 || s->shut) {
		errno = s->error != 0 ? s->error : EPIPE;
		return -1;
	}
	if (fits == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (n > fits)
		n = fits;
	/* A short write, as kernels make them. */
	if (n > 1 && sim_chance(5))
		n = 1 + sim_below(n - 1);
	sim_mix(n);
	send_piece(s->peer, PIECE_BYTES, p, n);
	return (ssize_t)n;
}

static ssize_t
take(struct sock *s, void *p, size_t n)
{
	struct str have = buf_str(&s->rx);

	if (have.n == 0) {
		if (s->error == 0 && s->eof)
			return 0;
		errno = s->error != 0 ? s->error : EAGAIN;
		return -1;
	}
	if (n > have.n)
		n = have.n;
	if (n > 1 && sim_chance(5))
		n = 1 + sim_below(n - 1);
	memcpy(p, have.p, n);
	buf_consume(&s->rx, n);
	if (s->peer->open)
		notify(s->peer);
	return (ssize_t)n;
}

static void
close_end(struct sock *s, bool reset)
{
	struct link *l = s->link;

	if (s->fd >= 0) {
		net.fds[s->fd - SIM_FD_NET] = NULL;
		net.open--;
	}
	s->fd = -1;
	s->open = false;
	s->waiter = NULL;
	if (l == NULL) {
		free(s);
		return;
	}
	if (!s->silent && s->peer->open && s->error == 0) {
		if (reset || s->rx.len > 0)
			send_piece(s->peer, PIECE_RESET, NULL, 0);
		else if (!s->shut)
			send_piece(s->peer, PIECE_EOF, NULL, 0);
	}
	buf_clear(&s->rx);
	let_go(l);
}

/* ---- weir's descriptors ---- */

static struct sock *
sock_of(int fd)
{
	struct sock *s = NULL;

	if (fd >= SIM_FD_NET && fd < SIM_FD_NET + FDS)
		s = net.fds[fd - SIM_FD_NET];
	if (s == NULL)
		panic("sim: no socket %d", fd);
	return s;
}

static bool
is_ours(int fd)
{
	return fd >= SIM_FD_NET && fd < SIM_FD_NET + FDS;
}

static int
give_fd(struct sock *s)
{
	for (int i = 0; i < FDS; i++) {
		if (net.fds[i] != NULL)
			continue;
		net.fds[i] = s;
		net.open++;
		s->fd = SIM_FD_NET + i;
		s->open = true;
		return s->fd;
	}
	sim_fail("weir has more than %d sockets", FDS);
}

static int
new_fd(enum kind kind, int family)
{
	struct sock *s = xcalloc(1, sizeof(*s));

	s->kind = kind;
	s->family = family;
	return give_fd(s);
}

unsigned
net_state(int fd)
{
	struct sock *s;
	unsigned state = 0;

	if (!is_ours(fd))
		return 0;
	net.waits = co_self();
	s = sock_of(fd);
	switch (s->kind) {
	case KIND_FRESH:
		break;
	case KIND_LISTENER:
		return s->backlog_n > 0 ? NET_READABLE : 0;
	case KIND_EVENT:
		return s->count > 0 ? NET_READABLE : 0;
	case KIND_STREAM:
		if (s->error != 0)
			state |= NET_BROKEN;
		if (s->rx.len > 0 || s->eof)
			state |= NET_READABLE;
		if (!s->connecting && room(s) > 0)
			state |= NET_WRITABLE;
		break;
	}
	return state;
}

size_t
net_weir_sockets(void)
{
	return net.open;
}

void
net_forget(void)
{
	bool silent = sim_chance(300);

	net.waits = NULL;
	for (int i = 0; i < FDS; i++) {
		struct sock *s = net.fds[i];

		if (s == NULL)
			continue;
		for (size_t k = 0; k < s->backlog_n; k++)
			close_end(s->backlog[k], true);
		s->backlog_n = 0;
		if (s->kind == KIND_STREAM && silent)
			s->silent = true;
		close_end(s, sim_chance(500));
	}
}

/* ---- the world's side ---- */

static struct sock *
find_listener(uint16_t port, const char *path)
{
	for (int i = 0; i < FDS; i++) {
		struct sock *s = net.fds[i];

		if (s != NULL && s->kind == KIND_LISTENER &&
		    (path != NULL ? strcmp(s->path, path) == 0
				  : s->family == AF_INET && s->port == port))
			return s;
	}
	return NULL;
}

static struct sock *
dial(uint16_t port, const char *path, uint32_t address)
{
	struct sock *listener;
	struct link *l;

	co_sleep(latency());
	listener = find_listener(port, path);
	if (listener == NULL || listener->backlog_n == BACKLOG)
		return NULL;
	l = link_new();
	l->end[0].family = l->end[1].family = listener->family;
	l->end[0].address = address;
	l->end[0].port = ++net.port | 0x8000;
	l->end[1].port = port;
	l->end[1].address = 0x7f000001;
	listener->backlog[listener->backlog_n++] = &l->end[1];
	notify(listener);
	return &l->end[0];
}

struct sock *
net_dial(uint16_t port, uint32_t address)
{
	return dial(port, NULL, address);
}

struct sock *
net_dial_path(const char *path)
{
	return dial(0, path, 0);
}

void
net_serve(
    uint16_t port, enum net_answer (*fn)(void *arg, struct sock *s), void *arg)
{
	net.servers[net.server_count++] = (struct server){port, fn, arg};
}

static bool
wait_input(struct sock *s, int64_t until)
{
	s->waiter = co_self();
	while (s->rx.len == 0 && s->error == 0 && !s->eof && sim_now() < until)
		(void)co_wait(until);
	return s->rx.len > 0;
}

bool
sock_line(struct sock *s, char *out, size_t cap, int64_t timeout)
{
	int64_t until = sim_now() + timeout;
	size_t n = 0;

	while (wait_input(s, until)) {
		struct str have = buf_str(&s->rx);
		size_t end = str_index(have, '\n');
		size_t take_n = end < have.n ? end + 1 : have.n;

		if (n + take_n >= cap)
			return false;
		memcpy(out + n, have.p, take_n);
		n += take_n;
		buf_consume(&s->rx, take_n);
		if (s->peer->open)
			notify(s->peer);
		if (end == have.n)
			continue;
		n--;
		if (n > 0 && out[n - 1] == '\r')
			n--;
		out[n] = '\0';
		return true;
	}
	return false;
}

bool
sock_read(struct sock *s, char *out, size_t n, int64_t timeout)
{
	int64_t until = sim_now() + timeout;

	while (n > 0 && wait_input(s, until)) {
		ssize_t got = take(s, out, n);

		if (got > 0) {
			out += got;
			n -= (size_t)got;
		}
	}
	return n == 0;
}

bool
sock_write(struct sock *s, const void *p, size_t n)
{
	const char *at = p;
	int64_t until = sim_now() + HOUR_US;

	while (n > 0) {
		ssize_t done = put(s, at, n);

		if (done > 0) {
			at += done;
			n -= (size_t)done;
			continue;
		}
		if (errno != EAGAIN || sim_now() >= until)
			return false;
		s->waiter = co_self();
		(void)co_wait(until);
	}
	return true;
}

bool
sock_say(struct sock *s, const char *fmt, ...)
{
	char line[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 2, fmt, ap);
	va_end(ap);
	memcpy(line + n, "\r\n", 2);
	return sock_write(s, line, (size_t)n + 2);
}

void
sock_shutdown(struct sock *s)
{
	if (s->error != 0 || s->shut)
		return;
	s->shut = true;
	send_piece(s->peer, PIECE_EOF, NULL, 0);
}

void
sock_close(struct sock *s, bool reset)
{
	close_end(s, reset);
}

/* ---- in the place of libc ---- */

int __real_close(int fd);
ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __real_write(int fd, const void *p, size_t n);
int __real_fcntl64(int fd, int op, ...);

int __wrap_socket(int domain, int type, int protocol);
int __wrap_bind(int fd, const struct sockaddr *a, socklen_t n);
int __wrap_listen(int fd, int backlog);
int __wrap_accept4(int fd, struct sockaddr *a, socklen_t *n, int flags);
int __wrap_connect(int fd, const struct sockaddr *a, socklen_t n);
ssize_t __wrap_recv(int fd, void *p, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags);
int __wrap_shutdown(int fd, int how);
int __wrap_getsockopt(int fd, int level, int name, void *p, socklen_t *n);
int __wrap_setsockopt(int fd, int level, int name, const void *p, socklen_t n);
int __wrap_getsockname(int fd, struct sockaddr *a, socklen_t *n);
int __wrap_getpeername(int fd, struct sockaddr *a, socklen_t *n);
int __wrap_eventfd(unsigned count, int flags);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_close(int fd);
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout_ms);
int __wrap_fcntl64(int fd, int op, ...);

int
__wrap_socket(int domain, int type, int protocol)
{
	(void)type;
	(void)protocol;
	return new_fd(KIND_FRESH, domain);
}

int
__wrap_bind(int fd, const struct sockaddr *a, socklen_t n)
{
	struct sock *s = sock_of(fd);

	(void)n;
	if (a->sa_family == AF_UNIX) {
		snprintf(s->path, sizeof(s->path), "%s",
		    ((const struct sockaddr_un *)(const void *)a)->sun_path);
		if (disk_exists(s->path)) {
			errno = EADDRINUSE;
			return -1;
		}
		disk_write_file(s->path, "socket");
		return 0;
	}
	s->port =
	    ntohs(((const struct sockaddr_in *)(const void *)a)->sin_port);
	return 0;
}

int
__wrap_listen(int fd, int backlog)
{
	(void)backlog;
	sock_of(fd)->kind = KIND_LISTENER;
	return 0;
}

static void
report_address(int family, uint16_t port, uint32_t address, struct sockaddr *a,
    socklen_t *n)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	if (family == AF_UNIX) {
		a->sa_family = AF_UNIX;
		*n = sizeof(a->sa_family);
		return;
	}
	in.sin_port = htons(port);
	in.sin_addr.s_addr = htonl(address);
	memcpy(a, &in, *n < sizeof(in) ? *n : sizeof(in));
	*n = sizeof(in);
}

int
__wrap_accept4(int fd, struct sockaddr *a, socklen_t *n, int flags)
{
	struct sock *l = sock_of(fd), *s;

	(void)flags;
	sim_point();
	if (l->backlog_n == 0) {
		errno = EAGAIN;
		return -1;
	}
	s = l->backlog[0];
	memmove(
	    l->backlog, l->backlog + 1, --l->backlog_n * sizeof(struct sock *));
	report_address(s->family, s->peer->port, s->peer->address, a, n);
	return give_fd(s);
}

struct call {
	struct sock *s, *far;
	uint16_t port;
};

static void
on_call(void *arg, uint64_t unused)
{
	struct call *c = arg;
	struct sock *s = c->s;
	enum net_answer answer = NET_REFUSE;

	(void)unused;
	s->link->pieces--;
	if (s->open) {
		for (size_t i = 0; i < net.server_count; i++) {
			if (net.servers[i].port == c->port)
				answer = net.servers[i].fn(
				    net.servers[i].arg, c->far);
		}
		if (answer == NET_ACCEPT)
			s->connecting = false;
		else if (answer == NET_REFUSE)
			s->error = ECONNREFUSED;
		notify(s);
	}
	if (answer != NET_ACCEPT)
		c->far->open = false;
	let_go(s->link);
	free(c);
}

/* The descriptor moves into a link of its own. */
int
__wrap_connect(int fd, const struct sockaddr *a, socklen_t n)
{
	struct sock *fresh = sock_of(fd), *s;
	struct link *l;
	struct call *c;

	(void)n;
	sim_point();
	if (a->sa_family == AF_UNIX) { /* who asks whether a socket is stale */
		errno = ECONNREFUSED;
		return -1;
	}
	l = link_new();
	s = &l->end[0];
	s->fd = fd;
	s->family = AF_INET;
	s->connecting = true;
	s->address = 0x7f000001;
	s->peer->port =
	    ntohs(((const struct sockaddr_in *)(const void *)a)->sin_port);
	s->peer->address = ntohl(
	    ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr);
	net.fds[fd - SIM_FD_NET] = s;
	free(fresh);
	c = xcalloc(1, sizeof(*c));
	*c = (struct call){s, s->peer, s->peer->port};
	l->pieces++;
	sim_at(sim_now() + latency(), on_call, c, 0);
	errno = EINPROGRESS;
	return -1;
}

ssize_t
__wrap_recv(int fd, void *p, size_t n, int flags)
{
	struct sock *s = sock_of(fd);
	struct str have;

	if (flags & MSG_PEEK) {
		have = buf_str(&s->rx);
		if (have.n == 0)
			return take(s, p, 0);
		n = n < have.n ? n : have.n;
		memcpy(p, have.p, n);
		return (ssize_t)n;
	}
	return take(s, p, n);
}

ssize_t
__wrap_send(int fd, const void *p, size_t n, int flags)
{
	(void)flags;
	sim_point();
	return put(sock_of(fd), p, n);
}

int
__wrap_shutdown(int fd, int how)
{
	(void)how;
	sock_shutdown(sock_of(fd));
	return 0;
}

int
__wrap_getsockopt(int fd, int level, int name, void *p, socklen_t *n)
{
	struct sock *s = sock_of(fd);

	(void)level;
	if (name == SO_PEERCRED) {
		struct ucred cred = {1, geteuid(), getegid()};

		memcpy(p, &cred, *n < sizeof(cred) ? *n : sizeof(cred));
		return 0;
	}
	memset(p, 0, *n);
	if (name == SO_ERROR)
		memcpy(p, &s->error, sizeof(s->error));
	return 0;
}

int
__wrap_setsockopt(int fd, int level, int name, const void *p, socklen_t n)
{
	(void)fd;
	(void)level;
	(void)name;
	(void)p;
	(void)n;
	return 0;
}

int
__wrap_getsockname(int fd, struct sockaddr *a, socklen_t *n)
{
	struct sock *s = sock_of(fd);

	report_address(s->family, s->port, 0x7f000001, a, n);
	return 0;
}

int
__wrap_getpeername(int fd, struct sockaddr *a, socklen_t *n)
{
	struct sock *s = sock_of(fd);

	if (s->link == NULL) {
		errno = ENOTCONN;
		return -1;
	}
	report_address(s->family, s->peer->port, s->peer->address, a, n);
	return 0;
}

int
__wrap_eventfd(unsigned count, int flags)
{
	(void)count;
	(void)flags;
	return new_fd(KIND_EVENT, 0);
}

ssize_t
__wrap_read(int fd, void *p, size_t n)
{
	struct sock *s;

	if (fd >= SIM_FD_DISK)
		return files_read(fd, p, n);
	if (!is_ours(fd))
		return __real_read(fd, p, n);
	s = sock_of(fd);
	if (s->kind != KIND_EVENT)
		return take(s, p, n);
	if (s->count == 0) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(p, &s->count, sizeof(s->count));
	s->count = 0;
	return sizeof(s->count);
}

ssize_t
__wrap_write(int fd, const void *p, size_t n)
{
	struct sock *s;

	if (fd >= SIM_FD_DISK)
		return files_write(fd, p, n);
	if (fd == STDERR_FILENO || fd == STDOUT_FILENO) {
		if (sim_verbose) {
			printf("%12.6f weir: %.*s", (double)sim_now() / 1e6,
			    (int)n, (const char *)p);
		}
		return (ssize_t)n;
	}
	if (!is_ours(fd))
		return __real_write(fd, p, n);
	s = sock_of(fd);
	if (s->kind != KIND_EVENT)
		return put(s, p, n);
	s->count++;
	notify(s);
	return (ssize_t)n;
}

int
__wrap_close(int fd)
{
	struct sock *s;

	if (fd >= SIM_FD_DISK)
		return files_close(fd);
	if (!is_ours(fd))
		return __real_close(fd);
	sim_point();
	s = sock_of(fd);
	for (size_t i = 0; i < s->backlog_n; i++)
		close_end(s->backlog[i], true);
	close_end(s, false);
	return 0;
}

int
__wrap_poll(struct pollfd *p, nfds_t n, int timeout_ms)
{
	int64_t until =
	    timeout_ms < 0 ? INT64_MAX : sim_now() + timeout_ms * INT64_C(1000);

	for (;;) {
		int ready = 0;

		for (nfds_t i = 0; i < n; i++) {
			unsigned state = net_state(p[i].fd);

			p[i].revents = 0;
			if (state & (NET_READABLE | NET_BROKEN))
				p[i].revents |= p[i].events & POLLIN;
			if (state & NET_WRITABLE)
				p[i].revents |= p[i].events & POLLOUT;
			ready += p[i].revents != 0;
		}
		if (ready > 0 || sim_now() >= until)
			return ready;
		(void)co_wait(until);
	}
}

int
__wrap_fcntl64(int fd, int op, ...)
{
	va_list ap;
	int rc, arg;

	if (is_ours(fd) || fd >= SIM_FD_DISK)
		return 0;
	va_start(ap, op);
	arg = va_arg(ap, int);
	va_end(ap);
	rc = __real_fcntl64(fd, op, arg);
	return rc;
}
