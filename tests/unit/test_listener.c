/* SPDX-License-Identifier: BSD-3-Clause */
/* Listening sockets: binding, what is replaced and what is not, accepting. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/listener.h"
#include "pump.h"

static const struct listener_options options = {
    .backlog = 200,
    .unix_mode = 0640,
    .unix_gid = -1,
};

struct owner {
	struct listener *ln;
	int accepted, want, troubles, error;
	bool stop_it, free_it;
	struct net_addr peer;
	int64_t trouble_at, accepted_at;
	struct loop *loop;
};

static bool
has_nodelay(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0 && on;
}

static void
on_accept(void *arg, int fd, const struct net_addr *peer, int64_t now)
{
	struct owner *o = arg;

	o->accepted++;
	o->accepted_at = now;
	o->peer = *peer;
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	if (peer->ss.ss_family != AF_UNIX)
		assert_true(has_nodelay(fd));
	close(fd);
	if (o->stop_it)
		listener_stop(o->ln);
	if (o->free_it) {
		listener_free(o->ln);
		o->ln = NULL;
	}
}

static void
on_trouble(void *arg, int error, int64_t now)
{
	struct owner *o = arg;

	o->troubles++;
	o->trouble_at = now;
	o->error = error;
}

static bool
has_accepted(void *arg)
{
	struct owner *o = arg;

	return o->accepted >= o->want;
}

/* Long enough for more than one rest. */
static bool
has_rested(void *arg)
{
	struct owner *o = arg;

	return loop_now(o->loop) > o->trouble_at + 500;
}

static bool
has_trouble(void *arg)
{
	return ((struct owner *)arg)->troubles > 0;
}

static struct listener *
open_or_fail(const char *text)
{
	struct net_addr a;
	struct listener *ln;
	char err[256] = "";

	assert_true(net_addr_parse(str_from(text), &a, err, sizeof(err)));
	ln = listener_new(&a, &options, err, sizeof(err));
	if (ln == NULL)
		fail_msg("%s", err);
	return ln;
}

static int
dial(const struct net_addr *to)
{
	int fd = socket(
	    to->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (connect(fd, (const struct sockaddr *)&to->ss, to->len) != 0)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static void
test_accepts_many(void **state)
{
	struct owner o = {.want = 150};
	struct loop *l = loop_new();
	int fds[150];
	struct ip ip;
	size_t i;

	(void)state;
	o.ln = open_or_fail("127.0.0.1:0");
	listener_start(o.ln, l, on_accept, on_trouble, &o);
	for (i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = dial(listener_addr(o.ln));
	assert_true(pump_until(l, has_accepted, &o));
	ip = net_addr_ip(&o.peer);
	assert_true(ip_is_loopback(&ip));
	for (i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	listener_free(o.ln);
	loop_free(l);
}

static void
test_port_in_use(void **state)
{
	struct listener *ln = open_or_fail("127.0.0.1:0"), *again;
	char err[256], want[256], text[NET_ADDR_TEXT_MAX];

	(void)state;
	again = listener_new(listener_addr(ln), &options, err, sizeof(err));
	assert_null(again);
	snprintf(want, sizeof(want), "%s: address already in use",
	    net_addr_format(listener_addr(ln), text));
	assert_string_equal(err, want);
	listener_free(ln);
}

static void
test_stop_in_on_accept(void **state)
{
	struct owner o = {.want = 1, .stop_it = true};
	struct loop *l = loop_new();
	int a, b;

	(void)state;
	o.ln = open_or_fail("127.0.0.1:0");
	listener_start(o.ln, l, on_accept, on_trouble, &o);
	a = dial(listener_addr(o.ln));
	b = dial(listener_addr(o.ln));
	assert_true(pump_until(l, has_accepted, &o));
	pump_turns(l, 5);
	assert_int_equal(o.accepted, 1);
	/* The other waited in the backlog. */
	o.stop_it = false;
	o.want = 2;
	listener_start(o.ln, l, on_accept, on_trouble, &o);
	assert_true(pump_until(l, has_accepted, &o));
	close(a);
	close(b);
	listener_free(o.ln);
	loop_free(l);
}

static void
test_free_in_on_accept(void **state)
{
	struct owner o = {.want = 1, .free_it = true};
	struct loop *l = loop_new();
	int a, b;

	(void)state;
	o.ln = open_or_fail("127.0.0.1:0");
	listener_start(o.ln, l, on_accept, on_trouble, &o);
	a = dial(listener_addr(o.ln));
	b = dial(listener_addr(o.ln));
	assert_true(pump_until(l, has_accepted, &o));
	assert_int_equal(o.accepted, 1);
	close(a);
	close(b);
	loop_free(l);
}

static void
test_rests_without_descriptors(void **state)
{
	struct owner o = {.want = 1};
	struct loop *l = loop_new();
	struct rlimit was, low;
	int fd;

	(void)state;
	o.ln = open_or_fail("127.0.0.1:0");
	listener_start(o.ln, l, on_accept, on_trouble, &o);
	fd = dial(listener_addr(o.ln));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	low = was;
	low.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_true(pump_until(l, has_trouble, &o));
	assert_int_equal(o.error, EMFILE);
	o.loop = l;
	assert_true(pump_until(l, has_rested, &o));
	assert_int_equal(o.troubles, 1); /* told once */
	assert_int_equal(o.accepted, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_true(pump_until(l, has_accepted, &o));
	close(fd);
	/* Though it could accept at once, it rests. */
	fd = dial(listener_addr(o.ln));
	low.rlim_cur = (rlim_t)fd + 1;
	o.troubles = 0;
	o.want = 2;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_true(pump_until(l, has_trouble, &o));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_true(pump_until(l, has_accepted, &o));
	assert_true(o.accepted_at >= o.trouble_at + 100);
	close(fd);
	listener_free(o.ln);
	loop_free(l);
}

static void
test_ipv6_alone(void **state)
{
	struct listener *six, *four;
	struct net_addr a;
	char text[NET_ADDR_TEXT_MAX], err[256];

	(void)state;
	assert_true(net_addr_parse(STR("[::1]:0"), &a, err, sizeof(err)));
	six = listener_new(&a, &options, err, sizeof(err));
	if (six == NULL)
		skip(); /* no IPv6 here */
	listener_free(six);
	six = open_or_fail("[::]:0");
	net_addr_format(listener_addr(six), text);
	memmove(text + 7, strrchr(text, ':'), strlen(strrchr(text, ':')) + 1);
	memcpy(text, "0.0.0.0", 7);
	four = open_or_fail(text);
	listener_free(four);
	listener_free(six);
}

/* A directory of its own with a socket path in it. */
struct place {
	char dir[64], path[80], text[96];
};

static void
make_place(struct place *p)
{
	snprintf(p->dir, sizeof(p->dir), "/tmp/weir-listener-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/s", p->dir);
	snprintf(p->text, sizeof(p->text), "unix:%s", p->path);
}

static void
remove_place(struct place *p)
{
	(void)unlink(p->path);
	assert_int_equal(rmdir(p->dir), 0);
}

static void
test_unix_socket(void **state)
{
	struct owner o = {.want = 1};
	struct loop *l = loop_new();
	char text[NET_ADDR_TEXT_MAX];
	struct place p;
	struct stat st;
	int fd;

	(void)state;
	make_place(&p);
	o.ln = open_or_fail(p.text);
	assert_int_equal(lstat(p.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	listener_start(o.ln, l, on_accept, on_trouble, &o);
	fd = dial(listener_addr(o.ln));
	assert_true(pump_until(l, has_accepted, &o));
	assert_string_equal(net_addr_format(&o.peer, text), "unix:");
	close(fd);
	listener_free(o.ln);
	assert_int_equal(lstat(p.path, &st), -1);
	remove_place(&p);
	loop_free(l);
}

static void
test_a_stale_socket_is_replaced(void **state)
{
	struct listener *ln;
	struct net_addr a;
	struct place p;
	char err[256];
	int fd;

	(void)state;
	make_place(&p);
	assert_true(net_addr_parse(str_from(p.text), &a, err, sizeof(err)));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a.ss, a.len), 0);
	close(fd);
	ln = open_or_fail(p.text);
	/* A live one is not. */
	assert_null(listener_new(&a, &options, err, sizeof(err)));
	assert_non_null(strstr(err, "address already in use"));
	assert_int_equal(access(p.path, F_OK), 0);
	listener_free(ln);
	remove_place(&p);
}

static void
test_a_busy_socket_is_left_alone(void **state)
{
	struct net_addr a;
	struct place p;
	char err[256];
	int lfd, fds[4];
	size_t i;

	(void)state;
	make_place(&p);
	assert_true(net_addr_parse(str_from(p.text), &a, err, sizeof(err)));
	lfd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(lfd, (struct sockaddr *)&a.ss, a.len), 0);
	assert_int_equal(listen(lfd, 0), 0);
	/* Its backlog is full, connecting fails: it lives all the same. */
	for (i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (struct sockaddr *)&a.ss, a.len);
	}
	assert_null(listener_new(&a, &options, err, sizeof(err)));
	assert_int_equal(access(p.path, F_OK), 0);
	for (i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	close(lfd);
	remove_place(&p);
}

static void
test_another_file_is_left_alone(void **state)
{
	struct net_addr a;
	struct place p;
	struct stat st;
	char err[256];
	FILE *f;

	(void)state;
	make_place(&p);
	assert_true(net_addr_parse(str_from(p.text), &a, err, sizeof(err)));
	f = fopen(p.path, "w");
	assert_non_null(f);
	fclose(f);
	assert_null(listener_new(&a, &options, err, sizeof(err)));
	assert_int_equal(lstat(p.path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	remove_place(&p);
}

static void
test_only_its_own_socket_is_unlinked(void **state)
{
	struct listener *old, *new;
	struct place p;

	(void)state;
	make_place(&p);
	old = open_or_fail(p.text);
	assert_int_equal(unlink(p.path), 0);
	new = open_or_fail(p.text);
	listener_free(old);
	assert_int_equal(access(p.path, F_OK), 0);
	listener_free(new);
	assert_int_equal(access(p.path, F_OK), -1);
	remove_place(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_accepts_many),
	    cmocka_unit_test(test_port_in_use),
	    cmocka_unit_test(test_stop_in_on_accept),
	    cmocka_unit_test(test_free_in_on_accept),
	    cmocka_unit_test(test_rests_without_descriptors),
	    cmocka_unit_test(test_ipv6_alone),
	    cmocka_unit_test(test_unix_socket),
	    cmocka_unit_test(test_a_stale_socket_is_replaced),
	    cmocka_unit_test(test_a_busy_socket_is_left_alone),
	    cmocka_unit_test(test_another_file_is_left_alone),
	    cmocka_unit_test(test_only_its_own_socket_is_unlinked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
