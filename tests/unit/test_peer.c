/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is at the other end: real sockets, and the rules over them. */
#include "net/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define STRANGER ((uid_t)4242)

static void
test_unix(void **state)
{
	struct peer p;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	peer_find(fds[0], &p);
	assert_int_equal(p.kind, PEER_USER);
	assert_int_equal(p.uid, geteuid());
	assert_int_equal(p.address.family, IP_NONE);
	close(fds[0]);
	close(fds[1]);
}

/* A listener on a free port of the loopback, of either family. */
static int
listen_on(sa_family_t family, struct sockaddr_storage *at, socklen_t *len)
{
	int fd = socket(family, SOCK_STREAM, 0);

	memset(at, 0, sizeof(*at));
	at->ss_family = family;
	*len = family == AF_INET ? sizeof(struct sockaddr_in)
				 : sizeof(struct sockaddr_in6);
	if (family == AF_INET)
		((struct sockaddr_in *)at)->sin_addr.s_addr =
		    htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)at, *len) != 0 || listen(fd, 4) != 0 ||
	    getsockname(fd, (struct sockaddr *)at, len) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void
try_tcp(int listener, const struct sockaddr_storage *to, socklen_t len)
{
	int client = socket(to->ss_family, SOCK_STREAM, 0), fd;
	struct peer p;

	assert_int_equal(connect(client, (const struct sockaddr *)to, len), 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	peer_find(fd, &p);
	if (p.kind == PEER_UNTOLD)
		skip();
	assert_int_equal(p.kind, PEER_USER);
	assert_int_equal(p.uid, geteuid());
	assert_true(ip_is_loopback(&p.address));
	/* It is gone, and its row says uid 0: that is not root. */
	close(client);
	peer_find(fd, &p);
	assert_int_equal(p.kind, PEER_UNKNOWN);
	close(fd);
}

static void
test_tcp(void **state)
{
	struct sockaddr_storage at;
	socklen_t len;
	int fd = listen_on(AF_INET, &at, &len);

	(void)state;
	assert_true(fd >= 0);
	try_tcp(fd, &at, len);
	close(fd);
}

/* An IPv4 client of a socket for both: shown as ::ffff:127.0.0.1. */
static void
test_tcp_mapped(void **state)
{
	struct sockaddr_storage at;
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	socklen_t len;
	int fd = listen_on(AF_INET6, &at, &len);

	(void)state;
	if (fd < 0)
		skip();
	v4.sin_port = ((struct sockaddr_in6 *)&at)->sin6_port;
	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memcpy(&at, &v4, sizeof(v4));
	try_tcp(fd, &at, sizeof(v4));
	close(fd);
}

static struct peer
peer_of(enum peer_kind kind, uid_t uid, const char *address)
{
	struct peer p = {.kind = kind, .uid = uid};

	p.address.family = IP_NONE;
	if (address != NULL)
		assert_true(ip_parse(str_from(address), &p.address));
	return p;
}

static void
test_rules(void **state)
{
	const uid_t uids[] = {STRANGER};
	struct ip_net net;
	const struct {
		struct peer_rules rules;
		struct peer peer;
		bool may;
	} cases[] = {
	    {{0}, peer_of(PEER_USER, 0, NULL), true},
	    {{0}, peer_of(PEER_USER, geteuid(), NULL), true},
	    {{0}, peer_of(PEER_USER, STRANGER, NULL), false},
	    {{uids, 1, NULL, 0}, peer_of(PEER_USER, STRANGER, NULL), true},
	    {{0}, peer_of(PEER_UNKNOWN, 0, NULL), false},
	    /* TCP: loopback where nothing is listed. */
	    {{0}, peer_of(PEER_USER, 0, "127.0.0.1"), true},
	    {{0}, peer_of(PEER_USER, 0, "192.0.2.1"), false},
	    {{0}, peer_of(PEER_REMOTE, 0, "192.0.2.1"), false},
	    {{0}, peer_of(PEER_UNTOLD, 0, "127.0.0.1"), true},
	    {{0}, peer_of(PEER_UNKNOWN, 0, "127.0.0.1"), false},
	    {{NULL, 0, &net, 1}, peer_of(PEER_REMOTE, 0, "192.0.2.1"), true},
	    {{NULL, 0, &net, 1}, peer_of(PEER_REMOTE, 0, "198.51.100.1"),
		false},
	    {{NULL, 0, &net, 1}, peer_of(PEER_USER, 0, "127.0.0.1"), false},
	    /* A listed address does not make a user of this machine welcome. */
	    {{NULL, 0, &net, 1}, peer_of(PEER_USER, STRANGER, "192.0.2.1"),
		false},
	};
	char why[160];

	(void)state;
	assert_true(ip_net_parse(STR("192.0.2.0/24"), &net));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		why[0] = '\0';
		if (peer_may(&cases[i].rules, &cases[i].peer, why,
			sizeof(why)) != cases[i].may)
			fail_msg("case %zu: %s", i, why);
		assert_int_equal(why[0] == '\0', cases[i].may);
	}
}

static void
test_news_once_a_second(void **state)
{
	_Atomic int64_t next = 0;

	(void)state;
	assert_true(peer_is_news(&next, 5000));
	assert_false(peer_is_news(&next, 5999));
	assert_true(peer_is_news(&next, 6000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_unix),
	    cmocka_unit_test(test_tcp),
	    cmocka_unit_test(test_tcp_mapped),
	    cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_news_once_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
