/* SPDX-License-Identifier: BSD-3-Clause */
/* Socket addresses: what is one, what is not, and that they come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "net/addr.h"

#include <netinet/in.h>

static void
test_round_trip(void **state)
{
	static const char *const table[][2] = {
	    {"127.0.0.1:25", "127.0.0.1:25"},
	    {"0.0.0.0:0", "0.0.0.0:0"},
	    {"192.0.2.1:65535", "192.0.2.1:65535"},
	    {"[::1]:25", "[::1]:25"},
	    {"[2001:DB8:0::1]:587", "[2001:db8::1]:587"},
	    {"unix:/run/weir/a.sock", "unix:/run/weir/a.sock"},
	};
	char text[NET_ADDR_TEXT_MAX], err[128];
	struct net_addr a;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(table); i++) {
		assert_true(net_addr_parse(
		    str_from(table[i][0]), &a, err, sizeof(err)));
		assert_string_equal(net_addr_format(&a, text), table[i][1]);
	}
}

static void
test_refused(void **state)
{
	static const char *const table[] = {
	    "",
	    ":",
	    ":25",
	    "127.0.0.1",
	    "127.0.0.1:",
	    "127.0.0.1:65536",
	    "127.0.0.1:-1",
	    "127.0.0.1:+5",
	    "127.0.0.1:25 ",
	    "127.0.0.1:99999999999",
	    "127.0.0.256:25",
	    "localhost:25",
	    "::1:25",
	    "[::1]",
	    "[::1]25",
	    "[::1:25",
	    "[]:25",
	    "[127.0.0.1]:25",
	    "unix:",
	    "unix:relative.sock",
	};
	char err[128];
	struct net_addr a;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(table); i++) {
		err[0] = '\0';
		if (net_addr_parse(str_from(table[i]), &a, err, sizeof(err)))
			fail_msg("accepted: %s", table[i]);
		assert_true(err[0] != '\0');
	}
}

static void
test_unix_path_limit(void **state)
{
	char path[5 + sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	char text[NET_ADDR_TEXT_MAX], err[128];
	struct net_addr a;

	(void)state;
	memset(path, 'x', sizeof(path));
	memcpy(path, "unix:/", 6);
	path[sizeof(path) - 2] = '\0';
	assert_true(net_addr_parse(str_from(path), &a, err, sizeof(err)));
	assert_string_equal(net_addr_format(&a, text), path);
	path[sizeof(path) - 2] = 'x';
	path[sizeof(path) - 1] = '\0';
	assert_false(net_addr_parse(str_from(path), &a, err, sizeof(err)));
	assert_false(net_addr_parse(STR("unix:/a\0b"), &a, err, sizeof(err)));
}

static void
test_split(void **state)
{
	struct str host;
	uint16_t port = 0;

	(void)state;
	assert_true(net_addr_split(STR("mx.example.org:2525"), &host, &port));
	assert_true(str_eq(host, STR("mx.example.org")));
	assert_int_equal(port, 2525);
	assert_true(net_addr_split(STR("[::1]:25"), &host, &port));
	assert_true(str_eq(host, STR("::1")));
	assert_false(net_addr_split(STR("mx.example.org"), &host, &port));
	assert_false(net_addr_split(STR("::1:25"), &host, &port));
	assert_false(net_addr_split(STR("["), &host, &port));
	assert_false(net_addr_split(STR("[]"), &host, &port));
}

static void
test_ip(void **state)
{
	char err[128], text[IP_TEXT_MAX];
	struct net_addr a;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.ss;
	struct ip ip;

	(void)state;
	assert_true(net_addr_parse(STR("192.0.2.7:25"), &a, err, sizeof(err)));
	ip = net_addr_ip(&a);
	assert_string_equal(ip_format(&ip, text), "192.0.2.7");
	assert_true(
	    net_addr_parse(STR("[2001:db8::7]:25"), &a, err, sizeof(err)));
	ip = net_addr_ip(&a);
	assert_string_equal(ip_format(&ip, text), "2001:db8::7");
	/* As a dual-stack socket would show an IPv4 peer. */
	memcpy(&v6->sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\7", 16);
	ip = net_addr_ip(&a);
	assert_string_equal(ip_format(&ip, text), "192.0.2.7");
	assert_true(net_addr_parse(STR("unix:/x"), &a, err, sizeof(err)));
	ip = net_addr_ip(&a);
	assert_int_equal(ip.family, IP_NONE);
}

static void
test_unnamed_unix_peer(void **state)
{
	struct net_addr a = {.len = sizeof(sa_family_t)};
	char text[NET_ADDR_TEXT_MAX];

	(void)state;
	a.ss.ss_family = AF_UNIX;
	memset((char *)&a.ss + 2, 'x', sizeof(a.ss) - 2);
	assert_string_equal(net_addr_format(&a, text), "unix:");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_unix_path_limit),
	    cmocka_unit_test(test_split),
	    cmocka_unit_test(test_ip),
	    cmocka_unit_test(test_unnamed_unix_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
