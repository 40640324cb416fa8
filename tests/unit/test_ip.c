/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses and networks.
 */
#include "base/ip_ranges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static struct ip
ip(const char *text)
{
	struct ip out;

	assert_true(ip_parse(str_from(text), &out));
	return out;
}

static void
test_parse(void **state)
{
	static const char *const bad[] = {"", "1.2.3", "1.2.3.256", "1.2.3.4 ",
	    "::g", "1::2::3", "[::1]", "fe80::1%eth0", "local", "01.2.3.4",
	    "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc"};
	struct ip out;
	char text[IP_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ip_parse(str_from(bad[i]), &out));
	assert_false(ip_parse(STR("1.2.3.4\0junk"), &out));
	out = ip("192.0.2.1");
	assert_int_equal(out.family, IP_V4);
	assert_string_equal(ip_format(&out, text), "192.0.2.1");
	out = ip("2001:DB8:0:0::1");
	assert_int_equal(out.family, IP_V6);
	assert_string_equal(ip_format(&out, text), "2001:db8::1");
	out = ip("::ffff:192.0.2.1");
	assert_int_equal(out.family, IP_V4);
	assert_string_equal(ip_format(&out, text), "192.0.2.1");
	out = (struct ip){.family = IP_NONE};
	assert_string_equal(ip_format(&out, text), "local");
	for (unsigned i = 0; i < 256; i++) {
		uint8_t b = (uint8_t)i;
		char expected[IP_TEXT_MAX];

		out = (struct ip){.family = IP_V4, .bytes = {b, 255, 0, b}};
		snprintf(expected, sizeof(expected), "%u.255.0.%u", i, i);
		assert_string_equal(ip_format(&out, text), expected);
	}
}

static void
test_compare(void **state)
{
	struct ip a = ip("1.2.3.4"), b = ip("::ffff:1.2.3.4");
	struct ip c = ip("102:304::"), none = {.family = IP_NONE};

	(void)state;
	assert_true(ip_eq(&a, &b));
	assert_false(ip_eq(&a, &c));
	a = ip("127.9.9.9");
	b = ip("::1");
	assert_true(ip_is_loopback(&a));
	assert_true(ip_is_loopback(&b));
	b = ip("::2");
	assert_false(ip_is_loopback(&b));
	assert_false(ip_is_loopback(&none));
}

static bool
has(const char *net_text, const char *ip_text)
{
	struct ip_net net;
	struct ip one = ip(ip_text);

	assert_true(ip_net_parse(str_from(net_text), &net));
	return ip_net_has(&net, &one);
}

static void
test_net(void **state)
{
	static const char *const bad[] = {"192.0.2.1/24", "192.0.2.0/33",
	    "192.0.2.0/", "192.0.2.0/-1", "/24", "2001:db8::1/64", "::/129",
	    "192.0.2.0/24/24", "::ffff:0.0.0.0/64", "1.0.0.0/4294967304"};
	struct ip_net net;
	struct ip none = {.family = IP_NONE};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ip_net_parse(str_from(bad[i]), &net));
	assert_true(has("192.0.2.0/24", "192.0.2.255"));
	assert_false(has("192.0.2.0/24", "192.0.3.0"));
	assert_true(has("192.0.2.128/25", "192.0.2.128"));
	assert_false(has("192.0.2.128/25", "192.0.2.127"));
	assert_true(has("0.0.0.0/0", "8.8.8.8"));
	assert_false(has("0.0.0.0/0", "::1"));
	assert_true(has("192.0.2.1", "192.0.2.1"));
	assert_false(has("192.0.2.1", "192.0.2.2"));
	assert_true(has("2001:db8::/33", "2001:db8:7fff::"));
	assert_false(has("2001:db8::/33", "2001:db8:8000::"));
	assert_true(has("::ffff:192.0.2.0/120", "192.0.2.255"));
	assert_false(has("::ffff:192.0.2.0/120", "192.0.3.0"));
	assert_true(ip_net_parse(STR("::/0"), &net));
	assert_false(ip_net_has(&net, &none));
}

static void
test_mask(void **state)
{
	struct ip a = ip("2001:db8:1:2:3:4:5:6"), want = ip("2001:db8:1:2::");
	struct ip masked = ip_mask(&a, 64);

	(void)state;
	assert_true(ip_eq(&masked, &want));
	masked = ip_mask(&a, 999);
	assert_true(ip_eq(&masked, &a));
	a = ip("255.255.255.255");
	masked = ip_mask(&a, 12);
	want = ip("255.240.0.0");
	assert_true(ip_eq(&masked, &want));
}

static bool
is_one_site(const char *a, const char *b)
{
	struct ip one = ip(a), two = ip(b), sites[2];

	return str_eq(
	    ip_site_key(&one, &sites[0]), ip_site_key(&two, &sites[1]));
}

static void
test_site_key(void **state)
{
	(void)state;
	assert_true(is_one_site("192.0.2.1", "::ffff:192.0.2.1"));
	assert_false(is_one_site("192.0.2.1", "192.0.2.2"));
	assert_true(is_one_site("2001:db8:0:1::1", "2001:db8:0:1:ffff::"));
	assert_false(is_one_site("2001:db8:0:1::1", "2001:db8:0:2::1"));
	assert_false(is_one_site("c000:201::", "192.0.2.1"));
}

static bool
ranges_have(const struct ip_ranges *set, const char *text)
{
	struct ip ip;

	assert_true(ip_parse(str_from(text), &ip));
	return ip_ranges_have(set, &ip);
}

static void
test_ranges(void **state)
{
	static const char *const texts[] = {"198.51.100.0/24", "10.0.0.0/8",
	    "10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "10.0.0.0/24",
	    "2001:db8::5", "198.51.100.0/24"};
	struct ip_net nets[ARRAY_LEN(texts)] = {0};
	struct ip_ranges *set = ip_ranges_new(nets, 0);

	(void)state;
	assert_false(ranges_have(set, "10.0.0.1"));
	ip_ranges_free(set);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_true(ip_net_parse(str_from(texts[i]), &nets[i]));
	set = ip_ranges_new(nets, ARRAY_LEN(texts));
	assert_true(ranges_have(set, "10.0.0.0"));
	assert_true(ranges_have(set, "10.200.0.1"));
	assert_true(ranges_have(set, "10.255.255.255"));
	assert_false(ranges_have(set, "11.0.0.0"));
	assert_false(ranges_have(set, "9.255.255.255"));
	assert_true(ranges_have(set, "192.0.2.7"));
	assert_false(ranges_have(set, "192.0.2.8"));
	assert_true(ranges_have(set, "198.51.100.255"));
	assert_false(ranges_have(set, "198.51.101.0"));
	assert_true(ranges_have(set, "2001:db8:ffff::1"));
	assert_false(ranges_have(set, "2001:db9::1"));
	ip_ranges_free(set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_compare),
	    cmocka_unit_test(test_net),
	    cmocka_unit_test(test_mask),
	    cmocka_unit_test(test_site_key),
	    cmocka_unit_test(test_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
